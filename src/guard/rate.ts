/**
 * GCRA pacing (virtual scheduling, ITU-T I.371 annex A) in two regimes. Instants are monotonic milliseconds.
 *
 * Up to 50 starts a second the next instant counts from the actual start and the law is exact: in any half-open window of
 * `w` seconds at most `ceil(rate * w) + burst - 1` starts. Above it counts from the nominal instant, at most 2 ms back,
 * because timers are late by a millisecond or two; the law then holds for `w + 0.002`.
 */
export interface RateLimit {
  /** Starts per second; may be a fraction. 0 pauses. */
  readonly perSecond: number
  /** Starts that may come at once; at least 1. */
  readonly burst: number
}
/** What a limit remembers of its past. Plain data; outlives the guard in the table `rates` (D-10). */
export interface RateState {
  /** The nominal instant of the next start if starts were evenly spaced. */
  nominalMono: number
  lastStartMono: number
  /** Starts that the rate had not made good yet, right after the last one, that one included: what no change of the limit forgets. */
  owed: number
  /** The limit that `nominalMono` was computed with. */
  perSecond: number
  burst: number
}

/** Above this rate strict counting would lose more than a twentieth to late timers. */
export const STRICT_PER_SECOND_MAX = 50
export const isStrict = (limit: RateLimit): boolean => limit.perSecond <= STRICT_PER_SECOND_MAX
/** How far back a start may be counted above it: the lateness of a timer. */
export const NOMINAL_BACK_MS = 2

/** So long before its instant a start above it is admitted: its mark is written meanwhile, and a timer that is late by less costs nothing. */
export const ADMITTED_AHEAD_MS = 5
/** Where several brands wait: whatever is given ahead, a webhook of yet another brand comes after it. Less of the rate outlasts a stalled core. */
export const SHARED_AHEAD_MS = 2
/** `brands`: how many have work that waits. */
export const aheadMs = (limit: RateLimit, brands: number): number =>
  isStrict(limit) ? 0 : brands > 1 ? SHARED_AHEAD_MS : ADMITTED_AHEAD_MS

export const intervalMs = (limit: RateLimit): number => 1_000 / limit.perSecond

/** A history that nobody knows counts as `burst` starts made at `sinceMono` (D-10). */
export const unknownHistory = (limit: RateLimit, sinceMono: number): RateState => ({
  nominalMono: limit.perSecond === 0 ? sinceMono : sinceMono + limit.burst * intervalMs(limit),
  lastStartMono: sinceMono,
  owed: limit.burst,
  perSecond: limit.perSecond,
  burst: limit.burst,
})

/** Nothing was started: the first start is free. */
export const neverStarted = (limit: RateLimit): RateState => ({
  nominalMono: Number.NEGATIVE_INFINITY,
  lastStartMono: Number.NEGATIVE_INFINITY,
  owed: 0,
  perSecond: limit.perSecond,
  burst: limit.burst,
})

/**
 * After a change of the limit nothing waits longer than the new limit asks for, and what is near stays near (D-10). But what has been
 * started counts: the next one comes at the sooner of what the old limit allowed and what the new one has left, else a limit that goes
 * down and up again would start a whole burst each time.
 */
const adopt = (limit: RateLimit, state: RateState): void => {
  if (state.perSecond === limit.perSecond && state.burst === limit.burst) return
  const before = freeMono(state)
  state.perSecond = limit.perSecond
  state.burst = limit.burst
  if (limit.perSecond === 0) return
  const saved = (limit.burst - 1) * intervalMs(limit)
  const madeGood = state.lastStartMono + state.owed * intervalMs(limit)
  const atLeast = Math.max(state.nominalMono, Math.min(before + saved, madeGood))
  state.nominalMono = Math.min(atLeast, state.lastStartMono + limit.burst * intervalMs(limit))
}
/** The earliest instant under the limit that it was computed with. */
const freeMono = (state: RateState): number =>
  state.perSecond === 0 ? Number.POSITIVE_INFINITY : state.nominalMono - (state.burst - 1) * intervalMs(state)

/** The earliest instant at which one start is allowed; Infinity while the limit is 0. */
export const earliestStart = (limit: RateLimit, state: RateState): number => {
  adopt(limit, state)
  return freeMono(state)
}

/** The earliest instant at which a start is allowed after `reserved` others that are about to be made. */
export const earliestAfter = (limit: RateLimit, state: RateState, reserved: number): number => {
  const earliest = earliestStart(limit, state)
  return reserved === 0 || earliest === Number.POSITIVE_INFINITY ? earliest : earliest + reserved * intervalMs(limit)
}

/** Counts a start that is made at `atMono`, now or ahead. The caller has seen `earliestStart <= atMono`. */
export const recordStart = (limit: RateLimit, state: RateState, atMono: number): void => {
  adopt(limit, state)
  const back = isStrict(limit) ? 0 : NOMINAL_BACK_MS
  state.owed = 1 + Math.max(0, state.owed - (atMono - state.lastStartMono) / intervalMs(limit))
  state.nominalMono = Math.max(state.nominalMono, atMono - back) + intervalMs(limit)
  state.lastStartMono = atMono
}

/** True when the state tells no more than a fresh one would: it may be forgotten. */
export const carriesNothing = (state: RateState, nowMono: number): boolean =>
  state.perSecond > 0 &&
  state.nominalMono <= nowMono - NOMINAL_BACK_MS &&
  state.lastStartMono + state.owed * intervalMs(state) <= nowMono
