/** Answers about what waits: why, where in the order, until when. */
import type { Explained, GuardProtocol, GuardShown, Predicted } from '#actors/guard.ts'
import { storeKeeper } from '#actors/store-keeper.ts'
import { PAGE_ROWS_MAX, RANK_ROWS_MAX, WAITING_SHOWN_MAX } from '#config/limits.ts'
import {
  aheadInBrand,
  aheadInDomain,
  aheadOfNew,
  blockOf,
  depths,
  drainMs,
  keyOfLimit,
  placeInLane,
  predictStart,
} from '#guard/explain.ts'
import { compareDue, laneSize, tailOf } from '#guard/lane.ts'
import { queueOf, windowAt } from '#guard/queues.ts'
import type { From } from '#runtime/from.ts'
import { attemptIdOf, type Due, type Edge, type Instant, laneOf, type WebhookId } from '#webhook/webhook.ts'
import { figures } from './figures.ts'
import { groundOf } from './ground.ts'
import type { Counting, Ctx, Ranking, State } from './state.ts'

const wallOf = (mono: number | null, ctx: Ctx): Instant | null =>
  mono === null ? null : Math.round(ctx.world.wallNow() + mono - ctx.world.monoNow())

/**
 * Null: it runs, or is done, or nobody can tell. A row that is still in the store is ranked there, if the asker gives its
 * `due`; then the answer comes later.
 */
export const explain = (
  { id, due }: { readonly id: WebhookId; readonly due?: Due },
  from: From<Explained | null>,
  state: State,
  ctx: Ctx,
): void => {
  const { queues, flights } = state
  const waiting = queues.waiting.get(id)
  if (waiting !== undefined) {
    const queue = queueOf(queues, waiting.due.brand)
    const { due: held, enteredAt } = waiting
    return ctx.reply(from, explained(held, enteredAt, aheadInBrand(queue, held), placeInLane(queue, held), state, ctx))
  }
  if (due === undefined || flights.has(attemptIdOf(id, due.attempts + 1))) return ctx.reply(from, null)
  const window = windowAt(queues, laneOf(due))
  if (!window.more) return ctx.reply(from, null)
  const tail = tailOf(window.lane)
  rank({ from, due, counted: 0 }, tail === undefined ? null : { nextAt: tail.nextAt, seq: tail.seq }, state, ctx)
}

const explained = (due: Due, since: Instant, inBrand: number, place: number, state: State, ctx: Ctx): Explained => {
  const { queues } = state
  const ground = groundOf(state, ctx)
  const queue = queueOf(queues, due.brand)
  const inDomain = aheadInDomain(queues, due.brand, inBrand, ground.limits)
  const { startMono, assumptions } = predictStart(queues, queue, inBrand, inDomain, ground)
  const limit = state.phase === 'open' ? blockOf(queues, queue, due, ground) : null
  return {
    blockedOn: limit === null ? null : { limit, key: keyOfLimit(limit, state.domain, due.brand) },
    since,
    placeInLane: place,
    placeInDomain: inDomain + 1,
    expectedAt: wallOf(startMono, ctx),
    assumptions,
  }
}

/** Counts the rows between the window and the one that is asked about, page by page, to at most RANK_ROWS_MAX. */
const rank = (ranking: Ranking, after: Edge | null, state: State, ctx: Ctx): void => {
  const lane = { ...laneOf(ranking.due), domain: state.domain }
  ctx.request(
    storeKeeper,
    { type: 'lane', lane, after, until: ranking.due.nextAt, limit: PAGE_ROWS_MAX },
    'ranked',
    ranking,
  )
}
export const onRanked = (
  message: Extract<GuardProtocol['info'], { readonly type: 'ranked' }>,
  state: State,
  ctx: Ctx,
): void => {
  const { from, due, counted } = message.data
  if (!message.ok || !message.value.ok) return ctx.reply(from, null)
  const { rows, more } = message.value.value
  const before = rows.filter((row) => compareDue(row, due) < 0)
  const ranking = { from, due, counted: counted + before.length }
  const last = rows.at(-1)
  if (more && last !== undefined && before.length === rows.length && ranking.counted < RANK_ROWS_MAX)
    return rank(ranking, { nextAt: last.nextAt, seq: last.seq }, state, ctx)
  const queue = queueOf(state.queues, due.brand)
  const inBrand = aheadOfNew(queue, due.priority) + ranking.counted
  const place = laneSize(windowAt(state.queues, laneOf(due)).lane) + ranking.counted + 1
  ctx.reply(from, explained(due, due.nextAt, inBrand, place, state, ctx))
}

/** What is only in the store counts as well: it is asked for, and the answer comes later. */
export const countBacklog = (counting: Counting, state: State, ctx: Ctx): void => {
  if (state.queues.hungry.size === 0) return answerCounting(counting, 0, state, ctx)
  const query = { type: 'backlog', domain: state.domain, now: ctx.world.wallNow(), cap: WAITING_SHOWN_MAX } as const
  ctx.request(storeKeeper, query, 'counted', { counting })
}

export const answerCounting = (counting: Counting, onDisk: number, state: State, ctx: Ctx): void => {
  if (counting.ask === 'show') ctx.reply(counting.from, show(onDisk, state, ctx))
  else ctx.reply(counting.from, predict(counting, onDisk, state, ctx))
}

/** Rows on disk are taken to be of this brand: the prediction is late rather than early. */
export const predict = (
  { brand, priority, count }: Extract<Counting, { readonly ask: 'predict' }>,
  onDisk: number,
  state: State,
  ctx: Ctx,
): Predicted => {
  const { queues } = state
  const ground = groundOf(state, ctx)
  const queue = queueOf(queues, brand)
  const inBrand = aheadOfNew(queue, priority) + onDisk + count - 1
  const inDomain = aheadInDomain(queues, brand, inBrand, ground.limits)
  const { startMono, assumptions } = predictStart(queues, queue, inBrand, inDomain, ground)
  return { expectedAt: wallOf(startMono, ctx), assumptions }
}

export const show = (onDisk: number, state: State, ctx: Ctx): GuardShown => {
  const ground = groundOf(state, ctx)
  const { closure, breaker } = ground.conditions.domain
  const waiting = state.queues.waiting.size + onDisk
  return {
    ...figures(state, ctx),
    waiting,
    depths: depths(state.queues),
    drainMs: drainMs(state.queues, waiting, ground),
    serviceMs: state.queues.serviceMs,
    closedUntil: ground.nowMono < closure.untilMono ? wallOf(closure.untilMono, ctx) : null,
    breaker: {
      state: breaker.state,
      until: breaker.state === 'open' ? wallOf(breaker.openUntilMono, ctx) : null,
    },
    adaptive: ground.conditions.adaptive === null ? null : Math.floor(ground.conditions.adaptive.limit),
    blockedOn: state.block?.by ?? null,
  }
}
