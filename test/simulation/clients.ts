/**
 * The clients of a simulation: they schedule, cancel, change limits, lose answers, and say again what was not answered, with
 * the same ids or with a new id and the same idempotency key. What they were told goes into the ledger.
 */
import { limits } from '#actors/limits.ts'
import { scheduler } from '#actors/scheduler.ts'
import { encodeRows } from '#store/rows.ts'
import type { Appended, NewWebhook, Replay, Reschedule } from '#store/store.ts'
import { WebhookIds } from '#webhook/id.ts'
import { packRequest } from '#webhook/request.ts'
import type { WebhookId } from '#webhook/webhook.ts'
import type { VirtualWorld } from '#world/virtual-world.ts'
import type { SimDaemon } from './daemon.ts'
import { Draws } from './draws.ts'
import { SIM_GROUP } from './group-history.ts'
import type { Ledger } from './ledger.ts'
import type { NetworkHooks } from './network.ts'
import type { SimLimit, SimOptions } from './options.ts'

type Said<T> = { readonly ok: true; readonly value: T } | { readonly ok: false }

export interface ClientHooks extends NetworkHooks {
  /** Whoever asks now must be answered. */
  readonly isCalm: () => boolean
}

const AGAIN_MS = 150
const THUNDER_AT = 0.5
/** One waits for its answer no longer than a client of the control channel. */
const PATIENCE_MS = 10_000

export class Clients {
  /** Calls that are not answered yet, and those that will be said again. */
  pending = 0
  healed = false
  readonly #options: SimOptions
  readonly #world: VirtualWorld
  readonly #ledger: Ledger
  readonly #daemon: () => SimDaemon | null
  readonly #trace: (text: string) => void
  readonly #tally: NetworkHooks['tally']
  readonly #hooks: ClientHooks
  readonly #draws: Draws
  readonly #retimes: Draws
  readonly #ids = new WebhookIds()
  readonly #keyed = new Map<string, WebhookId>()
  readonly #waiting = new Set<() => void>()
  #limitsTail: Promise<unknown> = Promise.resolve()
  readonly #lastLimits = new Map<string, SimLimit>()

  constructor(
    options: SimOptions,
    world: VirtualWorld,
    ledger: Ledger,
    daemon: () => SimDaemon | null,
    hooks: ClientHooks,
  ) {
    const { trace, tally } = hooks
    this.#hooks = hooks
    this.#options = options
    this.#world = world
    this.#ledger = ledger
    this.#daemon = daemon
    this.#trace = trace
    this.#tally = tally
    this.#draws = new Draws(options.seed, 'clients')
    this.#retimes = new Draws(options.seed, 'retimes')
  }

  /** Sets every timer of the workload; limits that the seed starts with are asked for first. */
  begin(): void {
    const { limits: first, limitChanges, chaosMs, webhooks, batchMax } = this.#options
    for (const limit of first) this.#changeLater(0, limit)
    for (const { atMs, limit } of limitChanges) this.#changeLater(atMs, limit)
    for (const { atMs, members } of this.#options.regroupings) this.#inTurn(atMs, () => this.#regroup(members), false)
    let left = webhooks
    while (left > 0) {
      const count = Math.min(left, this.#draws.between(1, batchMax))
      left -= count
      const rows = Array.from({ length: count }, () => this.#drawRow())
      this.#world.setTimer(this.#draws.between(1, chaosMs), () => void this.#schedule(rows, 0))
    }
  }
  /** Nobody knows whether the last word on a limit was heard: all are said again, and those that let nothing through lifted. */
  heal(): void {
    this.healed = true
    // Pauses first: what a person holds is not regrouped. Then the hosts part, and have limits of their own again.
    const said = [...this.#lastLimits.values()]
    for (const limit of said) if (limit.kind === 'pause') this.#changeLater(0, { ...limit, value: null }, true)
    if (this.#options.regroupings.length > 0) this.#inTurn(0, () => this.#regroup([]), true)
    for (const limit of said) {
      if (limit.kind === 'pause') continue
      const value = Math.max({ rate: 20, concurrency: 2 }[limit.kind], limit.value ?? 0)
      this.#changeLater(0, { ...limit, value }, true)
    }
  }

  // -------------------------------------------------------------- scheduling

  #drawRow(): (now: number) => NewWebhook {
    const { domains, brands, policies, timeoutsMs, chaosMs, thunder, keyed } = this.#options
    const draws = this.#draws
    const domain = draws.oneOf(domains)
    const brand = draws.oneOf(brands)
    const priority = draws.oneOf(['high', 'normal', 'normal', 'low'] as const)
    const atMs = draws.chance(thunder) ? THUNDER_AT * chaosMs : draws.between(-2_000, chaosMs)
    const start = this.#world.wallNow()
    const timeoutMs = draws.oneOf(timeoutsMs)
    const retry = draws.oneOf(policies)
    const expires = draws.chance(0.05) ? draws.between(1_000, 20_000) : null
    const idempotencyKey = draws.chance(keyed) ? `key-${draws.between(1, 1_000_000)}` : null
    const url = `http://${domain}/hook`
    return (now) => {
      const at = Math.floor(start + atMs)
      return {
        id: this.#ids.next(now, (length) => this.#world.randomBytes(length)),
        brand,
        name: null,
        url,
        host: domain,
        domain,
        method: 'POST',
        priority,
        at,
        nextAt: Math.max(at, now),
        createdAt: now,
        timeoutMs,
        expiresAt: expires === null ? null : Math.max(at, now) + expires,
        retry,
        tags: [],
        idempotencyKey,
        contentHash: idempotencyKey === null ? null : new Uint8Array([1, 2, 3]),
        request: packRequest({ url, method: 'POST', headers: [], body: new Uint8Array(0) }),
      }
    }
  }

  async #schedule(makers: readonly ((now: number) => NewWebhook)[], tries: number, same?: readonly NewWebhook[]) {
    const rows = same ?? makers.map((make) => make(this.#world.wallNow()))
    const packed = encodeRows(rows)
    const refused = this.#daemon()?.refusal(rows.length, packed.length) ?? null
    if (refused !== null) return this.#comesBack(makers, tries, rows, refused.retryAfterMs)
    for (const { id } of rows) this.#ledger.shed.delete(id)
    const append = { type: 'append', count: rows.length, rows: packed } as const
    const said = await this.#say('schedule', (daemon) =>
      daemon.runtime.call(scheduler, { type: 'schedule', append, heads: headsOf(rows) }, PATIENCE_MS),
    )
    if (said.ok && !said.value.ok && 'failed' in said.value && said.value.failed === 'crowded')
      return this.#comesBack(makers, tries, rows, undefined)
    const lost = said.ok && this.#draws.chance(this.healed ? 0 : this.#options.lostAnswers)
    if (said.ok && !lost && said.value.ok) return this.#acknowledged(rows, said.value)
    if (said.ok && !lost && 'conflict' in said.value) return this.#ledger.fail('keys', 'the same words are a conflict')
    this.#tally.count('schedule without an answer')
    for (const { id } of rows) this.#ledger.unsure.add(id)
    if (!this.#draws.chance(this.#options.resends)) return
    const withNewIds = this.#draws.chance(0.5) && rows.every(({ idempotencyKey }) => idempotencyKey !== null)
    this.#tally.count(`schedule said again with ${withNewIds ? 'new ids and the same keys' : 'the same ids'}`)
    this.#later(AGAIN_MS * (tries + 1), () => this.#schedule(makers, tries + 1, withNewIds ? undefined : rows))
  }
  /** Nothing of it was done, and it was told when to come again; what is offered anew is another webhook only if nobody knows of the first. */
  #comesBack(
    makers: readonly ((now: number) => NewWebhook)[],
    tries: number,
    rows: readonly NewWebhook[],
    retryAfterMs: number | undefined,
  ): void {
    this.#tally.count('schedule refused for load')
    const isUnknown = rows.every(({ id }) => !this.#ledger.unsure.has(id))
    if (isUnknown) for (const { id } of rows) this.#ledger.shed.add(id)
    if (retryAfterMs === undefined && this.#options.load === null) return
    this.#later(retryAfterMs ?? AGAIN_MS, () => this.#schedule(makers, tries, isUnknown ? undefined : rows))
  }
  #acknowledged(rows: readonly NewWebhook[], appended: Extract<Appended, { ok: true }>): void {
    for (const [index, row] of rows.entries()) {
      const id = appended.ids[index]
      if (id === undefined) return this.#ledger.fail('I1', 'an acknowledgement without an id')
      const mono = this.#world.monoNow()
      if (!this.#ledger.acked.has(id)) this.#ledger.acked.set(id, { at: row.at, mono })
      const { brand, idempotencyKey } = row
      if (idempotencyKey !== null) {
        const known = this.#keyed.get(`${brand} ${idempotencyKey}`) ?? id
        if (known !== id) this.#ledger.fail('keys', `${idempotencyKey} is ${known} and ${id}`)
        this.#keyed.set(`${brand} ${idempotencyKey}`, id)
      } else if (id !== row.id) this.#ledger.fail('keys', `${row.id} was acknowledged as ${id}`)
      this.#trace(`acknowledged ${id}`)
      if (appended.duplicates[index] === true) this.#tally.count('schedule answered as a duplicate')
      if (this.#draws.chance(this.#options.cancels))
        this.#later(this.#draws.between(0, this.#options.chaosMs), () => this.#cancel(id))
      if (this.#retimes.chance(this.#options.retimes))
        this.#later(this.#retimes.between(0, this.#options.chaosMs), () => this.#retime(id))
    }
  }

  async #cancel(id: WebhookId): Promise<void> {
    this.#ledger.cancelAsked.add(id)
    const said = await this.#say('cancel', (daemon) =>
      daemon.runtime.call(scheduler, { type: 'cancel', id, brand: null }, PATIENCE_MS),
    )
    if (!said.ok || !('outcome' in said.value)) return
    const { outcome } = said.value
    this.#trace(`cancel ${id}: ${outcome}`)
    this.#tally.count(`cancel: ${outcome}`)
    if (outcome === 'cancelled' && !this.#ledger.retimed.has(id)) this.#ledger.cancelled.set(id, this.#world.monoNow())
    if (outcome === 'notFound') this.#ledger.fail('I1', `${id} was acknowledged and is not found`)
  }

  /** Another instant, now, or once more: as itself or as a new webhook. */
  async #retime(id: WebhookId): Promise<void> {
    const draws = this.#retimes
    const now = this.#world.wallNow()
    const how = draws.oneOf(['reschedule', 'run now', 'replay', 'replay as new'] as const)
    const newId = how === 'replay as new' ? this.#ids.next(now, (length) => this.#world.randomBytes(length)) : null
    const at = how === 'reschedule' ? now + draws.between(-1_000, 5_000) : now
    if (newId === null) this.#ledger.retimes(id)
    const op: Reschedule | Replay = how.startsWith('replay')
      ? { type: 'replay', id, brand: null, newId, at: now }
      : { type: 'reschedule', id, brand: null, at, now }
    const said = await this.#say(how, (daemon) => daemon.runtime.call(scheduler, { type: 'retime', op }, PATIENCE_MS))
    if (!said.ok || !('outcome' in said.value)) return void this.#ledger.unsure.add(newId ?? id)
    const { outcome } = said.value
    this.#tally.count(`${how}: ${outcome}`)
    if (outcome === 'notFound') this.#ledger.fail('I1', `${id} was acknowledged and is not found`)
    if (outcome === 'replayed' && newId !== null) this.#ledger.acked.set(newId, { at, mono: this.#world.monoNow() })
  }

  // -------------------------------------------------------------- limits

  #changeLater(ms: number, limit: SimLimit, lifts = false): void {
    this.#inTurn(ms, () => this.#change(limit), lifts)
  }
  /** One after the other, as one operator would. */
  #inTurn(ms: number, change: () => Promise<unknown>, lifts: boolean): void {
    this.#later(ms, () => {
      this.#limitsTail = this.#limitsTail.then(() => (this.healed && !lifts ? null : change()))
      return this.#limitsTail
    })
  }
  async #regroup(members: readonly string[]): Promise<unknown> {
    const group = { group: SIM_GROUP, members, setBy: 'sim', setAt: this.#world.wallNow() }
    const change = this.#ledger.groups.request(members, this.#world.monoNow())
    const said = await this.#say('regroup', (daemon) =>
      daemon.runtime.call(limits, { type: 'set-group', group }, PATIENCE_MS),
    )
    if (said.ok && said.value.ok) {
      this.#tally.count(members.length > 0 ? 'group: hosts come together' : 'group: hosts part')
      change.holds(this.#world.monoNow())
      return null
    }
    // What is paused will be lifted by who waits behind this one.
    if (said.ok && !said.value.ok && 'why' in said.value) return change.refused()
    if (!this.healed) return null
    await new Promise<void>((resolve) => this.#world.setTimer(AGAIN_MS, resolve))
    return this.#regroup(members)
  }
  async #change(limit: SimLimit): Promise<unknown> {
    const { kind, domain, brand } = limit
    this.#lastLimits.set(`${kind} ${domain} ${brand}`, limit)
    this.#trace(`limit ${JSON.stringify(limit)}`)
    const change = this.#ledger.limits.request(limit, this.#world.monoNow())
    const said = await this.#say('limit', (daemon) =>
      daemon.runtime.call(
        limits,
        { type: 'set', limit: { ...limit, setBy: 'sim', setAt: this.#world.wallNow() } },
        PATIENCE_MS,
      ),
    )
    if (said.ok && said.value.ok) {
      if (kind === 'pause') this.#tally.count(limit.value === 1 ? 'pause' : 'resume')
      if (this.#ledger.open.size > 0) this.#tally.count('limit changed under load')
      if (domain === SIM_GROUP) this.#tally.count(`limit of a group: ${kind}`)
      return change.holds(this.#world.monoNow())
    }
    // Only its group has limits.
    if (said.ok && !said.value.ok && 'why' in said.value) return change.refused()
    if (!this.healed) return null
    await new Promise<void>((resolve) => this.#world.setTimer(AGAIN_MS, resolve))
    return this.#change(limit)
  }

  // -------------------------------------------------------------- saying

  /** Not ok: no answer came, and nobody knows. A dead process never answers: its clients see their connection end. */
  async #say<T>(what: string, call: (daemon: SimDaemon) => Promise<T>): Promise<Said<T>> {
    const daemon = this.#daemon()
    if (daemon === null) return { ok: false }
    this.pending += 1
    let end = (): void => undefined
    const gone = new Promise<Said<T>>((resolve) => {
      end = () => resolve({ ok: false })
    })
    this.#waiting.add(end)
    const answer = call(daemon).then(
      (value): Said<T> => ({ ok: true, value }),
      (): Said<T> => ({ ok: false }),
    )
    const said = await Promise.race([answer, gone])
    this.#waiting.delete(end)
    if (said.ok && what !== 'schedule' && daemon.loadLevel === 'schedules')
      this.#tally.count('control answered under load')
    if (!said.ok && this.#hooks.isCalm() && daemon === this.#daemon())
      this.#ledger.fail('O2', `${what} is not answered in ${PATIENCE_MS} ms, and nothing has happened`)
    this.#trace(`${what} ${said.ok ? JSON.stringify(said.value) : 'unanswered'}`)
    this.pending -= 1
    return said
  }
  processDied(): void {
    for (const end of this.#waiting) end()
    this.#waiting.clear()
  }
  #later(ms: number, run: () => Promise<unknown>): void {
    this.pending += 1
    this.#world.setTimer(ms, () => {
      void run().finally(() => {
        this.pending -= 1
      })
    })
  }
}

const headsOf = (rows: readonly NewWebhook[]) =>
  rows.map(({ id, nextAt, brand, domain, priority, timeoutMs, expiresAt }) => ({
    id,
    nextAt,
    brand,
    domain,
    priority,
    attempts: 0,
    timeoutMs,
    expiresAt,
  }))
