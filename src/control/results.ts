/** What methods answer with (the shapes of control.md; more fields may come, none is renamed). Instants are RFC 3339 in UTC. */
import type { ErrorClass, Priority, WebhookState } from '#webhook/webhook.ts'

type Text = string

export interface ScheduledWebhook {
  readonly id: string
  readonly state: WebhookState
  readonly at: Text
  /** With `predict`: when its first attempt should start; left out where nobody can say. */
  readonly expectedAt?: Text
  /** True: this idempotency key was used before for the same webhook, and this is its id. */
  readonly duplicate: boolean
}
export interface ScheduledWebhooks {
  /** In the order of the params. */
  readonly ids: readonly string[]
  /** `duplicates[i]` belongs to `ids[i]`. */
  readonly duplicates: readonly boolean[]
  /** Where one of them asked to `predict`; null where nobody can say. */
  readonly expectedAt?: readonly (Text | null)[]
}
export interface WebhookView {
  readonly id: string
  readonly brand: string
  readonly name?: string
  readonly url: string
  readonly domain: string
  readonly method: string
  readonly priority: Priority
  readonly state: WebhookState
  readonly at: Text
  readonly createdAt: Text
  readonly tags?: readonly string[]
  readonly attemptCount: number
  readonly nextAttemptAt?: Text
  readonly lastStatus?: number
  readonly lastError?: ErrorClass
  readonly finishedAt?: Text
  readonly lateness?: { readonly timerMs: number; readonly guardMs: number; readonly networkMs: number }
}
export interface WebhookPage {
  readonly webhooks: readonly WebhookView[]
  readonly nextCursor?: string
}
export interface AttemptView {
  readonly number: number
  readonly startedAt: Text
  readonly endedAt?: Text
  readonly status?: number
  readonly error?: ErrorClass
  readonly excerpt?: string
  readonly timerMs: number
  readonly guardMs: number
  readonly networkMs: number
  readonly inDoubt: boolean
}
export interface Attempts {
  readonly attempts: readonly AttemptView[]
}
export interface CancelOutcome {
  readonly outcome: 'cancelled' | 'alreadyRunning' | 'alreadyDone'
}
export interface CancelledWebhooks {
  readonly cancelled: number
  /** True: the bound of one call was reached; call again. */
  readonly more: boolean
}
export interface ReplayedWebhooks {
  readonly replayed: number
  /** True: the bound of one call was reached, or the backlog is full; call again with `nextCursor`. */
  readonly more: boolean
  readonly nextCursor?: string
}
export interface LimitView {
  readonly value: number
  readonly version: number
  readonly setBy: string
  readonly setAt: Text
}
export interface LimitsView {
  readonly domain?: string
  readonly brand?: string
  readonly concurrency: LimitView | null
  readonly rate: (LimitView & { readonly burst: number }) | null
  /** True: the guard finds the limit by itself, up to the one that is set. */
  readonly adaptive?: boolean
  /** The brand's share of the starts; left out: 1. */
  readonly weight?: number
  /** How many unfinished webhooks the brand may have; left out: any. */
  readonly backlog?: number
  /** Counts the changes of all limits of this key. */
  readonly version: number
  /** Who made the last of them, and when. */
  readonly setBy?: string
  readonly setAt?: Text
}
export interface BreakerView {
  readonly domain: string
  readonly enabled: boolean
  /** How long it opens the first time; doubled each time. */
  readonly openMs: number
  /** What a 429 closes: nothing, the brand's share (the whole domain when others see it too), always the whole domain. */
  readonly closure: 'off' | 'brand' | 'domain'
  /** Retries per first try while the domain fails. */
  readonly retryBudget: number
  /** Counts the changes of these settings. */
  readonly version: number
}
export interface ForecastView {
  readonly domain: string
  readonly from: Text
  readonly bucketMs: number
  readonly buckets: readonly {
    readonly at: Text
    readonly due: number
    readonly admitted: number
    /** Left waiting at its end. */
    readonly backlog: number
  }[]
  /** When the last of them will have started; left out: nothing is due, or not at these limits. */
  readonly lastAt?: Text
  /** What it rests on; `serviceMs` 0: not measured, so the slots are taken to be no bound. */
  readonly assumptions: { readonly ratePerSecond: number | null; readonly slots: number; readonly serviceMs: number }
  /** True: there are more than were counted. */
  readonly capped: boolean
}
export interface Brands {
  readonly brands: readonly { readonly brand: string; readonly createdAt: Text }[]
}
export interface KeyView {
  readonly id: string
  readonly role: 'admin' | 'brand'
  readonly brand?: string
  readonly createdAt: Text
  readonly expiresAt?: Text
  readonly revokedAt?: Text
}
export interface CreatedKey extends KeyView {
  /** Never shown again. */
  readonly key: string
}
export interface KeyList {
  readonly keys: readonly KeyView[]
}
export interface Paused {
  readonly domain?: string
  readonly brand?: string
  readonly paused: boolean
}
export interface DomainGroupView {
  readonly group: string
  /** What to name it as where a domain is asked for. */
  readonly domain: string
  /** None: dissolved. */
  readonly members: readonly string[]
  readonly version: number
  readonly setBy: string
  readonly setAt: Text
}
export interface AllLimits {
  readonly limits: readonly LimitsView[]
  /** Where there are any. */
  readonly groups?: readonly DomainGroupView[]
}
export interface DomainFigures {
  readonly domain: string
  readonly state: string
  readonly concurrency: { readonly current: number; readonly limit: number | null }
  readonly rate: { readonly startsLastSecond: number; readonly limit: number | null; readonly burst: number | null }
  readonly queueDepth: number
  readonly oldestWaitingAt?: Text
  readonly backpressure: { readonly active: boolean; readonly since?: Text; readonly limit?: string }
  readonly drainMs?: number
  readonly overshoot: number
}
/** All guards that the node may have live, and domains wait for a place among them. */
export interface CrowdView {
  readonly since: Text
  readonly guards: { readonly current: number; readonly limit: number }
  /** Domains that wait by name. */
  readonly waiting: number
  /** Others wait on disk; nobody has counted them. */
  readonly more: boolean
  readonly placesPerSecond: number
}
export interface GuardView extends DomainFigures {
  readonly depths: readonly {
    readonly brand: string
    readonly priority: Priority
    /** First tries and retries that the guard holds. */
    readonly first: number
    readonly retry: number
    /** There are more of this lane on disk. */
    readonly more: boolean
  }[]
  /** How long a request takes, as measured lately; 0: nothing has ended yet. */
  readonly serviceMs: number
  readonly closedUntil?: Text
  readonly breaker: { readonly state: string; readonly until?: Text }
  /** The limit that the guard has found by itself, where it may. */
  readonly adaptive?: number
  readonly blockedOn?: string
  readonly paused?: PausedBy
  readonly limits: readonly LimitsView[]
  /** Of a domain group, to admins. */
  readonly members?: readonly string[]
}
export interface GuardList {
  /** The busiest first; in a crowd then some of the domains that wait for a place, the one first that waits longest. */
  readonly guards: readonly DomainFigures[]
  readonly crowd?: CrowdView
}
/** Who paused it, and when; `setBy` ends with the reason, if one was given. */
export interface PausedBy {
  readonly setBy: string
  readonly setAt: Text
}
export interface Explanation {
  readonly id: string
  readonly state: WebhookState
  readonly domain: string
  /** The limit that holds it now, and whose; left out: nothing but its turn, or its instant. */
  readonly blockedOn?: { readonly limit: string; readonly key: string }
  /** Its domain, or its brand, is paused. */
  readonly paused?: PausedBy
  readonly since?: Text
  /** Where its domain waits for a place among the live guards: how many domains get one before it, and how many a second got one lately. */
  readonly place?: { readonly ahead: number; readonly perSecond: number }
  /** From 1. */
  readonly position?: { readonly lane: number; readonly domain: number }
  /** When its next attempt should start; left out where nobody can say. */
  readonly expectedAt?: Text
  /** What `expectedAt` rests on. */
  readonly assumptions?: {
    readonly ahead: number
    readonly ratePerSecond: number | null
    readonly slots: number
    readonly serviceMs: number
  }
}
export interface BrandFigures {
  readonly brand: string
  readonly concurrency: { readonly current: number; readonly limit: number | null }
  readonly queueDepth: number
}
export interface Percentiles {
  readonly p50: number
  readonly p99: number
  readonly max: number
}
export interface LatenessView {
  readonly timerMs: Percentiles
  readonly guardMs: Percentiles
  readonly networkMs: Percentiles
}
export interface TrafficView {
  readonly bucketMs: number
  /** Instant of the first bucket. */
  readonly from: Text
  readonly series: {
    readonly due: readonly number[]
    readonly started: readonly number[]
    readonly delivered: readonly number[]
    readonly failed: readonly number[]
  }
}
export interface BackpressureEvent {
  readonly domain: string
  readonly limit: string
  readonly startedAt: Text
  readonly depth: number
  readonly endedAt?: Text
  readonly durationMs?: number
  readonly peak?: number
  /** Short pauses are folded: how many times it pressed. */
  readonly spans?: number
}
export interface MonitorView {
  readonly at: Text
  readonly overload: OverloadView
  readonly domains: readonly DomainFigures[]
  readonly crowd?: CrowdView
  readonly brands: readonly BrandFigures[]
  readonly totals: {
    readonly scheduled: number
    readonly waiting: number
    readonly executing: number
    readonly retrying: number
    readonly delivered: number
    readonly dead: number
    readonly quarantined: number
  }
  readonly lateness: LatenessView
  readonly traffic: TrafficView
  readonly backpressure: readonly BackpressureEvent[]
}
export interface Subscription {
  readonly subscription: string
}
export interface ProcessNode {
  readonly name: string
  /** Null while it is down or being restarted. */
  readonly pid: number | null
  readonly kind: 'supervisor' | 'worker'
  readonly behaviour: string
  readonly state: string
  readonly restarts: number
  readonly mailbox: number
  readonly startedAt: Text
  readonly children: readonly ProcessNode[]
}
export interface SupervisionTree {
  readonly tree: ProcessNode
}
/** The copy is whole: it was opened and checked. */
export interface StoreBackup {
  /** On the machine of the daemon. */
  readonly path: string
  readonly bytes: number
  readonly webhooks: number
}
export interface Killed {
  readonly killed: true
  readonly pid: number
}
/** What is shed: nothing, event streams, lists too, new schedules too. */
export interface OverloadView {
  readonly level: 'none' | 'streams' | 'lists' | 'schedules'
  /** What presses, with its figure and its bound. */
  readonly cause?: string
}
export interface Info {
  readonly overload: OverloadView
  readonly name: 'hookpulse'
  readonly version: string
  readonly node: string
  readonly pid: number
  readonly startedAt: Text
  readonly uptimeMs: number
  readonly store: string
  readonly limits: Readonly<Record<string, number>>
  readonly role: 'admin' | 'brand'
  readonly brand: string
}
export interface Authenticated {
  readonly role: 'admin' | 'brand'
  readonly brand: string | null
}
/** The params of the notification `event`. */
export interface EventNotice {
  readonly subscription: string
  /** Ascending per topic, also over restarts. */
  readonly seq: number
  readonly topic: string
  /** Null where `gap` is set: events before `seq` were dropped. */
  readonly data: unknown
  readonly gap?: true
}
