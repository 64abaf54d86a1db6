/** The bounds of the daemon with their reasons. Shown by `getInfo`, in camel case. May be imported by every room. */

/** Scheduler: entries held in memory ahead of time. ~200 bytes each (reliability.md O3). */
export const HORIZON_ENTRIES_MAX = 10_000
export const HORIZON_AHEAD_MS = 60_000
/** Webhooks are handed to their guards so long before they are due: a started mark is on disk within it, unless the disk or the machine stalls. */
export const HANDED_AHEAD_MS = 10
/** Those that are due within so long are handed over together. */
export const HANDED_TOGETHER_MS = 3
/** In a crowd it skips what it has not read this long after it was due: those who wait for a place find it in the store anyway. */
export const HORIZON_BEHIND_MS_MAX = 500
/** Rows of one read in the store's thread: keeps a transaction and a message under ~5 ms (D-15, D-16). */
export const PAGE_ROWS_MAX = 500
/** Ids that a guard holds per lane; the rest waits in the store. */
export const LANE_WINDOW_MAX = 512
/** The scheduler's one wake-up is never further away, so clock steps are noticed (reliability.md T3). */
export const WAKE_MAX_MS = 1_000
/** A guard wakes no more often; what falls due meanwhile starts together. A quarter of what the law gives back above 50/s (guard.md). */
export const GUARD_WAKE_MIN_MS = 0.5
/** A due lane without a live guard is looked for this often (D-2). */
export const AUDIT_MS = 10_000
/** Node capacity: attempts in flight over all domains (D-14). */
export const ATTEMPTS_IN_FLIGHT_MAX = 4_096
/** Default domain concurrency (guard.md). */
export const DOMAIN_CONCURRENCY_DEFAULT = 10
export const EXCERPT_BYTES_MAX = 4_096
export const BODY_BYTES_DEFAULT_MAX = 262_144
export const URL_CHARS_MAX = 2_048
export const TIMEOUT_MS_DEFAULT = 30_000
export const TIMEOUT_MS_MAX = 120_000
export const IN_DOUBT_HOLD_MS = 1_000
export const RETRY_AGE_MAX_MS = 5 * 24 * 3_600_000
/** Frames above this are parsed by the ingest thread (architecture.md). */
export const INGEST_FRAME_BYTES = 16_384
export const BATCH_WEBHOOKS_MAX = 10_000
/** What one call with a filter (cancelWebhooks, replayWebhooks) takes at most: a second or two of the store. */
export const FILTER_WEBHOOKS_MAX = 10_000
/** Read, and then changed together. */
export const FILTER_PAGE_ROWS = 100
/** The default deadline of an attempt and a little: what was begun before a stop may end by itself (D-28). */
export const SHUTDOWN_GRACE_MS = 35_000
/** A permit ends this long after the carrier thread's exit (D-8). */
export const CARRIER_EXIT_SETTLE_MS = 10
/** A killed process's `own` close may take this long, then exit 70 (D-9). */
export const OWN_CLOSE_MS_MAX = 5_000
/** A dispatch thread whose attempts are this far past their deadline is hung and is ended. */
export const CARRIER_HANG_MS = 2_000

// ---------------------------------------------------------------- control channel
export const CONTROL_HOST_DEFAULT = '127.0.0.1'
export const CONTROL_PORT_DEFAULT = 7411
/** A batch of 10,000 webhooks of ~1 KiB; only where the upgrade carried a valid key, since a socket may hold one frame. */
export const FRAME_BYTES_MAX = 12 * 1_048_576
/** Everybody else, and every method but `scheduleWebhooks` (reliability.md C1). */
export const FRAME_BYTES_PLAIN_MAX = 262_144
/** ws keeps a frame as the chunks the socket gave: 256 bytes each is as small as an honest slow line gets (C1). */
export const FRAME_FRAGMENTS_MAX = 64
export const FRAME_CHUNKS_PLAIN_MAX = 1_024
/** 12 MiB in segments of ~1,400 bytes, with room. */
export const FRAME_CHUNKS_MAX = 16_384
/** Requests being answered per socket; beyond it the socket is not read (C7). */
export const REQUESTS_IN_FLIGHT_MAX = 64
/**
 * Requests being answered on the node: beyond it a socket is read only while none of its own is, beyond twice that none is. What they ask waits in
 * their sockets, not in mailboxes (SUPV-04). 128 sockets that are full of single requests; one request has some hundred questions under way at most.
 */
export const REQUESTS_NODE_MAX = 8_192
/** Who found the node full looks again after this, if nothing else wakes it. */
export const REQUESTS_AGAIN_MS = 20
/** Requests of one JSON-RPC batch (CTRL-05). */
export const BATCH_REQUESTS_MAX = 100
export const RPC_ID_CHARS_MAX = 64
/** Nesting of a frame (C6): far above any honest one, far below what recursion minds. */
export const JSON_DEPTH_MAX = 32
/** Values of one webhook outside `body` (C6, control.md). */
export const WEBHOOK_NODES_MAX = 64
export const SUBSCRIPTIONS_MAX = 64
/** Events kept for `fromSeq`, per topic. */
export const FEED_EVENTS_KEPT = 1_000
/** Events that wait for one session's next turn; beyond it the oldest are dropped and the gap is marked. As many as the feed keeps. */
export const NEWS_WAITING_MAX = 1_000
/** Protocol errors of one socket within a minute before it is closed (CTRL-05). */
export const PROTOCOL_ERRORS_PER_MINUTE_MAX = 50
/** Pings of one socket within a second before it is closed (CTRL-02); an honest client sends one in 30 s. */
export const PINGS_PER_SECOND_MAX = 100
/** Unauthenticated sockets are closed after it (C3). */
export const AUTHENTICATE_WITHIN_MS = 5_000
/** A message that was begun must be complete after it (CTRL-04). */
export const MESSAGE_AGE_MS_MAX = 10_000
/** Ping interval; two unanswered ones end the socket (C8). */
export const HEARTBEAT_MS = 30_000
/** Unsent bytes of a socket: above the first, events are dropped and a gap is marked; above the second the socket ends (C7). */
export const SOCKET_BUFFERED_GAP_BYTES = 1_048_576
export const SOCKET_BUFFERED_END_BYTES = 4_194_304
export const SOCKET_DRAIN_MS_MAX = 30_000
/** Wrong keys per address and minute that are answered at once; further ones wait longer each time (CTRL-01). */
export const AUTH_FAILURES_PER_MINUTE = 5
export const CONNECTIONS_MAX = 10_000
/** A request is answered with TIMEOUT after it; a dead target is asked again within it. */
export const REQUEST_MS_MAX = 10_000
/** Bytes of large frames being read by the ingest thread (D-19). */
export const INGEST_BRAND_BYTES_MAX = 24 * 1_048_576
export const INGEST_BYTES_MAX = 96 * 1_048_576
/** `listWebhooks` pages; a page that comes out above 256 KiB is halved. */
export const LIST_LIMIT_DEFAULT = 50
export const LIST_LIMIT_MAX = 500
export const PAGE_BYTES_MAX = 262_144
export const NAME_CHARS_MAX = 128
export const TAGS_MAX = 20
export const TAG_CHARS_MAX = 64
export const IDEMPOTENCY_KEY_CHARS_MAX = 255
export const RETRY_ATTEMPTS_MAX = 50
/** 9999-12-31T23:59:59.999Z: what four digits of a year can say (TIME-05). */
export const INSTANT_MAX = 253_402_300_799_999
export const CONCURRENCY_LIMIT_MAX = 1_000_000
export const RATE_LIMIT_MAX = 1_000_000
/** One start in about 31 years: smaller rates are meant as 0. */
export const RATE_LIMIT_MIN = 1e-9
/** Domains shown by `getMonitor` when none is named. */
export const MONITOR_DOMAINS_MAX = 100
/** Traffic series of the monitor: five minutes of seconds. */
export const TRAFFIC_BUCKET_MS = 1_000
export const TRAFFIC_BUCKETS = 300
/** Backpressure events shown by the monitor. */
export const BACKPRESSURE_EVENTS_KEPT = 100
/** Log lines waiting for a blocked pipe; further ones are counted and dropped (PROC-08). */
export const LOG_BUFFER_BYTES_MAX = 1_048_576
/** An attempt's failure is written once so often for a domain and an error class, with how many were left out; so many are remembered. */
export const LOG_REPEAT_MS = 60_000
export const LOG_REPEATS_KEPT = 5_000

// ---------------------------------------------------------------- mailboxes (SUPV-04)
/**
 * Messages that may wait for one actor. Nothing is dropped from a mailbox, since nearly every message carries somebody's promise: what comes is
 * bounded by who may send how much (`actors/mailboxes.ts`), far below these, and an actor that finds more ends, with a report and a restart:
 * better than a heap that grows until the whole process ends. The first for those whom only their own store, clock or client talks to.
 */
export const MAILBOX_FEW_MAX = 10_000
export const MAILBOX_MANY_MAX = 1_000_000

// ---------------------------------------------------------------- guards
/** Hosts and wildcards of one domain group, and groups: a change compares all members, and is read at every start of a guard. */
export const GROUP_MEMBERS_MAX = 1_000
export const GROUPS_MAX = 1_000
/** A window that holds less than this share of what it may, of a lane with more in the store, is refilled: time for one read. */
export const LANE_WINDOW_LOW_SHARE = 0.25
/** Ids that a guard holds over all its lanes; with many brands each lane holds fewer, at least the second figure. */
export const GUARD_ROWS_MAX = 32_768
export const LANE_WINDOW_MIN = 16
/** Attempts that ended while a page of their lane was on its way; beyond it the store's compare-and-set alone decides (D-3). */
export const GONE_ATTEMPTS_MAX = 10_000
/** A guard with nothing to do stops after this long: 100,000 domains must not cost 100,000 live actors. */
export const GUARD_IDLE_MS = 1_000
/**
 * Guards that live at once. More than attempts in flight, so that there are always some without any, which can make room for others;
 * ~7.6 KB each. Domains beyond it wait for a place, and their work waits in the store.
 */
export const GUARDS_LIVE_MAX = 5_120
/** This share of the places is kept from domains that can start nothing, so that one that comes due need not wait for room to be made. */
export const PLACES_KEPT_SHARE = 0.25
/**
 * Guards that are being started at once: each asks the store twice, and who comes next waits behind all of them. At 128 a healthy domain
 * beside 20,000 others at one instant was 119 ms late in the median (p90 305), at 32 38 ms (122); the crowd itself passed as quickly.
 */
export const GUARDS_STARTING_MAX = 32
/** Domains that wait for a place by name, ~150 bytes each; the others are found again in the store. */
export const DOMAINS_WAITING_MAX = 10_000
/** Where domains wait for a place, so often up to so many guards that cannot start anything make room: ~0.4 ms of work each. */
export const PLACES_TICK_MS = 100
export const STAND_DOWNS_MAX = 64
/** Where the node has no slot for domains of which nobody knows, so many: those who would come could not start either. */
export const STAND_DOWNS_FULL_MAX = 8
/** A domain that could not start anything is looked at again after this at the latest, if nothing has told of a change. */
export const GUARD_REST_MS_MAX = 10_000
/** A guard writes its figures at most this often. */
export const FIGURES_MS = 100
/** TCP and TLS handshake and the name's lookup together (H2); the attempt's own deadline may be shorter. */
export const CONNECT_MS_MAX = 5_000
/** After the status line the body may take so long, then its socket is destroyed: the outcome is decided already (S7). */
export const BODY_WAIT_MS = 250
/** Response bytes read so that a connection can be used again; a longer body costs its connection. */
export const RESPONSE_BYTES_MAX = 65_536
export const RESPONSE_HEADER_BYTES_MAX = 16_384
/** Informational responses (1xx) before the answer (H6). */
export const RESPONSE_INFOS_MAX = 20
/** A receiver sees the close of a destroyed socket within this, as after a thread's exit (D-8); then the attempt is reported. */
export const SOCKET_CLOSE_SETTLE_MS = 10
/** (brand, origin) pairs whose connections a thread keeps; the least recently used idle one goes first (RECV-17). */
export const ORIGINS_MAX = 1_000
/** Idle connections are closed after this, whatever the receiver offers: file descriptors are back within a minute (RECV-17). */
export const IDLE_CONNECTION_MS = 4_000
export const IDLE_CONNECTION_MS_MAX = 30_000
/** One try of a DNS question, two tries: 2 s each (RECV-16). Node's resolver looks once a second, and would look a second late at 2,000. */
export const DNS_QUERY_MS = 1_900
/** Once one address family has answered, the other is waited for so long. */
export const DNS_OTHER_FAMILY_MS = 100
export const DNS_NAMES_MAX = 5_000
export const DNS_ADDRESSES_MAX = 16
export const DNS_TTL_MIN_MS = 1_000
export const DNS_TTL_MAX_MS = 60_000
export const DNS_NEGATIVE_MS = 5_000
/** A dispatch thread that holds attempts is looked at this often; past a deadline and without an answer at two looks it is ended (WORK-01). */
export const CARRIER_WATCH_MS = 300
/** Heap of one dispatch thread: bodies are outside it (WORK-03). */
export const CARRIER_HEAP_MB = 256
/** Heap of the spare thread for suspects: it carries one attempt. Another size, so that a fatal-error report tells who died (D-17). */
export const LONELY_HEAP_MB = 224
/**
 * Young generation of every thread, a third of it a semi-space; main's is the flag of `npm start`. V8 takes up to 192 MB a thread on a machine with
 * memory to spare and goes there by doubling, minutes apart: an hour of light load looks like a leak. Part of the limit in a fatal-error report.
 */
export const THREAD_YOUNG_HEAP_MB = 48
/**
 * Helper threads of V8 in the whole process (`--v8-pool-size`, 4 by default): they collect garbage and compile. Four of them take both cores of a
 * small machine from the threads that deliver, for a sixth of a second at each full collection.
 */
export const V8_HELPERS = 1
/** Reports of runs that ended with a fatal error, the newest: ~10 KiB each. A run's is read at the next boot. */
export const FATAL_REPORTS_MAX = 10
/** Store: rows due later than what is asked for plus this lie by hour, without precise indexes (D-25). */
export const FAR_AHEAD_MS = 600_000
export const FAR_BUCKET_MS = 3_600_000
/** Rows that move from an hour to the precise indexes in one transaction: ~3 ms. */
export const FAR_PAGE_ROWS = 300
/** Rows that an append writes in one transaction; a larger one goes in chunks under an `open_batches` row (D-16: <= 5 ms). */
export const APPEND_CHUNK_ROWS = 300
/** Between two chunks of a large append others are served for so long at most, if they do not end: it gets a fifth of the thread or more. */
export const APPEND_YIELD_MS = 20
/** Index entries that a horizon read passes over at most: bounded work per message. */
export const HORIZON_SCAN_MAX = 10_000
/** Pairs of lanes that one look for due lanes passes over: 2 to 3 microseconds each. */
export const LANES_SCAN_MAX = 1_000
/** Rows that one page of a list looks at, some 20 microseconds each: a page within 50 ms, whatever nothing matches (LOAD-03). */
export const LIST_SCAN_MAX = 2_000
/**
 * Page caches of the writer and of the maintenance connection. They fill within minutes and stay; three times as much made no write cheaper
 * (200 MB of rows, `bench/store-writer.ts`: 0.94 to 1.01 of the CPU).
 */
export const WRITER_CACHE_KIB = 16_384
export const MAINTENANCE_CACHE_KIB = 8_192
/** A passive checkpoint is asked for after this many written bytes (estimated), so that a commit never waits for one (D-16). */
export const CHECKPOINT_BYTES = 4_194_304
/** From this many frames on the writer finishes the checkpoint itself, so that the WAL starts anew: 4 KiB each. */
export const WAL_FRAMES_MAX = 8_192
/** A log of this size is told of: some reader holds it; a start would have to read all of it (STOR-11). */
export const WAL_ALARM_BYTES = 268_435_456
/** After so long without much writing the log's file is emptied. */
export const WAL_IDLE_MS = 10_000
/** Store-keeper: operations and bytes of one group; one group of each kind (marks, promises, large appends) is under way. */
export const GROUP_OPS_MAX = 500
export const GROUP_BYTES_MAX = 1_048_576
/** Rows of one group of large appends, if it holds more than one: ~40 ms of writing, several turns of a busy main. */
export const LARGE_GROUP_ROWS_MAX = 4_000
/** While marks come, outcomes alone wait so long for the next one to go with; so many go by themselves. Nobody waits for an outcome. */
export const OUTCOME_RIDE_MS = 3
export const OUTCOMES_RIDE_MAX = 32
/** A store that cannot be written or opened is tried again after these; a booting one for this long in all. */
export const STORE_RETRY_MS = 100
export const STORE_RETRY_MS_MAX = 5_000
/** A store that dies sooner than this after it was opened is opened again after such a delay, not at once (SUPV-02). */
export const STORE_STEADY_MS = 5_000
export const STORE_OPEN_PATIENCE_MS = 20_000
/** A disk that fails so often within this long is not trusted any more: exit 70, and the service manager's turn (reliability.md D7). */
export const DISK_FAILURES_MAX = 3
export const DISK_FAILURES_MS = 600_000
/** A promised operation that was under way this often when the store died is answered `failed`. */
export const STORE_RESENDS_MAX = 3
/** An attempt that runs for longer is slow; slow ones may hold this share of the node together (D-14). */
export const SLOW_ATTEMPT_MS = 1_000
export const SLOW_SHARE_MAX = 0.75
/** Slow ones, and those of which nobody knows yet, this share. The rest, 512 slots, is a thousand starts a second and more of quick domains. */
export const UNPROVEN_SHARE_MAX = 0.875
/** Domains that are remembered as quick when their guard has ended, ~100 bytes each. */
export const QUICK_DOMAINS_MAX = 10_000
/**
 * Domains without a guard whose closures, breakers and adaptive limits are remembered, ~1.5 KB each (RECV-17). Beyond it go those first that hold
 * nothing closed, then those that open soonest (`guard/forgetting.ts`); looked at when there are so many more.
 */
export const CONDITIONS_KEPT_MAX = 5_000
export const CONDITIONS_SURPLUS_MAX = 500
/** Figures and shares of guards that died without a successor are taken away this often. */
export const GUARD_SWEEP_MS = 5_000
/** Shorter closures are not worth a synced write: the dead process's receiver waits at most this long for nothing. */
export const CLOSURE_KEPT_MS_MIN = 2_000
/** What waits is counted to at most this: "100,000 or more" (D-28). */
export const WAITING_SHOWN_MAX = 100_000
/** Deaths, of its thread or of the process, in which a webhook was alone in its thread, after which it is quarantined (D-17). */
export const LONELY_DEATHS_MAX = 3
/** The spare thread for suspects ends after so long without one. */
export const LONELY_IDLE_MS = 30_000
/** Finished webhooks are kept this long, dead and quarantined ones longer (store.md). */
export const RETENTION_MS = 7 * 24 * 3_600_000
export const RETENTION_DEAD_MS = 30 * 24 * 3_600_000
/**
 * Dead webhooks that a brand keeps, and as many quarantined ones (reliability.md S12): ~150 MB at 1.5 KB each, what one receiver that fails for
 * days leaves behind. Beyond it the longest finished go. The alarm comes from this share of it on, before the first is lost.
 */
export const DEAD_LETTERS_BRAND_MAX = 100_000
export const DEAD_LETTERS_ALARM_SHARE = 0.9
/** Dead letters that one batch looks at for those of a brand with too many: bounded work per transaction (D-16). */
export const DEAD_LETTERS_SCAN_MAX = 250
/** Looked for this often; then removed in batches of some 2 ms with a pause between: ~500 a second. */
export const PRUNE_EVERY_MS = 60_000
export const PRUNE_ROWS = 50
export const PRUNE_PAUSE_MS = 100
/** Pairs of lanes that each batch looks at as well, for those that no webhook is of any more: ~0.5 ms. */
export const PRUNE_LANES = 500
/** What has waited beyond its `expiresAt` is looked for this often; then ended in batches of some 4 ms: ~1,800 a second (D-28). */
export const EXPIRE_EVERY_MS = 1_000
export const EXPIRE_ROWS = 100
export const EXPIRE_PAUSE_MS = 50
/** The store is looked through for damage this long after it was opened at boot, so that boot does not wait for it (D-26). */
export const CHECK_AFTER_MS = 10_000
/** And again so often: damage of what nobody reads is found while there are backups from before it (reliability.md D6). */
export const CHECK_EVERY_MS = 7 * 24 * 3_600_000
/** A backup may take so long: some 10 s per million webhooks, on a disk that is busy. */
export const BACKUP_MS_MAX = 3_600_000
export const PATH_CHARS_MAX = 4_096
/** Buckets of one forecast: each may cost a count in the store. */
export const FORECAST_BUCKETS_MAX = 100
/** (lane, instant) pairs of one call for which `predict` looks ahead: each costs up to three counts in the store. */
export const PREDICT_INSTANTS_MAX = 16
/** A brand's unfinished webhooks are counted this often where they are bounded; what came since is added. */
export const BACKLOG_COUNT_MS = 1_000
/** Retries per first try while a domain fails: more than RETRY_ATTEMPTS_MAX binds nobody. */
export const RETRY_BUDGET_MAX = 100
export const BRAND_WEIGHT_MIN = 0.01
export const BRAND_WEIGHT_MAX = 1_000
/** A place in a lane is counted to at most this: "10,000 or more" (D-28). */
export const RANK_ROWS_MAX = 10_000

// ---------------------------------------------------------------- overload (reliability.md O2)
/**
 * What waits for the store on main, between the sockets and its thread; beyond either the keeper refuses, whatever the door thought. 100,000
 * rows are ten of the largest batches, ~3 s of writing; bytes are what the rows take, their heads beside them ~200 each.
 */
export const STORE_WAITING_ROWS_MAX = 100_000
export const STORE_WAITING_BYTES_MAX = 67_108_864
/**
 * From these figures on new schedules are refused, from smaller ones lists, and before them event streams are thinned (`overload/levels.ts`). A
 * schedule that waits longer than this for the store is near the end of its sender's patience (REQUEST_MS_MAX): work done for nobody.
 */
export const OVERLOAD_STORE_WAIT_MS = 2_000
/** Latency of one group commit; a good disk takes 1 to 10 ms, one with 300 ms a sync is slow, not overloaded (STOR-02). */
export const OVERLOAD_COMMIT_MS = 2_000
/** Delay of the main thread's event loop, the longest but one of two seconds. Streams are thinned from 100 ms on (O2); a starved machine reaches 200 ms. */
export const OVERLOAD_LOOP_MS = 800
/** Share of V8's heap limit that is in use at its lowest within two seconds, so that garbage does not count. */
export const OVERLOAD_HEAP_SHARE = 0.85
/** Load is looked at this often; a level is left, one at a time, after so long well below it. */
export const OVERLOAD_SAMPLE_MS = 250
export const OVERLOAD_WINDOW_MS = 2_000
export const OVERLOAD_CALM_MS = 1_000
/** What a refused sender is told to wait: what waits should have drained by then; each a little different, so that they do not return together. */
/** A socket whose large frame was refused unread is not read for so long; its sender was told to wait for five times that. */
export const REFUSED_REST_MS = 100
export const OVERLOAD_RETRY_MS_MIN = 500
export const OVERLOAD_RETRY_MS_MAX = 10_000
/** While streams are thinned, `monitor` tells every fifth of its figures. */
export const OVERLOAD_MONITOR_EVERY = 5
