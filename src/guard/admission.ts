/** All limits of a guard in one step: who may start now, or what stands in the way and until when. */
import type { Due, Instant } from '#webhook/webhook.ts'
import { type BrandQueue, peekNext, type RetryShare, takeNext } from './brand-queue.ts'
import { type Candidate, nextByInFlight, nextByRound, sweepRing } from './fairness.ts'
import { concurrencyOf, domainConcurrencyOf, type LimitTable, rateOf } from './limits.ts'
import type { Queues } from './queues.ts'
import { earliestAfter, earliestStart, type RateLimit, type RateState, recordStart, unknownHistory } from './rate.ts'

export type LimitName =
  | 'domain-concurrency'
  | 'domain-rate'
  | 'brand-in-domain-concurrency'
  | 'brand-in-domain-rate'
  | 'brand-concurrency'

/** What an admission reads; nothing of it is kept. */
export interface Ground {
  readonly limits: LimitTable
  /** Outlives the guard; a missing row means that nobody knows. */
  readonly rates: RateTable
  /** A missing row's history counts as `burst` starts made then (D-10). */
  readonly unknownSinceMono: number
  readonly nowMono: number
}
export interface RateTable {
  get(key: string): RateState | undefined
  set(key: string, state: RateState): void
}

/** A webhook that may start now, and when it came into the guard's hands. */
export interface Start {
  readonly due: Due
  readonly enteredAt: Instant
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

/** The domain's own limits. */
const domainBlock = (queues: Queues, ground: Ground): Block | null => {
  if (queues.inFlight + queues.reserved >= domainConcurrencyOf(ground.limits, queues.keys.concurrency))
    return { by: 'domain-concurrency', untilMono: FOREVER }
  const rate = rateOf(ground.limits, queues.keys.rate)
  if (rate === null) return null
  const untilMono = earliestAfter(rate, rateState(ground, queues.keys.rate, rate), queues.reserved)
  return untilMono > ground.nowMono ? { by: 'domain-rate', untilMono } : null
}

/** The limits of one brand in this domain, and whether its limiter has been asked in vain. */
const brandBlock = (queue: BrandQueue, ground: Ground): Block | null => {
  if (queue.parked || queue.asking) return { by: 'brand-concurrency', untilMono: FOREVER }
  return shareBlock(queue, ground)
}
const shareBlock = (queue: BrandQueue, ground: Ground): Block | null => {
  const permits = concurrencyOf(ground.limits, queue.keys.inDomain)
  if (permits !== null && queue.inFlight + queue.reserved >= permits)
    return { by: 'brand-in-domain-concurrency', untilMono: FOREVER }
  const rate = rateOf(ground.limits, queue.keys.rateInDomain)
  if (rate === null) return null
  const untilMono = earliestAfter(rate, rateState(ground, queue.keys.rateInDomain, rate), queue.reserved)
  return untilMono > ground.nowMono ? { by: 'brand-in-domain-rate', untilMono } : null
}

const earlier = (a: Block | null, b: Block): Block => (a === null || b.untilMono < a.untilMono ? b : a)

/** Decides the next step and takes it in `queues`: call again until it answers `blocked` or `nothing`. */
export const nextVerdict = (queues: Queues, ground: Ground, share: RetryShare): Verdict => {
  if (queues.waiting.size === 0) return NOTHING
  const block = domainBlock(queues, ground)
  if (block !== null) {
    queues.bound = block.by === 'domain-rate' ? 'rate' : 'concurrency'
    return { kind: 'blocked', ...block }
  }
  const { candidates, blocked } = whoCanStart(queues, ground, share)
  const chosen =
    queues.bound === 'rate' ? nextByRound(queues.ring, candidates) : nextByInFlight(queues.ring, candidates)
  if (chosen === undefined) return blocked === null ? NOTHING : { kind: 'blocked', ...blocked }
  return begin(queues, chosen.queue, ground, share)
}

const whoCanStart = (
  queues: Queues,
  ground: Ground,
  share: RetryShare,
): { readonly candidates: readonly Candidate[]; readonly blocked: Block | null } => {
  const candidates: Candidate[] = []
  let blocked: Block | null = null
  sweepRing(queues.ring)
  for (const [at, queue] of queues.ring.queues.entries()) {
    if (queue.size <= queue.reserved || peekNext(queue, share) === undefined) continue
    const block = brandBlock(queue, ground)
    if (block === null) candidates.push({ queue, weight: 1, at })
    else blocked = earlier(blocked, block)
  }
  return { candidates, blocked }
}

const begin = (queues: Queues, queue: BrandQueue, ground: Ground, share: RetryShare): Verdict => {
  if (concurrencyOf(ground.limits, queue.keys.overall) !== null) {
    queue.reserved += 1
    queues.reserved += 1
    return { kind: 'ask', queue }
  }
  const started = start(queues, queue, ground, share)
  return started === undefined ? NOTHING : { kind: 'start', start: started }
}

/** Takes the brand's next webhook and counts its start against every limit. */
const start = (queues: Queues, queue: BrandQueue, ground: Ground, share: RetryShare): Start | undefined => {
  const due = takeNext(queue, share)
  if (due === undefined) return undefined
  const enteredAt = queues.waiting.get(due.id)?.enteredAt ?? due.nextAt
  queues.waiting.delete(due.id)
  queues.inFlight += 1
  queue.inFlight += 1
  countRate(ground, queues.keys.rate)
  countRate(ground, queue.keys.rateInDomain)
  return { due, enteredAt }
}
const countRate = (ground: Ground, key: string): void => {
  const rate = rateOf(ground.limits, key)
  if (rate !== null) recordStart(rate, rateState(ground, key, rate), ground.nowMono)
}

/** The limiter's answer has come: what was reserved for this brand is free again. */
export const releaseReserved = (queues: Queues, queue: BrandQueue): void => {
  queues.reserved -= queue.reserved
  queue.reserved = 0
  queue.asking = false
}

/** Starts up to `granted` of this brand, as far as every limit still allows; what is not started goes back to the limiter. */
export const startGranted = (
  queues: Queues,
  queue: BrandQueue,
  granted: number,
  ground: Ground,
  share: RetryShare,
): readonly Start[] => {
  const started: Start[] = []
  while (started.length < granted) {
    if (domainBlock(queues, ground) !== null || shareBlock(queue, ground) !== null) break
    const next = start(queues, queue, ground, share)
    if (next === undefined) break
    started.push(next)
  }
  return started
}

/** A permit has come back. */
export const releasePermit = (queues: Queues, queue: BrandQueue): void => {
  queues.inFlight -= 1
  queue.inFlight -= 1
}

/** The earliest start that the domain's rate allows; 0 if it has none. For prediction. */
export const domainEarliest = (queues: Queues, ground: Ground): number => {
  const rate = rateOf(ground.limits, queues.keys.rate)
  return rate === null ? 0 : earliestStart(rate, rateState(ground, queues.keys.rate, rate))
}
