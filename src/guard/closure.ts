/**
 * The receiver has said "not now" (RFC 9110 section 10.2.3, RFC 6585 section 4): nothing is sent before the instant it
 * named; then one probe, then twice as many with each success. Plain data; instants are monotonic milliseconds.
 */
export interface Closure {
  untilMono: number
  /** When it was last closed; -Infinity: never. */
  lastMono: number
  /** The next wait when the receiver names no instant; 0: the first. */
  backoffMs: number
  /** Attempts allowed at once while it ramps up; null: all that the limits allow. */
  ramp: number | null
}
export const open = (): Closure => ({
  untilMono: Number.NEGATIVE_INFINITY,
  lastMono: Number.NEGATIVE_INFINITY,
  backoffMs: 0,
  ramp: null,
})

/** A longer wait than this is not believed. */
export const CLOSED_MS_MAX = 3_600_000
const BACKOFF_MS_MIN = 1_000
const BACKOFF_MS_MAX = 60_000
/** Beyond this a ramp is over. */
const RAMP_MAX = 64

/**
 * Closes until `retryAfterMs` from now; without it 1 s, doubling to 60 s. So does one of 0, a second that was rounded down or a date of a
 * clock that is slow: who refuses and says "now" would be called as fast as it refuses. Never shortens. Answers whether the instant moved.
 */
export const close = (closure: Closure, retryAfterMs: number | null, nowMono: number): boolean => {
  const namesNone = retryAfterMs === null || retryAfterMs <= 0
  const waitMs = namesNone ? nextBackoff(closure, nowMono) : Math.min(retryAfterMs, CLOSED_MS_MAX)
  const untilMono = nowMono + waitMs
  closure.lastMono = nowMono
  closure.ramp = 1
  if (untilMono <= closure.untilMono) return false
  closure.untilMono = untilMono
  return true
}
/** What was in flight when it closed may bring further refusals: they do not double the wait. */
const nextBackoff = (closure: Closure, nowMono: number): number => {
  if (nowMono < closure.untilMono) return closure.untilMono - nowMono
  closure.backoffMs = Math.min(BACKOFF_MS_MAX, Math.max(BACKOFF_MS_MIN, closure.backoffMs * 2))
  return closure.backoffMs
}

/** An attempt succeeded. Answers true when this ends the ramp. */
export const rampUp = (closure: Closure, nowMono: number): boolean => {
  if (closure.ramp === null || nowMono < closure.untilMono) return false
  closure.ramp *= 2
  if (closure.ramp <= RAMP_MAX) return false
  closure.ramp = null
  closure.backoffMs = 0
  return true
}

export const isClosed = (closure: Closure, nowMono: number): boolean => nowMono < closure.untilMono

/** Opens it whatever the receiver has said. Answers whether it was closed, or still on its way up. */
export const letGo = (closure: Closure): boolean => {
  if (closure.ramp === null) return false
  Object.assign(closure, { ...open(), lastMono: closure.lastMono })
  return true
}
