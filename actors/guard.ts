import { type Call, type Name, name } from '#runtime/protocol.ts'
import type { AttemptId, Brand, Domain, Due, Instant, LaneKey, Outcome, WebhookId } from '#webhook/webhook.ts'

/** The guard's yes: one attempt may start now. Plain data; the dispatch pool refuses one of an older incarnation (D-7). */
export interface Permit {
  readonly attemptId: AttemptId
  readonly domain: Domain
  readonly brand: Brand
  /** The guard's incarnation, as the dispatch pool gave it. */
  readonly guard: number
  /** The brand-limiter's incarnation, or null where the brand has no concurrency limit. */
  readonly limiter: number | null
  /** When it came into the guard's hands; its `nextAt` where it waited in the store until a refill. */
  readonly enteredAt: Instant
  readonly admittedAt: Instant
  /** Monotonic instant of the admission, for the guard's own accounting. */
  readonly admittedMono: number
}
export interface Admitted {
  readonly due: Due
  readonly permit: Permit
}

export interface GuardProtocol {
  readonly call: Call<{ readonly type: 'figures' }, GuardFigures>
  readonly cast: /** From the scheduler: these are due. `more`: lanes of which the store holds due rows that were not told. */
    | { readonly type: 'due'; readonly entries: readonly Due[]; readonly more: readonly LaneKey[] }
    /** From the dispatch pool: the request is finished or its socket destroyed; the permit is back. */
    | {
        readonly type: 'attempt-ended'
        readonly attemptId: AttemptId
        readonly brand: Brand
        readonly outcome: Outcome | null
      }
    /** From an execution or the executor: never handed to the pool. */
    | { readonly type: 'permit-unused'; readonly attemptId: AttemptId; readonly brand: Brand }
    | { readonly type: 'limits-changed' }
    /** From a brand-limiter: ask again. */
    | { readonly type: 'brand-capacity'; readonly brand: Brand }
    | { readonly type: 'cancelled'; readonly id: WebhookId }
  readonly info: never
  readonly continue: { readonly type: 'load' }
}
export const guardOf = (domain: Domain): Name<GuardProtocol> => name(`guard ${domain}`)

/** What a guard shows of itself; also a row of the table `guard-figures`, keyed by domain. */
export interface GuardFigures {
  readonly domain: Domain
  readonly state: 'starting' | 'open' | 'paused'
  readonly concurrency: { readonly current: number; readonly limit: number | null }
  readonly rate: { readonly startsLastSecond: number; readonly limit: number | null; readonly burst: number | null }
  /** Waiting in the windows; `more` if the store holds more. */
  readonly queued: number
  readonly more: boolean
  readonly oldestWaitingAt: Instant | null
  readonly backpressure: { readonly active: boolean; readonly since: Instant | null; readonly limit: string | null }
  readonly overshoot: number
}
