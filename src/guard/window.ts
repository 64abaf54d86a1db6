import type { Brand, Due, LaneKind, Priority } from '#webhook/webhook.ts'
import { compareDue, emptyLane, insert, type Lane, laneSize, tailOf, takeTail } from './lane.ts'

/** What a guard holds of one lane of the store: its first rows, bounded; the store is the queue (D-1). */
export interface Window {
  readonly brand: Brand
  readonly priority: Priority
  readonly kind: LaneKind
  readonly lane: Lane
  /** The store holds due rows of this lane that are not here; all of them come after the tail, or are still to be read. */
  more: boolean
  /** A read of the lane's head is under way. */
  refilling: boolean
  /** Something was left to the store while that read was under way, so its "no more" does not count. */
  stale: boolean
}

export const emptyWindow = (brand: Brand, priority: Priority, kind: LaneKind): Window => ({
  brand,
  priority,
  kind,
  lane: emptyLane(),
  more: false,
  refilling: false,
  stale: false,
})

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
  const tail = tailOf(window.lane)
  if (window.more && (tail === undefined || compareDue(due, tail) > 0)) {
    markMore(window)
    return LEFT
  }
  return take(window, due, sizeMax)
}

/** A row of the lane's head during a refill: taken in order as far as there is room before the tail. */
export const fill = (window: Window, due: Due, sizeMax: number): Offered => {
  const tail = tailOf(window.lane)
  if (laneSize(window.lane) >= sizeMax && tail !== undefined && compareDue(due, tail) > 0) return LEFT
  return take(window, due, sizeMax)
}

const take = (window: Window, due: Due, sizeMax: number): Offered => {
  if (!insert(window.lane, due) || laneSize(window.lane) <= sizeMax) return HELD
  const evicted = tailOf(window.lane)
  if (evicted !== undefined) takeTail(window.lane)
  markMore(window)
  return evicted === due ? LEFT : { held: true, evicted }
}
