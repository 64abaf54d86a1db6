/** Tells of the store's failures, once per streak of them. */
import type { Ctx, State } from './state.ts'

/** The detail of `store.opened` by which a store that could not be written takes writes. */
export const WRITES_AGAIN = 'writes again'

export const report = (state: State, ctx: Ctx, detail: string): void =>
  state.args.events.emit({ type: 'store.failed', at: ctx.world.wallNow(), detail })
export const complain = (state: State, ctx: Ctx, detail: string): void => {
  if (!state.isFailing) report(state, ctx, detail)
  state.isFailing = true
}
export const recovered = (state: State, ctx: Ctx): void => {
  if (!state.isFailing) return
  state.isFailing = false
  state.args.events.emit({ type: 'store.opened', at: ctx.world.wallNow(), detail: WRITES_AGAIN })
}
