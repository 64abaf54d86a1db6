import type { StoreFailed } from '#actors/store-keeper.ts'
import { type Call, type Name, name } from '#runtime/protocol.ts'
import type { Append, Appended, Cancelled } from '#store/store.ts'
import type { Brand, Due, Instant, LaneKey, WebhookId } from '#webhook/webhook.ts'

export interface SchedulerProtocol {
  readonly call: /** Stores the webhooks and takes what is due soon into the horizon; answered when they are on disk. `heads[i]` belongs to row i; its seq is not known yet. */
    | Call<
        { readonly type: 'schedule'; readonly append: Append; readonly heads: readonly Omit<Due, 'seq'>[] },
        Appended | StoreFailed
      >
    | Call<{ readonly type: 'cancel'; readonly id: WebhookId; readonly brand: Brand | null }, Cancelled | StoreFailed>
    | Call<
        { readonly type: 'figures' },
        { readonly horizon: number; readonly edgeAt: Instant | null; readonly lagMs: number }
      >
  readonly cast: /** From a retry process, when its decision is durable. */
    | { readonly type: 'retry-due'; readonly due: Due }
    /** From an execution: the attempt was not sent and the row is live as before. */
    | { readonly type: 'handed-back'; readonly due: Due }
    /** From a guard: the store holds no due row of this lane that it has not seen, as of `upTo` (wall clock of the read). */
    | { readonly type: 'lane-caught-up'; readonly lane: LaneKey; readonly upTo: Instant }
    /** Graceful stop: tell guards nothing more. */
    | { readonly type: 'quiesce' }
  readonly info: never
  readonly continue: { readonly type: 'recover' }
}
export const scheduler: Name<SchedulerProtocol> = name('scheduler')
