/**
 * Whose turn it is among the brands of one guard. Where rate binds: deficit round robin by weight (Shreedhar and Varghese,
 * SIGCOMM 1995), one start a visit. Where concurrency binds: the least in flight by weight, ties by that round (D-20).
 * Work-conserving: only brands that can start now take part, and nothing is saved up by those that cannot (D-11).
 */
import { accrue, type BrandQueue } from './brand-queue.ts'
import type { Ring } from './ring.ts'

/** A brand that can start now, and its weight. */
export interface Candidate {
  readonly queue: BrandQueue
  readonly weight: number
  /** Its place in the ring. */
  readonly at: number
}
/** Sums of parts such as 1/3 + 1/3 + 1/3. */
const ROUNDING = 1e-9

/**
 * The next candidate of the round. Candidates are in ring order. Each visit credits weight / the greatest weight, so the
 * heaviest is served at every visit and the turns of the others are spread between.
 */
export const nextByRound = (ring: Ring, candidates: readonly Candidate[]): Candidate | undefined => {
  const only = candidates.length === 1 ? candidates[0] : undefined
  if (only !== undefined) return serve(ring, only)
  const heaviest = candidates.reduce((most, { weight }) => Math.max(most, weight), 0)
  let at = candidates.findIndex((candidate) => candidate.at > ring.cursor)
  if (at === -1) at = 0
  for (let visits = 0; visits <= 2 * candidates.length; visits += 1) {
    const candidate = candidates[(at + visits) % candidates.length]
    if (candidate === undefined) return undefined
    candidate.queue.deficit += candidate.weight / heaviest
    if (candidate.queue.deficit < 1 - ROUNDING) continue
    candidate.queue.deficit -= 1
    return serve(ring, candidate)
  }
  return undefined
}

/**
 * The same choice without a look at all brands, from a ring that is weighed: the round goes on from where it is to the brand whose turn it is.
 * That needs the greatest weight among those that can start, so one of the heaviest must be found that can. Undefined: none was found
 * in a few looks, and nothing has changed.
 */
export const nextInTurn = (ring: Ring, canStart: (queue: BrandQueue) => boolean): BrandQueue | undefined => {
  if (!findsHeaviest(ring, canStart)) return undefined
  for (let step = 1; step <= ring.places.length; step += 1) {
    const at = (ring.cursor + step) % ring.places.length
    const queue = ring.places[at] ?? null
    if (queue === null || !canStart(queue)) continue
    queue.deficit += queue.weight / ring.heaviest
    if (queue.deficit < 1 - ROUNDING) continue
    queue.deficit -= 1
    ring.cursor = at
    return queue
  }
  throw new Error(`none of ${ring.size} brands has its turn`)
}
/** Beyond this most brands are held back by limits of their own. */
const LOOKS_MAX = 32
const findsHeaviest = (ring: Ring, canStart: (queue: BrandQueue) => boolean): boolean => {
  let looks = 0
  for (let step = 1; step <= ring.places.length && looks < LOOKS_MAX; step += 1) {
    const queue = ring.places[(ring.cursor + step) % ring.places.length] ?? null
    if (queue === null) continue
    if (queue.weight === ring.heaviest && canStart(queue)) return true
    looks += 1
  }
  looks = 0
  for (const queue of ring.byWeight.get(ring.heaviest) ?? []) {
    if (canStart(queue)) return true
    looks += 1
    if (looks === LOOKS_MAX) return false
  }
  return false
}

const serve = (ring: Ring, candidate: Candidate): Candidate => {
  ring.cursor = candidate.at
  return candidate
}

/**
 * The candidate with the least in flight by weight, corrected by what whole slots cannot share out (`creditSlots`); among
 * equals the next of the round.
 */
export const nextByInFlight = (ring: Ring, candidates: readonly Candidate[]): Candidate | undefined => {
  let least = Number.POSITIVE_INFINITY
  for (const candidate of candidates) least = Math.min(least, loadOf(candidate))
  return nextByRound(
    ring,
    candidates.filter((candidate) => loadOf(candidate) <= least + ROUNDING),
  )
}
const loadOf = ({ queue, weight }: Candidate): number => (slotsOf(queue) - queue.credit) / weight
const slotsOf = (queue: BrandQueue): number => queue.inFlight + queue.reserved

/**
 * Ten slots at weights 3 : 1 are 7.5 and 2.5: over time each brand is credited with the slots that it should have held and
 * did not, at most one, in units of the time that an attempt takes. Those that cannot start save nothing up (D-11).
 */
export const creditSlots = (ring: Ring, candidates: readonly Candidate[], serviceMs: number, nowMono: number): void => {
  for (const queue of ring.places) if (queue !== null) accrue(queue, nowMono)
  let slotMs = 0
  let weights = 0
  for (const { queue, weight } of candidates) {
    slotMs += queue.heldSlotMs
    weights += weight
  }
  for (const { queue, weight } of candidates) {
    const owed = (slotMs * weight) / weights - queue.heldSlotMs
    queue.credit = Math.max(-1, Math.min(1, queue.credit + owed / Math.max(serviceMs, 1)))
  }
  for (const queue of ring.places) if (queue !== null) queue.heldSlotMs = 0
}
