/** What the store-keeper does by itself: retention, expiry, and one look for damage after boot. All of it in small steps. */
import {
  DEAD_LETTERS_BRAND_MAX,
  EXPIRE_EVERY_MS,
  EXPIRE_PAUSE_MS,
  EXPIRE_ROWS,
  PRUNE_EVERY_MS,
  PRUNE_PAUSE_MS,
  PRUNE_ROWS,
  RETENTION_DEAD_MS,
  RETENTION_MS,
} from '#config/limits.ts'
import type { Ended, Expire, Expired, Prune, Pruned } from '#store/store.ts'
import type { Events } from '#telemetry/events.ts'
import type { Brand, Instant } from '#webhook/webhook.ts'

export type UpkeepOp = Expire | Prune
export type Upkeep = UpkeepOp['type']

export const EVERY_MS: Readonly<Record<Upkeep, number>> = { expire: EXPIRE_EVERY_MS, prune: PRUNE_EVERY_MS }

export const upkeepOf = (kind: Upkeep, now: Instant): UpkeepOp =>
  kind === 'expire'
    ? { type: 'expire', now, limit: EXPIRE_ROWS }
    : {
        type: 'prune',
        finishedBefore: now - RETENTION_MS,
        deadBefore: now - RETENTION_DEAD_MS,
        deadMax: DEAD_LETTERS_BRAND_MAX,
        limit: PRUNE_ROWS,
      }

/** When to go on: after a short pause if there is more to do, so that nobody notices. */
export const pauseAfter = (kind: Upkeep, result: unknown): number => {
  if (kind === 'expire') return isExpired(result) && result.more ? EXPIRE_PAUSE_MS : EXPIRE_EVERY_MS
  return isPruned(result) && result.more ? PRUNE_PAUSE_MS : PRUNE_EVERY_MS
}
/** Tells of the webhooks that the store has ended by itself, swept or met by a mark. */
export const tellEnded = (events: Events, at: Instant, result: unknown): void => {
  for (const ended of endedBy(result)) events.emit({ type: 'webhook.finished', at, ...ended })
}
/** Tells of dead letters beyond their bound. `crowded`: the brands that were told of and have not come down; returned as they are now. */
export const tellDeadLetters = (
  events: Events,
  at: Instant,
  result: unknown,
  crowded: ReadonlySet<Brand>,
): ReadonlySet<Brand> => {
  if (!isPruned(result)) return crowded
  const now = result.crowded === null ? crowded : new Set(result.crowded)
  for (const brand of now)
    if (!crowded.has(brand)) events.emit({ type: 'dead-letters.crowded', at, brand, max: DEAD_LETTERS_BRAND_MAX })
  for (const dropped of result.dropped) events.emit({ type: 'dead-letters.dropped', at, ...dropped })
  return now
}

const endedBy = (result: unknown): readonly Ended[] => {
  if (isExpired(result)) return result.expired
  return isMarkThatEnded(result) ? [result.ended] : []
}
const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null
const isExpired = (value: unknown): value is Expired => isObject(value) && 'expired' in value
const isPruned = (value: unknown): value is Pruned => isObject(value) && 'pruned' in value
const isMarkThatEnded = (value: unknown): value is { readonly ended: Ended } => isObject(value) && 'ended' in value
