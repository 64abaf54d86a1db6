/** The attempts that hold a permit of one guard. Plain data; the dispatch pool is the authority (D-7). */
import type { AttemptId, Brand } from '#webhook/webhook.ts'

export interface Flight {
  readonly brand: Brand
  /** The brand-limiter's incarnation; null where it was admitted without one, or found in flight. */
  readonly limiter: number | null
  readonly admittedMono: number
  /** In doubt after a kill -9: holds its permit until then (D-12). Null: until the pool says that it has ended. */
  readonly heldUntilMono: number | null
}
export type Flights = Map<AttemptId, Flight>

/** An attempt of a dead process whose receiver may still be at work. */
export interface Hold {
  readonly attemptId: AttemptId
  readonly brand: Brand
  readonly untilMono: number
}

/** Attempts whose hold is over. */
export const endedHolds = (flights: Flights, nowMono: number): readonly AttemptId[] => {
  const ended: AttemptId[] = []
  for (const [attemptId, { heldUntilMono }] of flights)
    if (heldUntilMono !== null && heldUntilMono <= nowMono) ended.push(attemptId)
  return ended
}

/** When the next hold ends; Infinity if there is none. */
export const nextHoldEnd = (flights: Flights): number => {
  let next = Number.POSITIVE_INFINITY
  for (const { heldUntilMono } of flights.values()) if (heldUntilMono !== null) next = Math.min(next, heldUntilMono)
  return next
}
