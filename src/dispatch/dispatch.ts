/**
 * The contract between the dispatch-pool actor and whatever carries out attempts: Piscina threads in production
 * (`pool.ts`), a scripted receiver in tests (`fake.ts`). A carrier is one thread with one long-lived dispatch session.
 */
import type { AttemptId, Brand, Domain, Instant, Outcome, WebhookId } from '#webhook/webhook.ts'

/** One attempt to carry out. `request` is the packed request of `#webhook/request.ts`, never parsed on the main thread. */
export interface AttemptOrder {
  readonly attemptId: AttemptId
  readonly webhookId: WebhookId
  readonly attempt: number
  readonly brand: Brand
  readonly domain: Domain
  readonly request: Uint8Array
  /** A number: a suspect, which runs alone (D-17); so often it was alone in a thread that died. */
  readonly lonelyDeaths: number | null
  /** Total deadline in milliseconds from the moment the thread takes it: DNS, connect, TLS, request, headers. */
  readonly timeoutMs: number
}

/** The end of an attempt: its request is finished or its socket destroyed. Exactly one per order, or the carrier ends. */
export interface AttemptReport {
  readonly attemptId: AttemptId
  readonly outcome: Outcome
  /** When the thread took it and when it ended, on the wall clock. */
  readonly startedAt: Instant
  readonly endedAt: Instant
  /** From start of the attempt to the status line, or to the error. */
  readonly networkMs: number
  /** False if not a byte of the request was written: such an attempt is not in doubt. */
  readonly sent: boolean
}

/** What a carrier tells its owner. Called on the main thread, never re-entrantly from a method of Carrier. */
export interface CarrierEvents {
  /** Reports travel in groups. */
  reported(reports: readonly AttemptReport[]): void
  /**
   * The thread has exited (exit + 10 ms, D-8): no socket of it is open any more. Every order without a report is in doubt.
   * Said once; after it the carrier is useless.
   */
  ended(reason: string): void
}

export interface Carrier {
  /** Hands over a group. The carrier may hold at most `capacity` at once; the caller keeps count. */
  dispatch(orders: readonly AttemptOrder[]): void
  /** Destroys the sockets of these attempts; each is still reported (`in_doubt` if it was sent). Unknown ids are ignored. */
  abort(attempts: readonly AttemptId[]): void
  /** Ends the thread with all its sockets; resolves when it has exited. Idempotent. */
  end(): Promise<void>
}

/** Makes carriers. One per daemon; owns the Piscina pool. */
export interface Dispatch {
  /** Attempts that one carrier may hold at once. */
  readonly capacity: number
  /** How many carriers to keep. */
  readonly carriers: number
  /** `lonely`: the spare one for suspects, which is given one attempt at a time. */
  startCarrier(events: CarrierEvents, lonely?: boolean): Promise<Carrier>
  /** Ends every carrier and the pool; resolves when all threads have exited. */
  close(): Promise<void>
}
