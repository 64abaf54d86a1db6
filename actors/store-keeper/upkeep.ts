/** What the store-keeper does by itself: retention, expiry, and a look for damage after boot and weekly. All of it in small steps. */
import {
  CHECK_AFTER_MS,
  CHECK_EVERY_MS,
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
import type { From } from '#runtime/from.ts'
import type { Ended, Expire, Expired, Prune, Pruned, ReadResult } from '#store/store.ts'
import type { Events } from '#telemetry/events.ts'
import type { Brand, Instant } from '#webhook/webhook.ts'
import { readingOf, writingOf } from './asking.ts'
import { type Ctx, type ReadOutcome, ROADS, type State, type Written } from './state.ts'

type UpkeepOp = Expire | Prune
export type Upkeep = UpkeepOp['type']

export const EVERY_MS: Readonly<Record<Upkeep, number>> = { expire: EXPIRE_EVERY_MS, prune: PRUNE_EVERY_MS }

const upkeepOf = (kind: Upkeep, now: Instant): UpkeepOp =>
  kind === 'expire'
    ? { type: 'expire', now, limit: EXPIRE_ROWS }
    : {
        type: 'prune',
        finishedBefore: now - RETENTION_MS,
        deadBefore: now - RETENTION_DEAD_MS,
        deadMax: DEAD_LETTERS_BRAND_MAX,
        closedBefore: now,
        limit: PRUNE_ROWS,
      }

/** When to go on: after a short pause if there is more to do, so that nobody notices. */
const pauseAfter = (kind: Upkeep, result: unknown): number => {
  if (kind === 'expire') return isExpired(result) && result.more ? EXPIRE_PAUSE_MS : EXPIRE_EVERY_MS
  return isPruned(result) && result.more ? PRUNE_PAUSE_MS : PRUNE_EVERY_MS
}
/** Tells of the webhooks that the store has ended by itself, swept or met by a mark. */
export const tellEnded = (events: Events, at: Instant, result: unknown): void => {
  for (const ended of endedBy(result)) events.emit({ type: 'webhook.finished', at, ...ended })
}

/** Tells of dead letters beyond their bound. `crowded`: the brands that were told of and have not come down; returned as they are now. */
const tellDeadLetters = (
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

export const upkeep = (kind: Upkeep, state: State, ctx: Ctx): void => {
  const { store } = state.holding
  const op = upkeepOf(kind, ctx.world.wallNow())
  if (store === null) ctx.sendAfter(EVERY_MS[kind], { type: 'upkeep', kind })
  else ctx.pipe(writingOf(store, [{ op, from: NOBODY, sent: 0 }]), 'kept-up', kind)
}
const NOBODY: From<never> = {}
export const keptUp = (kind: Upkeep, outcome: Written | null, state: State, ctx: Ctx): void => {
  const result = outcome?.ok === true ? outcome.results[0] : null
  const { events } = state.args
  tellEnded(events, ctx.world.wallNow(), result)
  state.crowded = tellDeadLetters(events, ctx.world.wallNow(), result, state.crowded)
  ctx.sendAfter(pauseAfter(kind, result), { type: 'upkeep', kind })
}

/** After the boot has long been ready, then weekly, while nothing is being written: what is damaged is told, and stops nobody (D-26). */
export const look = (state: State, ctx: Ctx): void => {
  const { store } = state.holding
  const isAtWork = ROADS.some((name) => state.roads[name].underWay !== null)
  if (store === null || isAtWork) ctx.sendAfter(CHECK_AFTER_MS, { type: 'look' })
  else ctx.pipe(readingOf(store, { type: 'check' }), 'looked')
}
export const looked = (outcome: ReadOutcome | null, state: State, ctx: Ctx): void => {
  if (outcome?.ok !== true) {
    ctx.sendAfter(CHECK_AFTER_MS, { type: 'look' })
    return
  }
  const { problems } = outcome.value as ReadResult<{ readonly type: 'check' }>
  ctx.sendAfter(CHECK_EVERY_MS, { type: 'look' })
  if (problems.length === 0) return
  state.args.events.emit({ type: 'store.damaged', at: ctx.world.wallNow(), detail: problems.join('; ') })
}
