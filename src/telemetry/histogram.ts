/**
 * Percentiles of durations in bounded memory: buckets that grow by 5 % each from 0.05 ms to an hour, so a percentile is
 * right within 5 %. The maximum is exact. Counts halve now and then, so that old hours fade.
 */

const FIRST_MS = 0.05
const GROWTH = Math.log(1.05)
const BUCKETS = 372
/** At this many samples all counts are halved. */
const SAMPLES_MAX = 200_000

export interface Percentiles {
  readonly p50: number
  readonly p99: number
  readonly max: number
}

export class Histogram {
  #counts = new Float64Array(BUCKETS)
  #total = 0
  #max = 0

  add(ms: number): void {
    const index = ms <= FIRST_MS ? 0 : Math.min(BUCKETS - 1, Math.ceil(Math.log(ms / FIRST_MS) / GROWTH))
    this.#counts[index] = (this.#counts[index] ?? 0) + 1
    this.#total += 1
    if (ms > this.#max) this.#max = ms
    if (this.#total >= SAMPLES_MAX) this.#fade()
  }

  /** All 0 while nothing was added. */
  percentiles(): Percentiles {
    return { p50: this.#quantile(0.5), p99: this.#quantile(0.99), max: round(this.#max) }
  }

  #quantile(share: number): number {
    const wanted = this.#total * share
    let seen = 0
    for (let i = 0; i < BUCKETS; i++) {
      seen += this.#counts[i] ?? 0
      if (seen >= wanted && seen > 0)
        return round(Math.min(this.#max, i === 0 ? FIRST_MS : FIRST_MS * Math.exp(i * GROWTH)))
    }
    return 0
  }

  #fade(): void {
    this.#total = 0
    this.#counts = this.#counts.map((count) => {
      const half = Math.floor(count / 2)
      this.#total += half
      return half
    })
  }
}

const round = (ms: number): number => Math.round(ms * 100) / 100
