/**
 * A concurrency limit that finds the receiver's capacity by itself: additive increase while latency stays near its floor,
 * multiplicative decrease on loss (429, 503, timeout) or rising latency, at most once a round trip (Chiu and Jain 1989;
 * latency as in TCP Vegas). Plain data; monotonic milliseconds.
 */
export interface Adaptive {
  /** At least 1; its whole part counts. */
  limit: number
  /** Until the first decrease it doubles each round. */
  slowStart: boolean
  /** Latencies of this round, and whether anything was lost in it. */
  readonly latencies: number[]
  lost: boolean
  roundStartMono: number
  /** True if the limit was really used in this round: an idle guard learns nothing. */
  used: boolean
  /** The latency of an unloaded receiver: the lowest round in the recent past; rises slowly to forget. */
  floorMs: number
}
export const ADAPTIVE_START = 4
/** Without a configured limit (D-28). */
export const ADAPTIVE_CEILING = 1_000
const SAMPLES_MIN = 5
const DECREASE = 0.9
/** A round whose median is this much above the floor is queueing at the receiver. */
const RISING = 1.15
/** How fast the floor forgets: doubles in about 350 rounds. */
const FLOOR_DRIFT = 1.002

export const newAdaptive = (nowMono: number): Adaptive => ({
  limit: ADAPTIVE_START,
  slowStart: true,
  latencies: [],
  lost: false,
  roundStartMono: nowMono,
  used: false,
  floorMs: Number.POSITIVE_INFINITY,
})

export interface Sample {
  readonly latencyMs: number
  readonly lost: boolean
  /** In flight when it ended, itself included. */
  readonly inFlight: number
  readonly nowMono: number
  readonly ceiling: number
}
export type AdaptiveChange = { readonly from: number; readonly to: number; readonly cause: 'loss' | 'latency' | 'room' }

/** Takes the end of one attempt. A round is over when as many have ended as the limit allows at once. */
export const sampleAdaptive = (adaptive: Adaptive, sample: Sample): AdaptiveChange | null => {
  if (sample.lost) adaptive.lost = true
  else adaptive.latencies.push(sample.latencyMs)
  if (sample.inFlight >= adaptive.limit / 2) adaptive.used = true
  if (adaptive.lost) return endRound(adaptive, sample)
  const enough = Math.max(SAMPLES_MIN, Math.floor(adaptive.limit))
  return adaptive.latencies.length < enough ? null : endRound(adaptive, sample)
}

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.POSITIVE_INFINITY

const endRound = (adaptive: Adaptive, sample: Sample): AdaptiveChange | null => {
  const from = Math.floor(adaptive.limit)
  const roundMs = median(adaptive.latencies)
  const { lost, used } = adaptive
  const tooSoon = lost && sample.nowMono - adaptive.roundStartMono < Math.min(adaptive.floorMs, sample.latencyMs)
  adaptive.lost = false
  if (tooSoon) return null
  if (Number.isFinite(roundMs)) adaptive.floorMs = Math.min(adaptive.floorMs * FLOOR_DRIFT, roundMs)
  const rising = roundMs > adaptive.floorMs * RISING && Number.isFinite(roundMs)
  if (lost || rising) decrease(adaptive)
  else if (used) increase(adaptive)
  adaptive.limit = Math.max(1, Math.min(adaptive.limit, sample.ceiling))
  adaptive.latencies.length = 0
  adaptive.used = false
  adaptive.roundStartMono = sample.nowMono
  const to = Math.floor(adaptive.limit)
  return to === from ? null : { from, to, cause: lost ? 'loss' : rising ? 'latency' : 'room' }
}
const decrease = (adaptive: Adaptive): void => {
  adaptive.slowStart = false
  adaptive.limit = Math.max(1, Math.min(adaptive.limit * DECREASE, adaptive.limit - 0.5))
}
const increase = (adaptive: Adaptive): void => {
  adaptive.limit += adaptive.slowStart ? adaptive.limit : Math.max(0.5, adaptive.limit * 0.02)
}
