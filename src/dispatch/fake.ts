/**
 * A Dispatch for tests and simulation: a scripted network on a World's timers. The network outlives the Dispatches that are
 * opened on it, as receivers outlive the daemon, and counts what is open at each domain.
 */
import { CARRIER_EXIT_SETTLE_MS, CARRIER_HANG_MS } from '#config/limits.ts'
import type { AttemptId, Domain, ErrorClass, Outcome, WebhookId } from '#webhook/webhook.ts'
import type { TimerHandle, World } from '#world/world.ts'
import type { AttemptOrder, AttemptReport, Carrier, CarrierEvents, Dispatch } from './dispatch.ts'

/** What the receiver does with one request. */
export interface FakeAnswer {
  /** From the order to its report; default 1. Beyond the order's timeout the attempt ends as `timeout`. */
  readonly latencyMs?: number
  /** Default 200. */
  readonly status?: number
  readonly retryAfterMs?: number
  /** Of the answer's body, in UTF-8. */
  readonly excerpt?: string
  /** Ends as this error instead of a status. */
  readonly error?: ErrorClass
  /** Default true: the request reached the receiver. False: it never counts as open. */
  readonly sent?: boolean
  /** No answer: `timeout` at the deadline. */
  readonly never?: boolean
  /** The request takes its whole carrier with it, at its latency. */
  readonly killsCarrier?: boolean
  /** The carrier hangs from now on, and is ended as the watchdog would. */
  readonly hangsCarrier?: boolean
}
export interface FakeArrival {
  readonly webhookId: WebhookId
  readonly attempt: number
  readonly brand: string
  readonly domain: Domain
  readonly atMono: number
  readonly at: number
}
export type FakeScript = (order: AttemptOrder, seen: { readonly open: number; readonly arrival: number }) => FakeAnswer

export class FakeNetwork {
  readonly world: World
  script: FakeScript
  /** Every request that reached a receiver, in order. */
  readonly arrivals: FakeArrival[] = []
  readonly #open = new Map<Domain, number>()
  readonly #openMax = new Map<Domain, number>()
  readonly #carriers = new Set<FakeCarrier>()

  constructor(world: World, script: FakeScript = () => ({})) {
    this.world = world
    this.script = script
  }

  openDispatch(options: { readonly carriers?: number; readonly capacity?: number } = {}): Dispatch {
    return new FakeDispatch(this, options.carriers ?? 1, options.capacity ?? 256)
  }
  /** Requests open now at a domain, or at all of them. */
  open(domain?: Domain): number {
    return domain === undefined ? sum(this.#open.values()) : (this.#open.get(domain) ?? 0)
  }
  openMax(domain: Domain): number {
    return this.#openMax.get(domain) ?? 0
  }
  /** Starts of one domain, on the monotonic clock. */
  starts(domain: Domain): number[] {
    return this.arrivals.filter((arrival) => arrival.domain === domain).map((arrival) => arrival.atMono)
  }
  get carriers(): readonly FakeCarrier[] {
    return [...this.#carriers]
  }
  /** Kills the thread of a live carrier, the oldest by default. */
  killCarrier(reason = 'killed', index = 0): void {
    this.carriers[index]?.die(reason)
  }

  joined(carrier: FakeCarrier): void {
    this.#carriers.add(carrier)
  }
  left(carrier: FakeCarrier): void {
    this.#carriers.delete(carrier)
  }
  arrived(order: AttemptOrder): void {
    const { webhookId, attempt, brand, domain } = order
    this.arrivals.push({ webhookId, attempt, brand, domain, atMono: this.world.monoNow(), at: this.world.wallNow() })
    const open = this.open(domain) + 1
    this.#open.set(domain, open)
    this.#openMax.set(domain, Math.max(this.openMax(domain), open))
  }
  /** `died`: its carrier has ended under it. */
  closed({ domain }: AttemptOrder, _died: boolean): void {
    this.#open.set(domain, this.open(domain) - 1)
  }
}

const sum = (numbers: Iterable<number>): number => {
  let total = 0
  for (const number of numbers) total += number
  return total
}

class FakeDispatch implements Dispatch {
  readonly capacity: number
  readonly carriers: number
  readonly #network: FakeNetwork
  readonly #live = new Set<FakeCarrier>()
  #closed = false

  constructor(network: FakeNetwork, carriers: number, capacity: number) {
    this.#network = network
    this.carriers = carriers
    this.capacity = capacity
  }
  async startCarrier(events: CarrierEvents): Promise<Carrier> {
    if (this.#closed) throw new Error('the dispatch pool is closed')
    const carrier = new FakeCarrier(this.#network, this.capacity, {
      reported: (reports) => events.reported(reports),
      ended: (reason) => {
        this.#live.delete(carrier)
        events.ended(reason)
      },
    })
    this.#live.add(carrier)
    return carrier
  }
  async close(): Promise<void> {
    this.#closed = true
    await Promise.all([...this.#live].map((carrier) => carrier.end()))
  }
}

interface Running {
  readonly order: AttemptOrder
  readonly sent: boolean
  readonly startedAt: number
  readonly startedMono: number
  timer: TimerHandle | null
}

export class FakeCarrier implements Carrier {
  readonly #network: FakeNetwork
  readonly #world: World
  readonly #capacity: number
  readonly #events: CarrierEvents
  readonly #running = new Map<AttemptId, Running>()
  #reports: AttemptReport[] = []
  #over = false
  #hung = false
  #exited: (() => void) | null = null
  readonly #exit: Promise<void>

  constructor(network: FakeNetwork, capacity: number, events: CarrierEvents) {
    this.#network = network
    this.#world = network.world
    this.#capacity = capacity
    this.#events = events
    this.#exit = new Promise((resolve) => {
      this.#exited = resolve
    })
    network.joined(this)
  }

  get running(): number {
    return this.#running.size
  }

  dispatch(orders: readonly AttemptOrder[]): void {
    if (this.#over) return
    for (const order of orders) this.#start(order)
    if (this.#running.size > this.#capacity)
      throw new Error(`a carrier of ${this.#capacity} was given ${this.#running.size}`)
  }

  abort(attempts: readonly AttemptId[]): void {
    for (const attemptId of attempts) {
      if (!this.#running.has(attemptId) || this.#hung) continue
      this.#endLater(attemptId, CARRIER_EXIT_SETTLE_MS, { kind: 'error', error: 'in_doubt', detail: 'aborted' })
    }
  }

  end(): Promise<void> {
    this.die('ended by its owner')
    return this.#exit
  }

  /** The thread exits: every socket closes, and its owner hears it a little later (D-8). */
  die(reason: string): void {
    if (this.#over) return
    this.#over = true
    this.#network.left(this)
    for (const { order, sent, timer } of this.#running.values()) {
      if (timer !== null) this.#world.clearTimer(timer)
      if (sent) this.#network.closed(order, true)
    }
    this.#running.clear()
    this.#reports = []
    this.#world.setTimer(CARRIER_EXIT_SETTLE_MS, () => {
      this.#events.ended(reason)
      this.#exited?.()
    })
  }

  #start(order: AttemptOrder): void {
    const { domain, attemptId } = order
    const answer = this.#network.script(order, {
      open: this.#network.open(domain),
      arrival: this.#network.arrivals.length,
    })
    const sent = answer.sent ?? true
    const startedAt = this.#world.wallNow()
    this.#running.set(attemptId, { order, sent, startedAt, startedMono: this.#world.monoNow(), timer: null })
    if (sent) this.#network.arrived(order)
    const latencyMs = answer.latencyMs ?? 1
    if (answer.hangsCarrier === true) this.#hang(order)
    else if (answer.killsCarrier === true) this.#world.setTimer(latencyMs, () => this.die('the request killed it'))
    else if (answer.never === true || latencyMs >= order.timeoutMs)
      this.#endLater(attemptId, order.timeoutMs, {
        kind: 'error',
        error: sent ? 'timeout' : 'connect_timeout',
        detail: 'no answer',
      })
    else this.#endLater(attemptId, latencyMs, outcomeOf(answer))
  }

  #hang(order: AttemptOrder): void {
    this.#hung = true
    for (const { timer } of this.#running.values()) if (timer !== null) this.#world.clearTimer(timer)
    this.#world.setTimer(order.timeoutMs + CARRIER_HANG_MS, () => this.die('hung'))
  }

  #endLater(attemptId: AttemptId, delayMs: number, outcome: Outcome): void {
    const running = this.#running.get(attemptId)
    if (running === undefined || this.#hung) return
    if (running.timer !== null) this.#world.clearTimer(running.timer)
    running.timer = this.#world.setTimer(delayMs, () => this.#finish(attemptId, running, outcome))
  }

  #finish(attemptId: AttemptId, { order, sent, startedAt, startedMono }: Running, outcome: Outcome): void {
    if (this.#over || this.#hung) return
    this.#running.delete(attemptId)
    if (sent) this.#network.closed(order, false)
    if (this.#reports.length === 0) this.#world.yieldToIo(() => this.#flush())
    const networkMs = this.#world.monoNow() - startedMono
    this.#reports.push({ attemptId, outcome, startedAt, endedAt: this.#world.wallNow(), networkMs, sent })
  }

  #flush(): void {
    const reports = this.#reports
    this.#reports = []
    if (!this.#over && reports.length > 0) this.#events.reported(reports)
  }
}

const outcomeOf = (answer: FakeAnswer): Outcome => {
  const { status = 200, retryAfterMs = null, excerpt, error } = answer
  return error === undefined
    ? { kind: 'response', status, retryAfterMs, excerpt: excerpt === undefined ? null : Buffer.from(excerpt) }
    : { kind: 'error', error, detail: 'scripted' }
}
