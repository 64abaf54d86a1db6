/**
 * The bounds on mailboxes: how much may wait for each type of actor, and why it never comes to that (SUPV-04).
 *
 * Nearly every message carries a promise: a call that is waited for, a permit that comes back, an end that nobody tells twice. So none may be
 * dropped, and each mailbox is bounded by construction, by who may send how much:
 *
 * | actor | who may send how much at once |
 * |---|---|
 * | session | its socket says `frames` once until they are taken; answers to REQUESTS_IN_FLIGHT_MAX frames; `news` once, see below |
 * | listener | a connection each: CONNECTIONS_MAX; a change of keys per request |
 * | ingest | a large frame each, until the bytes of its brand are full and its sockets rest |
 * | store-keeper | appends: STORE_WAITING_ROWS_MAX; an execution or retry process has one operation under way; the questions of requests, and of guards one a lane |
 * | scheduler | as the store-keeper, for appends, cancels, retries; guards say one thing a lane, once each |
 * | limits | a change per request; a closure per answer of a receiver |
 * | guard | one end for each permit; one answer for each question; what the scheduler tells at a wake-up; a request each |
 * | brand-limiter | one question and one list of names per guard; one end for each permit |
 * | dispatch-pool | one order and one report for each permit; a registration per guard |
 * | executor | one start and one end for each permit; attempts of an earlier run, by pages |
 * | retry-manager | one failure for each execution, one start and one end for each retry process |
 * | execution, retry | one question under way; one end |
 * | overload, telemetry | its own clock; nobody |
 *
 * Permits: ATTEMPTS_IN_FLIGHT_MAX on the node. Guards: GUARDS_LIVE_MAX. Requests: REQUESTS_NODE_MAX, then sockets are not read. Appends: what the
 * door has let in (`overload/store-load.ts`).
 *
 * Where loss is allowed it happens before the mailbox, with a mark: events for a session wait in `control/news.ts` (coalesced into one message,
 * drop-oldest, the gap is told), new work is refused at the door (RESOURCE_EXHAUSTED), log lines are counted and dropped in the sink.
 *
 * The declared bounds are far above all that. Who has more waiting has a bug, or somebody who talks to it has: it ends, is reported and restarted.
 */
import { MAILBOX_FEW_MAX, MAILBOX_MANY_MAX } from '#config/limits.ts'

export interface MailboxBound {
  readonly max: number
  readonly policy: 'crash'
}
/** Of actors that only their own store, clock, or client talks to. */
export const FEW: MailboxBound = { max: MAILBOX_FEW_MAX, policy: 'crash' }
/** Of actors that every attempt, guard or request talks to. */
export const MANY: MailboxBound = { max: MAILBOX_MANY_MAX, policy: 'crash' }
