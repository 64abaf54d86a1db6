/** The words of the domain, as types. Pure: no clock, no I/O. */

/** `msg_` + ULID; also the `webhook-id` header of every attempt. */
export type WebhookId = string
/** The tenant. `[a-z0-9][a-z0-9_-]{0,63}`. */
export type Brand = string
/** `host[:port]` of the URL, normalised; the key of the per-domain guard. */
export type Domain = string
/** Epoch milliseconds, UTC, integer. */
export type Instant = number

export const PRIORITIES = ['high', 'normal', 'low'] as const
export type Priority = (typeof PRIORITIES)[number]

/**
 * What a client sees. `waiting` and `held` are never stored: they are a live webhook whose `nextAt` has passed.
 * `scheduled` = live, no attempt made; `retrying` = live, at least one attempt made; `executing` = started mark set.
 */
export const WEBHOOK_STATES = [
  'scheduled',
  'waiting',
  'held',
  'executing',
  'retrying',
  'delivered',
  'dead',
  'cancelled',
  'expired',
  'quarantined',
] as const
export type WebhookState = (typeof WEBHOOK_STATES)[number]

export const FINAL_STATES = ['delivered', 'dead', 'cancelled', 'expired', 'quarantined'] as const
export type FinalState = (typeof FINAL_STATES)[number]

/** What the scheduler, the guard and the executor carry about a live webhook: never its payload. */
export interface Due {
  readonly id: WebhookId
  /** Order of acceptance within this store: a positive integer, unique, ascending. */
  readonly seq: number
  /** The next instant at which it may be tried. */
  readonly nextAt: Instant
  readonly brand: Brand
  readonly domain: Domain
  readonly priority: Priority
  /** Attempts already started; the next one is `attempts + 1`. */
  readonly attempts: number
  /** Total deadline of one attempt. */
  readonly timeoutMs: number
  readonly expiresAt: Instant | null
}

/** The two lanes of one (domain, brand, priority): its first tries and its retries. */
export interface LanePair {
  readonly domain: Domain
  readonly brand: Brand
  readonly priority: Priority
}
export const LANE_KINDS = ['first', 'retry'] as const
export type LaneKind = (typeof LANE_KINDS)[number]
/** A lane in the store: live rows that are not started, ordered by (nextAt, seq). Retries never stand in the way of first tries (D-21). */
export interface LaneKey extends LanePair {
  readonly kind: LaneKind
}
/** `attempts`: those made. A failed first try moves its row from one lane to the other, a hand-back of it moves it back. */
export const laneKindOf = (attempts: number): LaneKind => (attempts > 0 ? 'retry' : 'first')
export const laneOf = ({ domain, brand, priority, attempts }: LanePair & { readonly attempts: number }): LaneKey => ({
  domain,
  brand,
  priority,
  kind: laneKindOf(attempts),
})
/**
 * What can be set on a domain, a brand, or a brand in a domain; each is one row of the limit ladder with a value and a version.
 * `concurrency` and `rate` are the limits that people name; the others steer the guard (their units: `#guard/limits.ts`).
 */
export type LimitKind =
  | 'concurrency'
  | 'rate'
  | 'weight'
  | 'pause'
  | 'adaptive'
  | 'closure'
  | 'breaker'
  | 'breaker-open-ms'
  | 'retry-budget'
  | 'backlog'
  | 'closed-until'
  | 'breaker-until'
/** A position in due order: everything with (nextAt, seq) <= it. */
export interface Edge {
  readonly nextAt: Instant
  readonly seq: number
}

/** `${webhook id}.${attempt number}`: names one attempt in permits, marks, frames and reports. */
export type AttemptId = string
export const attemptIdOf = (id: WebhookId, attempt: number): AttemptId => `${id}.${attempt}`

/**
 * Retry policy of one webhook, complete (defaults filled in). Delays in milliseconds. `jitter`: a share 0..1 to both sides; null: full, what a
 * computed backoff has unless it was said otherwise (S9).
 */
export interface RetryPolicy {
  readonly maxAttempts: number
  readonly backoff: 'exponential' | 'linear' | 'fixed' | readonly number[]
  readonly initialDelayMs: number
  readonly maxDelayMs: number
  readonly jitter: number | null
  /** What to do with an attempt whose fate is unknown (default `retry`: at least once). */
  readonly inDoubt: 'retry' | 'stop'
}

/** Closed list of error classes that clients see (reliability.md H11); details stay in the operator's log. */
export const ERROR_CLASSES = [
  'timeout',
  'dns_nxdomain',
  'dns_error',
  'blocked_target',
  'connect_refused',
  'connect_reset',
  'connect_timeout',
  'tls_cert',
  'tls_handshake',
  'reset_after_send',
  'bad_response',
  'too_large_headers',
  'redirect',
  'http_4xx',
  'http_5xx',
  'in_doubt',
  'expired',
  'poison',
] as const
export type ErrorClass = (typeof ERROR_CLASSES)[number]

/** How one attempt ended, as the dispatch thread saw it. */
export type Outcome =
  | {
      readonly kind: 'response'
      readonly status: number
      /** From `Retry-After`, capped, relative to the end of the attempt. */
      readonly retryAfterMs: number | null
      /** At most 4 KiB of the response body. */
      readonly excerpt: Uint8Array | null
    }
  | { readonly kind: 'error'; readonly error: ErrorClass; readonly detail: string }

/** One attempt, as stored and shown. */
export interface AttemptRecord {
  readonly number: number
  readonly startedAt: Instant
  readonly endedAt: Instant | null
  readonly status: number | null
  readonly error: ErrorClass | null
  readonly excerpt: Uint8Array | null
  readonly timerMs: number
  readonly guardMs: number
  readonly networkMs: number
  readonly inDoubt: boolean
}
