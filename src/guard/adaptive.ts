/**
 * A concurrency limit that finds the receiver's capacity by itself: additive increase while latency stays near its floor,
 * multiplicative decrease on loss (429, 503, timeout) or rising latency, at most once a round trip (Chiu and Jain 1989;
 * latency as in TCP Vegas). A limit that is held a little above the capacity keeps a queue at the receiver, in which nobody sees
 * the unloaded latency any more; so from time to time the limit is halved for a moment to look (ProbeRTT of BBR, Cardwell et al.
 * 2016). Plain data; monotonic milliseconds.
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
  /** The latency of an unloaded receiver: the lowest round since the last look, or that look's. */
  floorMs: number
  /** Since the last look. */
  rounds: number
  /** The limit to go back to, and how many rounds of the look are left; null: none is under way. */
  probe: { readonly limit: number; left: number } | null
}
export const ADAPTIVE_START = 4
/** Without a configured limit (D-28). */
export const ADAPTIVE_CEILING = 1_000
/** So that one slow answer among them is not yet a rise. */
const SAMPLES_MIN = 8
const DECREASE = 0.9
/** A round that is this much above the floor is queueing at the receiver. */
const RISING = 1.15
/** A look costs half the limit for its rounds: 3 % of the time. */
const PROBE_EACH_ROUNDS = 50
/** In the first two what was in flight before runs out; the last one is measured. */
const PROBE_ROUNDS = 3

export const newAdaptive = (nowMono: number): Adaptive => ({
  limit: ADAPTIVE_START,
  slowStart: true,
  latencies: [],
  lost: false,
  roundStartMono: nowMono,
  used: false,
  floorMs: Number.POSITIVE_INFINITY,
  rounds: 0,
  probe: null,
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

/**
 * What a round took: the mean, in which nobody counts for more than twice the median. (The median alone is blind to a queue that
 * less than half of them stood in: 17 at once before 12 workers are 12 quick ones and 5 that took twice as long.)
 */
const typical = (values: readonly number[]): number => {
  const median = values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]
  if (median === undefined) return Number.POSITIVE_INFINITY
  return values.reduce((sum, value) => sum + Math.min(value, 2 * median), 0) / values.length
}

const endRound = (adaptive: Adaptive, sample: Sample): AdaptiveChange | null => {
  const from = Math.floor(adaptive.limit)
  const roundMs = typical(adaptive.latencies)
  const { lost, used } = adaptive
  const tooSoon = lost && sample.nowMono - adaptive.roundStartMono < Math.min(adaptive.floorMs, sample.latencyMs)
  adaptive.lost = false
  if (tooSoon) return null
  if (adaptive.probe === null && Number.isFinite(roundMs)) adaptive.floorMs = Math.min(adaptive.floorMs, roundMs)
  const rising = adaptive.probe === null && roundMs > adaptive.floorMs * RISING && Number.isFinite(roundMs)
  if (adaptive.probe !== null) probe(adaptive, adaptive.probe, roundMs, lost)
  else if (lost || rising) decrease(adaptive)
  else if (used) increase(adaptive)
  if (adaptive.probe === null && !adaptive.slowStart && ++adaptive.rounds >= PROBE_EACH_ROUNDS) lookAgain(adaptive)
  adaptive.limit = Math.max(1, Math.min(adaptive.limit, sample.ceiling))
  adaptive.latencies.length = 0
  adaptive.used = false
  adaptive.roundStartMono = sample.nowMono
  const to = Math.floor(adaptive.limit)
  return to === from ? null : { from, to, cause: lost ? 'loss' : rising ? 'latency' : 'room' }
}
const lookAgain = (adaptive: Adaptive): void => {
  adaptive.rounds = 0
  adaptive.probe = { limit: adaptive.limit, left: PROBE_ROUNDS }
  adaptive.limit = Math.max(1, adaptive.limit / 2)
}
/** What is lost even at half the limit ends the look, at half the limit. */
const probe = (adaptive: Adaptive, under: { limit: number; left: number }, roundMs: number, lost: boolean): void => {
  if (lost) adaptive.probe = null
  else if (--under.left <= 0) {
    if (Number.isFinite(roundMs)) adaptive.floorMs = roundMs
    adaptive.limit = under.limit
    adaptive.probe = null
  }
}
const decrease = (adaptive: Adaptive): void => {
  adaptive.slowStart = false
  adaptive.limit = Math.max(1, Math.min(adaptive.limit * DECREASE, adaptive.limit - 0.5))
}
const increase = (adaptive: Adaptive): void => {
  adaptive.limit += adaptive.slowStart ? adaptive.limit : Math.max(0.5, adaptive.limit * 0.02)
}
