/** Whether and when a webhook is tried again (reliability.md S8 to S10). Pure: the decision is taken before the write (D-4). */
import { RETRY_AGE_MAX_MS } from '#config/limits.ts'
import { isDelivered, isTerminal } from './outcome.ts'
import type { FinalState, Instant, Outcome, RetryPolicy } from './webhook.ts'

const SECOND = 1_000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE

/** The example series of Standard Webhooks 1.0.0: ten attempts over about three days. */
export const DEFAULT_RETRY_DELAYS_MS: readonly number[] = [
  5 * SECOND,
  5 * MINUTE,
  30 * MINUTE,
  2 * HOUR,
  5 * HOUR,
  10 * HOUR,
  14 * HOUR,
  20 * HOUR,
  24 * HOUR,
]
export const DEFAULT_RETRY_POLICY: RetryPolicy = {
  maxAttempts: DEFAULT_RETRY_DELAYS_MS.length + 1,
  backoff: DEFAULT_RETRY_DELAYS_MS,
  initialDelayMs: 5 * SECOND,
  maxDelayMs: 24 * HOUR,
  jitter: 0.2,
  inDoubt: 'retry',
}
/** Added to a `Retry-After` at random, so that the header does not bring everybody back at one instant (S10). */
const RETRY_AFTER_JITTER = 0.1
const FULL_JITTER_FLOOR = 0.1

export interface AttemptEnded {
  /** Which attempt of its series ended, from 1: a replay begins a new one. */
  readonly attempt: number
  readonly outcome: Outcome
  /** Null: the default policy. */
  readonly policy: RetryPolicy | null
  /** From when its age counts: max(at, createdAt), so that a webhook scheduled far ahead has its whole series. */
  readonly firstAt: Instant
  readonly expiresAt: Instant | null
  readonly endedAt: Instant
  /** Its fate is unknown (`isInDoubt`); default: only an outcome of class `in_doubt`. */
  readonly inDoubt?: boolean
  /** Uniform in [0, 1). */
  readonly random: number
}
export type Next =
  | { readonly state: 'retrying'; readonly nextAt: Instant }
  | { readonly state: FinalState; readonly finishedAt: Instant }

/** What becomes of the webhook, as `RecordOutcome.next` wants it. Age is tested here and nowhere else (D-21). */
export const decideNext = (ended: AttemptEnded): Next => {
  const policy = ended.policy ?? DEFAULT_RETRY_POLICY
  const final = (state: FinalState): Next => ({ state, finishedAt: ended.endedAt })
  if (isDelivered(ended.outcome)) return final('delivered')
  const error = ended.outcome.kind === 'error' ? ended.outcome.error : null
  if (error === 'poison') return final('quarantined')
  if (error === 'expired') return final('expired')
  if (isTerminal(ended.outcome)) return final('dead')
  if ((ended.inDoubt ?? error === 'in_doubt') && policy.inDoubt === 'stop') return final('dead')
  if (ended.attempt >= policy.maxAttempts) return final('dead')
  const nextAt = ended.endedAt + retryDelayMs(ended.attempt, policy, ended.outcome, ended.random)
  if (ended.expiresAt !== null && nextAt > ended.expiresAt) return final('expired')
  if (nextAt - ended.firstAt > RETRY_AGE_MAX_MS) return final('dead')
  return { state: 'retrying', nextAt }
}

/** Whole milliseconds from the end of attempt `attempt` to the next: the backoff with its jitter, or a later `Retry-After`. */
export const retryDelayMs = (attempt: number, policy: RetryPolicy, outcome: Outcome, random: number): number => {
  const own = spread(Math.min(backoffMs(attempt, policy), policy.maxDelayMs), policy, random)
  const asked = outcome.kind === 'response' ? outcome.retryAfterMs : null
  if (asked === null || asked < own) return Math.max(1, Math.ceil(own))
  return Math.max(1, Math.ceil(asked * (1 + RETRY_AFTER_JITTER * random)))
}

/**
 * A series keeps its shape, a share to both sides. A computed backoff has full jitter with a floor (S9; AWS, Exponential Backoff And Jitter): from a
 * tenth to 1.9 of what was computed, so that the mean is what was asked for, and never above the longest delay. What failed at one instant does
 * not come back at one (LOAD-05).
 */
const spread = (base: number, { jitter, maxDelayMs }: RetryPolicy, random: number): number => {
  if (jitter !== null) return base * (1 - jitter + 2 * jitter * random)
  const floor = base * FULL_JITTER_FLOOR
  return floor + random * (Math.min(maxDelayMs, 2 * base - floor) - floor)
}

const backoffMs = (attempt: number, policy: RetryPolicy): number => {
  if (typeof policy.backoff === 'object')
    return policy.backoff[Math.min(attempt, policy.backoff.length) - 1] ?? policy.initialDelayMs
  switch (policy.backoff) {
    case 'fixed':
      return policy.initialDelayMs
    case 'linear':
      return policy.initialDelayMs * attempt
    case 'exponential':
      return policy.initialDelayMs * 2 ** Math.min(attempt - 1, 40)
    default:
      return policy.backoff satisfies never
  }
}
