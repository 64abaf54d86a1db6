/**
 * The second look at an attempt, at the instant at which it would be sent. Between the guard's yes and here its started mark
 * is written: where the store stalls, what was admitted well apart arrives here in a heap, and a receiver may have said "not
 * now" meanwhile. A start is counted when it is sent (guard.md), so rates are paced here once more. Plain data.
 *
 * Law: of one rate at most `ceil(rate x (w + 0.005)) + burst - 1` attempts are sent in any window of `w` seconds; above 50/s
 * `w + 0.007` (`./rate.ts`), and the timer's lateness on top where they had to wait.
 */
import type { Brand } from '#webhook/webhook.ts'
import type { RateTable } from './admission.ts'
import { type Condition, type Conditions, isShut } from './conditions.ts'
import { type LimitTable, rateOf } from './limits.ts'
import { earliestStart, intervalMs, neverStarted, recordStart } from './rate.ts'

/** Marks take a millisecond or two, now more, now less: so much earlier than its instant an attempt is not held back. */
export const DEPARTURE_EARLY_MS = 5
/** Departures may lag so far behind admissions for good; what lies beyond holds the guard back, because it is no jitter. */
export const DEPARTURE_LAG_MS = 100
/** What would wait here for longer goes back to its guard: a rate that has been lowered would hold slots, and hold back what comes after it is raised. */
export const DEPARTURE_HOLD_MS_MAX = 1_000
/** While they lag, admissions are slowed down by this share of an interval each, until they do not. */
const HEAL_SHARE = 0.01

export interface DepartureGround {
  readonly limits: LimitTable
  /** What guards have counted, by `limitKey`. */
  readonly rates: RateTable
  /** What has been sent, by `limitKey`. */
  readonly departures: RateTable
  readonly nowMono: number
}

/** Its receiver, for all or for its brand, has closed, or its breaker has opened, since the guard said yes. */
export const isCalledBack = (conditions: Conditions | undefined, brand: Brand, nowMono: number): boolean => {
  if (conditions === undefined) return false
  const shut = (condition: Condition | undefined): boolean => condition !== undefined && isShut(condition, nowMono)
  return shut(conditions.domain) || shut(conditions.shares.get(brand))
}

/**
 * When an attempt that may be sent from `fromMono` on may be sent under the rates of its permit: now, or a monotonic instant ahead,
 * which is kept for it. Infinity: not now, it goes back to its guard; a rate has become 0 meanwhile, or so low that it would be kept
 * for too long. Where it must wait for longer than its guard has said, the guard that counts under the same keys is held back as well.
 */
export const departAt = (rates: readonly string[], fromMono: number, ground: DepartureGround): number => {
  const soonest = Math.max(ground.nowMono, fromMono)
  let at = soonest
  for (const key of rates) at = Math.max(at, earliestOf(key, ground))
  if (at - soonest > DEPARTURE_HOLD_MS_MAX) {
    for (const key of rates) if (earliestOf(key, ground) - soonest > DEPARTURE_HOLD_MS_MAX) takeBack(key, ground)
    return Number.POSITIVE_INFINITY
  }
  for (const key of rates) recordDeparture(key, at, soonest, ground)
  return at
}
const earliestOf = (key: string, { limits, departures }: DepartureGround): number => {
  const rate = rateOf(limits, key)
  if (rate === null) return Number.NEGATIVE_INFINITY
  if (rate.perSecond === 0) return Number.POSITIVE_INFINITY
  const state = departures.get(key)
  return state === undefined ? Number.NEGATIVE_INFINITY : earliestStart(rate, state) - DEPARTURE_EARLY_MS
}
/** Its start was counted and is not made: what has been sent is what counts, or a slow rate would lose a whole interval. */
const takeBack = (key: string, { rates, departures }: DepartureGround): void => {
  const counted = rates.get(key)
  const sent = departures.get(key)
  if (counted !== undefined && sent !== undefined) Object.assign(counted, sent)
}
const recordDeparture = (
  key: string,
  at: number,
  soonest: number,
  { limits, rates, departures }: DepartureGround,
): void => {
  const rate = rateOf(limits, key)
  if (rate === null) return
  let state = departures.get(key)
  if (state === undefined) {
    state = neverStarted(rate)
    departures.set(key, state)
  }
  recordStart(rate, state, at)
  const counted = rates.get(key)
  if (at <= soonest || counted === undefined) return
  const slower = counted.nominalMono + HEAL_SHARE * intervalMs(rate)
  counted.nominalMono = Math.max(slower, state.nominalMono - DEPARTURE_LAG_MS)
}

/** What waits for its instant, in the order of the instants. */
export type Waiting<T> = { readonly atMono: number; readonly what: T }[]

/** Later ones usually come later. */
export const keepUntil = <T>(waiting: Waiting<T>, atMono: number, what: T): void => {
  let place = waiting.length
  while (place > 0 && (waiting[place - 1]?.atMono ?? 0) > atMono) place -= 1
  waiting.splice(place, 0, { atMono, what })
}
/** Takes those whose instant has come. */
export const takeReady = <T>(waiting: Waiting<T>, nowMono: number): readonly T[] => {
  const ahead = waiting.findIndex(({ atMono }) => atMono > nowMono)
  return waiting.splice(0, ahead === -1 ? waiting.length : ahead).map(({ what }) => what)
}
