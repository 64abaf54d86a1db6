/**
 * A circuit breaker (Nygard, Release It!): it opens when most attempts fail, lets one probe a second through after a while,
 * and closes after a row of successes. While it is open waiting costs no attempt. Plain data; monotonic milliseconds.
 */
export interface Breaker {
  state: 'closed' | 'open' | 'half-open'
  /** The last attempts, newest last: true = failed. */
  readonly recent: boolean[]
  failuresInRow: number
  /** Times it has opened since it was last closed: the open time doubles with each. */
  opens: number
  lastOpenedMono: number
  openUntilMono: number
  nextProbeMono: number
  successes: number
}
export interface BreakerPolicy {
  readonly enabled: boolean
  readonly openMs: number
}
export const BREAKER_OPEN_MS_DEFAULT = 30_000
export const BREAKER_OPEN_MS_MAX = 600_000
const RECENT_MAX = 20
const RECENT_MIN = 10
const FAILED_SHARE = 0.7
const FAILURES_IN_ROW = 10
const PROBE_EVERY_MS = 1_000
const SUCCESSES_TO_CLOSE = 5

export const closedBreaker = (): Breaker => ({
  state: 'closed',
  recent: [],
  failuresInRow: 0,
  opens: 0,
  lastOpenedMono: Number.NEGATIVE_INFINITY,
  openUntilMono: Number.NEGATIVE_INFINITY,
  nextProbeMono: Number.NEGATIVE_INFINITY,
  successes: 0,
})

export type BreakerChange = 'opened' | 'half-opened' | 'closed'

/** Takes the end of one attempt. */
export const recordOutcome = (
  breaker: Breaker,
  failed: boolean,
  policy: BreakerPolicy,
  nowMono: number,
): BreakerChange | null => {
  remember(breaker, failed)
  if (!policy.enabled || breaker.state === 'open') return null
  if (breaker.state === 'half-open') return probed(breaker, failed, policy, nowMono)
  if (!isBroken(breaker)) return null
  openBreaker(breaker, policy, nowMono)
  return 'opened'
}
const remember = (breaker: Breaker, failed: boolean): void => {
  breaker.recent.push(failed)
  if (breaker.recent.length > RECENT_MAX) breaker.recent.shift()
  breaker.failuresInRow = failed ? breaker.failuresInRow + 1 : 0
}
const isBroken = (breaker: Breaker): boolean => {
  if (breaker.failuresInRow >= FAILURES_IN_ROW) return true
  const { length } = breaker.recent
  return length >= RECENT_MIN && failuresOf(breaker, length) >= FAILED_SHARE * length
}
/** Failures of the last `count`. */
const failuresOf = ({ recent }: Breaker, count: number): number => {
  let failures = 0
  for (let at = recent.length - count; at < recent.length; at += 1) if (recent[at] === true) failures += 1
  return failures
}
const probed = (breaker: Breaker, failed: boolean, policy: BreakerPolicy, nowMono: number): BreakerChange | null => {
  if (failed) {
    openBreaker(breaker, policy, nowMono)
    return 'opened'
  }
  breaker.successes += 1
  if (breaker.successes < SUCCESSES_TO_CLOSE) return null
  resetBreaker(breaker)
  return 'closed'
}

export const openBreaker = (breaker: Breaker, policy: BreakerPolicy, nowMono: number): void => {
  breaker.state = 'open'
  breaker.openUntilMono = nowMono + Math.min(BREAKER_OPEN_MS_MAX, policy.openMs * 2 ** breaker.opens)
  breaker.opens += 1
  breaker.lastOpenedMono = nowMono
  breaker.successes = 0
}
export const resetBreaker = (breaker: Breaker): void => {
  const { lastOpenedMono } = breaker
  breaker.recent.length = 0
  Object.assign(breaker, { ...closedBreaker(), recent: breaker.recent, lastOpenedMono })
}

/** Time passes: an open breaker becomes half-open. */
export const pass = (breaker: Breaker, nowMono: number): BreakerChange | null => {
  if (breaker.state !== 'open' || nowMono < breaker.openUntilMono) return null
  breaker.state = 'half-open'
  breaker.nextProbeMono = nowMono
  return 'half-opened'
}

/** When the next attempt may start; at most now if it may. */
export const nextAllowed = (breaker: Breaker): number => {
  if (breaker.state === 'open') return breaker.openUntilMono
  return breaker.state === 'half-open' ? breaker.nextProbeMono : Number.NEGATIVE_INFINITY
}
export const noteStart = (breaker: Breaker, nowMono: number): void => {
  if (breaker.state === 'half-open') breaker.nextProbeMono = nowMono + PROBE_EVERY_MS
}

/** At least half of the last ten failed, or it is not closed (D-21). */
export const isFailing = (breaker: Breaker): boolean => {
  if (breaker.state !== 'closed') return true
  const last = Math.min(breaker.recent.length, 10)
  return last > 0 && failuresOf(breaker, last) * 2 >= Math.max(last, 5)
}
