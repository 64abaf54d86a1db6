/**
 * What the daemon does right now, from events alone: lateness in its three parts, traffic over time,
 * backpressure. Bounded: a ring of buckets and a ring of events.
 */
import { BACKPRESSURE_EVENTS_KEPT, TRAFFIC_BUCKET_MS, TRAFFIC_BUCKETS } from '#config/limits.ts'
import type { Domain, Instant } from '#webhook/webhook.ts'
import type { Events } from './events.ts'
import { Histogram, type Percentiles } from './histogram.ts'

export interface Backpressure {
  readonly domain: Domain
  readonly limit: string
  readonly startedAt: Instant
  readonly depth: number
  endedAt: Instant | null
  durationMs: number | null
  peak: number | null
  /** How many times it pressed: short pauses in between are folded. */
  spans: number | null
}
export interface Traffic {
  readonly bucketMs: number
  readonly from: Instant
  readonly due: readonly number[]
  readonly started: readonly number[]
  readonly delivered: readonly number[]
  readonly failed: readonly number[]
}
export interface Lateness {
  readonly timerMs: Percentiles
  readonly guardMs: Percentiles
  readonly networkMs: Percentiles
}
type Series = 'due' | 'started' | 'delivered' | 'failed'

export class Monitor {
  readonly #timer = new Histogram()
  readonly #guard = new Histogram()
  readonly #network = new Histogram()
  readonly #series: Record<Series, Float64Array> = {
    due: new Float64Array(TRAFFIC_BUCKETS),
    started: new Float64Array(TRAFFIC_BUCKETS),
    delivered: new Float64Array(TRAFFIC_BUCKETS),
    failed: new Float64Array(TRAFFIC_BUCKETS),
  }
  /** Number of the newest bucket, counted from the epoch. */
  #newest = 0
  readonly #backpressure: Backpressure[] = []

  /** Returns a function that stops listening. */
  listen(events: Events): () => void {
    const offs = [
      events.on(['webhook.due'], (event) => this.#count('due', event.at, event.count)),
      events.on(['attempt.started'], (event) => this.#count('started', event.at, 1)),
      events.on(['attempt.finished'], (event) => {
        const delivered = event.error === null && event.status !== null && event.status >= 200 && event.status < 300
        this.#count(delivered ? 'delivered' : 'failed', event.at, 1)
        this.#timer.add(event.timerMs)
        this.#guard.add(event.guardMs)
        this.#network.add(event.networkMs)
      }),
      events.on(['backpressure.started'], (event) => {
        this.#backpressure.push({
          domain: event.domain,
          limit: event.limit,
          startedAt: event.at,
          depth: event.depth,
          endedAt: null,
          durationMs: null,
          peak: null,
          spans: null,
        })
        if (this.#backpressure.length > BACKPRESSURE_EVENTS_KEPT) this.#backpressure.shift()
      }),
      events.on(['backpressure.ended'], (event) => {
        const begun = this.#backpressure.findLast(
          (one) => one.domain === event.domain && one.limit === event.limit && one.endedAt === null,
        )
        if (begun === undefined) return
        begun.endedAt = event.at
        begun.durationMs = event.durationMs
        begun.peak = event.peak
        begun.spans = event.spans
      }),
    ]
    return () => {
      for (const off of offs) off()
    }
  }

  lateness(): Lateness {
    return {
      timerMs: this.#timer.percentiles(),
      guardMs: this.#guard.percentiles(),
      networkMs: this.#network.percentiles(),
    }
  }

  /** The last buckets that are whole or running at `now`, oldest first. */
  traffic(now: Instant): Traffic {
    this.#advance(Math.floor(now / TRAFFIC_BUCKET_MS))
    const first = this.#newest - TRAFFIC_BUCKETS + 1
    const read = (name: Series): readonly number[] =>
      Array.from({ length: TRAFFIC_BUCKETS }, (_, i) => this.#series[name][(first + i) % TRAFFIC_BUCKETS] ?? 0)
    return {
      bucketMs: TRAFFIC_BUCKET_MS,
      from: first * TRAFFIC_BUCKET_MS,
      due: read('due'),
      started: read('started'),
      delivered: read('delivered'),
      failed: read('failed'),
    }
  }

  /** Newest first. */
  backpressure(): readonly Backpressure[] {
    return this.#backpressure.toReversed()
  }

  #count(name: Series, at: Instant, count: number): void {
    const bucket = Math.floor(at / TRAFFIC_BUCKET_MS)
    this.#advance(bucket)
    if (bucket <= this.#newest - TRAFFIC_BUCKETS) return
    const index = bucket % TRAFFIC_BUCKETS
    this.#series[name][index] = (this.#series[name][index] ?? 0) + count
  }

  /** Empties the buckets that time has passed over; a clock that stepped back changes nothing. */
  #advance(bucket: number): void {
    const from = Math.max(this.#newest + 1, bucket - TRAFFIC_BUCKETS + 1)
    for (let i = from; i <= bucket; i++) {
      for (const series of Object.values(this.#series)) series[i % TRAFFIC_BUCKETS] = 0
    }
    if (bucket > this.#newest) this.#newest = bucket
  }
}
