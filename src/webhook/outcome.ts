/** What an attempt's end means (reliability.md S7, S8): the status line decides, never the body. */
import type { ErrorClass, Outcome } from './webhook.ts'

/** Delivered = 2xx. */
export const isDelivered = (outcome: Outcome): boolean =>
  outcome.kind === 'response' && outcome.status >= 200 && outcome.status <= 299

/** The class that clients see; null for a delivery. Redirects are failures: they are never followed. */
export const errorClassOf = (outcome: Outcome): ErrorClass | null => {
  if (outcome.kind === 'error') return outcome.error
  if (isDelivered(outcome)) return null
  if (outcome.status >= 300 && outcome.status <= 399) return 'redirect'
  if (outcome.status >= 400 && outcome.status <= 499) return 'http_4xx'
  if (outcome.status >= 500 && outcome.status <= 599) return 'http_5xx'
  return 'bad_response'
}

/** The receiver says: no more, ever (410). */
export const isTerminal = (outcome: Outcome): boolean => outcome.kind === 'response' && outcome.status === 410

const UNKNOWN_FATE: ReadonlySet<ErrorClass> = new Set(['timeout', 'reset_after_send', 'in_doubt'])
/** True if the receiver may have processed the request although we have no answer. `sent`: a byte of it was written. */
export const isInDoubt = (outcome: Outcome, sent: boolean): boolean =>
  outcome.kind === 'error' && sent && UNKNOWN_FATE.has(outcome.error)

export const RETRY_AFTER_MAX_MS = 24 * 3_600_000

/**
 * `Retry-After` as milliseconds from now: delta-seconds or an IMF-fixdate, capped at 24 h; anything else is ignored
 * (RFC 9110 10.2.3, S10).
 */
export const parseRetryAfter = (value: string | undefined, now: number): number | null => {
  if (value === undefined) return null
  if (/^\d{1,10}$/.test(value)) return Math.min(Number(value) * 1000, RETRY_AFTER_MAX_MS)
  if (!/^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/.test(value)) return null
  const at = Date.parse(value)
  return Number.isNaN(at) ? null : Math.min(Math.max(at - now, 0), RETRY_AFTER_MAX_MS)
}
