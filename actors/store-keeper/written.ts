/** A group has come back: its callers are answered, or it waits for another try. */
import { STORE_RESENDS_MAX, STORE_RETRY_MS, STORE_RETRY_MS_MAX } from '#config/limits.ts'
import { returned } from '#overload/store-load.ts'
import { isPromised } from '#store/store.ts'
import { answer, hold, settle } from './answers.ts'
import { reopen } from './reopening.ts'
import { flush, isAppendRoad, rowsOf } from './roads.ts'
import type { Ctx, Pending, Road, State, Written } from './state.ts'
import { complain, recovered } from './telling.ts'
import { isLeft } from './trouble.ts'

export const written = (state: State, ctx: Ctx, name: Road, incarnation: number, outcome: Written): void => {
  const road = state.roads[name]
  const group = road.underWay ?? []
  road.underWay = null
  road.writing = null
  if (isAppendRoad(name)) returned(state.load[name], rowsOf(group), ctx.world.monoNow())
  // The yes of a store whose disk has failed meanwhile is none: its successor is asked again (D-3, reliability.md D7).
  if (outcome.ok && incarnation === state.leftIncarnation) {
    for (const pending of group) pending.sent += 1
    road.waiting.unshift(...group)
  } else if (outcome.ok) {
    settle(state, ctx, group, outcome)
    road.pauseMs = STORE_RETRY_MS
    recovered(state, ctx)
  } else failed(state, ctx, name, incarnation, group, outcome)
  flush(state, ctx)
}

export const failed = (
  state: State,
  ctx: Ctx,
  name: Road,
  incarnation: number,
  group: readonly Pending[],
  why: Extract<Written, { ok: false }>,
): void => {
  const road = state.roads[name]
  if (why.failed === 'invalid' && why.op !== null) {
    state.args.events.emit({ type: 'store.refused', at: ctx.world.wallNow(), detail: why.detail })
    for (const [i, pending] of group.entries()) if (i === why.op) answer(ctx, pending, { ok: false, failed: 'invalid' })
    road.waiting.unshift(...group.filter((_, i) => i !== why.op))
    return
  }
  if (!isLeft(why.failed)) {
    complain(state, ctx, why.detail)
    hold(road, ctx, group, why.failed)
    if (road.waiting.length === 0 || name !== 'urgent') return
    road.paused = true
    ctx.sendAfter(road.pauseMs, { type: 'try-again', road: name })
    road.pauseMs = Math.min(road.pauseMs * 2, STORE_RETRY_MS_MAX)
    return
  }
  for (const pending of group) pending.sent += 1
  road.waiting.unshift(...giveUp(ctx, group))
  if (incarnation === state.holding.incarnation) reopen(state, ctx, why.detail, why.failed)
}
/** Whoever was under way too often when the store died may be the reason. */
const giveUp = (ctx: Ctx, group: readonly Pending[]): Pending[] => {
  const [spent, rest] = [group.filter(isSpent), group.filter((pending) => !isSpent(pending))]
  for (const pending of spent) answer(ctx, pending, { ok: false, failed: 'io' })
  return rest
}
const isSpent = (pending: Pending): boolean => isPromised(pending.op) && pending.sent >= STORE_RESENDS_MAX
