/**
 * The catalogue of facts. Each goes out once, through `Events`; logs, metrics, the monitor and subscriptions subscribe.
 * No decision depends on a subscriber. `noun.verb-ed`.
 */
import type { Level, Shed } from '#overload/levels.ts'
import type { AttemptId, Brand, Domain, ErrorClass, FinalState, Instant, WebhookId } from '#webhook/webhook.ts'

export type Event =
  | { readonly type: 'webhook.scheduled'; readonly at: Instant; readonly count: number; readonly brand: Brand }
  | { readonly type: 'webhook.due'; readonly at: Instant; readonly domain: Domain; readonly count: number }
  | {
      readonly type: 'attempt.started'
      readonly at: Instant
      readonly attemptId: AttemptId
      readonly domain: Domain
      readonly brand: Brand
    }
  | {
      readonly type: 'attempt.finished'
      readonly at: Instant
      readonly attemptId: AttemptId
      readonly domain: Domain
      readonly brand: Brand
      readonly status: number | null
      readonly error: ErrorClass | null
      readonly timerMs: number
      readonly guardMs: number
      readonly networkMs: number
    }
  | {
      readonly type: 'webhook.finished'
      readonly at: Instant
      readonly id: WebhookId
      readonly domain: Domain
      readonly brand: Brand
      readonly state: FinalState
    }
  | {
      readonly type: 'webhook.retried'
      readonly at: Instant
      readonly id: WebhookId
      readonly domain: Domain
      readonly attempt: number
      readonly nextAt: Instant
      readonly error: ErrorClass | null
    }
  | {
      readonly type: 'webhook.rescheduled' | 'webhook.replayed'
      readonly at: Instant
      readonly id: WebhookId
      readonly domain: Domain
      readonly brand: Brand
      readonly nextAt: Instant
    }
  | { readonly type: 'attempt.in-doubt'; readonly at: Instant; readonly attemptId: AttemptId; readonly reason: string }
  /**
   * It got no answer, and that is certain. `detail` is the operator's alone (H11): the certificate's fault, the code of the name server, the
   * address that was refused. It goes to the log; no answer, record or stream of a client has it.
   */
  | {
      readonly type: 'attempt.failed'
      readonly at: Instant
      readonly attemptId: AttemptId
      readonly domain: Domain
      readonly brand: Brand
      readonly error: ErrorClass
      readonly detail: string
    }
  | { readonly type: 'guard.started' | 'guard.stopped'; readonly at: Instant; readonly domain: Domain }
  /** It crashed so often that it is not started again before `until`; what is due of it waits in the store. */
  | {
      readonly type: 'guard.parked'
      readonly at: Instant
      readonly domain: Domain
      readonly crashes: number
      readonly until: Instant
    }
  | {
      readonly type: 'backpressure.started'
      readonly at: Instant
      readonly domain: Domain
      readonly limit: string
      readonly depth: number
    }
  | {
      readonly type: 'backpressure.ended'
      readonly at: Instant
      readonly domain: Domain
      readonly limit: string
      readonly durationMs: number
      readonly peak: number
      /** Short pauses in between are folded: how many times it pressed. */
      readonly spans: number
    }
  /** All guards that may live do, and domains wait for a place: one event at its begin and one at its end, never one a domain. `depth`: domains by name. */
  | {
      readonly type: 'crowd.started'
      readonly at: Instant
      readonly limit: string
      readonly guards: number
      readonly depth: number
    }
  | {
      readonly type: 'crowd.ended'
      readonly at: Instant
      readonly limit: string
      readonly durationMs: number
      /** Domains that waited by name, at most 10,000: then there were more. */
      readonly peak: number
      /** Short pauses in between are folded: how many times it was crowded. */
      readonly spans: number
    }
  /** What the receiver's answers did to the guard. `brand` null: the whole domain. `until` null: not until an instant. */
  | {
      readonly type:
        | 'guard.closed'
        | 'guard.reopened'
        | 'guard.adapted'
        | 'breaker.opened'
        | 'breaker.half-opened'
        | 'breaker.closed'
      readonly at: Instant
      readonly domain: Domain
      readonly brand: Brand | null
      readonly until: Instant | null
      readonly cause: string
    }
  | {
      /** Empty members: dissolved. */
      readonly type: 'group.changed'
      readonly at: Instant
      readonly group: string
      readonly members: readonly string[]
      readonly version: number
      readonly setBy: string
    }
  | {
      readonly type: 'limit.changed'
      readonly at: Instant
      readonly kind: string
      readonly domain: Domain | null
      readonly brand: Brand | null
      readonly value: number | null
      readonly version: number
      readonly setBy: string
    }
  | { readonly type: 'carrier.started' | 'carrier.ended'; readonly at: Instant; readonly reason: string }
  /** It takes no writes from `store.failed` until `store.opened`. */
  | { readonly type: 'store.opened' | 'store.failed'; readonly at: Instant; readonly detail: string }
  /** One write that cannot be taken however often it is tried (a bug), or rows that the check found damaged. All else goes on. */
  | { readonly type: 'store.refused' | 'store.damaged'; readonly at: Instant; readonly detail: string }
  /** The write-ahead log is long: some reader holds it (a backup, another program). */
  | { readonly type: 'store.log-grown'; readonly at: Instant; readonly bytes: number }
  /** A brand has come near the bound of its dead letters: replay or cancel them before the longest finished go. Once per crossing. */
  | { readonly type: 'dead-letters.crowded'; readonly at: Instant; readonly brand: Brand; readonly max: number }
  /** The longest finished ones of a brand were removed, since it had more than it may. */
  | { readonly type: 'dead-letters.dropped'; readonly at: Instant; readonly brand: Brand; readonly count: number }
  /** Where the copy lies, its bytes and webhooks. */
  | { readonly type: 'store.backed-up'; readonly at: Instant; readonly detail: string }
  | {
      readonly type: 'process.started' | 'process.crashed' | 'process.restarted' | 'supervisor.gave-up'
      readonly at: Instant
      readonly name: string
      readonly pid: number
      readonly supervisor: string | null
      readonly reason: string
    }
  | {
      readonly type: 'process.ran-long'
      readonly at: Instant
      readonly name: string
      readonly pid: number
      readonly ms: number
    }
  /** Messages wait in its mailbox by the ten thousand, or were refused by its bound. */
  | {
      readonly type: 'process.mailbox-filled'
      readonly at: Instant
      readonly name: string
      readonly pid: number
      readonly length: number
    }
  /** Something that it owned failed to close at its death. */
  | {
      readonly type: 'process.close-failed'
      readonly at: Instant
      readonly name: string
      readonly pid: number
      readonly reason: string
    }
  /** The main thread answered a timer so late. */
  | { readonly type: 'loop.delayed'; readonly at: Instant; readonly ms: number }
  /** What is shed from now on, and why (reliability.md O2). `level`: none, streams, lists, schedules; each sheds those before it too. */
  | {
      readonly type: 'overload.changed'
      readonly at: Instant
      readonly level: Level
      readonly from: Level
      readonly cause: string
    }
  /** Requests that were refused at the door since the last such event, or events that were left out of streams. */
  | { readonly type: 'requests.shed'; readonly at: Instant; readonly what: Shed; readonly count: number }
  | { readonly type: 'clock.stepped'; readonly at: Instant; readonly stepMs: number }
  | {
      readonly type: 'daemon.started' | 'daemon.stopping' | 'daemon.stopped'
      readonly at: Instant
      readonly detail: string
    }

export type EventType = Event['type']
export interface Events {
  emit(event: Event): void
  /** Returns a function that ends the subscription. A subscriber that throws loses its subscription, nothing else. */
  on<T extends EventType>(
    types: readonly T[],
    subscriber: (event: Extract<Event, { readonly type: T }>) => void,
  ): () => void
}
