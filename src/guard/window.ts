import type { Brand, Due, Priority } from '#webhook/webhook.ts'
import { compareDue, emptyLane, headOf, insert, type Lane, laneSize, removeFrom, tailOf, takeTail } from './lane.ts'

/**
 * What a guard holds of one lane of the store: its first rows, bounded; the store is the queue (D-1).
 * First tries and retries of it are lanes of their own (D-21), kept within one bound.
 */
export interface Window {
  readonly brand: Brand
  readonly priority: Priority
  readonly first: Lane
  readonly retry: Lane
  /** The store holds due rows of this lane that are not here; all of them come after the tail, or are still to be read. */
  more: boolean
  /** A read of the lane's head is under way. */
  refilling: boolean
  /** Something was left to the store while that read was under way, so its "no more" does not count. */
  stale: boolean
  /** Of the last two starts while the domain fails: was the last one a retry? */
  lastWasRetry: boolean
}

export const emptyWindow = (brand: Brand, priority: Priority): Window => ({
  brand,
  priority,
  first: emptyLane(),
  retry: emptyLane(),
  more: false,
  refilling: false,
  stale: false,
  lastWasRetry: false,
})

export const windowSize = (window: Window): number => laneSize(window.first) + laneSize(window.retry)
const laneFor = (window: Window, due: Due): Lane => (due.attempts > 0 ? window.retry : window.first)

/** The later of the two tails: everything that is left to the store comes after it. */
export const windowTail = (window: Window): Due | undefined => {
  const first = tailOf(window.first)
  const retry = tailOf(window.retry)
  if (first === undefined || retry === undefined) return first ?? retry
  return compareDue(first, retry) > 0 ? first : retry
}

/** The earlier of the two heads. */
export const windowHead = (window: Window): Due | undefined => {
  const first = headOf(window.first)
  const retry = headOf(window.retry)
  if (first === undefined || retry === undefined) return first ?? retry
  return compareDue(first, retry) < 0 ? first : retry
}

/** The store has more of this lane than is here. */
export const markMore = (window: Window): void => {
  window.more = true
  if (window.refilling) window.stale = true
}

export interface Offered {
  readonly held: boolean
  /** Left to the store again, to keep the bound. */
  readonly evicted: Due | undefined
}
const LEFT: Offered = { held: false, evicted: undefined }
const HELD: Offered = { held: true, evicted: undefined }

/** A told row: taken in order if it belongs before what the store still holds, else left to the store. */
export const offer = (window: Window, due: Due, sizeMax: number): Offered => {
  const tail = windowTail(window)
  if (window.more && (tail === undefined || compareDue(due, tail) > 0)) {
    markMore(window)
    return LEFT
  }
  return take(window, due, sizeMax)
}

/** A row of the lane's head during a refill: taken in order as far as there is room before the tail. */
export const fill = (window: Window, due: Due, sizeMax: number): Offered => {
  const tail = windowTail(window)
  if (windowSize(window) >= sizeMax && tail !== undefined && compareDue(due, tail) > 0) return LEFT
  return take(window, due, sizeMax)
}

const take = (window: Window, due: Due, sizeMax: number): Offered => {
  if (!insert(laneFor(window, due), due) || windowSize(window) <= sizeMax) return HELD
  const evicted = windowTail(window)
  if (evicted !== undefined) takeTail(laneFor(window, evicted))
  markMore(window)
  return evicted === due ? LEFT : { held: true, evicted }
}

export const removeDue = (window: Window, due: Due): boolean => removeFrom(laneFor(window, due), due)
