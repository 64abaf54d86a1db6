/** The brands of one guard that have waiting work, in the order in which they came; what a start needs to know of all of them. Plain data. */
import type { BrandQueue } from './brand-queue.ts'
import { type LimitTable, weightOf } from './limits.ts'

export interface Ring {
  /** Null where a brand has left. */
  readonly places: (BrandQueue | null)[]
  /** Brands in it. */
  size: number
  /** The place that was served last. */
  cursor: number
  /** Their last webhook has gone; the next sweep takes them out, unless another one has come. */
  readonly emptied: Set<BrandQueue>
  /** Brands by weight, of which nobody has changed a limit since `weighedVersion`; those that joined since are `unweighed`. */
  readonly byWeight: Map<number, Set<BrandQueue>>
  readonly unweighed: Set<BrandQueue>
  weighedVersion: number
  /** The greatest weight of those that are weighed. */
  heaviest: number
}
export const emptyRing = (): Ring => ({
  places: [],
  size: 0,
  cursor: -1,
  emptied: new Set(),
  byWeight: new Map(),
  unweighed: new Set(),
  weighedVersion: -1,
  heaviest: 0,
})

/** In the order of the round. */
export function* brandsIn({ places }: Pick<Ring, 'places'>): Generator<BrandQueue> {
  for (const queue of places) if (queue !== null) yield queue
}

/** At the end of the round, with an empty account. */
export const joinRing = (ring: Ring, queue: BrandQueue): void => {
  if (queue.place !== -1) return
  queue.deficit = 0
  queue.credit = 0
  queue.heldSlotMs = 0
  queue.place = ring.places.push(queue) - 1
  ring.size += 1
  ring.unweighed.add(queue)
}

/** Nothing of it may be left: it is looked at again by the next sweep. */
export const noteEmptied = (ring: Ring, queue: BrandQueue): void => {
  if (queue.size === 0 && queue.place !== -1) ring.emptied.add(queue)
}
/** Drops the brands without waiting work; they come back with an empty account. Looks at those alone. */
export const sweepRing = (ring: Ring): void => {
  if (ring.emptied.size === 0) return
  for (const queue of ring.emptied) if (queue.size === 0) leave(ring, queue)
  ring.emptied.clear()
  if (ring.places.length > 2 * ring.size + SPARE_PLACES) closeUp(ring)
}
const leave = (ring: Ring, queue: BrandQueue): void => {
  ring.places[queue.place] = null
  queue.place = -1
  ring.size -= 1
  if (!ring.unweighed.delete(queue)) unweigh(ring, queue)
}
/** So many empty places are borne before the others close up: each of them was left once. */
const SPARE_PLACES = 16
const closeUp = (ring: Ring): void => {
  let kept = 0
  let cursor = -1
  for (const [at, queue] of ring.places.entries()) {
    if (queue === null) continue
    if (at <= ring.cursor) cursor = kept
    queue.place = kept
    ring.places[kept] = queue
    kept += 1
  }
  ring.places.length = kept
  ring.cursor = cursor
}

/** Brings the weights up to date: one row for each brand that came, all of them where a limit has changed. */
export const weighRing = (ring: Ring, limits: LimitTable, version: number): void => {
  if (version !== ring.weighedVersion) {
    ring.weighedVersion = version
    ring.byWeight.clear()
    ring.heaviest = 0
    for (const queue of brandsIn(ring)) ring.unweighed.add(queue)
  }
  for (const queue of ring.unweighed) {
    queue.weight = weightOf(limits, queue.keys)
    ring.heaviest = Math.max(ring.heaviest, queue.weight)
    const alike = ring.byWeight.get(queue.weight)
    if (alike === undefined) ring.byWeight.set(queue.weight, new Set([queue]))
    else alike.add(queue)
  }
  ring.unweighed.clear()
}
const unweigh = (ring: Ring, queue: BrandQueue): void => {
  const alike = ring.byWeight.get(queue.weight)
  alike?.delete(queue)
  if (alike === undefined || alike.size > 0) return
  ring.byWeight.delete(queue.weight)
  if (queue.weight === ring.heaviest) ring.heaviest = Math.max(0, ...ring.byWeight.keys())
}
