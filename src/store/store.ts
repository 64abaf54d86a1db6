/**
 * The store's contract. Implementations: `memory/` (tests, simulation), `sqlite/` (the embedded default).
 * One conformance suite runs over all of them (test/conformance/store).
 *
 * Every mutation is idempotent by its token or its key: a caller that got no answer sends the same operation again and
 * gets the first answer (D-3). `write` takes a group and answers all of it together. An operation that was promised to
 * somebody outside (append, cancel, setLimit, brands, keys) is synced before the answer; marks and outcomes survive the
 * death of the process but are synced only with the next synced group (D-6).
 *
 * Operations of one group are applied in their order; groups in flight at the same time in any order.
 *
 * Errors: `write` and `read` reject with StoreError; nothing of the group is then known to be durable, and every operation
 * may be sent again. `invalid` names the one operation that can never be taken (`op`): send the others without it.
 */
import type { DomainGroup, GroupKey, Member } from '#webhook/domain-group.ts'
import type {
  AttemptRecord,
  Brand,
  Domain,
  Due,
  Edge,
  ErrorClass,
  FinalState,
  Instant,
  LaneKey,
  LimitKind,
  Priority,
  RetryPolicy,
  WebhookId,
  WebhookState,
} from '#webhook/webhook.ts'

export interface Store {
  write<const G extends readonly WriteOp[]>(group: G): Promise<{ -readonly [I in keyof G]: WriteResult<G[I]> }>
  read<Q extends ReadQuery>(query: Q): Promise<ReadResult<Q>>
  /** Commits nothing more; closes files; resolves when the thread has ended. Idempotent. */
  close(): Promise<void>
}

/**
 * Opens a store, running migrations. Rejects with StoreError (`locked`, `corrupt`, `version`, `io`). `ended`: it cannot be used any
 * more; `io` and `corrupt`: for what the disk did, `closed`: for another reason.
 */
export type OpenStore = (events: {
  readonly ended: (reason: string, code: StoreErrorCode) => void
  /** What is not yet in its place has grown so long that somebody should know: some reader holds it. */
  readonly grown?: (bytes: number) => void
}) => Promise<Store>

export class StoreError extends Error {
  readonly code: StoreErrorCode
  /** Index in the group of the operation that is to blame (`invalid`), else null. */
  readonly op: number | null
  constructor(code: StoreErrorCode, message: string, op: number | null = null) {
    super(message)
    this.name = 'StoreError'
    this.code = code
    this.op = op
  }
}
export type StoreErrorCode = 'full' | 'busy' | 'io' | 'corrupt' | 'locked' | 'version' | 'closed' | 'invalid'

// ---------------------------------------------------------------- writing

export type WriteOp =
  | Append
  | MarkStarted
  | MarkAlone
  | RecordOutcome
  | HandBack
  | Cancel
  | Reschedule
  | Replay
  | SetLimit
  | SetGroup
  | PutBrand
  | PutKey
  | Expire
  | Prune

/** True for what is promised to somebody outside, and so synced before it is answered (D-6). */
export const isPromised = (op: WriteOp): boolean => !UNPROMISED.has(op.type)
const UNPROMISED: ReadonlySet<WriteOp['type']> = new Set([
  'mark-started',
  'record-outcome',
  'hand-back',
  'expire',
  'prune',
])

/** A webhook to be stored. `request` is packed once (`#webhook/request.ts`) and sent as it is. */
export interface NewWebhook {
  readonly id: WebhookId
  readonly brand: Brand
  readonly name: string | null
  readonly url: string
  readonly host: Domain
  readonly domain: Domain
  readonly method: string
  readonly priority: Priority
  /** The instant that was asked for. */
  readonly at: Instant
  /** max(at, createdAt): D-28. */
  readonly nextAt: Instant
  readonly createdAt: Instant
  readonly timeoutMs: number
  readonly expiresAt: Instant | null
  /** null = the default policy, resolved when it is needed. */
  readonly retry: RetryPolicy | null
  readonly tags: readonly string[]
  readonly idempotencyKey: string | null
  /** Digest of everything the client said; the same key with another digest is a conflict. */
  readonly contentHash: Uint8Array | null
  readonly request: Uint8Array
}

/**
 * All or nothing. `rows` are packed by `encodeRows` (`./rows.ts`); they are never detached, so the caller can send them again.
 * Sent again with the same ids it answers as the first time.
 */
export interface Append {
  readonly type: 'append'
  readonly count: number
  readonly rows: Uint8Array
}
export type Appended =
  | {
      readonly ok: true
      /** Per row, in order: its seq. A duplicate (same brand and idempotency key, same content) has the first one's. */
      readonly seqs: readonly number[]
      /** Per row: the id it is stored under; differs from the row's own where it is a duplicate. */
      readonly ids: readonly WebhookId[]
      readonly duplicates: readonly boolean[]
    }
  | {
      readonly ok: false
      readonly conflict: { readonly index: number; readonly idempotencyKey: string; readonly id: WebhookId }
    }

/** Which webhook. `seq` (of its `Due`) is a hint that saves a look-up by text; where it is missing or of another, the id decides. */
interface Whose {
  readonly id: WebhookId
  readonly seq?: number
}

/**
 * Compare-and-set: live, `attempt - 1` attempts made, not started; or already started with this token (D-3). Not synced.
 * The token of the start that was handed back last never starts again (`other-attempt`): what was given back as unsent stays
 * unsent. A row whose `expiresAt` is not after `startedAt` ends as `expired`, and one whose bytes are damaged as `quarantined`:
 * `not-live`, with `ended`, also when the same mark is sent again. `not-due`: it has another instant (rescheduled), or a later one (the clock went back);
 * nothing is changed.
 */
export interface MarkStarted extends Whose {
  readonly type: 'mark-started'
  readonly attempt: number
  /** Names this start; unique for ever. */
  readonly token: string
  readonly startedAt: Instant
  /** As of which instant it is started: where it has another one now it is not due, since `startedAt` may be of a clock that has gone back since. */
  readonly dueAt?: Instant
}
/** `request` is a view into the buffer of the whole group's answers: copy it before posting it to another thread. */
export type Marked =
  | ({ readonly ok: true; readonly request: Uint8Array; readonly lonelyDeaths: LonelyDeaths } & Series)
  | { readonly ok: false; readonly why: 'not-due'; readonly nextAt: Instant }
  | { readonly ok: false; readonly why: 'not-found' | 'not-live' | 'other-attempt' | 'already-started' }
  | { readonly ok: false; readonly why: 'not-live'; readonly ended: Ended }
/** What the decision on a retry needs of the series that an attempt belongs to. */
export interface Series {
  readonly retry: RetryPolicy | null
  /** max(at, createdAt), or when it was replayed: from when the age of its retries counts. */
  readonly firstAt: Instant
  /** Attempts before it was replayed: they do not count against `maxAttempts`. */
  readonly attemptsBefore: number
}
/**
 * Null: nobody suspects it. A number: it was in a thread, or in a process, that died of an error of its own, and runs alone until
 * an attempt of it comes back with a report; so often it was alone in what died (D-17). Outlives restarts.
 */
export type LonelyDeaths = number | null
/**
 * The suspect that was started as this attempt has its thread for itself from now on, and is about to be sent. Synced: until
 * it is on disk nothing of it may be sent, since a suspect that is not alone counts as unsent.
 */
export interface MarkAlone {
  readonly type: 'mark-alone'
  readonly id: WebhookId
  readonly attempt: number
}
/** Stale: that attempt is not started. */
export type MarkedAlone = { readonly ok: true } | { readonly ok: false; readonly why: 'not-found' | 'stale' }
/** A webhook that the store has ended by itself. */
export interface Ended {
  readonly id: WebhookId
  readonly brand: Brand
  readonly domain: Domain
  readonly state: FinalState
}

/** Outcome and what comes next in one operation (D-4). Changes the row only if it is started with this token. Not synced. */
export interface RecordOutcome extends Whose {
  readonly type: 'record-outcome'
  readonly token: string
  readonly attempt: AttemptRecord
  /** What it is suspected of from now on; default null. */
  readonly lonelyDeaths?: LonelyDeaths
  readonly next:
    | { readonly state: 'retrying'; readonly nextAt: Instant }
    | { readonly state: FinalState; readonly finishedAt: Instant }
}
export type OutcomeRecorded =
  | { readonly ok: true; readonly seq: number }
  | { readonly ok: false; readonly why: 'not-found' | 'stale' }

/** The attempt was never sent: the row is live again as before the mark. Stale if it is not started with this token. */
export interface HandBack extends Whose {
  readonly type: 'hand-back'
  readonly token: string
}
export type HandedBack =
  | { readonly ok: true; readonly due: Due }
  | { readonly ok: false; readonly why: 'not-found' | 'stale' }

/** `alreadyRunning`: started and not finished. With a brand, rows of other brands are `notFound`. Synced. */
export interface Cancel {
  readonly type: 'cancel'
  readonly id: WebhookId
  readonly brand: Brand | null
  /** Also names this cancel: sent again with the same instant it is answered `cancelled` again. */
  readonly at: Instant
}
export type Cancelled = {
  readonly outcome: 'cancelled' | 'alreadyRunning' | 'alreadyDone' | 'notFound'
  readonly due: Due | null
}

/**
 * Another instant for a live webhook that is not started: max(at, now), from when the age of its retries counts anew. What is due
 * already and is to run now keeps its place. `expiresBefore`: it would expire first. Synced.
 */
export interface Reschedule {
  readonly type: 'reschedule'
  readonly id: WebhookId
  readonly brand: Brand | null
  readonly at: Instant
  readonly now: Instant
}
export type Rescheduled =
  | { readonly outcome: 'rescheduled'; readonly due: Due }
  | { readonly outcome: 'alreadyRunning' | 'alreadyDone' | 'expiresBefore' | 'damaged' | 'notFound' }

/**
 * A new series of attempts for a finished webhook, due at `at`, with the same id and without its expiry; its attempts are numbered
 * on. With `newId` a new webhook of the same content instead, without its idempotency key; the finished one stays. Synced.
 */
export interface Replay {
  readonly type: 'replay'
  readonly id: WebhookId
  readonly brand: Brand | null
  readonly newId: WebhookId | null
  /** Now. Also names this replay: sent again with the same instant it is answered `replayed` again. */
  readonly at: Instant
}
export type Replayed =
  | { readonly outcome: 'replayed'; readonly due: Due }
  | { readonly outcome: 'notDone' | 'damaged' | 'notFound' }

/** One limit. `domain` null = brand over all domains; `brand` null = domain over all brands. `value` null removes. Synced. */
export interface SetLimit {
  readonly type: 'set-limit'
  readonly kind: LimitKind
  readonly domain: Domain | null
  readonly brand: Brand | null
  /** Permits, or starts per second. */
  readonly value: number | null
  /** Only for a rate; starts that may come at once. */
  readonly burst: number | null
  readonly setBy: string
  readonly setAt: Instant
}
export interface StoredLimit extends Omit<SetLimit, 'type'> {
  /** Counts the changes of this limit from 1. */
  readonly version: number
}

/**
 * All members of a domain group; none dissolves it (D-13). Rows keep their host: from the answer on, `lane`, `due-lanes`,
 * `backlog`, `list` and `counts` of the group's key find those of its hosts. `carried`: limits that are set in the same
 * transaction (what the hosts that leave must not forget). Sent again with the same words it is answered the same. Synced.
 */
export interface SetGroup {
  readonly type: 'set-group'
  readonly group: GroupKey
  readonly members: readonly Member[]
  readonly setBy: string
  readonly setAt: Instant
  readonly carried: readonly Omit<SetLimit, 'type'>[]
}
export type GroupSet =
  | { readonly ok: true; readonly group: DomainGroup; readonly carried: readonly StoredLimit[] }
  /** Nothing has changed. */
  | { readonly ok: false; readonly why: 'taken'; readonly member: Member; readonly by: GroupKey }

export interface PutBrand {
  readonly type: 'put-brand'
  readonly brand: Brand
  readonly createdAt: Instant
}
export interface PutKey {
  readonly type: 'put-key'
  readonly key: StoredKey
}
/** Never the key itself: its public id and an HMAC of its secret. */
export interface StoredKey {
  readonly keyId: string
  readonly digest: Uint8Array
  readonly role: 'admin' | 'brand'
  readonly brand: Brand | null
  readonly createdAt: Instant
  readonly expiresAt: Instant | null
  readonly revokedAt: Instant | null
}

/**
 * Ends live, not started rows with `expiresAt` <= `now` as `expired` (finishedAt = `now`), in the order of (expiresAt, seq), at
 * most `limit` (keep it small: each costs some 40 microseconds). Sent again it answers those that are left. Not synced.
 */
export interface Expire {
  readonly type: 'expire'
  readonly now: Instant
  readonly limit: number
}
export interface Expired {
  readonly ok: true
  readonly expired: readonly Ended[]
  readonly more: boolean
}

/**
 * Retention: removes finished webhooks with their attempts and idempotency keys, at most `limit` (keep it small: each costs
 * some 20 microseconds), dead and quarantined ones by their own instant; then the longest finished ones of a brand that has more of
 * them than it may (S12). One call looks at so many pairs of lanes and dead letters as keep it small: with many it takes several
 * calls, and the bound is reached by the last. Not synced.
 */
export interface Prune {
  readonly type: 'prune'
  /** Delivered, cancelled and expired ones that finished before it. */
  readonly finishedBefore: Instant
  /** Dead and quarantined ones that finished before it. */
  readonly deadBefore: Instant
  /** Dead ones that a brand may keep, and as many quarantined ones. */
  readonly deadMax: number
  /** Closures and open breakers whose instant is before it, and those that were lifted. */
  readonly closedBefore: Instant
  /** Of webhooks, and as many of closures and breakers. */
  readonly limit: number
}
export interface Pruned {
  readonly ok: true
  /** All webhooks that were removed. */
  readonly pruned: number
  /** Not all has been looked at: call again. */
  readonly more: boolean
  /** Those of `pruned` that only the bound removed, by brand. */
  readonly dropped: readonly { readonly brand: Brand; readonly count: number }[]
  /** Brands that hold at least DEAD_LETTERS_ALARM_SHARE of what they may, in order, as last counted. null = still counting. */
  readonly crowded: readonly Brand[] | null
}

interface WriteResults {
  readonly append: Appended
  readonly 'mark-started': Marked
  readonly 'mark-alone': MarkedAlone
  readonly 'record-outcome': OutcomeRecorded
  readonly 'hand-back': HandedBack
  readonly cancel: Cancelled
  readonly reschedule: Rescheduled
  readonly replay: Replayed
  readonly 'set-limit': StoredLimit
  readonly 'set-group': GroupSet
  readonly 'put-brand': { readonly ok: true }
  readonly 'put-key': { readonly ok: true }
  readonly expire: Expired
  readonly prune: Pruned
}
export type WriteResult<Op> = Op extends WriteOp ? WriteResults[Op['type']] : never

// ---------------------------------------------------------------- reading

/** How far `counts` counts what waits (D-28: "10,000 or more"). */
export const WAITING_COUNT_MAX = 10_000

export type ReadQuery =
  /** Live, not started rows with key > after and nextAt <= until, in order; `except` lanes left out; at most `limit` rows. */
  | {
      readonly type: 'horizon'
      readonly after: Edge
      readonly until: Instant
      readonly limit: number
      readonly except: readonly LaneKey[]
    }
  /** The head of one lane: key > after (or from its start), nextAt <= until. Of a group: over all its hosts, in order. */
  | {
      readonly type: 'lane'
      readonly lane: LaneKey
      readonly after: Edge | null
      readonly until: Instant
      readonly limit: number
    }
  /**
   * Lanes that have a row due at `now`, by (domain, brand, priority, kind) after the cursor; one domain if
   * named; of a group those of its hosts. A page may be
   * short, even empty, before the end (bounded work per page): go on while there is a `next`.
   */
  | {
      readonly type: 'due-lanes'
      readonly now: Instant
      readonly domain?: Domain
      readonly after: LaneKey | null
      readonly limit: number
    }
  /** Rows with a started mark and no outcome. */
  | { readonly type: 'started'; readonly after: number; readonly limit: number }
  | { readonly type: 'webhook'; readonly id: WebhookId; readonly brand: Brand | null }
  | { readonly type: 'attempts'; readonly id: WebhookId; readonly brand: Brand | null }
  /** Newest first. A page may be short, even empty, before the end (bounded work per page): go on while there is a cursor. */
  | {
      readonly type: 'list'
      readonly filter: ListFilter
      readonly limit: number
      /** A whole number as text: the door refuses anything else. */
      readonly cursor: string | null
      readonly now: Instant
    }
  | { readonly type: 'limits' }
  /** Dissolved ones are left out. */
  | { readonly type: 'groups' }
  | { readonly type: 'brands' }
  | { readonly type: 'keys' }
  /**
   * Per state over everything, or of one brand / domain; the states are disjoint and their sum is exact. `waiting` (due at
   * `now`) is counted to at most WAITING_COUNT_MAX; what is beyond stays in `scheduled` and `retrying`.
   */
  | { readonly type: 'counts'; readonly brand: Brand | null; readonly domain: Domain | null; readonly now: Instant }
  /** Live, not started rows due at `now` in one domain, counted to at most `cap`, with the oldest nextAt. */
  | { readonly type: 'backlog'; readonly domain: Domain; readonly now: Instant; readonly cap: number }
  /**
   * Looks at everything, takes seconds (2 s per million rows and more): pages, indexes, and that rows and counters agree.
   * Each problem names the file. Other queries are answered meanwhile.
   */
  | { readonly type: 'check' }
  /**
   * A copy of this instant, checked, into a new file on the node's machine (absolute path). Takes seconds a million rows;
   * commits and other reads go on meanwhile. One at a time.
   */
  | { readonly type: 'backup'; readonly to: string }

/** `from` and `to` (both inclusive) compare with the instant that was asked for (`at`). `held` finds nothing here. */
export interface ListFilter {
  readonly brand: Brand | null
  readonly state?: WebhookState
  readonly domain?: Domain
  readonly tag?: string
  readonly name?: string
  readonly from?: Instant
  readonly to?: Instant
}

export interface StartedRow extends Series {
  readonly due: Due
  readonly attempt: number
  readonly token: string
  readonly startedAt: Instant
  readonly lonelyDeaths: LonelyDeaths
  /** A suspect that is not alone yet waits for its thread: nothing of it was sent. */
  readonly alone: boolean
}

export interface WebhookRecord {
  readonly id: WebhookId
  readonly seq: number
  readonly brand: Brand
  readonly name: string | null
  readonly url: string
  readonly domain: Domain
  readonly method: string
  readonly priority: Priority
  /** `waiting` is derived from `now` of the query where there is one, else by the caller. */
  readonly state: WebhookState
  readonly at: Instant
  readonly createdAt: Instant
  readonly tags: readonly string[]
  readonly attempts: number
  readonly nextAt: Instant | null
  readonly lastStatus: number | null
  readonly lastError: ErrorClass | null
  readonly finishedAt: Instant | null
  readonly lateness: { readonly timerMs: number; readonly guardMs: number; readonly networkMs: number } | null
}

export interface Counts {
  readonly scheduled: number
  readonly waiting: number
  readonly executing: number
  readonly retrying: number
  readonly delivered: number
  readonly dead: number
  readonly cancelled: number
  readonly expired: number
  readonly quarantined: number
}

interface ReadResults {
  /** May be fewer than `limit` before the end: `edge` tells how far the scan came; (until, MAX_SAFE_INTEGER) at the end. */
  readonly horizon: { readonly rows: readonly Due[]; readonly edge: Edge }
  /** `more`: there are more rows than these. */
  readonly lane: { readonly rows: readonly Due[]; readonly more: boolean }
  readonly 'due-lanes': { readonly lanes: readonly LaneKey[]; readonly next: LaneKey | null }
  readonly started: { readonly rows: readonly StartedRow[]; readonly next: number | null }
  readonly webhook: WebhookRecord | null
  readonly attempts: readonly AttemptRecord[] | null
  readonly list: { readonly webhooks: readonly WebhookRecord[]; readonly nextCursor: string | null }
  readonly limits: readonly StoredLimit[]
  readonly groups: readonly DomainGroup[]
  readonly brands: readonly { readonly brand: Brand; readonly createdAt: Instant }[]
  readonly keys: readonly StoredKey[]
  readonly counts: Counts
  readonly backlog: { readonly count: number; readonly oldestAt: Instant | null }
  readonly check: { readonly problems: readonly string[] }
  readonly backup: BackedUp
}
export type ReadResult<Q extends ReadQuery> = Q extends ReadQuery ? ReadResults[Q['type']] : never

/** `path`: it cannot be written there; `damaged`: the copy does not stand its check, and neither may what it was made of. */
export type BackedUp =
  | { readonly ok: true; readonly bytes: number; readonly webhooks: number }
  | { readonly ok: false; readonly why: 'path' | 'full' | 'damaged' | 'under-way'; readonly detail: string }
