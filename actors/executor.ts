import type { Admitted } from '#actors/guard.ts'
import type { AttemptReport } from '#dispatch/dispatch.ts'
import { type Name, name } from '#runtime/protocol.ts'
import type { AttemptId } from '#webhook/webhook.ts'

export interface ExecutorProtocol {
  readonly call: never
  readonly cast: /** From a guard: each of these may start now. */
    | { readonly type: 'start'; readonly admitted: readonly Admitted[] }
    /** From the dispatch pool, after `execution-died`: nothing of it is open any more. `report` null: it was never held, or its thread died. */
    | {
        readonly type: 'attempt-ended'
        readonly attemptId: AttemptId
        readonly report: AttemptReport | null
        readonly held: boolean
      }
    /** Look for started rows that nobody holds. */
    | { readonly type: 'reconcile' }
  readonly info: never
  readonly continue: never
}
export const executor: Name<ExecutorProtocol> = name('executor')
