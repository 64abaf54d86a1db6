/** What a supervisor is told (OTP Design Principles, Supervisor Behaviour). Plain data. */
import type { Behaviour } from './behaviour.ts'
import type { Context } from './context.ts'
import type { Protocol } from './protocol.ts'
import type { StartResult } from './start.ts'

export type Strategy = 'one_for_one' | 'one_for_all' | 'rest_for_one'
export interface SupervisorFlags {
  readonly strategy: Strategy
  /** More than this many restarts within `periodMs` and the supervisor gives up. House default: 5 in 10,000 ms. */
  readonly intensity: number
  readonly periodMs: number
  /** Whether the end of significant children ends the supervisor (OTP-U34). Default `never`. */
  readonly autoShutdown?: 'never' | 'any_significant' | 'all_significant'
}
export interface ChildSpec {
  readonly id: string
  /** Runs in the supervisor, so it must link: use its ctx. Use `worker(...)`/`supervisorSpec(...)` to make one. */
  readonly start: (supervisor: Context) => StartResult | Promise<StartResult>
  readonly restart: 'permanent' | 'transient' | 'temporary'
  /** Time to stop by itself before it is killed. Default 5,000 for a worker, Infinity for a supervisor. */
  readonly shutdownMs: number | 'brutal_kill'
  readonly type: 'worker' | 'supervisor'
  readonly significant: boolean
}
export interface WorkerOptions {
  /** Default: the behaviour's name. */
  readonly id?: string
  /** Registered name. Default: none. */
  readonly name?: string
  readonly restart?: ChildSpec['restart']
  readonly shutdownMs?: ChildSpec['shutdownMs']
}
/** A child spec for an actor. */
export const worker = <P extends Protocol, Args, S>(
  behaviour: Behaviour<P, Args, S>,
  args: Args,
  options: WorkerOptions = {},
): ChildSpec => ({
  id: options.id ?? options.name ?? behaviour.name,
  start: (supervisor) =>
    supervisor.startLinked(behaviour, args, options.name === undefined ? {} : { name: options.name }),
  restart: options.restart ?? 'permanent',
  shutdownMs: options.shutdownMs ?? 5_000,
  type: 'worker',
  significant: false,
})
