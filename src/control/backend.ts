/**
 * What methods need of the rest of the daemon. The session actor provides it by asking actors; a target that is being
 * restarted is asked again within the request's time. Every promise rejects with a Refusal, nothing else.
 */
import type { OverloadRow } from '#overload/tables.ts'
import type {
  BackedUp,
  Cancelled,
  ReadQuery,
  ReadResult,
  Replay,
  Replayed,
  Reschedule,
  Rescheduled,
  SetLimit,
  StoredKey,
  StoredLimit,
} from '#store/store.ts'
import type { Monitor } from '#telemetry/monitor.ts'
import type { DomainGroup, GroupBook, GroupKey, Member } from '#webhook/domain-group.ts'
import type { Brand, Domain, Due, Instant, Priority, WebhookId } from '#webhook/webhook.ts'

export interface Backend {
  /** Wall clock. */
  now(): Instant
  read<Q extends ReadQuery>(query: Q): Promise<ReadResult<Q>>
  cancel(id: WebhookId, brand: Brand | null): Promise<Cancelled>
  retime(op: Reschedule): Promise<Rescheduled>
  retime(op: Replay): Promise<Replayed>
  /** One more unfinished webhook of a brand. Rejects with RESOURCE_EXHAUSTED where its backlog is full. */
  takeRoom(brand: Brand): Promise<void>
  newWebhookId(): WebhookId
  /** Takes as long as it takes, at most BACKUP_MS_MAX; never done twice. */
  backUp(path: string): Promise<BackedUp>
  setLimit(limit: Omit<SetLimit, 'type'>): Promise<StoredLimit>
  /** Makes the brand if this is the first time that it is named. */
  ensureBrand(brand: Brand): Promise<void>
  keys(): Iterable<StoredKey>
  /** On disk first, then for every socket. */
  putKey(key: StoredKey): Promise<void>
  randomBytes(length: number): Uint8Array
  /** As they hold now. */
  limits(): Iterable<StoredLimit>
  /** All members of a domain group, or none. Rejects with Refusal: CONFLICT. */
  setGroup(group: {
    readonly group: GroupKey
    readonly members: readonly Member[]
    readonly setBy: string
    readonly setAt: Instant
  }): Promise<{ readonly group: DomainGroup; readonly resting: readonly Domain[] }>
  groups(): GroupBook
  guards(): Iterable<GuardRow>
  /** What is shed now; null: nobody looks. */
  overload(): OverloadRow | null
  /** What a live guard says of itself; null: none lives, so nothing waits there. */
  showGuard(domain: Domain): Promise<GuardDetail | null>
  /** What a domain without a guard waits for. `brand`: whose webhook is asked about. Null: it has one, or nobody waits for a place. */
  place(domain: Domain, brand: Brand | null): Promise<PlaceRow | null>
  /** Null: everybody has a place. */
  crowd(): CrowdSeen | null
  /** Null: no guard lives, or the webhook is not due, runs, or is done. */
  explain(due: Due): Promise<Waiting | null>
  /** When the last of `count` new webhooks of this lane would start. Null: no guard lives, so nothing waits. */
  predict(
    domain: Domain,
    brand: Brand,
    priority: Priority,
    count: number,
  ): Promise<{ readonly expectedAt: Instant | null } | null>
  /** Attempts that the dispatch pool holds, by brand. */
  open(): Promise<ReadonlyMap<Brand, number>>
  readonly monitor: Monitor
  readonly host: Host
}

/** What a guard shows of itself in the table `guard-figures`. */
export interface GuardRow {
  readonly domain: Domain
  readonly state: string
  readonly concurrency: { readonly current: number; readonly limit: number | null }
  readonly rate: { readonly startsLastSecond: number; readonly limit: number | null; readonly burst: number | null }
  readonly queued: number
  readonly more: boolean
  readonly oldestWaitingAt: Instant | null
  readonly backpressure: { readonly active: boolean; readonly since: Instant | null; readonly limit: string | null }
  readonly overshoot: number
}

/** What a domain waits for that has no guard, since as many live as may. */
export interface PlaceRow {
  readonly blockedOn: { readonly limit: string; readonly key: string }
  readonly state: string
  readonly crowdSinceAt: Instant | null
  /** Domains that get a place before it; null: nobody can say. */
  readonly ahead: number | null
  readonly perSecond: number
  readonly expectedAt: Instant | null
}

/** All guards that may live do, and domains wait for a place. */
export interface CrowdSeen {
  readonly sinceAt: Instant
  readonly guardsMax: number
  /** By name. */
  readonly waiting: number
  /** Others wait in the store. */
  readonly more: boolean
  readonly placesPerSecond: number
  /** Some of them, the one first that waits longest. */
  readonly longest: readonly Domain[]
}

/** What a guard says of itself when it is asked. */
export interface GuardDetail extends GuardRow {
  /** All that waits, on disk too. */
  readonly waiting: number
  readonly depths: readonly {
    readonly brand: Brand
    readonly priority: Priority
    readonly first: number
    readonly retry: number
    readonly more: boolean
  }[]
  readonly drainMs: number | null
  readonly serviceMs: number
  readonly closedUntil: Instant | null
  readonly breaker: { readonly state: string; readonly until: Instant | null }
  readonly adaptive: number | null
  readonly blockedOn: string | null
}

/** Why a webhook waits. */
export interface Waiting {
  readonly blockedOn: { readonly limit: string; readonly key: string } | null
  readonly since: Instant
  readonly placeInLane: number
  readonly placeInDomain: number
  readonly expectedAt: Instant | null
  readonly assumptions: {
    readonly ahead: number
    readonly ratePerSecond: number | null
    readonly slots: number
    readonly serviceMs: number
  }
}

/** A process as the runtime shows it. */
export interface ProcessRow {
  readonly name: string
  readonly pid: number | null
  readonly kind: 'supervisor' | 'worker'
  readonly behaviour: string
  readonly state: string
  readonly restarts: number
  readonly mailbox: number
  readonly startedAt: Instant
  readonly children: readonly ProcessRow[]
}
/** The daemon around the actors. */
export interface Host {
  readonly version: string
  readonly node: string
  readonly processId: number
  readonly startedAt: Instant
  /** Which store, in a word. */
  readonly store: string
  /** Null while root is not up. */
  tree(): ProcessRow | null
  /** The root supervisor, by name or pid: nobody ends it from outside. */
  isRoot(target: number | string): boolean
  /** Sends an exit signal; the pid of who got it, or null if there is no such process. */
  kill(target: number | string, reason: string): number | null
  /** True from the first signal on: nothing new is taken. */
  stopping(): boolean
  /** Why it is not ready, or null. */
  notReady(): string | null
}
