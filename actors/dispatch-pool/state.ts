/** What the dispatch pool knows between two messages, and what it says to executions and to the executor. */
import type { DispatchPoolArgs, DispatchPoolProtocol, PoolSays, Registered } from '#actors/dispatch-pool.ts'
import type { ExecutorProtocol } from '#actors/executor.ts'
import type { Permit } from '#actors/guard.ts'
import type { AttemptOrder, Carrier, Dispatch } from '#dispatch/dispatch.ts'
import type { Waiting } from '#guard/departure.ts'
import type { Context } from '#runtime/context.ts'
import type { From } from '#runtime/from.ts'
import type { Pid } from '#runtime/pid.ts'
import { type MonitorRef, type Name, name, type TimerRef } from '#runtime/protocol.ts'
import type { Placement } from '#webhook/placement.ts'
import type { AttemptId, Brand, Domain } from '#webhook/webhook.ts'

export interface Held {
  readonly order: AttemptOrder
  readonly permit: Permit
  /** Under which guard it was taken: where that is another one now, it is not sent any more. */
  readonly under: string
  /** Null when it has died: then the executor is told. */
  execution: Pid | null
}
export interface Incarnation {
  readonly number: number
  readonly monitor: MonitorRef
  /** Of a guard: what its key meant when it registered (D-13). */
  readonly epoch: number
}
export interface State {
  readonly args: DispatchPoolArgs
  readonly dispatch: Dispatch
  readonly held: Map<AttemptId, Held>
  readonly placement: Placement<AttemptOrder>
  /** The live carriers by number. */
  readonly carriers: Map<number, Carrier>
  /** The spare carrier for suspects, from the start of its thread to the end of it. */
  lonely: number | null
  /** Suspects that have their thread, and are sent once the store knows that. */
  readonly isolating: Set<AttemptId>
  /** Refused as unsent, the latest: their executions may have died before they heard it. */
  readonly refused: Set<AttemptId>
  readonly guards: Map<Domain, Incarnation>
  readonly limiters: Map<Brand, Incarnation>
  /** Guards that wait for the first thread. */
  readonly unready: Map<Domain, { readonly from: From<Registered>; readonly pid: Pid }>
  /** Which registration a monitor is about. */
  readonly monitors: Map<MonitorRef, { readonly of: Map<string, Incarnation>; readonly key: string }>
  draining: From<'drained'>[] | null
  /** What arrived sooner after the one before it than its rates allow: the store had stalled. */
  readonly early: Waiting<Held>
  earlyWake: TimerRef | null
}
export type Ctx = Context<DispatchPoolProtocol>

/** Named here: the executor's file imports this one. */
export const executor: Name<ExecutorProtocol> = name('executor')

/** Only what is said to executions is of interest here: they are known by pid. */
export interface ExecutionHears {
  readonly call: never
  readonly cast: never
  readonly info: PoolSays
  readonly continue: never
}
