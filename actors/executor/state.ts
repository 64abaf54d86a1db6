/** What the executor knows between two messages; what runs stands in the table `executions`. */
import { EXECUTIONS_TABLE, type RunningExecution, type TakeUp } from '#actors/execution.ts'
import type { ExecutorArgs, ExecutorProtocol } from '#actors/executor.ts'
import type { Admitted } from '#actors/guard.ts'
import type { Context } from '#runtime/context.ts'
import type { From } from '#runtime/from.ts'
import type { Pid } from '#runtime/pid.ts'
import type { MonitorRef, TimerRef } from '#runtime/protocol.ts'
import type { StartedRow } from '#store/store.ts'

/** An execution that is being started; `takeUp`: it takes up a lost one's work. */
export interface Starting {
  readonly admitted: Admitted
  readonly token: string
  readonly takeUp: TakeUp | null
}
export interface StartedPage {
  readonly rows: readonly StartedRow[]
  readonly next: number | null
}
export interface State extends ExecutorArgs {
  /** By monitor: whose, and the token of its start. */
  readonly watched: Map<MonitorRef, { readonly token: string; readonly pid: Pid }>
  /** By token: executions that died; the pool has been asked to end their attempts. */
  readonly orphans: Map<string, RunningExecution>
  /** By token: how often its work was taken up; those that are being started just now are `starting`. */
  readonly takeUps: Map<string, number>
  readonly starting: Set<string>
  readonly recoveryAwaited: From<'recovered'>[]
  readonly draining: From<'drained'>[]
  recovered: boolean
  reconciling: boolean
  audit: TimerRef | null
  poolWatched: boolean
}
export type Ctx = Context<ExecutorProtocol>
export const ASK_AGAIN_MS = 50

export const running = (ctx: Ctx) => ctx.table<string, RunningExecution>(EXECUTIONS_TABLE)
export const watch = (pid: Pid, token: string, state: State, ctx: Ctx): void => {
  state.watched.set(ctx.monitor(pid), { token, pid })
}
