/** Every bound of the daemon with its reason. Shown by `getInfo`. May be imported by every room. */

/** Scheduler: entries held in memory ahead of time. ~200 bytes each (reliability.md O3). */
export const HORIZON_ENTRIES_MAX = 10_000
export const HORIZON_AHEAD_MS = 60_000
/** Rows of one read in the store's thread: keeps a transaction and a message under ~5 ms (D-15, D-16). */
export const PAGE_ROWS_MAX = 500
/** Ids that a guard holds per lane; the rest waits in the store. */
export const LANE_WINDOW_MAX = 512
/** The scheduler's one wake-up is never further away, so clock steps are noticed (reliability.md T3). */
export const WAKE_MAX_MS = 1_000
/** A due lane without a live guard is looked for this often (D-2). */
export const AUDIT_MS = 10_000
/** Node capacity: attempts in flight over all domains (D-14). */
export const ATTEMPTS_IN_FLIGHT_MAX = 4_096
/** Default domain concurrency (guard.md). */
export const DOMAIN_CONCURRENCY_DEFAULT = 10
export const EXCERPT_BYTES_MAX = 4_096
export const BODY_BYTES_DEFAULT_MAX = 262_144
export const BODY_BYTES_MAX = 1_048_576
export const URL_CHARS_MAX = 2_048
export const TIMEOUT_MS_DEFAULT = 30_000
export const TIMEOUT_MS_MAX = 120_000
export const IN_DOUBT_HOLD_MS = 1_000
export const RETRY_AGE_MAX_MS = 5 * 24 * 3_600_000
/** Frames above this are parsed by the ingest thread (architecture.md). */
export const INGEST_FRAME_BYTES = 16_384
export const BATCH_WEBHOOKS_MAX = 10_000
export const SHUTDOWN_GRACE_MS = 25_000
/** A permit ends this long after the carrier thread's exit (D-8). */
export const CARRIER_EXIT_SETTLE_MS = 10
/** A killed process's `own` close may take this long, then exit 70 (D-9). */
export const OWN_CLOSE_MS_MAX = 5_000
/** A dispatch thread whose attempts are this far past their deadline is hung and is ended. */
export const CARRIER_HANG_MS = 2_000
