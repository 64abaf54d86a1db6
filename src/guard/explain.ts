/** Why a webhook waits, its place in the order, and when it will start: the same arithmetic as admission, looking ahead. */
import { type Brand, type Domain, type Due, laneKindOf, type Priority } from '#webhook/webhook.ts'
import {
  brandBlock,
  concurrencyNow,
  domainBlock,
  type Ground,
  type LimitName,
  retryShare,
  startAt,
} from './admission.ts'
import { type BrandQueue, windowOf } from './brand-queue.ts'
import { gateOf } from './conditions.ts'
import { countBefore, laneSize } from './lane.ts'
import { concurrencyOf, type DomainKeys, isPaused, type LimitTable, rateOf, settingOf, weightOf } from './limits.ts'
import type { Queues } from './queues.ts'
import { earliestStart, type RateLimit } from './rate.ts'
import { brandsIn } from './ring.ts'

export interface Assumptions {
  /** Starts of the domain that come first. */
  readonly ahead: number
  readonly ratePerSecond: number | null
  readonly slots: number
  /** Measured; 0: nothing has ended yet. */
  readonly serviceMs: number
}
export interface Prediction {
  /** Monotonic; null: nobody can say (paused, or parked for a permit of its brand). */
  readonly startMono: number | null
  readonly assumptions: Assumptions
}

/** As `getGuard` and the monitor show it. `starting`: it admits nothing yet, or its domain waits for a place among the live guards. */
export type GuardState = 'starting' | 'open' | 'paused' | 'closed' | 'breaker-open' | 'breaker-half-open'

/** What limits and the receiver's answers make of a guard that has started. */
export const stateShown = (
  keys: DomainKeys,
  { limits, conditions, nowMono }: Ground,
): Exclude<GuardState, 'starting'> => {
  if (isPaused(limits, keys.pause) || rateOf(limits, keys.rate)?.perSecond === 0) return 'paused'
  if (settingOf(limits, keys.concurrency, 1) === 0) return 'paused'
  const { closure, breaker } = conditions.domain
  if (nowMono < closure.untilMono) return 'closed'
  return breaker.state === 'closed' ? 'open' : breaker.state === 'open' ? 'breaker-open' : 'breaker-half-open'
}

/** Whose a limit is: `node`, a brand, or a domain. */
export const keyOfLimit = (limit: LimitName, domain: Domain, brand: Brand): string =>
  NODE_LIMITS.has(limit) ? 'node' : limit.startsWith('brand') ? brand : domain
const NODE_LIMITS: ReadonlySet<LimitName> = new Set(['stopping', 'live-guards', 'node-capacity'])

/** What stands in the way of this webhook now; null: nothing but its turn. */
export const blockOf = (queues: Queues, queue: BrandQueue, due: Due, ground: Ground): LimitName | null => {
  const block =
    domainBlock(queues, ground) ??
    (queue.asking && !queue.parked ? null : brandBlock(queue, ground, startAt(queues.keys.rate, ground)))
  if (block !== null) return block.by
  return due.attempts > 0 && retryShare(queues, queue, ground) === 'none' ? 'retry-budget' : null
}

/** Webhooks of its brand that start before it, as far as they are in the windows: higher classes, and its own lane before it. */
export const aheadInBrand = (queue: BrandQueue, due: Due): number => {
  let ahead = 0
  for (const { priority, first, retry } of queue.classes) {
    if (priority === due.priority) return ahead + countBefore(first.lane, due) + countBefore(retry.lane, due)
    ahead += laneSize(first.lane) + laneSize(retry.lane)
  }
  return ahead
}
/** Its place in its lane, from 1. */
export const placeInLane = (queue: BrandQueue, due: Due): number =>
  countBefore(windowOf(queue, due.priority, laneKindOf(due.attempts)).lane, due) + 1

/** Webhooks of its brand in the windows that start before a new one of this priority. */
export const aheadOfNew = (queue: BrandQueue, priority: Priority): number => {
  let ahead = 0
  for (const one of queue.classes) {
    ahead += laneSize(one.first.lane) + laneSize(one.retry.lane)
    if (one.priority === priority) return ahead
  }
  return ahead
}

/** Starts of the whole domain up to the one before which `ahead` of the same brand go: the others take their share meanwhile. */
export const aheadInDomain = (queues: Queues, brand: Brand, ahead: number, limits: LimitTable): number => {
  const mine = queues.brands.get(brand)
  const weight = mine === undefined ? 1 : weightOf(limits, mine.keys)
  let sum = ahead
  for (const queue of brandsIn(queues.ring)) {
    if (queue.brand === brand) continue
    sum += Math.min(queue.size, Math.round(((ahead + 0.5) * weightOf(limits, queue.keys)) / weight))
  }
  return sum
}

/** When the webhook starts before which `inBrand` of its brand and `inDomain` in all go. */
export const predictStart = (
  queues: Queues,
  queue: BrandQueue,
  inBrand: number,
  inDomain: number,
  ground: Ground,
): Prediction => {
  const { limits, nowMono } = ground
  const rate = rateOf(limits, queues.keys.rate)
  const { permits } = concurrencyNow(queues, ground)
  const assumptions = {
    ahead: inDomain,
    ratePerSecond: rate?.perSecond ?? null,
    slots: permits,
    serviceMs: queues.serviceMs,
  }
  if (isPaused(limits, queues.keys.pause) || isPaused(limits, queue.keys.pause) || queue.parked || permits === 0)
    return { startMono: null, assumptions }
  const gate = gateOf(ground.conditions.domain, queues.inFlight, queues.reserved, nowMono)
  const openMono = gate === null || !Number.isFinite(gate.untilMono) ? nowMono : gate.untilMono
  const inDomainPermits = concurrencyOf(limits, queue.keys.inDomain)
  const startMono = Math.max(
    openMono,
    byRate(rate, queues.keys.rate, inDomain, ground),
    bySlots(permits, queues.inFlight, inDomain, queues.serviceMs, openMono),
    byRate(rateOf(limits, queue.keys.rateInDomain), queue.keys.rateInDomain, inBrand, ground),
    inDomainPermits === null ? 0 : bySlots(inDomainPermits, queue.inFlight, inBrand, queues.serviceMs, openMono),
  )
  return { startMono: Number.isFinite(startMono) ? startMono : null, assumptions }
}
const byRate = (rate: RateLimit | null, key: string, ahead: number, ground: Ground): number => {
  if (rate === null) return 0
  const state = ground.rates.get(key)
  const earliest = state === undefined ? ground.nowMono : earliestStart(rate, state)
  return earliest + (ahead * 1_000) / rate.perSecond
}
/** Slots come back one by one, evenly over the time that an attempt takes. */
const bySlots = (permits: number, inFlight: number, ahead: number, serviceMs: number, fromMono: number): number => {
  if (permits === 0) return Number.POSITIVE_INFINITY
  const waitsFor = ahead + 1 - Math.max(0, permits - inFlight)
  return waitsFor <= 0 ? fromMono : fromMono + (waitsFor * serviceMs) / permits
}

export interface Depth {
  readonly brand: Brand
  readonly priority: Priority
  readonly first: number
  readonly retry: number
  /** The store holds more of these lanes. */
  readonly more: boolean
}
/** What waits, by brand and priority; lanes without work are left out. */
export const depths = (queues: Queues): readonly Depth[] => {
  const shown: Depth[] = []
  for (const queue of queues.brands.values())
    for (const { priority, first, retry } of queue.classes) {
      const depth = { first: laneSize(first.lane), retry: laneSize(retry.lane), more: first.more || retry.more }
      if (depth.more || depth.first + depth.retry > 0) shown.push({ brand: queue.brand, priority, ...depth })
    }
  return shown
}

/** How long the guard needs for `waiting` webhooks, what it is closed for included; null: nobody can say. */
export const drainMs = (queues: Queues, waiting: number, ground: Ground): number | null => {
  if (waiting === 0) return 0
  if (isPaused(ground.limits, queues.keys.pause)) return null
  const gate = gateOf(ground.conditions.domain, queues.inFlight, queues.reserved, ground.nowMono)
  const shutMs = gate === null || !Number.isFinite(gate.untilMono) ? 0 : gate.untilMono - ground.nowMono
  const rate = rateOf(ground.limits, queues.keys.rate)
  const { permits } = concurrencyNow(queues, ground)
  const byTheSlots = permits === 0 ? Number.POSITIVE_INFINITY : (waiting * queues.serviceMs) / permits
  const byTheRate = rate === null ? 0 : (waiting * 1_000) / rate.perSecond
  const ms = Math.max(byTheSlots, byTheRate)
  return Number.isFinite(ms) && (ms > 0 || rate !== null) ? Math.round(shutMs + ms) : null
}
