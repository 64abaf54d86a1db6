/** Lanes of which only the store knows the rest: read here as far as the window reaches, in a guard's hands, or taken back from one that has caught up. */
import { guardKeyIn } from '#actors/guard.ts'
import { storeKeeper } from '#actors/store-keeper.ts'
import { LANE_WINDOW_MAX } from '#config/limits.ts'
import { type CutLane, takeBack } from '#schedule/horizon.ts'
import type { Instant, LaneKey } from '#webhook/webhook.ts'
import type { Ctx, State } from './state.ts'

export const requestLane = ({ lane, cut, reading }: CutLane, ctx: Ctx): void => {
  if (reading === null) return
  ctx.request(
    storeKeeper,
    { type: 'lane', lane, after: cut, until: reading.until.nextAt, limit: LANE_WINDOW_MAX },
    'lane',
    lane,
  )
}

/** The horizon's lanes are those of hosts; a guard speaks of its own: of a group, the lanes of all its hosts. */
export const isOf = (lane: LaneKey, { domain, brand, priority, kind }: LaneKey, ctx: Ctx): boolean =>
  lane.brand === brand && lane.priority === priority && lane.kind === kind && guardKeyIn(ctx, lane.domain) === domain
export const takeBackLanes = (which: (lane: LaneKey) => boolean, upTo: Instant, state: State, ctx: Ctx): void => {
  for (const { lane, handed } of [...state.horizon.cutLanes.values()]) {
    if (handed && which(lane)) takeBackLane(lane, upTo, state, ctx)
  }
}
export const takeBackLane = (lane: LaneKey, upTo: Instant, state: State, ctx: Ctx): void => {
  const cutLane = takeBack(state.horizon, lane, upTo)
  if (cutLane !== null) requestLane(cutLane, ctx)
}
