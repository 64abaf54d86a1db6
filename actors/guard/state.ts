/** What a guard knows between two messages, and the names of those it speaks to. */
import type { DispatchPoolProtocol } from '#actors/dispatch-pool.ts'
import type { ExecutorProtocol } from '#actors/executor.ts'
import type { Explained, GuardArgs, GuardProtocol, GuardShown, Predicted } from '#actors/guard.ts'
import type { LimitsProtocol } from '#actors/limits.ts'
import type { SchedulerProtocol } from '#actors/scheduler.ts'
import type { StoreFailed } from '#actors/store-keeper.ts'
import type { Block } from '#guard/admission.ts'
import type { Pressure } from '#guard/backpressure.ts'
import type { Early } from '#guard/early.ts'
import type { Flights } from '#guard/flights.ts'
import type { Queues } from '#guard/queues.ts'
import type { StartCounter } from '#guard/start-counter.ts'
import type { RestingRow } from '#guard/tables.ts'
import type { CastResult } from '#runtime/behaviour.ts'
import type { Context } from '#runtime/context.ts'
import type { DynamicSupervisorProtocol } from '#runtime/dynamic-supervisor.ts'
import type { From } from '#runtime/from.ts'
import type { Pid } from '#runtime/pid.ts'
import { type MonitorRef, type Name, name, type TimerRef } from '#runtime/protocol.ts'
import type { AttemptId, Brand, Due, Instant, LaneKey, Priority } from '#webhook/webhook.ts'

export type Read<V> = { readonly ok: true; readonly value: V } | StoreFailed

export type LanePage = { readonly lanes: readonly LaneKey[]; readonly next: LaneKey | null }

export type Backlog = { readonly count: number; readonly oldestAt: Instant | null }

/** Who asked what needs the number of all that waits, the store's part included. */
export type Counting =
  | {
      readonly ask: 'predict'
      readonly from: From<Predicted>
      readonly brand: Brand
      readonly priority: Priority
      readonly count: number
    }
  | { readonly ask: 'show'; readonly from: From<GuardShown> }

/** Who asked about a row that is still in the store, and how many of its lane were found before it. */
export interface Ranking {
  readonly from: From<Explained | null>
  readonly due: Due
  readonly counted: number
}

export interface State extends GuardArgs {
  /** `registering` and `loading` admit nothing. */
  phase: 'registering' | 'loading' | 'open'
  incarnation: number
  /** Counts the registrations: an answer to an older one is dropped. */
  round: number
  readonly queues: Queues
  /** In its hands and not due yet. */
  readonly early: Early
  readonly flights: Flights
  holds: number
  /** Lane heads that the start still waits for; `lanesRead`: there are no others. */
  loading: number
  lanesRead: boolean
  refilling: number
  /** Attempts that ended or were cancelled while a refill was under way: its page may still show them (D-3). */
  readonly gone: Set<AttemptId>
  watched: MonitorRef[]
  readonly limiters: Map<Brand, { readonly pid: Pid; readonly ref: MonitorRef } | 'starting'>
  block: Block | null
  /** Its row of the table `guards-resting` as it was written last; null: none. */
  resting: RestingRow | null
  /** It has told itself to take its turn when it has heard what waits. */
  turnOwed: boolean
  readonly pressure: Pressure
  readonly starts: StartCounter
  overshoot: number
  /** The last attempt that was answered, by this guard or the one before it; null: nobody knows. */
  wasQuick: boolean | null
  /** When to try again what the store or the pool did not answer. */
  againMono: number
  figuresMono: number
  figuresStale: boolean
  idleSinceMono: number
  wake: { readonly ref: TimerRef; readonly atMono: number } | null
  /** The book of groups that was looked at last, and what this guard was in it when it started (D-13). */
  bookSeen: number
  readonly epoch: number
  /** It only hears out what its mailbox holds. */
  isRetired: boolean
}

export type Ctx = Context<GuardProtocol>

export type Result = CastResult<GuardProtocol, State>

export const NEVER = Number.POSITIVE_INFINITY

export const AGAIN_MS = 20

/** Named here: their files import this one. */
export const dispatchPool: Name<DispatchPoolProtocol> = name('dispatch-pool')

export const executor: Name<ExecutorProtocol> = name('executor')

export const scheduler: Name<SchedulerProtocol> = name('scheduler')

export const limits: Name<LimitsProtocol> = name('limits')
export const guards: Name<DynamicSupervisorProtocol> = name('guards')
