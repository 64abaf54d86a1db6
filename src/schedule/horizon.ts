/**
 * The horizon: what is due soon, in due order, bounded in count (decisions.md D-5, D-15). Pure: `now` is an argument.
 *
 * Invariant: every live row with key <= `edge` is in here, or in a guard's hands, or belongs to a lane that is cut short
 * and lies behind its cut. Rows behind the edge are in the store only; a page of them is read when there is room.
 */
import { type Due, type Edge, type Instant, type LaneKey, laneOf, type WebhookId } from '#webhook/webhook.ts'

/**
 * A lane that has more rows than one window. `cut`: its rows up to here are in the horizon or told, the others are not.
 * `handed`: they are due, so the guard reads them from the store by itself, until it says that it has caught up.
 */
export interface CutLane {
  readonly lane: LaneKey
  cut: Edge
  handed: boolean
  reading: LaneRead | null
}

/** The read of a cut lane that is under way. */
export interface LaneRead {
  /** The lowest edge since it was asked for: what lies behind it is none of this read's business. */
  until: Edge
  /** Acknowledged meanwhile; merged when it comes. */
  readonly kept: Due[]
  /** The cut went down meanwhile: what the read brings begins too late. */
  stale: boolean
}

export interface Horizon {
  readonly entriesMax: number
  readonly windowMax: number
  /** Sorted by (nextAt, seq); those before `head` are gone. */
  entries: Due[]
  head: number
  readonly known: Map<WebhookId, Due>
  readonly laneCounts: Map<string, number>
  readonly cutLanes: Map<string, CutLane>
  edge: Edge
  /** The page that is being read: up to where it may come, and what was acknowledged meanwhile. */
  load: { readonly until: Instant; kept: Due[]; stale: boolean } | null
}

export const createHorizon = (now: Instant, entriesMax: number, windowMax: number): Horizon => ({
  entriesMax,
  windowMax,
  entries: [],
  head: 0,
  known: new Map(),
  laneCounts: new Map(),
  cutLanes: new Map(),
  edge: { nextAt: now, seq: Number.MAX_SAFE_INTEGER },
  load: null,
})

export const laneText = (lane: LaneKey): string => `${lane.kind} ${lane.priority} ${lane.brand} ${lane.domain}`
export const isBefore = (a: Edge, b: Edge): boolean => a.nextAt < b.nextAt || (a.nextAt === b.nextAt && a.seq < b.seq)
export const sizeOf = (horizon: Horizon): number => horizon.entries.length - horizon.head
export const firstOf = (horizon: Horizon): Due | undefined => horizon.entries[horizon.head]

/** A row was acknowledged (new, retried, handed back): keep it if it lies within what the horizon answers for. */
export const admitRow = (horizon: Horizon, due: Due, now: Instant): void => {
  if (isBefore(horizon.edge, due)) {
    if (horizon.load !== null && due.nextAt <= horizon.load.until) horizon.load.kept.push(due)
    return
  }
  const text = laneText(laneOf(due))
  const cutLane = horizon.cutLanes.get(text)
  if (cutLane !== undefined && isBefore(cutLane.cut, due)) {
    cutLane.reading?.kept.push(due)
    if (!cutLane.handed || due.nextAt > now) return
  } else if (cutLane === undefined && (horizon.laneCounts.get(text) ?? 0) >= horizon.windowMax) {
    if (!cutShort(horizon, due, text)) return
  }
  insert(horizon, due, text)
  shrink(horizon)
}

/** A full lane gets a cut at its last entry. True if `due` lies before it. */
const cutShort = (horizon: Horizon, due: Due, text: string): boolean => {
  for (let i = horizon.entries.length - 1; i >= horizon.head; i--) {
    const last = horizon.entries[i] as Due
    if (laneText(laneOf(last)) !== text) continue
    horizon.cutLanes.set(text, {
      lane: laneOf(due),
      cut: { nextAt: last.nextAt, seq: last.seq },
      handed: false,
      reading: null,
    })
    return isBefore(due, last)
  }
  return true
}

const insert = (horizon: Horizon, due: Due, text: string): void => {
  const known = horizon.known.get(due.id)
  if (known !== undefined) {
    if (known.nextAt === due.nextAt && known.attempts === due.attempts) return
    remove(horizon, due.id)
  }
  horizon.known.set(due.id, due)
  horizon.laneCounts.set(text, (horizon.laneCounts.get(text) ?? 0) + 1)
  const last = horizon.entries[horizon.entries.length - 1]
  if (last === undefined || sizeOf(horizon) === 0 || !isBefore(due, last)) horizon.entries.push(due)
  else horizon.entries.splice(placeOf(horizon, due), 0, due)
}

/** Where a key stands, or would stand, by binary search. */
const placeOf = (horizon: Horizon, key: Edge): number => {
  let low = horizon.head
  let high = horizon.entries.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (isBefore(horizon.entries[middle] as Due, key)) low = middle + 1
    else high = middle
  }
  return low
}

/** Too many: the latest go back to being in the store only, and the edge goes down with them (D-5). */
const shrink = (horizon: Horizon): void => {
  while (sizeOf(horizon) > horizon.entriesMax) {
    const evicted = horizon.entries.pop() as Due
    forget(horizon, evicted)
    lowerEdge(horizon, { nextAt: evicted.nextAt, seq: evicted.seq - 1 })
  }
}
const lowerEdge = (horizon: Horizon, edge: Edge): void => {
  horizon.edge = edge
  if (horizon.load !== null) horizon.load.stale = true
  for (const lane of horizon.cutLanes.values()) {
    if (lane.reading !== null && isBefore(edge, lane.reading.until)) lane.reading.until = edge
    if (!isBefore(edge, lane.cut)) continue
    lane.cut = edge
    if (lane.reading !== null) lane.reading.stale = true
  }
}

/**
 * The clock has stepped back: what was due a moment ago is not due yet, and whoever was asked for what is due did not see it.
 * Everything later than `now` goes back to being in the store only, and is read again.
 */
export const stepBack = (horizon: Horizon, now: Instant): void => {
  const edge = { nextAt: now, seq: Number.MAX_SAFE_INTEGER }
  if (!isBefore(edge, horizon.edge)) return
  for (;;) {
    const last = horizon.entries[horizon.entries.length - 1]
    if (sizeOf(horizon) === 0 || last === undefined || !isBefore(edge, last)) break
    horizon.entries.pop()
    forget(horizon, last)
  }
  lowerEdge(horizon, edge)
}

/**
 * Too much is due to read all of it in time: the horizon goes on from `now`, as after a start. What is due and was not read is the
 * store's, and the caller's to look for. A page under way is of what is skipped. False: it is not behind.
 */
export const skipTo = (horizon: Horizon, now: Instant): boolean => {
  const edge = { nextAt: now, seq: Number.MAX_SAFE_INTEGER }
  if (!isBefore(horizon.edge, edge)) return false
  horizon.edge = edge
  if (horizon.load !== null) horizon.load.stale = true
  return true
}

/** A lane whose cut is not before the edge is whole again: what comes next, the pages bring. A page under way left it out. */
const healLanes = (horizon: Horizon): void => {
  if (horizon.load !== null) return
  for (const [text, lane] of horizon.cutLanes) {
    if (!lane.handed && lane.reading === null && !isBefore(lane.cut, horizon.edge)) horizon.cutLanes.delete(text)
  }
}

const forget = (horizon: Horizon, due: Due): void => {
  horizon.known.delete(due.id)
  const text = laneText(laneOf(due))
  const count = (horizon.laneCounts.get(text) ?? 1) - 1
  if (count > 0) horizon.laneCounts.set(text, count)
  else horizon.laneCounts.delete(text)
}

/** Takes an entry out, wherever it is; true if it was here. */
export const remove = (horizon: Horizon, id: WebhookId): boolean => {
  const due = horizon.known.get(id)
  if (due === undefined) return false
  horizon.entries.splice(placeOf(horizon, due), 1)
  forget(horizon, due)
  return true
}

/** What is due by `now`, in order, taken out. Throws where the horizon has lost count of itself. */
export const takeDue = (horizon: Horizon, now: Instant): Due[] => {
  if (sizeOf(horizon) !== horizon.known.size)
    throw new Error(`the horizon holds ${sizeOf(horizon)} entries and knows ${horizon.known.size}`)
  const start = horizon.head
  while (horizon.head < horizon.entries.length && (horizon.entries[horizon.head] as Due).nextAt <= now) horizon.head++
  const taken = horizon.entries.slice(start, horizon.head)
  for (const due of taken) forget(horizon, due)
  if (horizon.head === horizon.entries.length || horizon.head > horizon.entriesMax) {
    horizon.entries = horizon.entries.slice(horizon.head)
    horizon.head = 0
  }
  return taken
}

/** Cut lanes whose known entries have all been told and whose next ones are due: the guard reads them by itself from now on. */
export const handOver = (horizon: Horizon, now: Instant): LaneKey[] => {
  const handed: LaneKey[] = []
  for (const [text, lane] of horizon.cutLanes) {
    if (lane.handed || lane.reading !== null || lane.cut.nextAt > now || horizon.laneCounts.has(text)) continue
    lane.handed = true
    handed.push(lane.lane)
  }
  return handed
}

/** When the next of them will be due; Infinity: nobody knows of one. */
export const nextHandOver = (horizon: Horizon): Instant => {
  let next = Number.POSITIVE_INFINITY
  for (const [text, { handed, reading, cut }] of horizon.cutLanes)
    if (!handed && reading === null && !horizon.laneCounts.has(text)) next = Math.min(next, cut.nextAt)
  return next
}

export interface PageWish {
  readonly after: Edge
  readonly until: Instant
  readonly except: readonly LaneKey[]
}

/** The next page to read, if there is room, something left, and none under way. Marks it as under way. */
export const wishPage = (horizon: Horizon, now: Instant, aheadMs: number): PageWish | null => {
  const until = now + aheadMs
  healLanes(horizon)
  if (horizon.load !== null || sizeOf(horizon) > horizon.entriesMax / 2) return null
  if (horizon.edge.nextAt >= until - aheadMs / 4) return null
  horizon.load = { until, kept: [], stale: false }
  return { after: horizon.edge, until, except: [...horizon.cutLanes.values()].map((lane) => lane.lane) }
}

/** A page has come: page and what was acknowledged meanwhile are merged by id, then the edge moves (D-5). */
export const mergePage = (horizon: Horizon, rows: readonly Due[], edge: Edge, now: Instant): void => {
  const load = horizon.load
  horizon.load = null
  if (load === null || load.stale) return
  horizon.edge = edge
  for (const due of rows) admitRow(horizon, due, now)
  for (const due of load.kept) admitRow(horizon, due, now)
}

/** The read failed: the edge stays, and what was acknowledged meanwhile is in the store. */
export const abandonPage = (horizon: Horizon): void => {
  horizon.load = null
}

/** Cut lanes that run low and whose next rows are not due yet: read ahead. Marks them as under way. */
export const wishLanes = (horizon: Horizon, now: Instant): CutLane[] => {
  healLanes(horizon)
  const wishes: CutLane[] = []
  for (const [text, lane] of horizon.cutLanes) {
    if (lane.handed || lane.reading !== null || lane.cut.nextAt <= now || !isBefore(lane.cut, horizon.edge)) continue
    if ((horizon.laneCounts.get(text) ?? 0) > horizon.windowMax / 2) continue
    lane.reading = { until: horizon.edge, kept: [], stale: false }
    wishes.push(lane)
  }
  return wishes
}

/** The guard holds every row of the lane that was due at `upTo`: what comes after is the horizon's again. Null: nothing to read. */
export const takeBack = (horizon: Horizon, lane: LaneKey, upTo: Instant): CutLane | null => {
  const cutLane = horizon.cutLanes.get(laneText(lane))
  if (cutLane === undefined || !cutLane.handed) return null
  const seen = { nextAt: upTo, seq: Number.MAX_SAFE_INTEGER }
  cutLane.handed = false
  cutLane.cut = isBefore(seen, horizon.edge) ? seen : horizon.edge
  if (!isBefore(cutLane.cut, horizon.edge)) return null
  cutLane.reading = { until: horizon.edge, kept: [], stale: false }
  return cutLane
}

/** The rows of a cut lane behind its cut have come; `more`: the store holds others behind them. */
export const mergeLane = (horizon: Horizon, lane: LaneKey, rows: readonly Due[], more: boolean): void => {
  const text = laneText(lane)
  const cutLane = horizon.cutLanes.get(text)
  const reading = cutLane?.reading ?? null
  if (cutLane === undefined || reading === null) return
  cutLane.reading = null
  if (reading.stale) return
  const last = rows[rows.length - 1]
  const read =
    more && last !== undefined && isBefore(last, reading.until) ? { nextAt: last.nextAt, seq: last.seq } : reading.until
  cutLane.cut = isBefore(horizon.edge, read) ? horizon.edge : read
  for (const due of [...rows, ...reading.kept]) {
    if (!isBefore(cutLane.cut, due)) insert(horizon, due, text)
  }
  shrink(horizon)
}

/** The read of a lane failed: try again at the next wish. */
export const abandonLane = (horizon: Horizon, lane: LaneKey): void => {
  const cutLane = horizon.cutLanes.get(laneText(lane))
  if (cutLane !== undefined) cutLane.reading = null
}
