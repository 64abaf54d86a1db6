/**
 * Who gets a place among the live guards (GUARDS_LIVE_MAX). A domain without one waits by name; its work lies in the store, which its
 * guard reads when it starts. Where all places are taken, guards that have nothing to do stop by themselves, and those that
 * can start nothing (closed, paused, parked for a permit of their brand) are asked to make room, the one first that has
 * rested longest; their domains wait in line again. More guards live than attempts may be in flight, so there are always some.
 */
import { guardOf, guards, startGuard } from '#actors/guard.ts'
import {
  GUARDS_STARTING_MAX,
  PLACES_KEPT_SHARE,
  PLACES_TICK_MS,
  STAND_DOWNS_FULL_MAX,
  STAND_DOWNS_MAX,
} from '#config/limits.ts'
import { roomFor } from '#guard/node-load.ts'
import { restsUntil } from '#guard/resting.ts'
import { countStart } from '#guard/start-counter.ts'
import {
  bookIn,
  GROUPS_TABLE,
  NODE_TABLE,
  type NodeLoad,
  QUICK_TABLE,
  type QuickRow,
  RESTING_TABLE,
  type RestingRow,
} from '#guard/tables.ts'
import {
  age,
  isAwaited,
  joinDue,
  joinLine,
  lineLength,
  othersThan,
  type Rests,
  readyAtMost,
  takeNext,
} from '#schedule/waitlist.ts'
import { type GroupBook, isGuardKey } from '#webhook/domain-group.ts'
import type { Brand, Domain, Due, LaneKey } from '#webhook/webhook.ts'
import { groundsIn, noteCrowd, showCrowd } from './crowd.ts'
import type { Ctx, State } from './state.ts'
import { lookForUnlisted } from './unlisted.ts'

const hasPlace = ({ told, starting, guardsMax }: State): boolean =>
  told.size < guardsMax && starting.size < GUARDS_STARTING_MAX

/** How a domain comes to want a place: something of it has just come due, or it has work in the store. */
export type Arrival = 'due' | 'found'

/** A guard for this domain, at once or when there is a place; then what is due of it is read from the store. */
export const askForPlace = (
  domain: Domain,
  entries: readonly Due[],
  more: readonly LaneKey[],
  how: Arrival,
  state: State,
  ctx: Ctx,
): void => {
  const { list } = state
  const brand = onlyBrand(entries, more)
  const isFirst = how === 'due' ? !list.listed.has(domain) : !isAwaited(list)
  if (isFirst && hasPlace(state) && restsIn(state, ctx)(domain, brand) <= ctx.world.monoNow())
    return start(domain, entries, more, state, ctx)
  if (how === 'due' && mayStartSoon(domain, ctx)) joinDue(list, domain, brand)
  else joinLine(list, domain, brand)
  givePlaces(state, ctx)
}
/** Where the node has no slot for a domain of which nobody knows that it is quick, what comes due of those must not bury one that is. */
const mayStartSoon = (domain: Domain, ctx: Ctx): boolean =>
  !isNodeFull(ctx) || ctx.table<Domain, QuickRow>(QUICK_TABLE).has(domain)
const isNodeFull = (ctx: Ctx): boolean => roomFor(ctx.table<string, NodeLoad>(NODE_TABLE), 'unknown') <= 0
const onlyBrand = (entries: readonly Due[], more: readonly LaneKey[]): Brand | null => {
  const brand = (entries[0] ?? more[0])?.brand ?? null
  return entries.every((one) => one.brand === brand) && more.every((one) => one.brand === brand) ? brand : null
}

const start = (domain: Domain, entries: readonly Due[], more: readonly LaneKey[], state: State, ctx: Ctx): void => {
  state.starting.add(domain)
  countStart(state.given, ctx.world.monoNow())
  state.told.set(domain, { pid: null, entries: [...entries], more: [...more], stoodDown: null })
  ctx.request(guards, startGuard({ domain, events: state.events }), 'guard-started', domain, Number.POSITIVE_INFINITY)
}

/** To whoever's turn it is, as far as there are places. While somebody waits, a tick looks again. */
export const givePlaces = (state: State, ctx: Ctx): void => {
  if (state.quiesced || !isAwaited(state.list)) return noteCrowd(state, ctx)
  const rests = restsIn(state, ctx)
  const now = ctx.world.monoNow()
  while (hasPlace(state)) {
    const domain = takeNext(state.list, rests, now)
    if (domain === undefined) break
    if (mayHaveGuard(domain, state, ctx)) start(domain, [], [], state, ctx)
  }
  noteCrowd(state, ctx)
  if (!isAwaited(state.list)) return
  // Everybody in line could start something: whoever comes next need not wait for a tick.
  if (lineLength(state.list) === 0) lookForUnlisted(state, ctx)
  if (state.placesTick !== null) return
  makeRoom(rests, state, ctx)
  lookForUnlisted(state, ctx)
  state.placesTick = ctx.sendAfter(PLACES_TICK_MS, { type: 'places' })
}
/** Meanwhile it may have got one, be parked for its crashes, or stand under another guard. */
const mayHaveGuard = (domain: Domain, { told, crashes }: State, ctx: Ctx): boolean =>
  !told.has(domain) &&
  crashes.get(domain)?.parked !== true &&
  isGuardKey(bookIn(ctx.table<string, GroupBook>(GROUPS_TABLE)), domain)

export const onPlacesTick = (state: State, ctx: Ctx): void => {
  state.placesTick = null
  age(state.list, ctx.world.monoNow())
  givePlaces(state, ctx)
  showCrowd(state, ctx)
}

/** Nobody is asked twice for one rest. One that waits for a permit of its brand makes no room for others of that brand alone. */
const makeRoom = (rests: Rests, { told, guardsMax, list }: State, ctx: Ctx): void => {
  const wanted = Math.min(
    isNodeFull(ctx) ? STAND_DOWNS_FULL_MAX : STAND_DOWNS_MAX,
    readyAtMost(list, rests, ctx.world.monoNow()),
  )
  if (told.size < guardsMax) return
  const resting = ctx.table<Domain, RestingRow>(RESTING_TABLE)
  let asked = 0
  for (const [domain, { parkedBrand }] of resting.entries()) {
    if (asked >= wanted) return
    if (asked >= othersThan(list, parkedBrand)) continue
    resting.delete(domain)
    if (!told.has(domain)) continue
    ctx.cast(guardOf(domain), { type: 'stand-down' })
    asked += 1
  }
}

/** While there are plenty of places everybody gets one. Otherwise from the tables. */
const restsIn = ({ told, guardsMax }: State, ctx: Ctx): Rests => {
  const plenty = guardsMax * (1 - PLACES_KEPT_SHARE)
  const groundOf = groundsIn(ctx)
  const nowMono = ctx.world.monoNow()
  return (domain, brand) => (told.size < plenty ? nowMono : restsUntil(domain, brand, groundOf(domain)))
}
