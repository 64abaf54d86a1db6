/** What the scheduler knows between two messages, and what it remembers of its questions to the store. */
import type { NewDue, Retimed, SchedulerProtocol } from '#actors/scheduler.ts'
import type { StoreFailed } from '#actors/store-keeper.ts'
import type { StartCounter } from '#guard/start-counter.ts'
import type { Context } from '#runtime/context.ts'
import type { From } from '#runtime/from.ts'
import type { Pid } from '#runtime/pid.ts'
import type { MonitorRef, TimerRef } from '#runtime/protocol.ts'
import type { Horizon } from '#schedule/horizon.ts'
import type { Waitlist } from '#schedule/waitlist.ts'
import type { Append, Appended, Cancelled, Replay, Reschedule } from '#store/store.ts'
import type { Events } from '#telemetry/events.ts'
import type { Brand, Domain, Due, Instant, LaneKey, WebhookId } from '#webhook/webhook.ts'

export type Read<V> = { readonly ok: true; readonly value: V } | StoreFailed
export type Lanes = { readonly lanes: readonly LaneKey[]; readonly next: LaneKey | null }
export interface Scheduling {
  readonly from: From<Appended | StoreFailed>
  readonly append: Append
  readonly heads: readonly NewDue[]
}
export interface Cancelling {
  readonly from: From<Cancelled | StoreFailed>
  readonly id: WebhookId
  readonly brand: Brand | null
  /** Names this cancel at the store: asked again it is the same one (D-3). */
  readonly at: Instant
}
export interface Retiming {
  readonly from: From<Retimed | StoreFailed>
  readonly op: Reschedule | Replay
}

/** A guard that lives. `pid` null: it is being started, and what it is to be told waits here. */
export interface Told {
  pid: Pid | null
  entries: Due[]
  more: LaneKey[]
  /** It makes room for others, with work left in the store. */
  stoodDown: StoodDown | null
}
/** `brand`: the only one that waits there, or null. It can start nothing for so long, as far as it knows. */
export interface StoodDown {
  readonly brand: Brand | null
  readonly restMs: number
}
/** Monotonic instants of a guard's crashes; parked: it is not started again until the next look. */
export interface Crashes {
  readonly atMono: number[]
  /** How often each suspect was in hand at one of them. */
  readonly suspects: Map<string, number>
  parked: boolean
}
export interface State {
  readonly events: Events
  readonly horizon: Horizon
  /** The guards that live, at most `guardsMax`. */
  readonly told: Map<Domain, Told>
  readonly guardsMax: number
  /** Those of them that have not read their lanes yet. */
  readonly starting: Set<Domain>
  /** Domains that wait for a place, and whether a page of those that are not listed is being read. */
  readonly list: Waitlist
  isCircling: boolean
  placesTick: TimerRef | null
  /** Places given lately; and the look at whether the crowd is over. */
  readonly given: StartCounter
  crowdTick: TimerRef | null
  readonly watched: Map<MonitorRef, Domain>
  wake: { readonly ref: TimerRef; readonly at: Instant } | null
  scan: { readonly ref: TimerRef; readonly all: boolean } | null
  /** Audits since the last one that told live guards too. */
  audits: number
  /** Guards that crashed lately, by domain. */
  readonly crashes: Map<Domain, Crashes>
  recovered: boolean
  quiesced: boolean
  wallSeen: number
  monoSeen: number
}
export type Ctx = Context<SchedulerProtocol>

/** The one who would answer is being restarted: ask again after this. */
export const ASK_AGAIN_MS = 20
