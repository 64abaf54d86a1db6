/** Reads go straight to the store. */
import { keep } from '#runtime/behaviour.ts'
import type { From } from '#runtime/from.ts'
import type { BackedUp, ReadQuery } from '#store/store.ts'
import { answerWith } from './answers.ts'
import { readingOf } from './asking.ts'
import type { Ctx, ReadOutcome, State } from './state.ts'

export const takeRead = (query: ReadQuery, from: From<never>, state: State, ctx: Ctx): typeof keep => {
  const { store } = state.holding
  if (store === null) answerWith(ctx, from, { ok: false, failed: 'closed' })
  else if (query.type === 'backup') ctx.pipe(readingOf(store, query), 'backed-up', { from, to: query.to })
  else ctx.pipe(readingOf(store, query), 'was-read', from)
  return keep
}
/** Who has a copy has everything: it is told. */
export const backedUp = (
  state: State,
  ctx: Ctx,
  { from, to }: { readonly from: From<never>; readonly to: string },
  outcome: ReadOutcome,
): void => {
  answerWith(ctx, from, outcome)
  const made = outcome.ok ? (outcome.value as BackedUp) : null
  if (made?.ok !== true) return
  const detail = `${to}, ${made.bytes} bytes, ${made.webhooks} webhooks, checked`
  state.args.events.emit({ type: 'store.backed-up', at: ctx.world.wallNow(), detail })
}
