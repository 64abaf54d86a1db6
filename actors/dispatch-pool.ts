import type { Permit } from '#actors/guard.ts'
import type { AttemptOrder, AttemptReport } from '#dispatch/dispatch.ts'
import type { Pid } from '#runtime/pid.ts'
import { type Call, type Name, name } from '#runtime/protocol.ts'
import type { AttemptId, Brand, Domain } from '#webhook/webhook.ts'

export interface InFlight {
  readonly attemptId: AttemptId
  readonly domain: Domain
  readonly brand: Brand
}
export interface Registered {
  /** Names this incarnation in its permits; greater than any before. */
  readonly incarnation: number
  readonly inFlight: readonly InFlight[]
}

/** The sole authority on permits: a permit ends when this actor says `attempt-ended` to the guard (D-7, D-8). */
export interface DispatchPoolProtocol {
  readonly call: /** A guard's first act, and again when executor or pool died. From now on older permits of the domain are refused. Monitored: its death ends the incarnation. */
    | Call<{ readonly type: 'register-guard'; readonly domain: Domain; readonly pid: Pid }, Registered>
    | Call<{ readonly type: 'register-limiter'; readonly brand: Brand; readonly pid: Pid }, Registered>
    | Call<{ readonly type: 'in-flight' }, readonly InFlight[]>
  readonly cast:
    | { readonly type: 'dispatch'; readonly order: AttemptOrder; readonly permit: Permit; readonly execution: Pid }
    /** From the executor: abort it; answers with `attempt-ended` to the executor, at once if it is not held. */
    | { readonly type: 'execution-died'; readonly attemptId: AttemptId; readonly permit: Permit }
  /** Graceful stop: take nothing more; answers by `drained` when nothing is in flight. */
  readonly info: never
  readonly continue: never
}
export const dispatchPool: Name<DispatchPoolProtocol> = name('dispatch-pool')

/** What an execution hears from the pool, as info messages. */
export type PoolSays =
  | { readonly type: 'attempt-reported'; readonly report: AttemptReport }
  /** The permit is of an older incarnation; not a byte was sent. The permit is void: nobody gives it back. */
  | { readonly type: 'attempt-refused'; readonly attemptId: AttemptId }
  /** Its thread has died: in doubt. `suspects`: how many died with it (D-17). */
  | { readonly type: 'attempt-lost'; readonly attemptId: AttemptId; readonly reason: string }
