/** What a scan found: told to every guard after a start, and later, as an audit, where there is no guard. */
import { guardKeyIn } from '#actors/guard.ts'
import { AUDIT_MS, WAKE_MAX_MS } from '#config/limits.ts'
import type { Answer } from '#runtime/protocol.ts'
import { handedBy } from '#schedule/handed.ts'
import { stepBack } from '#schedule/horizon.ts'
import { forgetCrashes } from './crashes.ts'
import { scan, scanLater } from './scan.ts'
import type { Ctx, Lanes, Read, State } from './state.ts'
import { tell } from './telling.ts'
import { tick } from './wake-up.ts'

/** Every so many audits live guards are told too, for whatever nobody thought of. */
const WIDE_AUDIT_EACH = 6

export const onRecovered = (state: State, ctx: Ctx): void => {
  state.recovered = true
  // The horizon begins where the scan ends, also if the clock has gone back meanwhile.
  stepBack(state.horizon, handedBy(ctx.world.wallNow()))
  scan(null, true, ctx)
  tick(state, ctx)
}

export const onScanned = (
  message: Answer<'scanned', Read<Lanes>, { readonly all: boolean }>,
  state: State,
  ctx: Ctx,
): void => {
  const { all } = message.data
  if (!message.ok || !message.value.ok) {
    scanLater(WAKE_MAX_MS, all, state, ctx)
    return
  }
  const { lanes, next } = message.value.value
  if (!state.quiesced) {
    for (const lane of lanes) {
      if (all || !state.told.has(guardKeyIn(ctx, lane.domain))) tell(lane.domain, [], [lane], 'found', state, ctx)
    }
  }
  if (next !== null) scan(next, all, ctx)
  else {
    forgetCrashes(state, ctx)
    state.audits = all ? 0 : state.audits + 1
    scanLater(AUDIT_MS, state.audits >= WIDE_AUDIT_EACH, state, ctx)
  }
}
