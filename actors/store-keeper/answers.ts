/** What the callers hear, and what of the waiting appends is counted no more. */
import type { StoreFailed } from '#actors/store-keeper.ts'
import { appendRoad, gaveBack, type StoreLoad } from '#overload/store-load.ts'
import { ONE, STORE_LOAD_TABLE } from '#overload/tables.ts'
import type { From } from '#runtime/from.ts'
import { type Expired, isPromised, type Pruned, type StoreErrorCode } from '#store/store.ts'
import type { Ctx, Pending, RoadState, State, Written } from './state.ts'
import { tellEnded } from './upkeep.ts'

export const settle = (state: State, ctx: Ctx, group: readonly Pending[], outcome: Written): void => {
  if (!outcome.ok) return
  for (const [i, pending] of group.entries()) {
    const result = outcome.results[i]
    leave(state.load, pending)
    answerWith(ctx, pending.from, result)
    tellEnded(state.args.events, ctx.world.wallNow(), result)
  }
}

/** Promises are refused, marks and outcomes are kept, in their order. */
export const hold = (road: RoadState, ctx: Ctx, group: readonly Pending[], code: StoreErrorCode): void => {
  const kept = group.filter((pending) => !isPromised(pending.op))
  for (const pending of group) if (isPromised(pending.op)) answer(ctx, pending, { ok: false, failed: code })
  road.waiting.unshift(...kept)
}

/** Who waited is answered, and does not wait any more. */
export const answer = (ctx: Ctx, pending: Pending, failure: StoreFailed): void => {
  const load = ctx.table<string, StoreLoad>(STORE_LOAD_TABLE).get(ONE)
  if (load !== undefined) leave(load, pending)
  refuse(ctx, pending, pending.sent > 0 ? { ...failure, mayBeDone: true } : failure)
}
const leave = (load: StoreLoad, { op }: Pending): void => {
  if (op.type === 'append') gaveBack(load[appendRoad(op.count)], op.count, op.rows.length)
}

/** Answers a failure in the words of the operation. */
export const refuse = (ctx: Ctx, pending: Pending, failure: StoreFailed): void => {
  const { op, from } = pending
  if (op.type === 'expire') answerWith(ctx, from, { ok: true, expired: [], more: true } satisfies Expired)
  else if (op.type === 'prune')
    answerWith(ctx, from, { ok: true, pruned: 0, more: true, dropped: [], crowded: null } satisfies Pruned)
  else if (op.type === 'mark-started') answerWith(ctx, from, { ok: false, why: 'not-live' })
  else if (op.type === 'record-outcome' || op.type === 'hand-back') answerWith(ctx, from, { ok: false, why: 'stale' })
  else answerWith(ctx, from, failure)
}
export const answerWith = (ctx: Ctx, from: From<never>, value: unknown): void => ctx.reply(from as From<unknown>, value)
