/** What the door says to whom it does not let in under overload: why, and when to come back (reliability.md O2). */
import {
  OVERLOAD_CALM_MS,
  OVERLOAD_RETRY_MS_MAX,
  OVERLOAD_RETRY_MS_MIN,
  OVERLOAD_STORE_WAIT_MS,
  OVERLOAD_WINDOW_MS,
  STORE_WAITING_BYTES_MAX,
  STORE_WAITING_ROWS_MAX,
} from '#config/limits.ts'
import { type IngestLoad, rowsIn } from '#overload/ingest-load.ts'
import { type Shed, sheds } from '#overload/levels.ts'
import {
  type AppendRoad,
  appendRoad,
  doorWaitMs,
  hasRoom,
  type StoreLoadShown,
  waiting,
  waitingBytes,
} from '#overload/store-load.ts'
import type { OverloadRow } from '#overload/tables.ts'
import { METHODS, type MethodName } from './protocol.ts'
import { type ErrorData, Refusal } from './refusal.ts'

const IN_WORDS: Readonly<Record<Shed, string>> = {
  streams: 'event streams are',
  lists: 'lists are',
  schedules: 'new webhooks are',
}

/** Why this method is not served now, or null. `random`: uniform in [0, 1), so that those who are refused together do not return together. */
export const shedMethod = (name: MethodName, row: OverloadRow, random: number): ErrorData | null => {
  const spec = METHODS[name]
  const what = 'shed' in spec ? spec.shed : null
  if (what === null || !sheds(row.level, what)) return null
  row.shed[what] += 1
  return tooMuch(
    `${IN_WORDS[what]} refused for now: ${row.why ?? 'the daemon recovers from overload'}`,
    row.drainMs,
    random,
  )
}

/** Why these may not wait for the store, or null. Small appends and large ones wait apart, so neither kind keeps the other out. */
export const noRoom = (
  rows: number,
  bytes: number,
  load: StoreLoadShown,
  row: OverloadRow,
  nowMono: number,
  random: number,
): ErrorData | null => {
  const road = appendRoad(rows)
  const wait = doorWaitMs(load[road], nowMono)
  if (wait <= OVERLOAD_STORE_WAIT_MS && hasRoom(load, rows, bytes)) return null
  row.shed.schedules += rows
  return crowded(load, road, nowMono, random)
}

/**
 * The same of a large frame that nobody has read, together with those that wait to be read: told by how many webhooks such frames held
 * lately. Reading a webhook costs as much as storing it, and what is read only to be refused keeps those that fit from being read.
 */
export const noRoomUnread = (
  bytes: number,
  reading: Readonly<IngestLoad>,
  load: StoreLoadShown,
  row: OverloadRow,
  nowMono: number,
  random: number,
): ErrorData => {
  const rows = rowsIn(reading, bytes)
  row.shed.schedules += Math.max(1, rows)
  return crowded(load, appendRoad(rows), nowMono, random)
}
export const isFullUnread = (
  bytes: number,
  reading: Readonly<IngestLoad>,
  load: StoreLoadShown,
  nowMono: number,
): boolean => {
  const coming = reading.heldBytes + bytes
  const road = load[appendRoad(rowsIn(reading, bytes))]
  return doorWaitMs(road, nowMono) > OVERLOAD_STORE_WAIT_MS || !hasRoom(load, rowsIn(reading, coming), coming)
}

/** Also for what the store-keeper itself refused. */
export const crowded = (load: StoreLoadShown, road: AppendRoad, nowMono: number, random: number): ErrorData => {
  const wait = doorWaitMs(load[road], nowMono)
  const rows = waiting(load.promised) + waiting(load.large)
  const bytes = waitingBytes(load.promised) + waitingBytes(load.large)
  const why =
    wait > OVERLOAD_STORE_WAIT_MS
      ? `they would wait ${Math.round(wait)} ms for the store, at most ${OVERLOAD_STORE_WAIT_MS} ms are allowed`
      : `${rows} webhooks of ${bytes} bytes wait for the store, at most ${STORE_WAITING_ROWS_MAX} of ${STORE_WAITING_BYTES_MAX} bytes may`
  return tooMuch(`new webhooks are refused for now: ${why}`, wait, random)
}

const tooMuch = (why: string, drainMs: number, random: number): ErrorData =>
  new Refusal('RESOURCE_EXHAUSTED', `${why}; nothing was done, try again after retryAfterMs`, {
    retryAfterMs: retryAfterMs(drainMs, random),
  }).data

/** When what waits should have drained, or the level may have fallen where nothing tells; spread over half as much again. */
export const retryAfterMs = (drainMs: number, random: number): number => {
  const expected = drainMs > 0 ? drainMs : OVERLOAD_WINDOW_MS + OVERLOAD_CALM_MS
  return Math.ceil(Math.min(OVERLOAD_RETRY_MS_MAX, Math.max(OVERLOAD_RETRY_MS_MIN, expected) * (1 + random / 2)))
}
