/** The tables in which load is shown to the door, and their rows. Those of one actor outlive it, with root as their heir. */
import type { Level, Shed } from './levels.ts'

/** Filled by the store-keeper: one row, `StoreLoad`. */
export const STORE_LOAD_TABLE = 'store-load'
/** Filled by the actor `ingest`: one row, `IngestLoad`. */
export const INGEST_LOAD_TABLE = 'ingest-load'
/** Filled by the actor `overload`: one row, `OverloadRow`. */
export const OVERLOAD_TABLE = 'overload'
/** Counted by the sessions, in place: one row, `RequestsRow`. Owned by the supervisor `control`: it ends with all of them. */
export const REQUESTS_TABLE = 'requests'
/** The key of the one row of each. */
export const ONE = 'one'
/** Root's name: actors may not import supervisors. */
export const LOAD_HEIR = 'root'

export interface RequestsRow {
  /** Requests that sessions are answering. */
  inFlight: number
}

export interface OverloadRow {
  readonly level: Level
  /** The cause with its figure and bound, in words; null: nothing presses. */
  readonly why: string | null
  /** By when what waits should have drained; 0: nothing is known to wait. */
  readonly drainMs: number
  /** Requests shed since the actor looked last; counted at the door, in place. */
  readonly shed: Record<Shed, number>
}
export const noneShed = (): Record<Shed, number> => ({ streams: 0, lists: 0, schedules: 0 })
