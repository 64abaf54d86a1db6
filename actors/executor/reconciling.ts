/** Started rows in the store are compared with what runs: after a start, and as an audit (D-3). */
import { dispatchPool } from '#actors/dispatch-pool.ts'
import { storeKeeper } from '#actors/store-keeper.ts'
import { PAGE_ROWS_MAX } from '#config/limits.ts'
import { type Ctx, running, type State, watch } from './state.ts'

/**
 * An execution that began for a dead executor is known to nobody here; without a monitor its death would leave its webhook
 * executing for ever.
 */
export const watchUnwatched = (state: State, ctx: Ctx): void => {
  const watched = new Set([...state.watched.values()].map(({ pid }) => pid.id))
  for (const [token, row] of running(ctx).entries()) {
    if (watched.has(row.pid.id) || state.orphans.has(token) || state.starting.has(token)) continue
    watch(row.pid, token, state, ctx)
  }
}
export const watchPool = (state: State, ctx: Ctx): void => {
  state.poolWatched = true
  ctx.monitor(dispatchPool)
}

/** Holders are looked at after the store was read: an attempt that began since then is not in the page. */
export const reconcile = (state: State, ctx: Ctx, after = 0): void => {
  if (after === 0 && state.reconciling) return
  state.reconciling = true
  if (!state.poolWatched) watchPool(state, ctx)
  ctx.request(storeKeeper, { type: 'started', after, limit: PAGE_ROWS_MAX }, 'started-page')
}
export const reconcileLater = (delayMs: number, state: State, ctx: Ctx): void => {
  state.reconciling = false
  if (state.audit !== null) ctx.cancelTimer(state.audit)
  state.audit = ctx.sendAfter(delayMs, { type: 'reconcile' })
}
