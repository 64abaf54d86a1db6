/**
 * Which attempt goes into which carrier: the least loaded one that has room, else first come first served. What was in a thread
 * that died is suspect: it runs alone from then on, one at a time in a spare thread, so that a poisonous request takes no
 * bystander with it twice; three lonely deaths convict it (D-17). Plain state, changed by the functions here.
 */
import { LONELY_DEATHS_MAX, SUSPECTS_MAX } from '#config/limits.ts'
import type { AttemptId, WebhookId } from '#webhook/webhook.ts'
import type { AttemptOrder, Carrier } from './dispatch.ts'

export interface PlacedCarrier {
  readonly carrier: Carrier
  readonly lonely: boolean
  readonly attempts: Map<AttemptId, AttemptOrder>
}
export interface Placement {
  readonly capacity: number
  readonly carriers: Map<number, PlacedCarrier>
  /** Where an attempt is; those that wait are in neither carrier. */
  readonly places: Map<AttemptId, number>
  readonly queue: Map<AttemptId, AttemptOrder>
  readonly lonelyQueue: Map<AttemptId, AttemptOrder>
  /** Lonely deaths of each suspect. */
  readonly suspects: Map<WebhookId, number>
}

export const emptyPlacement = (capacity: number): Placement => ({
  capacity,
  carriers: new Map(),
  places: new Map(),
  queue: new Map(),
  lonelyQueue: new Map(),
  suspects: new Map(),
})

/** A thread for everybody is there (not only the spare one for suspects). */
export const isReady = (placement: Placement): boolean => {
  for (const { lonely } of placement.carriers.values()) if (!lonely) return true
  return false
}

export const place = (placement: Placement, order: AttemptOrder): void => {
  if (placement.suspects.has(order.webhookId)) {
    placement.lonelyQueue.set(order.attemptId, order)
    return placeLonely(placement)
  }
  const number = placement.queue.size > 0 ? null : leastLoaded(placement)
  if (number === null) placement.queue.set(order.attemptId, order)
  else give(placement, number, order)
}

/** After room has come: whoever waits, in order. */
export const placeWaiting = (placement: Placement): void => {
  for (const order of placement.queue.values()) {
    const number = leastLoaded(placement)
    if (number === null) break
    placement.queue.delete(order.attemptId)
    give(placement, number, order)
  }
  placeLonely(placement)
}

/** It has ended, or was never sent: takes it out of wherever it is. */
export const unplace = (placement: Placement, attemptId: AttemptId): void => {
  placement.queue.delete(attemptId)
  placement.lonelyQueue.delete(attemptId)
  const number = placement.places.get(attemptId)
  if (number === undefined) return
  placement.places.delete(attemptId)
  placement.carriers.get(number)?.attempts.delete(attemptId)
}

/** It came back with a report: whatever killed the thread, it was not this one. */
export const acquit = (placement: Placement, webhookId: WebhookId): void => {
  placement.suspects.delete(webhookId)
}

export const join = (placement: Placement, number: number, carrier: Carrier, lonely: boolean): void => {
  placement.carriers.set(number, { carrier, lonely, attempts: new Map() })
  placeWaiting(placement)
}

export interface Victim {
  readonly order: AttemptOrder
  /** It has died alone so often that it is held to be the cause. */
  readonly convicted: boolean
}
/** The carrier has ended; what it held is suspect from now on. */
export const leave = (placement: Placement, number: number): Victim[] => {
  const left = placement.carriers.get(number)
  placement.carriers.delete(number)
  if (left === undefined) return []
  return [...left.attempts.values()].map((order) => ({ order, convicted: suspect(placement, order, left.lonely) }))
}

const suspect = ({ suspects }: Placement, { webhookId }: AttemptOrder, lonely: boolean): boolean => {
  const deaths = (suspects.get(webhookId) ?? 0) + (lonely ? 1 : 0)
  suspects.delete(webhookId)
  if (deaths >= LONELY_DEATHS_MAX) return true
  suspects.set(webhookId, deaths)
  // The longest unheard of goes: it has been delivered by another node, cancelled, or given up.
  if (suspects.size > SUSPECTS_MAX) for (const [oldest] of suspects) return !suspects.delete(oldest)
  return false
}

/** Takes the carrier out if it holds nothing, so that nothing goes into it any more; null if it does, or is not there. */
export const retire = (placement: Placement, number: number): Carrier | null => {
  const placed = placement.carriers.get(number)
  if (placed === undefined || placed.attempts.size > 0) return null
  placement.carriers.delete(number)
  return placed.carrier
}

const placeLonely = (placement: Placement): void => {
  for (const [number, placed] of placement.carriers) {
    if (!placed.lonely || placed.attempts.size > 0) continue
    for (const order of placement.lonelyQueue.values()) {
      placement.lonelyQueue.delete(order.attemptId)
      return give(placement, number, order)
    }
  }
}

const give = (placement: Placement, number: number, order: AttemptOrder): void => {
  const placed = placement.carriers.get(number)
  if (placed === undefined) throw new Error(`carrier ${number} is not live`)
  placed.attempts.set(order.attemptId, order)
  placement.places.set(order.attemptId, number)
  placed.carrier.dispatch([order])
}

const leastLoaded = (placement: Placement): number | null => {
  let best: number | null = null
  let load = placement.capacity
  for (const [number, placed] of placement.carriers) {
    if (placed.lonely || placed.attempts.size >= load) continue
    best = number
    load = placed.attempts.size
  }
  return best
}
