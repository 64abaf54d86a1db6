/**
 * What waits for the store, counted by the store-keeper as it takes and answers, and read at the door without a message. Little's law
 * gives the wait: chunks ahead times what a chunk takes. A rate in rows per second would lie, since a commit of one row costs
 * nearly what a commit of three hundred does.
 */
import {
  APPEND_CHUNK_ROWS,
  OVERLOAD_WINDOW_MS,
  STORE_WAITING_BYTES_MAX,
  STORE_WAITING_ROWS_MAX,
} from '#config/limits.ts'

/** Small appends and large ones wait apart, each kind with its own group under way. */
export type AppendRoad = 'promised' | 'large'

/** Mutable: counted at every append, so it is changed in place. Readers take it as `Readonly`. */
export interface RoadLoad {
  /** Webhooks and bytes that wait or are being written. */
  rows: number
  bytes: number
  /** Let in at the door and on its way here; whoever comes in the same moment must see it. Messages are quick: it is forgotten at each look. */
  arrivingRows: number
  arrivingBytes: number
  /** What one transaction's worth of rows takes, smoothed; null: nothing was written yet. */
  chunkMs: number | null
  /** Latency of the last group, and when it came back. */
  commitMs: number
  returnedMono: number
  /** Monotonic instant at which the group under way was sent; null: none is. */
  sentMono: number | null
}
export type StoreLoad = Readonly<Record<AppendRoad, RoadLoad>>
export type StoreLoadShown = Readonly<Record<AppendRoad, Readonly<RoadLoad>>>

const roadLoad = (): RoadLoad => ({
  rows: 0,
  bytes: 0,
  arrivingRows: 0,
  arrivingBytes: 0,
  chunkMs: null,
  commitMs: 0,
  returnedMono: 0,
  sentMono: null,
})
export const newStoreLoad = (): StoreLoad => ({ promised: roadLoad(), large: roadLoad() })

export const appendRoad = (rows: number): AppendRoad => (rows > APPEND_CHUNK_ROWS ? 'large' : 'promised')

/** Let in at the door. */
export const letIn = (load: RoadLoad, rows: number, bytes: number): void => {
  load.arrivingRows += rows
  load.arrivingBytes += bytes
}
export const took = (load: RoadLoad, rows: number, bytes: number): void => {
  load.arrivingRows = Math.max(0, load.arrivingRows - rows)
  load.arrivingBytes = Math.max(0, load.arrivingBytes - bytes)
  load.rows += rows
  load.bytes += bytes
}
/** What was lost on its way, with an actor that died, must not count for ever. */
export const forgetArriving = ({ promised, large }: StoreLoad): void => {
  for (const load of [promised, large]) {
    load.arrivingRows = 0
    load.arrivingBytes = 0
  }
}
/** Answered, written or not. */
export const gaveBack = (load: RoadLoad, rows: number, bytes: number): void => {
  load.rows -= rows
  load.bytes -= bytes
}
export const sent = (load: RoadLoad, nowMono: number): void => {
  load.sentMono = nowMono
}

/** The weight of the newest group: the last five or so decide. */
const NEWEST = 0.2

/** A group came back after `rows` rows. */
export const returned = (load: RoadLoad, rows: number, nowMono: number): void => {
  if (load.sentMono === null) return
  const tookMs = nowMono - load.sentMono
  load.sentMono = null
  load.commitMs = tookMs
  load.returnedMono = nowMono
  const perChunk = tookMs / chunks(rows)
  load.chunkMs = load.chunkMs === null ? perChunk : load.chunkMs + NEWEST * (perChunk - load.chunkMs)
}

/**
 * Latency of the last commit, or of the one that is under way for longer than that. What is long past counts no more: where nothing is let
 * in for a slow commit's sake, no further one would show that it is over.
 */
export const commitMs = (load: Readonly<RoadLoad>, nowMono: number): number => {
  const last = nowMono - load.returnedMono > OVERLOAD_WINDOW_MS ? 0 : load.commitMs
  return load.sentMono === null ? last : Math.max(last, nowMono - load.sentMono)
}

/** How long an append that comes now should wait until it is written, before its own writing. 0 where nothing is known. */
export const waitMs = (load: Readonly<RoadLoad>): number =>
  waiting(load) === 0 || load.chunkMs === null ? 0 : chunks(waiting(load)) * load.chunkMs
/** The same at the door, where a group that hangs says more than those before it: who comes behind it waits as long again. */
export const doorWaitMs = (load: Readonly<RoadLoad>, nowMono: number): number =>
  Math.max(waitMs(load), load.sentMono === null ? 0 : nowMono - load.sentMono)
export const waiting = (load: Readonly<RoadLoad>): number => load.rows + load.arrivingRows
export const waitingBytes = (load: Readonly<RoadLoad>): number => load.bytes + load.arrivingBytes

/** Share of what may wait in all, by webhooks or bytes, whichever is fuller; with these, too. */
export const fill = ({ promised, large }: StoreLoadShown, rows = 0, bytes = 0): number =>
  Math.max(
    (waiting(promised) + waiting(large) + rows) / STORE_WAITING_ROWS_MAX,
    (waitingBytes(promised) + waitingBytes(large) + bytes) / STORE_WAITING_BYTES_MAX,
  )

/** Where nothing waits, everything that a frame can hold is taken. */
export const hasRoom = (load: StoreLoadShown, rows: number, bytes: number): boolean =>
  waiting(load.promised) + waiting(load.large) === 0 || fill(load, rows, bytes) <= 1

const chunks = (rows: number): number => Math.max(1, Math.ceil(rows / APPEND_CHUNK_ROWS))
