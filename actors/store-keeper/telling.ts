/** Tells of the store's failures: once per streak of them, and again whenever it had been said that it is open. */
import type { Ctx, State } from './state.ts'

const WRITES_AGAIN = 'writes again'

export const report = (state: State, ctx: Ctx, detail: string): void => {
  state.failing = 'told'
  state.args.events.emit({ type: 'store.failed', at: ctx.world.wallNow(), detail })
}
export const complain = (state: State, ctx: Ctx, detail: string): void => {
  if (state.failing !== 'told') report(state, ctx, detail)
}
/** Its opening has been told, and who heard it (`/readyz`) takes it for cured: the next failure has to be told too. */
export const openedAgain = (state: State): void => {
  if (state.failing === 'told') state.failing = 'opened'
}
export const recovered = (state: State, ctx: Ctx): void => {
  if (state.failing === 'no') return
  state.failing = 'no'
  state.args.events.emit({ type: 'store.opened', at: ctx.world.wallNow(), detail: WRITES_AGAIN })
}
