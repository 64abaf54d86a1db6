/** Everything that waits in one guard: windows by brand, priority and kind, and who holds which id. Plain data. */
import { GUARD_ROWS_MAX, LANE_WINDOW_MIN } from '#config/limits.ts'
import {
  type Brand,
  type Domain,
  type Due,
  type Instant,
  type LaneKey,
  laneKindOf,
  type WebhookId,
} from '#webhook/webhook.ts'
import { type BrandQueue, emptyBrandQueue, isForgettable, windowOf } from './brand-queue.ts'
import { compareDue, headOf, laneSize, removeFrom, tailOf, takeTail } from './lane.ts'
import { type DomainKeys, domainKeys } from './limits.ts'
import { brandsIn, emptyRing, joinRing, noteEmptied, type Ring, sweepRing } from './ring.ts'
import { fill, markMore, offer, type Window } from './window.ts'

/** One webhook that waits here, and when it came into the guard's hands: the start of the guard's share of its lateness. */
export interface Waiting {
  readonly due: Due
  readonly enteredAt: Instant
}
export interface Queues {
  readonly domain: Domain
  readonly keys: DomainKeys
  readonly windowMax: number
  readonly brands: Map<Brand, BrandQueue>
  readonly ring: Ring
  readonly waiting: Map<WebhookId, Waiting>
  /** Windows of lanes that have more in the store. */
  readonly hungry: Set<Window>
  inFlight: number
  /** Sum of what is asked of brand-limiters. */
  reserved: number
  /** What the guard last ran into decides how brands are chosen (D-20). */
  bound: 'rate' | 'concurrency'
  /** Until then nothing is admitted ahead of its instant: a brand's own concurrency has bound. */
  exactUntilMono: number
  /** How long an attempt takes here, smoothed; 0: not known yet. */
  serviceMs: number
}

export const emptyQueues = (domain: Domain, windowMax: number): Queues => ({
  domain,
  keys: domainKeys(domain),
  windowMax,
  brands: new Map(),
  ring: emptyRing(),
  waiting: new Map(),
  hungry: new Set(),
  inFlight: 0,
  reserved: 0,
  bound: 'concurrency',
  exactUntilMono: Number.NEGATIVE_INFINITY,
  serviceMs: 0,
})

/**
 * Ids that one lane may hold now: fewer where many brands wait, so that a guard is bounded whatever the number of its lanes.
 * Windows that were larger shrink as they are served.
 */
export const windowMaxOf = ({ windowMax, ring, waiting }: Queues, window: Window): number => {
  const share = Math.floor(GUARD_ROWS_MAX / Math.max(1, ring.size))
  const room = GUARD_ROWS_MAX - waiting.size + laneSize(window.lane)
  return Math.min(windowMax, Math.max(LANE_WINDOW_MIN, Math.min(share, room)))
}

export const queueOf = (queues: Queues, brand: Brand): BrandQueue => {
  const there = queues.brands.get(brand)
  if (there !== undefined) return there
  const queue = emptyBrandQueue(queues.domain, brand)
  queues.brands.set(brand, queue)
  return queue
}
/** The window of a lane of this domain. */
export const windowAt = (queues: Queues, { brand, priority, kind }: Omit<LaneKey, 'domain'>): Window =>
  windowOf(queueOf(queues, brand), priority, kind)
const windowFor = (queue: BrandQueue, { priority, attempts }: Due): Window =>
  windowOf(queue, priority, laneKindOf(attempts))

/** A told row. A newer word about a webhook that waits already replaces the older one. */
export const offerDue = (queues: Queues, due: Due, now: Instant): void => {
  const older = queues.waiting.get(due.id)?.due
  if (older !== undefined) {
    if (compareDue(older, due) === 0 && older.attempts === due.attempts) return
    dropWaiting(queues, due.id)
  }
  const queue = queueOf(queues, due.brand)
  const window = windowFor(queue, due)
  const offered = offer(window, due, windowMaxOf(queues, window))
  if (window.more) queues.hungry.add(window)
  if (offered.evicted !== undefined) forget(queues, queue, offered.evicted)
  if (offered.held) remember(queues, queue, due, now)
}

/** The head of a lane as the store gave it, in order; `more`: it has further rows. */
export interface HeadPage {
  readonly rows: readonly Due[]
  readonly more: boolean
}

/**
 * Takes the rows of a lane's head that are not here yet; they came into the guard's hands when they were due. Afterwards the
 * window is the beginning of the lane without a gap. Answers how many were taken, and whether some found no room.
 */
export const fillWindow = (
  queues: Queues,
  window: Window,
  { rows, more }: HeadPage,
  skip: (due: Due) => boolean,
): { readonly taken: number; readonly left: boolean } => {
  const queue = queueOf(queues, window.brand)
  const last = rows.at(-1)
  if (more && last !== undefined) leaveAfter(queues, queue, window, last)
  let taken = 0
  let left = false
  for (const due of rows) {
    if (queues.waiting.has(due.id) || skip(due)) continue
    const filled = fill(window, due, windowMaxOf(queues, window))
    if (filled.evicted !== undefined) forget(queues, queue, filled.evicted)
    if (window.more) queues.hungry.add(window)
    left ||= !filled.held || filled.evicted !== undefined
    if (!filled.held) break
    remember(queues, queue, due, due.nextAt)
    taken += 1
  }
  return { taken, left }
}
/** What was told before the lane was read may come after rows that are only in the store: it goes back there. */
const leaveAfter = (queues: Queues, queue: BrandQueue, window: Window, last: Due): void => {
  for (let tail = tailOf(window.lane); tail !== undefined && compareDue(tail, last) > 0; tail = tailOf(window.lane)) {
    takeTail(window.lane)
    forget(queues, queue, tail)
  }
}

const remember = (queues: Queues, queue: BrandQueue, due: Due, enteredAt: Instant): void => {
  queues.waiting.set(due.id, { due, enteredAt })
  queue.size += 1
  joinRing(queues.ring, queue)
}
const forget = (queues: Queues, queue: BrandQueue, due: Due): void => {
  queues.waiting.delete(due.id)
  queue.size -= 1
  noteEmptied(queues.ring, queue)
}

/** Cancelled or replaced: true if it was waiting here. */
export const dropWaiting = (queues: Queues, id: WebhookId): boolean => {
  const due = queues.waiting.get(id)?.due
  if (due === undefined) return false
  const queue = queueOf(queues, due.brand)
  removeFrom(windowFor(queue, due).lane, due)
  forget(queues, queue, due)
  return true
}

/** The store has more of this lane than is here. */
export const wantMore = (queues: Queues, window: Window): void => {
  markMore(window)
  queues.hungry.add(window)
}
/** A read of the lane has shown all of it. */
export const caughtUp = (queues: Queues, window: Window): void => {
  window.more = false
  queues.hungry.delete(window)
}

/** The instant of the oldest waiting webhook. */
export const oldestWaiting = (queues: Queues): number | null => {
  let oldest: number | null = null
  for (const queue of brandsIn(queues.ring))
    for (const window of queue.windows) {
      const head = headOf(window.lane)
      if (head !== undefined && (oldest === null || head.nextAt < oldest)) oldest = head.nextAt
    }
  return oldest
}

/** Forgets brands that have nothing here any more. */
export const sweepBrands = (queues: Queues): void => {
  sweepRing(queues.ring)
  for (const [brand, queue] of queues.brands)
    if (queue.place === -1 && isForgettable(queue)) queues.brands.delete(brand)
}
