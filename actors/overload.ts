/**
 * overload: looks four times a second how hard the daemon has it, and shows the door what to shed (reliability.md O2). Started by root, after the
 * store-keeper.
 *
 * State: the level, and the figures of the last two seconds. On restart it begins calm and measures anew; until then the door
 * keeps to the level that stands in the table. A crash costs a moment's judgement, no webhook.
 */
import { FEW } from '#actors/mailboxes.ts'
import { OVERLOAD_SAMPLE_MS, OVERLOAD_WINDOW_MS } from '#config/limits.ts'
import { CALM, inWords, type LoadFigures, type Overload, type Shed, step } from '#overload/levels.ts'
import { commitMs, fill, forgetArriving, newStoreLoad, type StoreLoad, waitMs } from '#overload/store-load.ts'
import { LOAD_HEIR, noneShed, ONE, OVERLOAD_TABLE, type OverloadRow, STORE_LOAD_TABLE } from '#overload/tables.ts'
import { type Behaviour, keep, ok } from '#runtime/behaviour.ts'
import type { Context } from '#runtime/context.ts'
import { type Name, name } from '#runtime/protocol.ts'
import type { Events } from '#telemetry/events.ts'
import type { LoadProbe } from '#world/world.ts'

export type OverloadProtocol = {
  readonly call: never
  readonly cast: never
  readonly info: { readonly type: 'look' }
  readonly continue: never
}
export const overload: Name<OverloadProtocol> = name('overload')

export interface OverloadArgs {
  readonly events: Events
}
interface State {
  readonly events: Events
  readonly probe: LoadProbe
  /** Shares of the window, the oldest first: the lowest is what stays after garbage. */
  readonly heap: number[]
  /** Longest delays of the loop, one a look of the window. */
  readonly loopDelaysMs: number[]
  overload: Overload
}
type Ctx = Context<OverloadProtocol>

const LOOKS_PER_WINDOW = OVERLOAD_WINDOW_MS / OVERLOAD_SAMPLE_MS

export const overloadActor: Behaviour<OverloadProtocol, OverloadArgs, State> = {
  name: 'overload',
  version: 1,
  mailbox: FEW,
  init({ events }, ctx) {
    const probe = ctx.world.watchLoad()
    ctx.own(() => probe.close())
    const table = ctx.createTable<string, OverloadRow>(OVERLOAD_TABLE, { heir: LOAD_HEIR })
    if (!table.has(ONE)) table.set(ONE, { level: 'none', why: null, drainMs: 0, shed: noneShed() })
    ctx.sendAfterCoarse(untilLook(ctx), { type: 'look' })
    const before = table.get(ONE)?.level ?? 'none'
    return ok({ events, probe, heap: [], loopDelaysMs: [], overload: { ...CALM, level: before } })
  },
  info(message, state, ctx) {
    if (message.type !== 'look') return keep
    ctx.sendAfterCoarse(untilLook(ctx), { type: 'look' })
    look(state, ctx)
    return keep
  },
  formatStatus: ({ overload: now, heap, loopDelaysMs }) => ({
    ...now,
    heap: heap.at(-1) ?? 0,
    loopDelayMs: lasting(loopDelaysMs),
  }),
}

/** With the runtime's own look at the loop (`watchLoop`), in one wake-up. */
const untilLook = (ctx: Ctx): number => OVERLOAD_SAMPLE_MS - (ctx.world.monoNow() % OVERLOAD_SAMPLE_MS)

const look = (state: State, ctx: Ctx): void => {
  const before = state.overload
  const figures = figuresOf(state, ctx)
  state.overload = step(before, figures, ctx.world.monoNow())
  const { level, cause } = state.overload
  const why = cause === null ? null : inWords(cause, figures)
  const table = ctx.table<string, OverloadRow>(OVERLOAD_TABLE)
  tellShed(table.get(ONE)?.shed ?? noneShed(), state, ctx)
  table.set(ONE, { level, why, drainMs: figures.storeWaitMs, shed: noneShed() })
  if (level === before.level) return
  const at = ctx.world.wallNow()
  state.events.emit({ type: 'overload.changed', at, level, from: before.level, cause: why ?? 'calm again' })
}

const figuresOf = (state: State, ctx: Ctx): LoadFigures => {
  const load = ctx.table<string, StoreLoad>(STORE_LOAD_TABLE).get(ONE) ?? newStoreLoad()
  forgetArriving(load)
  const nowMono = ctx.world.monoNow()
  keepLast(state.heap, state.probe.heapShare())
  keepLast(state.loopDelaysMs, state.probe.loopDelayMs())
  return {
    storeWaitMs: waitMs(load.promised),
    storeFill: fill(load),
    commitMs: commitMs(load.promised, nowMono),
    loopDelayMs: lasting(state.loopDelaysMs),
    heapShare: state.heap.length < LOOKS_PER_WINDOW ? 0 : Math.min(...state.heap),
  }
}

const keepLast = (figures: number[], figure: number): void => {
  figures.push(figure)
  if (figures.length > LOOKS_PER_WINDOW) figures.shift()
}

/** The second longest: one stall alone is over before anybody could be told of it. */
const lasting = (delaysMs: readonly number[]): number => delaysMs.toSorted((a, b) => b - a)[1] ?? 0

const tellShed = (shed: OverloadRow['shed'], state: State, ctx: Ctx): void => {
  for (const what of SHEDS) {
    const count = shed[what]
    if (count > 0) state.events.emit({ type: 'requests.shed', at: ctx.world.wallNow(), what, count })
  }
}
const SHEDS: readonly Shed[] = ['streams', 'lists', 'schedules']
