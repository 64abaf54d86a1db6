/** What the store-keeper knows between two messages: what waits on its four roads, and what it has of the store. */
import type { StoreFailed, StoreKeeperProtocol } from '#actors/store-keeper.ts'
import { STORE_RETRY_MS } from '#config/limits.ts'
import type { StoreLoad } from '#overload/store-load.ts'
import type { Context } from '#runtime/context.ts'
import type { From } from '#runtime/from.ts'
import type { StoreErrorCode, WriteOp } from '#store/store.ts'
import type { Brand } from '#webhook/webhook.ts'
import type { StoreHolding, StoreKeeperArgs } from './holding.ts'

export type Road = 'urgent' | 'steering' | 'promised' | 'large'
export const ROADS: readonly Road[] = ['urgent', 'steering', 'promised', 'large']
export type Written =
  | { readonly ok: true; readonly results: readonly unknown[] }
  | { readonly ok: false; readonly failed: StoreErrorCode; readonly op: number | null; readonly detail: string }
export type ReadOutcome = { readonly ok: true; readonly value: unknown } | StoreFailed
export type Opened = { readonly ok: true } | { readonly ok: false; readonly detail: string; readonly hopeless: boolean }

export interface Pending {
  readonly op: WriteOp
  readonly from: From<never>
  /** How often it was under way when the store died. */
  sent: number
}
export interface RoadState {
  waiting: Pending[]
  underWay: Pending[] | null
  /** Its answer, for `terminate`. */
  writing: Promise<Written> | null
  /** After a full disk, where marks are kept: nothing is sent before `try-again`. Promises fail at once instead. */
  pauseMs: number
  paused: boolean
}
export interface State {
  readonly args: StoreKeeperArgs
  readonly holding: StoreHolding
  readonly roads: Record<Road, RoadState>
  /** What waits of appends, as the table `store-load` shows it to the door. */
  readonly load: StoreLoad
  phase: 'open' | 'reopening'
  /** The store that is being opened has ended before it was taken into use. */
  endedEarly: boolean
  /** The last store that was given up. */
  leftIncarnation: number
  /** Why nothing may go on: the keeper ends, its successor refuses to start, and root gives up. */
  doomed: string | null
  /** The last attempt to open failed: nobody is kept waiting for the next. */
  isDown: boolean
  /** When it was opened last after a death; long ago: not yet, so that the first death is cured at once. */
  openedMono: number
  reopenMs: number
  flushSent: boolean
  /** When the last group with a mark was sent. */
  markedMono: number
  /** Outcomes wait for the next mark; `over`: they have waited long enough. */
  ride: 'none' | 'on' | 'over'
  /** No write has succeeded since the last failure: it has been told, or the store has been told to be open since. */
  failing: 'no' | 'told' | 'opened'
  /** Brands near the bound of their dead letters, that were told of. */
  crowded: ReadonlySet<Brand>
}
export type Ctx = Context<StoreKeeperProtocol>

export const road = (): RoadState => ({
  waiting: [],
  underWay: null,
  writing: null,
  pauseMs: STORE_RETRY_MS,
  paused: false,
})
