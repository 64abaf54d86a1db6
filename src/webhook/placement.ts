/**
 * Which attempt goes into which carrier (dispatch thread): the least loaded one that has room, else first come first served.
 * What was in a thread that died is suspect: it runs alone from then on, one at a time in a spare thread, so that a poisonous
 * request takes no bystander with it twice; three lonely deaths convict it (D-17). Who is suspect the store remembers, and the
 * order says. Plain state, changed by the functions here.
 */
import { LONELY_DEATHS_MAX } from '#config/limits.ts'
import type { AttemptId } from './webhook.ts'

/** What is placed; more of it is nobody's business here. */
export interface Placeable {
  readonly attemptId: AttemptId
  /** Null: nobody suspects it. */
  readonly lonelyDeaths: number | null
}
interface PlacedCarrier<Order> {
  readonly lonely: boolean
  readonly attempts: Map<AttemptId, Order>
}
export interface Placement<Order extends Placeable> {
  /** Attempts that one carrier holds at once. */
  readonly capacity: number
  /** The live ones, by number. */
  readonly carriers: Map<number, PlacedCarrier<Order>>
  /** Where an attempt is; those that wait are in no carrier. */
  readonly places: Map<AttemptId, number>
  readonly queue: Map<AttemptId, Order>
  readonly lonelyQueue: Map<AttemptId, Order>
}
/** To be handed to that carrier now. */
export interface Given<Order> {
  readonly carrier: number
  readonly order: Order
}
export interface Victim<Order> {
  readonly order: Order
  /** What it is suspected of from now on. */
  readonly lonelyDeaths: number
}

export const emptyPlacement = <Order extends Placeable>(capacity: number): Placement<Order> => ({
  capacity,
  carriers: new Map(),
  places: new Map(),
  queue: new Map(),
  lonelyQueue: new Map(),
})

/** A thread for everybody is there (not only the spare one for suspects). */
export const isReady = <Order extends Placeable>(placement: Placement<Order>): boolean => {
  for (const { lonely } of placement.carriers.values()) if (!lonely) return true
  return false
}

/** Null: it waits. */
export const place = <Order extends Placeable>(placement: Placement<Order>, order: Order): Given<Order> | null => {
  if (order.lonelyDeaths !== null) {
    placement.lonelyQueue.set(order.attemptId, order)
    return placeLonely(placement)
  }
  const number = placement.queue.size > 0 ? null : leastLoaded(placement)
  if (number !== null) return give(placement, number, order)
  placement.queue.set(order.attemptId, order)
  return null
}

/** After room has come: whoever waits, in order. */
export const placeWaiting = <Order extends Placeable>(placement: Placement<Order>): Given<Order>[] => {
  const given: Given<Order>[] = []
  for (const order of placement.queue.values()) {
    const number = leastLoaded(placement)
    if (number === null) break
    placement.queue.delete(order.attemptId)
    given.push(give(placement, number, order))
  }
  const lonely = placeLonely(placement)
  return lonely === null ? given : [...given, lonely]
}

/** It has ended, or was never sent: takes it out of wherever it is. */
export const unplace = <Order extends Placeable>(placement: Placement<Order>, attemptId: AttemptId): void => {
  placement.queue.delete(attemptId)
  placement.lonelyQueue.delete(attemptId)
  const number = placement.places.get(attemptId)
  if (number === undefined) return
  placement.places.delete(attemptId)
  placement.carriers.get(number)?.attempts.delete(attemptId)
}

/** It has died alone so often that it is held to be the cause. */
export const isConvicted = (lonelyDeaths: number): boolean => lonelyDeaths >= LONELY_DEATHS_MAX

/** A carrier is live; what waited for it is given. */
export const join = <Order extends Placeable>(
  placement: Placement<Order>,
  number: number,
  lonely: boolean,
): Given<Order>[] => {
  placement.carriers.set(number, { lonely, attempts: new Map() })
  return placeWaiting(placement)
}

/** The carrier has ended; what it held is suspect from now on. */
export const leave = <Order extends Placeable>(placement: Placement<Order>, number: number): Victim<Order>[] => {
  const left = placement.carriers.get(number)
  placement.carriers.delete(number)
  if (left === undefined) return []
  const more = left.lonely ? 1 : 0
  return [...left.attempts.values()].map((order) => ({ order, lonelyDeaths: (order.lonelyDeaths ?? 0) + more }))
}

/** Takes the carrier out if it holds nothing, so that nothing goes into it any more; false if it does, or is not there. */
export const retire = <Order extends Placeable>(placement: Placement<Order>, number: number): boolean => {
  const placed = placement.carriers.get(number)
  return placed !== undefined && placed.attempts.size === 0 && placement.carriers.delete(number)
}

const placeLonely = <Order extends Placeable>(placement: Placement<Order>): Given<Order> | null => {
  for (const [number, placed] of placement.carriers) {
    if (!placed.lonely || placed.attempts.size > 0) continue
    for (const order of placement.lonelyQueue.values()) {
      placement.lonelyQueue.delete(order.attemptId)
      return give(placement, number, order)
    }
  }
  return null
}

const give = <Order extends Placeable>(placement: Placement<Order>, carrier: number, order: Order): Given<Order> => {
  const placed = placement.carriers.get(carrier)
  if (placed === undefined) throw new Error(`carrier ${carrier} is not live`)
  placed.attempts.set(order.attemptId, order)
  placement.places.set(order.attemptId, carrier)
  return { carrier, order }
}

const leastLoaded = <Order extends Placeable>(placement: Placement<Order>): number | null => {
  let best: number | null = null
  let load = placement.capacity
  for (const [number, placed] of placement.carriers) {
    if (placed.lonely || placed.attempts.size >= load) continue
    best = number
    load = placed.attempts.size
  }
  return best
}
