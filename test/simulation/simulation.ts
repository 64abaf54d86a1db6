/**
 * One seed, from its options to the verdict: a phase with faults, then everything heals and all that was accepted must come
 * to its end, then the daemon must be as it was at its start. Only virtual time passes; the same options give the same run.
 */
import { MemoryDisk } from '#store/memory/memory-disk.ts'
import type { Event } from '#telemetry/events.ts'
import { VirtualWorld } from '#world/virtual-world.ts'
import { Clients } from './clients.ts'
import { type Living, SimDaemon } from './daemon.ts'
import { Ledger, type Violation } from './ledger.ts'
import { SimNetwork } from './network.ts'
import type { Fault, Pressure, SimOptions } from './options.ts'
import { judgeBooks, judgeClosures, judgeRates, judgeRest } from './oracle.ts'
import { ProcessWorld } from './process-world.ts'
import { StallWatch } from './stalls.ts'
import { NoisyStore } from './store-noise.ts'
import { Tally } from './tally.ts'
import { Trace } from './trace.ts'

export interface SimResult {
  readonly seed: number
  readonly hash: string
  readonly violations: readonly Violation[]
  readonly virtualMs: number
  readonly webhooks: number
  readonly arrivals: number
  readonly faultsFired: number
  readonly runs: number
  /** How often what happened. */
  readonly counts: ReadonlyMap<string, number>
  readonly lastLines: readonly string[]
  readonly allLines: readonly string[] | null
}

/** Healed, it must make progress within this. The longest honest wait: a breaker that has opened again and again. */
const STUCK_MS = 20 * 60_000
const HEALED_MS_MAX = 6 * 3_600_000
/** Guards stop after a second, a spare thread after half a minute. */
const REST_MS = 45_000
const RESTART_MS = 100
/** Nothing has troubled it for as long as a client waits, and some: who is not answered then is forgotten. */
const CALM_MS = 15_000
/** Grace, drains, and what every supervisor gives its children. */
const STOP_MS_MAX = 100_000
/** Share of the stops that end by kill -9. */
const STOPS_CUT_SHORT = 0.3

export const simulate = async (options: SimOptions, keepLines = false): Promise<SimResult> =>
  new Simulation(options, keepLines).run()

class Simulation {
  readonly #options: SimOptions
  readonly #world: VirtualWorld
  readonly #disk = new MemoryDisk()
  readonly #trace: Trace
  readonly #ledger: Ledger
  readonly #network: SimNetwork
  readonly #store: NoisyStore
  readonly #clients: Clients
  readonly #stalls: StallWatch
  readonly #tally = new Tally()
  readonly #armed: { fault: Fault; left: number }[] = []
  #daemon: SimDaemon | null = null
  #runs = 0
  /** The next process dies while it recovers. */
  #dieAgain: Fault | null = null
  #fired = 0
  #healed = false

  constructor(options: SimOptions, keepLines: boolean) {
    this.#options = options
    const world = new VirtualWorld({ seed: options.seed })
    this.#world = world
    this.#trace = new Trace(
      () => world.monoNow(),
      keepLines,
      () => this.#circles(),
    )
    this.#ledger = new Ledger(world, this.#disk)
    const trace = (text: string): void => this.#trace.add(text)
    const tally = this.#tally
    const hooks = { trace, tally, passage: () => this.#passage() }
    this.#network = new SimNetwork(world, options, this.#ledger, hooks)
    this.#store = new NoisyStore(options, this.#ledger, hooks)
    this.#clients = new Clients(options, world, this.#ledger, () => this.#daemon, {
      ...hooks,
      isCalm: () => this.#isAwake && !this.#isNoisy && !this.#stalls.isTroubled(CALM_MS),
    })
    this.#stalls = new StallWatch(world, this.#disk, this.#ledger, options.carriers * options.capacity)
  }

  async run(): Promise<SimResult> {
    const options = this.#options
    this.#start()
    await this.#world.advance(10)
    this.#clients.begin()
    for (const pressure of options.load ?? []) this.#press(pressure)
    for (const fault of options.faults) this.#world.setTimer(fault.atMs, () => this.#due(fault))
    for (let ms = 0; ms < options.chaosMs; ms += 250) {
      await this.#world.advance(250)
      this.#stalls.look(this.#isAwake && !this.#isNoisy)
      if (this.#ledger.violations.length > 0) return this.#result()
    }
    await this.#heal()
    if (this.#ledger.violations.length === 0) await this.#rest()
    return this.#result()
  }

  // -------------------------------------------------------------- the process

  #start(): void {
    this.#runs += 1
    const { permute, safeMessages } = this.#options
    const world = new ProcessWorld(this.#world, () => this.#passage())
    const daemon: SimDaemon = new SimDaemon({
      world,
      disk: this.#disk,
      faults: this.#store.faultsFor(world, () => {
        daemon.hasRecovered = true
      }),
      openDispatch: () => this.#network.openFor(world),
      permute,
      safeMessages,
      run: this.#runs,
      looksAtLoad: this.#options.load !== null,
      told: (event) => this.#told(event),
      ended: (why) => this.#ended(daemon, why),
      crashed: (error) => this.#ledger.fail('crash', `an error outside every actor: ${error.stack ?? error.message}`),
    })
    this.#daemon = daemon
    this.#trace.add(`starts run ${this.#runs}`)
    this.#stalls.processStarts()
    daemon.start()
    const again = this.#dieAgain
    this.#dieAgain = null
    if (again !== null) this.#armed.push({ fault: { ...again, kind: 'crash' }, left: again.passages ?? 1 })
  }
  /** Exit 70: the service manager's turn. Only many faults in a short time may lead to it. */
  #ended(daemon: SimDaemon, why: string): void {
    if (daemon !== this.#daemon) return
    if (!this.#stalls.isTroubled(30_000)) this.#ledger.fail('U3', `${why}, and nothing had happened`)
    this.#crash(RESTART_MS, why)
  }
  /** It would never come to an end: its world stops. */
  #circles(): void {
    this.#ledger.fail('I9', 'it turns in a circle, and time does not go on')
    this.#daemon?.world.kill()
    this.#disk.crash('it turns in a circle')
  }
  #crash(downMs: number, why: string): void {
    const daemon = this.#daemon
    if (daemon === null) return
    this.#trace.add(`the process dies: ${why}`)
    this.#tally.count('kill -9')
    if (!daemon.hasRecovered) this.#tally.count('kill -9 during recovery')
    if (daemon.isStopping) this.#tally.count('kill -9 during a stop')
    this.#ledger.doubt()
    this.#endProcess(daemon, downMs)
  }
  /** With it goes everything that was written and not synced: marks and outcomes, no promise (D-6). */
  #powerCut(downMs: number): void {
    const daemon = this.#daemon
    this.#trace.add('power cut')
    this.#tally.count('power cut')
    this.#ledger.doubt()
    if (daemon !== null) this.#endProcess(daemon, downMs)
    this.#disk.powerCut()
    const { attempts, outcomes } = this.#ledger.forget()
    this.#tally.count('power cut: an attempt forgotten', attempts)
    this.#tally.count('power cut: an outcome forgotten', outcomes)
  }
  #endProcess(daemon: SimDaemon, downMs: number): void {
    this.#daemon = null
    this.#stalls.trouble()
    daemon.world.kill()
    this.#network.endProcess()
    this.#disk.crash('the process died')
    this.#clients.processDied()
    this.#world.setTimer(downMs, () => {
      if (this.#daemon === null) this.#start()
    })
  }
  /** As SIGTERM. Nothing is in doubt after it, unless something else happened meanwhile (reliability.md U10). */
  #stop(downMs: number): void {
    const daemon = this.#daemon
    if (daemon === null || daemon.isStopping) return
    if (!daemon.hasStarted) return this.#crash(downMs, 'asked to stop while it started')
    this.#tally.count('graceful stop')
    if (this.#ledger.open.size > 0) this.#tally.count('graceful stop with attempts in flight')
    const firedBefore = this.#fired
    this.#world.setTimer(STOP_MS_MAX, () => {
      if (this.#daemon === daemon && this.#fired === firedBefore)
        this.#ledger.fail('U10', `asked to stop ${STOP_MS_MAX} ms ago`)
    })
    void daemon.stop().then(() => {
      if (this.#daemon !== daemon) return
      this.#trace.add('the process has stopped')
      if (this.#fired !== firedBefore || this.#isNoisy) this.#ledger.doubt()
      this.#endProcess(daemon, downMs)
    })
  }
  get #isAwake(): boolean {
    return this.#daemon !== null && !this.#daemon.isStopping && !this.#daemon.world.isStill
  }
  get #isNoisy(): boolean {
    return !this.#healed && Object.values(this.#options.noise).some((share) => share > 0)
  }

  #told(event: Event): void {
    this.#tally.count(`event ${event.type}`)
    this.#trace.add(`event ${JSON.stringify(event, withoutBytes)}`)
    // A supervisor that has given up takes its children with it.
    if (event.type === 'store.failed') this.#stalls.storeFailed()
    if (event.type === 'store.opened') this.#stalls.storeOpened()
    if (event.type === 'process.restarted' && !HARMLESS.has(event.name)) this.#ledger.doubt()
    if (event.type === 'attempt.in-doubt') this.#ledger.doubted.add(event.attemptId)
    if (event.type === 'attempt.in-doubt' && !this.#ledger.mayDoubt(event.attemptId))
      this.#ledger.fail('I2', `${event.attemptId} is in doubt (${event.reason}), and nothing had happened`)
    if (event.type === 'process.crashed' && !isFollow(event.reason))
      this.#ledger.fail('crash', `${event.name} crashed: ${event.reason}`)
    this.#passage()
  }

  // -------------------------------------------------------------- faults

  #due(fault: Fault): void {
    if (this.#healed) return
    if (fault.passages === null) this.#fire(fault)
    else this.#armed.push({ fault, left: fault.passages })
  }
  /** Something is under way: faults that wait for it happen now, in the middle of it. */
  #passage(): void {
    if (this.#armed.length === 0 || this.#healed) return
    const ripe = this.#armed.filter((armed) => {
      armed.left -= 1
      return armed.left <= 0 && (armed.fault.kind !== 'rare' || this.#rareOnes(armed.fault).length > 0)
    })
    for (const armed of ripe) {
      this.#armed.splice(this.#armed.indexOf(armed), 1)
      this.#fire(armed.fault)
    }
  }
  #fire(fault: Fault): void {
    this.#fired += 1
    this.#stalls.trouble()
    this.#trace.add(`fault ${JSON.stringify(fault)}`)
    switch (fault.kind) {
      case 'kill':
        return this.#kill(fault)
      case 'rare':
        return this.#killOne(fault, this.#rareOnes(fault))
      case 'crash':
        return this.#crash(fault.ms, 'drawn')
      case 'recovery':
        this.#dieAgain = fault
        return this.#crash(0, 'drawn, and again')
      case 'power-cut':
        return this.#powerCut(fault.ms)
      case 'stop':
        if (fault.pick < STOPS_CUT_SHORT)
          this.#armed.push({ fault: { ...fault, kind: 'crash' }, left: Math.ceil(fault.pickOne * 10) })
        return this.#stop(fault.ms)
      case 'aftershock':
        this.#tally.count('aftershock')
        return this.#aftershock(fault)
      case 'freeze':
      case 'suspend':
        return this.#standStill(fault)
      case 'carrier': {
        const { carriers } = this.#network
        this.#ledger.doubt()
        if (carriers.length > 0) this.#tally.count('thread death')
        return this.#network.killCarrier('drawn', Math.floor(fault.pick * carriers.length))
      }
      case 'store-death':
        if (this.#daemon !== null) this.#tally.count('store thread death')
        return this.#disk.crash('its thread died')
      case 'clock':
        this.#tally.count(fault.ms < 0 ? 'clock back' : 'clock forward')
        this.#ledger.steps(fault.ms)
        return this.#world.stepWall(fault.ms)
      default:
        return fault.kind satisfies never
    }
  }
  /** From a process of its own, so that the victim is between two callbacks, as every victim of an exit signal is. */
  #kill(fault: Fault): void {
    const who = this.#daemon?.who() ?? []
    const kinds = [...new Set(who.map(({ kind }) => kind))]
    const kind = kinds[Math.floor(fault.pick * kinds.length)]
    this.#killOne(
      fault,
      who.filter((one) => one.kind === kind),
    )
  }
  /** Who lives only for moments: retry processes, and brand-limiters, half of the time only one with attempts in flight. */
  #rareOnes({ pick }: Fault): readonly Living[] {
    const kind = pick < 0.5 ? 'brand-limiter' : 'retry'
    const who = this.#daemon?.who() ?? []
    return who.filter((one) => one.kind === kind && (pick >= 0.25 || this.#isBusy(one)))
  }
  #isBusy({ name }: Living): boolean {
    const brand = name.split(' ')[1]
    return [...this.#ledger.open.values()].some((one) => one.brand === brand)
  }
  #killOne(fault: Pick<Fault, 'pickOne'>, those: readonly Living[]): void {
    const daemon = this.#daemon
    const victim = those[Math.floor(fault.pickOne * those.length)]
    if (daemon === null || victim === undefined) return
    this.#trace.add(`kills ${victim.kind} ${victim.pid.id}`)
    this.#tally.count(`killed ${victim.kind}`)
    if (victim.kind === 'brand-limiter' && this.#isBusy(victim))
      this.#tally.count('killed brand-limiter with attempts of its brand in flight')
    if (victim.kind === 'guards') this.#ledger.holdsLost()
    if (!HARMLESS.has(victim.kind)) this.#ledger.doubt()
    daemon.runtime.spawn(() => {
      daemon.runtime.exit(victim.pid, 'kill')
    })
  }

  #standStill({ kind, ms }: Fault): void {
    const daemon = this.#daemon
    if (daemon === null || daemon.world.isStill) return
    this.#tally.count(kind)
    if (kind === 'freeze' && this.#ledger.open.size > 0) this.#tally.count('freeze with attempts in flight')
    this.#world.setTimer(ms, () => this.#stalls.trouble())
    if (kind === 'suspend') daemon.world.suspend(ms)
    else daemon.world.freeze(ms)
  }

  #press({ atMs, ms, loopDelayMs, heapShare }: Pressure): void {
    this.#world.setTimer(atMs, () => {
      if (!this.#healed) this.#world.load = { loopDelayMs, heapShare }
    })
    this.#world.setTimer(atMs + ms, () => {
      this.#world.load = { loopDelayMs: 0, heapShare: 0.3 }
    })
  }
  /** Who dies of it in the moment after: guards while the attempts of a dead process hold permits, or a keeper who opens his store. */
  #aftershock({ pick, pickOne }: Fault): void {
    const kind = pick < 0.5 ? 'guard' : 'store-keeper'
    if (kind === 'guard') this.#crash(0, 'drawn, with an aftershock')
    else this.#disk.crash('its thread died')
    for (let n = 1; n <= 3; n += 1)
      this.#world.setTimer(n * (kind === 'guard' ? 250 : 40) * (0.2 + pickOne), () => {
        const those = (this.#daemon?.who() ?? []).filter((one) => one.kind === kind)
        if (!this.#healed) this.#killOne({ pickOne: (pickOne * n) % 1 }, those)
      })
  }

  // -------------------------------------------------------------- after the faults

  async #heal(): Promise<void> {
    this.#trace.add('heals')
    this.#world.load = { loopDelayMs: 0, heapShare: 0.3 }
    this.#healed = true
    this.#store.healed = true
    this.#network.healed = true
    this.#stalls.heals()
    this.#clients.heal()
    const from = this.#world.monoNow()
    let progress = from
    let left = -1
    while (!this.#isDone) {
      await this.#world.advance(1_000)
      this.#stalls.look(this.#isAwake)
      if (this.#ledger.violations.length > 0) return
      const now = this.#world.monoNow()
      if (this.#left !== left) progress = now
      left = this.#left
      const nextAt = Math.min(...this.#live().map((row) => row.nextAt))
      const waits = Math.max(0, Math.min(nextAt - this.#world.wallNow(), HEALED_MS_MAX))
      if (now - progress > STUCK_MS + waits || now - from > HEALED_MS_MAX)
        return this.#ledger.fail('I9', `${left} never end, such as ${JSON.stringify(this.#live()[0], withoutBytes)}`)
    }
  }
  get #left(): number {
    return this.#disk.due.size + this.#disk.started.size
  }
  get #isDone(): boolean {
    return this.#isAwake && this.#daemon?.hasStarted === true && this.#left === 0 && this.#clients.pending === 0
  }
  #live() {
    return [...this.#disk.byId.values()].filter((row) => row.state === 'live')
  }

  async #rest(): Promise<void> {
    await this.#world.advance(REST_MS)
    const daemon = this.#daemon
    if (daemon === null) return this.#ledger.fail('U3', 'nothing runs at the end')
    const figures = daemon.figures().catch((error: unknown) => String(error))
    await this.#world.settle()
    const shown = await figures
    if (typeof shown === 'string') return this.#ledger.fail('U3', `does not answer at the end: ${shown}`)
    judgeBooks(this.#disk, this.#ledger)
    if (daemon.loadLevel !== null && daemon.loadLevel !== 'none')
      this.#ledger.fail('O2', `still ${daemon.loadLevel} are shed, at rest`)
    judgeRates(this.#ledger, !this.#isNoisyEver)
    const { brands, carrierStartFails } = this.#options
    if (carrierStartFails === 0 && brands.length === 1) judgeClosures(this.#ledger)
    judgeRest(daemon, shown, this.#options, this.#ledger)
    this.#trace.add(`ends ${daemon.census().join(' ')}`)
  }
  get #isNoisyEver(): boolean {
    const { noise, carrierStartFails, faults, capacity } = this.#options
    const shares = Object.values(noise)
    return shares.some((share) => share > 0) || carrierStartFails > 0 || faults.length > 0 || capacity < 100
  }

  #result(): SimResult {
    for (const { state } of this.#disk.byId.values()) this.#tally.count(`ended ${state}`)
    return {
      seed: this.#options.seed,
      hash: this.#trace.hash,
      violations: this.#ledger.violations,
      virtualMs: this.#world.monoNow(),
      webhooks: this.#disk.byId.size,
      arrivals: this.#ledger.arrivals.size,
      faultsFired: this.#fired,
      runs: this.#runs,
      counts: this.#tally.counts,
      lastLines: this.#trace.last,
      allLines: this.#trace.all,
    }
  }
}

/** Whose death puts no attempt in doubt. */
const HARMLESS: ReadonlySet<string> = new Set([
  'guard',
  'guards',
  'brand-limiter',
  'scheduler',
  'limits',
  'store-keeper',
  'retry',
  'retry-manager',
  'retries',
])
/** An end that follows from a kill, and no error of its own. */
const isFollow = (reason: string): boolean => /no table|kill|shutdown|noproc|closed|drawn|dead|locked|died/.test(reason)

const withoutBytes = (_key: string, value: unknown): unknown => (value instanceof Uint8Array ? value.length : value)
