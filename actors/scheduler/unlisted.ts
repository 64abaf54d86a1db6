/** Domains that wait for a place and found no room in the list: they are looked for in a circle over all lanes of the store. */
import { guardKeyIn, guardOf } from '#actors/guard.ts'
import { storeKeeper } from '#actors/store-keeper.ts'
import { PAGE_ROWS_MAX } from '#config/limits.ts'
import type { Answer } from '#runtime/protocol.ts'
import { handedBy } from '#schedule/handed.ts'
import { goOn, takeCircle, wantsCircle } from '#schedule/waitlist.ts'
import type { Domain, LaneKey } from '#webhook/webhook.ts'
import type { Ctx, Lanes, Read, State } from './state.ts'

/** One page a tick, so that domains without end that can start nothing cost the store little. */
export const lookForUnlisted = (state: State, ctx: Ctx): void => {
  if (state.isCircling || state.quiesced || !wantsCircle(state.list)) return
  state.isCircling = true
  const after = goOn(state.list)
  const now = handedBy(ctx.world.wallNow())
  ctx.request(storeKeeper, { type: 'due-lanes', now, after, limit: PAGE_ROWS_MAX }, 'unlisted')
}

/** Lanes that say nothing cost little: then the next page is read at once. After a failed read the next tick asks again. */
export const takeUnlisted = (message: Answer<'unlisted', Read<Lanes>>, state: State, ctx: Ctx): void => {
  state.isCircling = false
  if (!message.ok || !message.value.ok) return
  const { lanes, next } = message.value.value
  const due = lanes.map((lane): readonly [Domain, LaneKey] => [guardKeyIn(ctx, lane.domain), lane])
  const found = due.filter(([domain]) => !state.told.has(domain) && state.crashes.get(domain)?.parked !== true)
  // The horizon may have skipped what is due of them.
  for (const [domain, lane] of due)
    if (state.told.has(domain)) ctx.cast(guardOf(domain), { type: 'due', entries: [], more: [lane] })
  takeCircle(state.list, found, next)
  if (found.length === 0 && next !== null) lookForUnlisted(state, ctx)
}
