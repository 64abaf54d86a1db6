/** Answers about what waits: why, where in the order, until when. */
import type { Explained, GuardShown, Predicted } from '#actors/guard.ts'
import { storeKeeper } from '#actors/store-keeper.ts'
import { WAITING_SHOWN_MAX } from '#config/limits.ts'
import {
  aheadInBrand,
  aheadInDomain,
  aheadOfNew,
  blockOf,
  depths,
  drainMs,
  placeInLane,
  predictStart,
} from '#guard/explain.ts'
import { queueOf } from '#guard/queues.ts'
import type { Instant, WebhookId } from '#webhook/webhook.ts'
import { figures } from './figures.ts'
import { groundOf } from './ground.ts'
import type { Counting, Ctx, State } from './state.ts'

const wallOf = (mono: number | null, ctx: Ctx): Instant | null =>
  mono === null ? null : Math.round(ctx.world.wallNow() + mono - ctx.world.monoNow())

export const explain = (id: WebhookId, state: State, ctx: Ctx): Explained | null => {
  const { queues } = state
  const waiting = queues.waiting.get(id)
  if (waiting === undefined) return null
  const { due, enteredAt } = waiting
  const ground = groundOf(state, ctx)
  const queue = queueOf(queues, due.brand)
  const inBrand = aheadInBrand(queue, due)
  const inDomain = aheadInDomain(queues, due.brand, inBrand, ground.limits)
  const { startMono, assumptions } = predictStart(queues, queue, inBrand, inDomain, ground)
  const limit = state.phase === 'open' ? blockOf(queues, queue, due, ground) : null
  return {
    blockedOn: limit === null ? null : { limit, key: limit.startsWith('brand') ? due.brand : due.domain },
    since: enteredAt,
    placeInLane: placeInLane(queue, due),
    placeInDomain: inDomain + 1,
    expectedAt: wallOf(startMono, ctx),
    assumptions,
  }
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
