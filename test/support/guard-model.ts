/**
 * A guard's arithmetic alone, run over virtual time: arrivals, service times, late timers, and what a receiver would see.
 * `sabotage` breaks the guard on purpose before each decision: a law that no sabotage can break is no law.
 */
import { answered, type Ground, nextVerdict, releasePermit, type Start, startGranted } from '#guard/admission.ts'
import { ask, type BrandPermits, emptyPermits, grantNext, settle } from '#guard/brand-permits.ts'
import { newConditions } from '#guard/conditions.ts'
import { concurrencyOf, type LimitRow, limitKey } from '#guard/limits.ts'
import { emptyQueues, offerDue, type Queues, queueOf } from '#guard/queues.ts'
import type { RateState } from '#guard/rate.ts'
import type { Brand, Due, LimitKind, Priority } from '#webhook/webhook.ts'

export const DOMAIN = 'api.example.com'
export interface ModelLimit {
  readonly kind: LimitKind
  readonly brand?: Brand
  /** The brand over all domains. */
  readonly overall?: boolean
  readonly value: number
  readonly burst?: number
}
export interface Arrival {
  readonly atMs: number
  readonly brand: Brand
  readonly priority?: Priority
  readonly attempts?: number
  readonly serviceMs: number
  /** Millisecond of the run. */
  readonly expiresAt?: number
}
export interface ModelConfig {
  readonly limits: readonly ModelLimit[]
  readonly arrivals: readonly Arrival[]
  /** Lateness of each wake-up, cycled. */
  readonly latenessMs?: readonly number[]
  readonly endMs?: number
  readonly sabotage?: (queues: Queues, ground: Ground) => Ground | null
}
export interface ModelStart {
  readonly due: Due
  readonly atMs: number
  readonly serviceMs: number
}
export interface ModelRun {
  readonly starts: readonly ModelStart[]
  readonly waiting: number
  readonly inFlightMax: number
  readonly inFlightMaxOf: ReadonlyMap<Brand, number>
  /** Instants at which a slot was free, something could have started, and nothing did. */
  readonly idled: number
}

export const tableOf = (limits: readonly ModelLimit[]): Map<string, LimitRow> =>
  new Map(
    limits.map(({ kind, brand, overall, value, burst }) => {
      const domain = overall === true ? null : DOMAIN
      const row: LimitRow = {
        kind,
        domain,
        brand: brand ?? null,
        value,
        burst: burst ?? null,
        version: 1,
        setBy: 'test',
        setAt: 0,
      }
      return [limitKey(kind, domain, brand ?? null), row]
    }),
  )

/** Runs until everything has been started and finished, or `endMs`. */
export const runModel = (config: ModelConfig): ModelRun => new Model(config).run()

class Model {
  private readonly config: ModelConfig
  private readonly limits: Map<string, LimitRow>
  private readonly rates = new Map<string, RateState>()
  private readonly queues = emptyQueues(DOMAIN, 1_000_000)
  private readonly conditions = newConditions()
  private readonly permits = new Map<Brand, BrandPermits<string>>()
  private readonly services = new Map<string, number>()
  private readonly starts: ModelStart[] = []
  private readonly ends: { atMs: number; due: Due }[] = []
  private readonly inFlightMaxOf = new Map<Brand, number>()
  private inFlightMax = 0
  private idled = 0
  private now = 0
  private wakes = 0

  constructor(config: ModelConfig) {
    this.config = config
    this.limits = tableOf(config.limits)
  }

  run(): ModelRun {
    const arrivals = [...this.config.arrivals].sort((a, b) => a.atMs - b.atMs)
    let wakeAt = Number.POSITIVE_INFINITY
    for (let steps = 0; steps < 200_000; steps += 1) {
      const next = Math.min(
        arrivals[0]?.atMs ?? Number.POSITIVE_INFINITY,
        this.ends[0]?.atMs ?? Number.POSITIVE_INFINITY,
        wakeAt,
      )
      if (next === Number.POSITIVE_INFINITY || next > (this.config.endMs ?? Number.POSITIVE_INFINITY)) break
      this.now = Math.max(this.now, next)
      while (arrivals[0] !== undefined && arrivals[0].atMs <= this.now) this.arrive(arrivals.shift() as Arrival)
      while (this.ends[0] !== undefined && this.ends[0].atMs <= this.now)
        this.end((this.ends.shift() as { due: Due }).due)
      wakeAt = this.admit() + this.lateness()
      if (this.couldStart()) this.idled += 1
    }
    return {
      starts: this.starts,
      waiting: this.queues.waiting.size,
      inFlightMax: this.inFlightMax,
      inFlightMaxOf: this.inFlightMaxOf,
      idled: this.idled,
    }
  }
  private lateness(): number {
    const all = this.config.latenessMs ?? [0]
    this.wakes += 1
    return all[this.wakes % all.length] ?? 0
  }
  private arrive({ atMs, brand, priority, attempts, serviceMs, expiresAt }: Arrival): void {
    const seq = this.services.size + 1
    const due: Due = {
      id: `msg_${seq}`,
      seq,
      nextAt: atMs,
      brand,
      domain: DOMAIN,
      priority: priority ?? 'normal',
      attempts: attempts ?? 0,
      timeoutMs: 1_000,
      expiresAt: expiresAt ?? null,
    }
    this.services.set(due.id, serviceMs)
    offerDue(this.queues, due, atMs)
  }
  private end(due: Due): void {
    const queue = queueOf(this.queues, due.brand)
    releasePermit(this.queues, queue, this.now, this.services.get(due.id) ?? null)
    const permits = this.permits.get(due.brand)
    if (permits === undefined) return
    permits.held.delete(due.id)
    if (grantNext(permits, concurrencyOf(this.limits, queue.keys.overall)) === undefined) return
    queue.parked = false
    settle(permits, 'guard', [], 1)
  }

  private ground(): Ground {
    return {
      limits: this.limits,
      limitsVersion: 1,
      rates: this.rates,
      unknownSinceMono: Number.NEGATIVE_INFINITY,
      conditions: this.conditions,
      nodeRoom: 1_000_000,
      nodeAgainMs: 20,
      nowMono: this.now,
      nowAt: this.now,
    }
  }
  /** Admits all that may start; answers when to look again. */
  private admit(): number {
    for (;;) {
      const honest = this.ground()
      const ground = this.config.sabotage === undefined ? honest : this.config.sabotage(this.queues, honest)
      if (ground === null) return this.now + 1_000
      const verdict = nextVerdict(this.queues, ground)
      if (verdict.kind === 'start') this.start(verdict.start)
      else if (verdict.kind === 'ask') this.askFor(verdict.queue.brand, ground)
      else return verdict.kind === 'blocked' ? verdict.untilMono : Number.POSITIVE_INFINITY
    }
  }
  private askFor(brand: Brand, ground: Ground): void {
    const queue = queueOf(this.queues, brand)
    const permits = this.permits.get(brand) ?? emptyPermits<string>()
    this.permits.set(brand, permits)
    const asked = queue.reserved
    const granted = ask(permits, concurrencyOf(this.limits, queue.keys.overall), 'guard', asked)
    answered(this.queues, queue, { granted, asked }, this.now)
    const started = startGranted(this.queues, queue, granted, ground)
    settle(
      permits,
      'guard',
      started.map(({ due }) => due.id),
      granted - started.length,
    )
    for (const one of started) this.start(one)
  }
  /** Sent when its permit allows it, as the dispatch pool does. */
  private start({ due, atMono }: Start): void {
    const serviceMs = this.services.get(due.id) ?? 0
    this.starts.push({ due, atMs: atMono, serviceMs })
    const atMs = atMono + serviceMs
    const place = this.ends.findIndex((end) => end.atMs > atMs)
    this.ends.splice(place === -1 ? this.ends.length : place, 0, { atMs, due })
    this.inFlightMax = Math.max(this.inFlightMax, this.ends.length)
    const ofBrand = this.ends.filter((end) => end.due.brand === due.brand).length
    this.inFlightMaxOf.set(due.brand, Math.max(ofBrand, this.inFlightMaxOf.get(due.brand) ?? 0))
  }
  /** By counting alone, without the guard's arithmetic: a slot is free and a webhook waits for nothing else. */
  private couldStart(): boolean {
    if (this.config.limits.some(({ kind }) => kind === 'rate')) return false
    const permitsOf = (key: string): number => this.limits.get(key)?.value ?? Number.POSITIVE_INFINITY
    if (this.queues.inFlight >= (this.limits.get(limitKey('concurrency', DOMAIN, null))?.value ?? 10)) return false
    for (const { brand, inFlight, size } of this.queues.brands.values()) {
      const permits = Math.min(
        permitsOf(limitKey('concurrency', DOMAIN, brand)),
        permitsOf(limitKey('concurrency', null, brand)),
      )
      if (size > 0 && inFlight < permits) return true
    }
    return false
  }
}
