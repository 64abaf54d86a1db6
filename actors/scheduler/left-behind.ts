/** What a guard leaves behind when it ends, or when some hosts come under another: the store is asked what is due, and it is told again. */
import { guardKeyIn } from '#actors/guard.ts'
import { storeKeeper } from '#actors/store-keeper.ts'
import { PAGE_ROWS_MAX, WAKE_MAX_MS } from '#config/limits.ts'
import { RESTING_TABLE, type RestingRow } from '#guard/tables.ts'
import type { Answer, Down } from '#runtime/protocol.ts'
import { handedBy } from '#schedule/handed.ts'
import { joinLine } from '#schedule/waitlist.ts'
import type { Domain, Instant, LaneKey } from '#webhook/webhook.ts'
import { isCrash, parkFor } from './crashes.ts'
import { takeBackLanes } from './handed-lanes.ts'
import { givePlaces } from './places.ts'
import { scanLater } from './scan.ts'
import type { Ctx, Lanes, Read, State } from './state.ts'
import { tell } from './telling.ts'

/**
 * For any reason, a crash or an idle stop: ask the store whether the domain has due work, and tell again (D-2). Of one that has made
 * room for others that is known: its domain stands in line again.
 */
export const onGuardDown = (down: Down, state: State, ctx: Ctx): void => {
  const domain = state.watched.get(down.ref)
  if (domain === undefined) return
  state.watched.delete(down.ref)
  const stoodDown = state.told.get(domain)?.stoodDown ?? null
  state.told.delete(domain)
  state.starting.delete(domain)
  ctx.table<Domain, RestingRow>(RESTING_TABLE).delete(domain)
  const waitMs = isCrash(down.reason) ? parkFor(domain, down.reason, state, ctx) : 0
  if (waitMs > 0) ctx.sendAfter(waitMs, { type: 'unpark', domain })
  else if (stoodDown !== null) joinLine(state.list, domain, stoodDown.brand, ctx.world.monoNow() + stoodDown.restMs)
  else askLeftBehind(domain, ctx)
  givePlaces(state, ctx)
}
export const unpark = (domain: Domain, state: State, ctx: Ctx): void => {
  const crashes = state.crashes.get(domain)
  if (crashes !== undefined) crashes.parked = false
  askLeftBehind(domain, ctx)
}

const askLeftBehind = (domain: Domain, ctx: Ctx, after: LaneKey | null = null): void => {
  const now = handedBy(ctx.world.wallNow())
  const query = { type: 'due-lanes', now, domain, after, limit: PAGE_ROWS_MAX } as const
  ctx.request(storeKeeper, query, 'left-behind', { domain, now })
}

export const onLeftBehind = (
  message: Answer<'left-behind', Read<Lanes>, { readonly domain: Domain; readonly now: Instant }>,
  state: State,
  ctx: Ctx,
): void => {
  const { domain, now } = message.data
  if (!message.ok || !message.value.ok) return scanLater(WAKE_MAX_MS, false, state, ctx)
  const { lanes, next } = message.value.value
  if (lanes.length > 0) return tell(domain, [], lanes, 'due', state, ctx)
  if (next !== null) return askLeftBehind(domain, ctx, next)
  takeBackLanes((lane) => guardKeyIn(ctx, lane.domain) === guardKeyIn(ctx, domain), now, state, ctx)
}

/** What is due is told to whoever its guard is now; lanes in the hands of a guard that has nothing due of them are taken back. */
export const onRegrouped = (state: State, ctx: Ctx): void => {
  if (!state.recovered) return
  scanLater(0, true, state, ctx)
  const handed = [...state.horizon.cutLanes.values()].filter((one) => one.handed)
  for (const domain of new Set(handed.map(({ lane }) => lane.domain))) askLeftBehind(domain, ctx)
}
