/** All limits of a guard in one step: who may start now, or what stands in the way and until when. */
import type { Due, Instant } from '#webhook/webhook.ts'
import { ADAPTIVE_CEILING, ADAPTIVE_START } from './adaptive.ts'
import { accrue, type BrandQueue, peekNext, type RetryShare, takeNext } from './brand-queue.ts'
import { type Conditions, fails, gateOf, noteStarted } from './conditions.ts'
import { type Candidate, creditSlots, nextByInFlight, nextByRound, nextInTurn } from './fairness.ts'
import {
  concurrencyOf,
  domainConcurrencyOf,
  isPaused,
  type LimitTable,
  NODE_PAUSE_KEY,
  rateOf,
  settingOf,
  weightOf,
} from './limits.ts'
import { dropWaiting, type Queues } from './queues.ts'
import {
  aheadMs,
  earliestAfter,
  earliestStart,
  type RateLimit,
  type RateState,
  recordStart,
  unknownHistory,
} from './rate.ts'
import { countTry, nextRetry, RETRY_SHARE_DEFAULT } from './retry-budget.ts'
import { noteEmptied, sweepRing, weighRing } from './ring.ts'

/** What can stand in the way of a start, as `explainWebhook` and events name it. */
export type LimitName =
  | 'stopping'
  /** Its domain waits for a place among the live guards. */
  | 'live-guards'
  | 'domain-paused'
  | 'brand-paused'
  | 'closed'
  | 'breaker'
  | 'node-capacity'
  | 'domain-concurrency'
  | 'adaptive-concurrency'
  | 'domain-rate'
  | 'brand-in-domain-concurrency'
  | 'brand-in-domain-rate'
  | 'brand-concurrency'
  | 'retry-budget'

/** What an admission reads; nothing of it is kept. */
export interface Ground {
  readonly limits: LimitTable
  /** Changes with every row of them. */
  readonly limitsVersion: number
  /** Outlives the guard; a missing row means that nobody knows. */
  readonly rates: RateTable
  /** A missing row's history counts as `burst` starts made then (D-10). */
  readonly unknownSinceMono: number
  /** What the receiver has said; outlives the guard. */
  readonly conditions: Conditions
  /** Starts that the node has room for, as far as this guard is concerned (D-14); counts down. */
  nodeRoom: number
  /** Where there is none: when to look again. */
  readonly nodeAgainMs: number
  readonly nowMono: number
  /** Wall clock: what expires by then is not started. */
  readonly nowAt: Instant
}
export interface RateTable {
  get(key: string): RateState | undefined
  set(key: string, state: RateState): void
}

/** A webhook that may start now, and when it came into the guard's hands. */
export interface Start {
  readonly due: Due
  readonly enteredAt: Instant
  /** Keys of the rates that it was counted under. */
  readonly rates: readonly string[]
  /** Monotonic instant from which on it may be sent: now, or a little ahead, when it is due or what its domain's rate says. */
  readonly atMono: number
}
export interface Block {
  readonly by: LimitName
  /** Infinity: until something happens (a permit comes back, a limit changes). */
  readonly untilMono: number
}
export type Verdict =
  | { readonly kind: 'start'; readonly start: Start }
  /** One more permit is to be asked of this brand's limiter; its slot is reserved until the answer. */
  | { readonly kind: 'ask'; readonly queue: BrandQueue }
  | ({ readonly kind: 'blocked' } & Block)
  | { readonly kind: 'nothing' }

const NOTHING: Verdict = { kind: 'nothing' }
const FOREVER = Number.POSITIVE_INFINITY

const rateState = (ground: Ground, key: string, limit: RateLimit): RateState => {
  const there = ground.rates.get(key)
  if (there !== undefined) return there
  const state = unknownHistory(limit, ground.unknownSinceMono)
  ground.rates.set(key, state)
  return state
}

/** Permits at once, and which limit says so. */
export const concurrencyNow = (
  queues: Pick<Queues, 'keys'>,
  ground: Ground,
): {
  readonly permits: number
  readonly by: 'domain-concurrency' | 'adaptive-concurrency'
  /** It is found by what is open: see `./adaptive.ts`. */
  readonly isAdaptive: boolean
} => {
  const { limits, conditions } = ground
  const isAdaptive = settingOf(limits, queues.keys.adaptive, 0) > 0
  const set = isAdaptive
    ? (concurrencyOf(limits, queues.keys.concurrency) ?? ADAPTIVE_CEILING)
    : domainConcurrencyOf(limits, queues.keys.concurrency)
  const found = isAdaptive ? Math.floor(conditions.adaptive?.limit ?? ADAPTIVE_START) : set
  return found < set
    ? { permits: found, by: 'adaptive-concurrency', isAdaptive }
    : { permits: set, by: 'domain-concurrency', isAdaptive }
}

/** The domain's own limits. */
export const domainBlock = (
  queues: Pick<Queues, 'keys' | 'inFlight' | 'reserved' | 'ring' | 'exactUntilMono'>,
  ground: Ground,
): Block | null => {
  const { limits, conditions, nowMono } = ground
  const { inFlight, reserved, keys, ring, exactUntilMono } = queues
  if (isPaused(limits, NODE_PAUSE_KEY)) return { by: 'stopping', untilMono: FOREVER }
  if (isPaused(limits, keys.pause)) return { by: 'domain-paused', untilMono: FOREVER }
  const gate = gateOf(conditions.domain, inFlight, reserved, nowMono)
  if (gate !== null) return gate
  const { permits, by, isAdaptive } = concurrencyNow(queues, ground)
  if (inFlight + reserved >= permits) return { by, untilMono: FOREVER }
  if (ground.nodeRoom <= reserved) return { by: 'node-capacity', untilMono: nowMono + ground.nodeAgainMs }
  const rate = rateOf(limits, keys.rate)
  if (rate === null) return null
  const atMono = earliestAfter(rate, rateState(ground, keys.rate, rate), reserved)
  const isLastSlot = inFlight + reserved + 1 >= permits || ground.nodeRoom <= reserved + 1
  const isExact = isAdaptive || isLastSlot || nowMono < exactUntilMono
  const untilMono = isExact ? atMono : atMono - aheadMs(rate, ring.size)
  return untilMono > nowMono ? { by: 'domain-rate', untilMono } : null
}
/**
 * What is admitted ahead of its instant holds slots meanwhile. Never the last one, or concurrency would seem to bind where the
 * rate does, and brands would share by slots instead of by starts (D-20). And where a brand has just run into a limit of its own
 * concurrency, nothing waits ahead for so long: its slots are for what is sent. Nor where a limit is found by how many are open.
 */
const EXACT_MS = 1_000
const stayExact = (queues: Queues, nowMono: number): void => {
  queues.exactUntilMono = nowMono + EXACT_MS
}
/** When what is admitted now may be sent. */
export const startAt = (domainKey: string, ground: Ground): number => {
  const rate = rateOf(ground.limits, domainKey)
  return rate === null
    ? ground.nowMono
    : Math.max(ground.nowMono, earliestStart(rate, rateState(ground, domainKey, rate)))
}

/** The limits of one brand in this domain, and whether its limiter has been asked in vain. */
export const brandBlock = (queue: BrandQueue, ground: Ground, atMono: number): Block | null => {
  if (queue.parked || queue.asking) return { by: 'brand-concurrency', untilMono: FOREVER }
  return shareBlock(queue, ground, atMono)
}
/** Without what its limiter says. Its rate never waits ahead: that would hold a slot which another brand could use. */
export const shareBlock = (
  queue: Pick<BrandQueue, 'brand' | 'keys' | 'inFlight' | 'reserved'>,
  ground: Ground,
  atMono: number,
): Block | null => {
  const { limits, conditions, nowMono } = ground
  if (isPaused(limits, queue.keys.pause)) return { by: 'brand-paused', untilMono: FOREVER }
  const share = conditions.shares.get(queue.brand)
  const gate = share === undefined ? null : gateOf(share, queue.inFlight, queue.reserved, nowMono)
  if (gate !== null) return gate
  if (isShareFull(queue, limits)) return { by: 'brand-in-domain-concurrency', untilMono: FOREVER }
  const rate = rateOf(limits, queue.keys.rateInDomain)
  if (rate === null) return null
  const untilMono = earliestAfter(rate, rateState(ground, queue.keys.rateInDomain, rate), queue.reserved)
  return untilMono > atMono ? { by: 'brand-in-domain-rate', untilMono } : null
}

const isShareFull = (queue: Pick<BrandQueue, 'keys' | 'inFlight' | 'reserved'>, limits: LimitTable): boolean => {
  const permits = concurrencyOf(limits, queue.keys.inDomain)
  return permits !== null && queue.inFlight + queue.reserved >= permits
}

/** While the domain fails for this brand, first tries keep half of the starts and retries have a budget (D-21). */
export const retryShare = (queues: Queues, queue: BrandQueue, ground: Ground): RetryShare =>
  !fails(ground.conditions, queue.brand) ? 'free' : retryAt(queues, ground) <= ground.nowMono ? 'half' : 'none'
const retryAt = (queues: Queues, { limits, conditions, nowMono }: Ground): number =>
  nextRetry(conditions.budget, settingOf(limits, queues.keys.retryBudget, RETRY_SHARE_DEFAULT), nowMono)

const earlier = (a: Block | null, b: Block): Block => (a === null || b.untilMono < a.untilMono ? b : a)

/** Decides the next step and takes it in `queues`: call again until it answers `blocked` or `nothing`. */
export const nextVerdict = (queues: Queues, ground: Ground): Verdict => {
  if (queues.waiting.size === 0) return NOTHING
  const block = domainBlock(queues, ground)
  if (block !== null) {
    queues.bound = block.by === 'domain-rate' ? 'rate' : 'concurrency'
    return { kind: 'blocked', ...block }
  }
  sweepRing(queues.ring)
  const inTurn = queues.bound === 'rate' ? whoseTurn(queues, ground) : undefined
  if (inTurn !== undefined) return begin(queues, inTurn, ground)
  const { candidates, blocked } = whoCanStart(queues, ground)
  const chosen = choose(queues, candidates, ground)
  if (chosen === undefined) return blocked === null ? NOTHING : { kind: 'blocked', ...blocked }
  return begin(queues, chosen.queue, ground)
}

/** Where the rate binds, the round goes on without a look at all brands. */
const whoseTurn = (queues: Queues, ground: Ground): BrandQueue | undefined => {
  weighRing(queues.ring, ground.limits, ground.limitsVersion)
  const atMono = startAt(queues.keys.rate, ground)
  return nextInTurn(
    queues.ring,
    (queue) =>
      queue.size > queue.reserved && blockOfNext(queues, queue, ground, atMono) === null && queue.size > queue.reserved,
  )
}

const choose = (queues: Queues, candidates: readonly Candidate[], ground: Ground): Candidate | undefined => {
  if (queues.bound === 'rate') return nextByRound(queues.ring, candidates)
  if (candidates.length > 1) creditSlots(queues.ring, candidates, queues.serviceMs, ground.nowMono)
  return nextByInFlight(queues.ring, candidates)
}

const whoCanStart = (
  queues: Queues,
  ground: Ground,
): { readonly candidates: readonly Candidate[]; readonly blocked: Block | null } => {
  const candidates: Candidate[] = []
  let blocked: Block | null = null
  const atMono = startAt(queues.keys.rate, ground)
  for (const [at, queue] of queues.ring.places.entries()) {
    if (queue === null || queue.size <= queue.reserved) continue
    const block = blockOfNext(queues, queue, ground, atMono)
    if (queue.size <= queue.reserved) continue
    if (block === null) candidates.push({ queue, weight: weightOf(ground.limits, queue.keys), at })
    else blocked = earlier(blocked, block)
  }
  return { candidates, blocked }
}
/** What stands in the way of the brand's next webhook. It may have none left afterwards: those that have expired go. */
const blockOfNext = (queues: Queues, queue: BrandQueue, ground: Ground, atMono: number): Block | null =>
  brandBlock(queue, ground, atMono) ?? headBlock(queues, queue, ground)
const headBlock = (queues: Queues, queue: BrandQueue, ground: Ground): Block | null =>
  freshHead(queues, queue, ground) || queue.size === 0
    ? null
    : { by: 'retry-budget', untilMono: retryAt(queues, ground) }

/**
 * Brings the brand's next webhook to its head, and lets go of what has expired before it: that costs no start; the store ends
 * it by itself. False: nothing of the brand may start.
 */
const freshHead = (queues: Queues, queue: BrandQueue, ground: Ground): boolean => {
  const share = retryShare(queues, queue, ground)
  for (;;) {
    const head = peekNext(queue, share)
    if (head === undefined) return false
    if (!expiresBefore(head, queues, ground)) return true
    dropWaiting(queues, head.id)
  }
}
const expiresBefore = (due: Due, queues: Queues, ground: Ground): boolean =>
  due.expiresAt !== null && hasExpired(due, ground.nowAt + startAt(queues.keys.rate, ground) - ground.nowMono)
export const hasExpired = ({ expiresAt }: Due, nowAt: Instant): boolean => expiresAt !== null && expiresAt <= nowAt

const begin = (queues: Queues, queue: BrandQueue, ground: Ground): Verdict => {
  if (concurrencyOf(ground.limits, queue.keys.overall) !== null) {
    queue.reserved += 1
    queues.reserved += 1
    return { kind: 'ask', queue }
  }
  const started = start(queues, queue, ground)
  return started === undefined ? NOTHING : { kind: 'start', start: started }
}

/** Takes the brand's next webhook and counts its start against every limit. */
const start = (queues: Queues, queue: BrandQueue, ground: Ground): Start | undefined => {
  const due = takeNext(queue, retryShare(queues, queue, ground))
  if (due === undefined) return undefined
  noteEmptied(queues.ring, queue)
  const enteredAt = queues.waiting.get(due.id)?.enteredAt ?? due.nextAt
  queues.waiting.delete(due.id)
  return countStart(queues, queue, { due, enteredAt, atMono: startAt(queues.keys.rate, ground) }, ground)
}
/** Counts a start against every limit. The caller has seen that each of them allows it. */
export const countStart = (queues: Queues, queue: BrandQueue, one: Omit<Start, 'rates'>, ground: Ground): Start => {
  accrue(queue, ground.nowMono)
  ground.nodeRoom -= 1
  queues.inFlight += 1
  queue.inFlight += 1
  if (isShareFull(queue, ground.limits)) stayExact(queues, ground.nowMono)
  const rates = countRates(ground, queues.keys.rate, queue.keys.rateInDomain, one.atMono)
  countTry(ground.conditions.budget, one.due.attempts > 0, ground.nowMono)
  noteStarted(ground.conditions, queue.brand, one.atMono)
  return { ...one, rates }
}
const NO_RATES: readonly string[] = []
const countRates = (ground: Ground, domainKey: string, brandKey: string, atMono: number): readonly string[] => {
  const domain = countRate(ground, domainKey, atMono)
  const brand = countRate(ground, brandKey, atMono)
  if (domain) return brand ? [domainKey, brandKey] : [domainKey]
  return brand ? [brandKey] : NO_RATES
}
const countRate = (ground: Ground, key: string, atMono: number): boolean => {
  const rate = rateOf(ground.limits, key)
  if (rate === null) return false
  recordStart(rate, rateState(ground, key, rate), atMono)
  return true
}

/** The limiter's answer has come, `granted` of `asked` permits: what was reserved is free again, and with less the brand is parked. */
export const answered = (
  queues: Queues,
  queue: BrandQueue,
  { granted, asked }: { readonly granted: number; readonly asked: number },
  nowMono: number,
): void => {
  releaseReserved(queues, queue)
  queue.parked = granted < asked
  if (queue.parked) stayExact(queues, nowMono)
}
/** What was reserved for this brand is free again. */
export const releaseReserved = (queues: Queues, queue: BrandQueue): void => {
  queues.reserved -= queue.reserved
  queue.reserved = 0
  queue.asking = false
}

/** Starts up to `granted` of this brand, as far as every limit still allows; what is not started goes back to the limiter. */
export const startGranted = (queues: Queues, queue: BrandQueue, granted: number, ground: Ground): readonly Start[] => {
  const started: Start[] = []
  while (started.length < granted) {
    if (domainBlock(queues, ground) !== null || shareBlock(queue, ground, startAt(queues.keys.rate, ground)) !== null)
      break
    if (!freshHead(queues, queue, ground)) break
    const next = start(queues, queue, ground)
    if (next === undefined) break
    started.push(next)
  }
  return started
}

/** An attempt holds a permit of which this guard did not know: it was in flight already. */
export const takeUpPermit = (queues: Queues, queue: BrandQueue, nowMono: number): void => {
  accrue(queue, nowMono)
  queues.inFlight += 1
  queue.inFlight += 1
}

/** A permit has come back, after so long (null: it was never used, or nobody knows). */
export const releasePermit = (queues: Queues, queue: BrandQueue, nowMono: number, tookMs: number | null): void => {
  accrue(queue, nowMono)
  queues.inFlight -= 1
  queue.inFlight -= 1
  if (tookMs === null) return
  queues.serviceMs = queues.serviceMs === 0 ? tookMs : queues.serviceMs + (tookMs - queues.serviceMs) * SMOOTHING
}
/** How much one attempt moves the smoothed service time. */
const SMOOTHING = 0.1
