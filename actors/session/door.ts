/**
 * session: the door. What is let in under overload is read from two tables, so that it costs no message and asks nobody
 * (reliability.md O2): streams first, then lists, then new schedules; results, cancels, health and limits always pass.
 */
import type { Ctx } from '#actors/session/state.ts'
import type { Group } from '#control/flight.ts'
import { type FrameHead, frameHead } from '#control/frame-head.ts'
import { isMethodName, type MethodName } from '#control/protocol.ts'
import type { ErrorData } from '#control/refusal.ts'
import { crowded, isFullUnread, noRoom, noRoomUnread, shedMethod } from '#control/shedding.ts'
import { type IngestLoad, newIngestLoad } from '#overload/ingest-load.ts'
import { sheds } from '#overload/levels.ts'
import { appendRoad, letIn, newStoreLoad, type StoreLoad } from '#overload/store-load.ts'
import {
  INGEST_LOAD_TABLE,
  noneShed,
  ONE,
  OVERLOAD_TABLE,
  type OverloadRow,
  STORE_LOAD_TABLE,
} from '#overload/tables.ts'
import type { FeedTopic } from '#telemetry/feed.ts'

const NOTHING_KNOWN: OverloadRow = { level: 'none', why: null, drainMs: 0, shed: noneShed() }

export const overloadNow = (ctx: Pick<Ctx, 'table'>): OverloadRow =>
  ctx.table<string, OverloadRow>(OVERLOAD_TABLE).get(ONE) ?? NOTHING_KNOWN
const storeLoadNow = (ctx: Ctx): StoreLoad => ctx.table<string, StoreLoad>(STORE_LOAD_TABLE).get(ONE) ?? newStoreLoad()

const ingestLoadNow = (ctx: Ctx): Readonly<IngestLoad> =>
  ctx.table<string, IngestLoad>(INGEST_LOAD_TABLE).get(ONE) ?? newIngestLoad()

/** Why this method is refused now, or null. */
export const refusedMethod = (method: MethodName, ctx: Ctx): ErrorData | null =>
  shedMethod(method, overloadNow(ctx), ctx.world.random())

/** A large frame that need not be read to be refused: whose it is, and why. Where its head does not tell, it is read. */
export const refusedUnread = (
  bytes: Uint8Array,
  ctx: Ctx,
): { readonly head: FrameHead; readonly data: ErrorData } | null => {
  const [load, reading, row] = [storeLoadNow(ctx), ingestLoadNow(ctx), overloadNow(ctx)]
  const nowMono = ctx.world.monoNow()
  const isFull = isFullUnread(bytes.length, reading, load, nowMono)
  if (!isFull && !sheds(row.level, 'lists')) return null
  const head = frameHead(bytes)
  if (head === null || !isMethodName(head.method)) return null
  const shed = refusedMethod(head.method, ctx)
  if (shed !== null) return { head, data: shed }
  if (!isFull || !isScheduling(head.method)) return null
  return { head, data: noRoomUnread(bytes.length, reading, load, row, nowMono, ctx.world.random()) }
}
const isScheduling = (method: MethodName): boolean => method === 'scheduleWebhook' || method === 'scheduleWebhooks'

/** Why the group may not wait for the store now, or null. */
export const refusedAppend = ({ append }: Group, ctx: Ctx): ErrorData | null =>
  noRoom(append.count, append.rows.length, storeLoadNow(ctx), overloadNow(ctx), ctx.world.monoNow(), ctx.world.random())
/** It is on its way to the store, and counts as waiting from now on. */
export const sendsAppend = ({ append }: Group, ctx: Ctx): void =>
  letIn(storeLoadNow(ctx)[appendRoad(append.count)], append.count, append.rows.length)

/** The store-keeper had no room left when the group came. */
export const refusedByKeeper = ({ append }: Group, ctx: Ctx): ErrorData =>
  crowded(storeLoadNow(ctx), appendRoad(append.count), ctx.world.monoNow(), ctx.world.random())

/** What floods is thinned, what explains the overload is told. */
export const isMuted = (topic: FeedTopic | 'monitor', ctx: Ctx): boolean =>
  (topic === 'webhooks' || topic === 'monitor') && sheds(overloadNow(ctx).level, 'streams')

/** Counts an event that was left out. */
export const leftOut = (ctx: Ctx): void => {
  overloadNow(ctx).shed.streams += 1
}
