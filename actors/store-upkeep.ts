/** What the store-keeper does by itself: retention, expiry, and one look for damage after boot. All of it in small steps. */
import {
  EXPIRE_EVERY_MS,
  EXPIRE_PAUSE_MS,
  EXPIRE_ROWS,
  PRUNE_EVERY_MS,
  PRUNE_PAUSE_MS,
  PRUNE_ROWS,
  RETENTION_DEAD_MS,
  RETENTION_MS,
} from '#config/limits.ts'
import type { Ended, Expire, Expired, Prune } from '#store/store.ts'
import type { Events } from '#telemetry/events.ts'
import type { Instant } from '#webhook/webhook.ts'

export type UpkeepOp = Expire | Prune
export type Upkeep = UpkeepOp['type']

export const EVERY_MS: Readonly<Record<Upkeep, number>> = { expire: EXPIRE_EVERY_MS, prune: PRUNE_EVERY_MS }

export const upkeepOf = (kind: Upkeep, now: Instant): UpkeepOp =>
  kind === 'expire'
    ? { type: 'expire', now, limit: EXPIRE_ROWS }
    : { type: 'prune', finishedBefore: now - RETENTION_MS, deadBefore: now - RETENTION_DEAD_MS, limit: PRUNE_ROWS }

/** When to go on: after a short pause if there is more to do, so that nobody notices. */
export const pauseAfter = (kind: Upkeep, result: unknown): number => {
  if (kind === 'expire') return isExpired(result) && result.more ? EXPIRE_PAUSE_MS : EXPIRE_EVERY_MS
  return isPruned(result) && result.pruned === PRUNE_ROWS ? PRUNE_PAUSE_MS : PRUNE_EVERY_MS
}
/** Tells of the webhooks that the store has ended by itself, swept or met by a mark. */
export const tellEnded = (events: Events, at: Instant, result: unknown): void => {
  for (const ended of endedBy(result)) events.emit({ type: 'webhook.finished', at, ...ended })
}

const endedBy = (result: unknown): readonly Ended[] => {
  if (isExpired(result)) return result.expired
  return isMarkThatEnded(result) ? [result.ended] : []
}
const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null
const isExpired = (value: unknown): value is Expired => isObject(value) && 'expired' in value
const isPruned = (value: unknown): value is { readonly pruned: number } => isObject(value) && 'pruned' in value
const isMarkThatEnded = (value: unknown): value is { readonly ended: Ended } => isObject(value) && 'ended' in value
