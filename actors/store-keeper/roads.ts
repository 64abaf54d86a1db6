/** The four roads: what comes in waits on one, and goes out in groups, one group under way on each (D-6). */
import type { StoreKeeperProtocol } from '#actors/store-keeper.ts'
import {
  APPEND_CHUNK_ROWS,
  GROUP_BYTES_MAX,
  GROUP_OPS_MAX,
  LARGE_GROUP_ROWS_MAX,
  OUTCOME_RIDE_MS,
  OUTCOMES_RIDE_MAX,
} from '#config/limits.ts'
import { appendRoad, hasRoom, sent, took } from '#overload/store-load.ts'
import { keep } from '#runtime/behaviour.ts'
import type { From } from '#runtime/from.ts'
import { isPromised, type WriteOp } from '#store/store.ts'
import { refuse } from './answers.ts'
import { writingOf } from './asking.ts'
import { type Ctx, type Pending, ROADS, type Road, type RoadState, type State } from './state.ts'

export const takeWrite = (op: WriteOp, from: From<never>, state: State, ctx: Ctx): typeof keep => {
  if (state.isDown && isPromised(op)) {
    refuse(ctx, { op, from, sent: 0 }, { ok: false, failed: 'closed' })
    return keep
  }
  if (op.type === 'append') {
    if (!hasRoom(state.load, op.count, op.rows.length)) {
      refuse(ctx, { op, from, sent: 0 }, { ok: false, failed: 'crowded' })
      return keep
    }
    took(state.load[appendRoad(op.count)], op.count, op.rows.length)
  }
  state.roads[roadOf(op)].waiting.push({ op, from, sent: 0 })
  if (!state.flushSent) {
    state.flushSent = true
    ctx.send<StoreKeeperProtocol>(ctx.self, { type: 'flush' })
  }
  return keep
}

export const isAppendRoad = (name: Road): name is 'promised' | 'large' => name === 'promised' || name === 'large'
export const rowsOf = (group: readonly Pending[]): number =>
  group.reduce((rows, { op }) => rows + (op.type === 'append' ? op.count : 0), 0)

const roadOf = (op: WriteOp): Road => {
  if (!isPromised(op)) return 'urgent'
  return op.type === 'append' ? appendRoad(op.count) : 'steering'
}

export const flush = (state: State, ctx: Ctx): void => {
  const { store } = state.holding
  if (state.phase !== 'open' || store === null) return
  for (const name of ROADS) {
    const road = state.roads[name]
    if (road.underWay !== null || road.paused || road.waiting.length === 0) continue
    if (name === 'urgent' && mayRide(road, state, ctx)) continue
    const group = road.waiting.splice(0, groupLength(name, road.waiting))
    road.underWay = group
    if (isAppendRoad(name)) sent(state.load[name], ctx.world.monoNow())
    road.writing = writingOf(store, group)
    ctx.pipe(road.writing, 'written', { road: name, incarnation: state.holding.incarnation })
  }
}

/** Only while marks come every few milliseconds: a lone outcome goes at once. */
const mayRide = ({ waiting }: RoadState, state: State, ctx: Ctx): boolean => {
  const now = ctx.world.monoNow()
  const alone = waiting.length < OUTCOMES_RIDE_MAX && waiting.every(({ op }) => op.type === 'record-outcome')
  if (!alone || state.ride === 'over' || now - state.markedMono > OUTCOME_RIDE_MS) {
    if (!alone) state.markedMono = now
    if (state.ride === 'over') state.ride = 'none'
    return false
  }
  if (state.ride === 'none') {
    state.ride = 'on'
    ctx.sendAfter(OUTCOME_RIDE_MS, { type: 'ride-over' })
  }
  return true
}

/**
 * How many of the first operations make a group: one transaction's worth. Large appends are transactions of their own; several go
 * together, so that the store's thread does not stand idle for a turn of main between any two of them.
 */
const groupLength = (name: Road, waiting: readonly Pending[]): number => {
  const rowsMax = name === 'large' ? LARGE_GROUP_ROWS_MAX : APPEND_CHUNK_ROWS
  let rows = 0
  let bytes = 0
  const end = waiting.findIndex(({ op }, index) => {
    rows += op.type === 'append' ? op.count : 0
    bytes += op.type === 'append' ? op.rows.length : 0
    return index > 0 && (index >= GROUP_OPS_MAX || rows > rowsMax || bytes > GROUP_BYTES_MAX)
  })
  return end === -1 ? waiting.length : end
}
