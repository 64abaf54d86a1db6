/**
 * The permits of one brand over all its guards. A grant is unnamed until the guard says which attempts it was used for, in
 * the turn in which it arrived; a permit is named by its attempt. Plain data; `K` names a guard.
 */
import type { AttemptId } from '#webhook/webhook.ts'

export interface Holder<K> {
  /** The guard that named it; null: it was found in flight, and the dispatch pool will tell its end. */
  readonly by: K | null
  /** The incarnation of the guard that its permit names, where that is known. */
  readonly permit: number | null
}
export interface BrandPermits<K> {
  /** Attempts that hold a permit. */
  readonly held: Map<AttemptId, Holder<K>>
  /** Granted and not yet named. */
  readonly granted: Map<K, number>
  grantedSum: number
  /** Guards that were answered less than they asked for, in the order of asking: each is served once (D-11). */
  readonly waiting: Set<K>
}
export const emptyPermits = <K>(): BrandPermits<K> => ({
  held: new Map(),
  granted: new Map(),
  grantedSum: 0,
  waiting: new Set(),
})

/** Null: no limit any more. */
export type Permits = number | null
/** Throws where what is granted is not what it should be: too little would be a limit that does not hold. */
const free = <K>(permits: BrandPermits<K>, limit: Permits): number => {
  const { granted, grantedSum } = permits
  if (grantedSum < granted.size || (granted.size === 0 && grantedSum !== 0))
    throw new Error(`${grantedSum} permits are granted to ${granted.size} guards`)
  return limit === null ? Number.POSITIVE_INFINITY : Math.max(0, limit - permits.held.size - permits.grantedSum)
}

const grant = <K>(permits: BrandPermits<K>, guard: K, count: number): void => {
  if (count === 0) return
  permits.granted.set(guard, (permits.granted.get(guard) ?? 0) + count)
  permits.grantedSum += count
}

/** Answers 0 to `count` at once. Below `count` the asker waits, once. Nobody overtakes those who wait. */
export const ask = <K>(permits: BrandPermits<K>, limit: Permits, guard: K, count: number): number => {
  const given = permits.waiting.size > 0 && limit !== null ? 0 : Math.min(count, free(permits, limit))
  grant(permits, guard, given)
  if (given < count) permits.waiting.add(guard)
  return given
}

/** The guard that waits longest gets one, if there is one. Call until it answers undefined. */
export const grantNext = <K>(permits: BrandPermits<K>, limit: Permits): K | undefined => {
  if (permits.waiting.size === 0 || free(permits, limit) < 1) return undefined
  const next = permits.waiting.values().next()
  if (next.done === true) return undefined
  permits.waiting.delete(next.value)
  grant(permits, next.value, 1)
  return next.value
}

/** What a guard did with a grant: the named attempts hold permits, the rest is free again. */
export const settle = <K>(
  permits: BrandPermits<K>,
  guard: K,
  attempts: readonly AttemptId[],
  returned: number,
  permit: number | null = null,
): void => {
  const left = (permits.granted.get(guard) ?? 0) - attempts.length - returned
  permits.grantedSum -= attempts.length + returned
  if (left > 0) permits.granted.set(guard, left)
  else permits.granted.delete(guard)
  for (const attemptId of attempts) permits.held.set(attemptId, { by: guard, permit })
}

/**
 * The attempt has ended; with `permit`, only if it holds that one: an attempt that was refused with an old permit may have
 * been admitted anew meanwhile. True if a permit is free again.
 */
export const release = <K>(permits: BrandPermits<K>, attemptId: AttemptId, permit: number | null): boolean => {
  const holder = permits.held.get(attemptId)
  if (holder === undefined || (permit !== null && holder.permit !== null && holder.permit !== permit)) return false
  return permits.held.delete(attemptId)
}

/** A dead guard uses nothing any more. What it has named is kept until the dispatch pool says what of it is in flight. */
export const forgetGuard = <K>(permits: BrandPermits<K>, guard: K): void => {
  permits.grantedSum -= permits.granted.get(guard) ?? 0
  permits.granted.delete(guard)
  permits.waiting.delete(guard)
}

/** Of what a dead guard has named only what is really in flight holds a permit (D-7). */
export const keepInFlight = <K>(permits: BrandPermits<K>, guard: K, inFlight: ReadonlySet<AttemptId>): void => {
  for (const [attemptId, { by }] of permits.held)
    if (by === guard && !inFlight.has(attemptId)) permits.held.delete(attemptId)
}

export const holdsNothing = <K>(permits: BrandPermits<K>): boolean =>
  permits.held.size === 0 && permits.grantedSum === 0 && permits.waiting.size === 0
