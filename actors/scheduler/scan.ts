/** The next look at every lane with due rows: one is ahead at a time. */
import { storeKeeper } from '#actors/store-keeper.ts'
import { PAGE_ROWS_MAX } from '#config/limits.ts'
import { handedBy } from '#schedule/handed.ts'
import type { LaneKey } from '#webhook/webhook.ts'
import type { Ctx, State } from './state.ts'

/** Every lane with due rows, in slices. `all`: tell live guards too (after a start); otherwise only where there is none (audit). */
export const scan = (after: LaneKey | null, all: boolean, ctx: Ctx): void => {
  const now = handedBy(ctx.world.wallNow())
  ctx.request(storeKeeper, { type: 'due-lanes', now, after, limit: PAGE_ROWS_MAX }, 'scanned', { all })
}

/** One scan is ahead at a time: the sooner one, and the wider one. */
export const scanLater = (delayMs: number, all: boolean, state: State, ctx: Ctx): void => {
  if (state.scan !== null) ctx.cancelTimer(state.scan.ref)
  const wide = all || state.scan?.all === true
  state.scan = { ref: ctx.sendAfter(delayMs, { type: 'scan', all: wide }), all: wide }
}
