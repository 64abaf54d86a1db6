/**
 * What methods need of the rest of the daemon. The session actor provides it by asking actors; a target that is being
 * restarted is asked again within the request's time. Every promise rejects with a Refusal, nothing else.
 */
import type { Cancelled, ReadQuery, ReadResult, SetLimit, StoredLimit } from '#store/store.ts'
import type { Monitor } from '#telemetry/monitor.ts'
import type { Brand, Domain, Instant, WebhookId } from '#webhook/webhook.ts'
import type { ProcessRow } from './views.ts'

export interface Backend {
  /** Wall clock. */
  now(): Instant
  read<Q extends ReadQuery>(query: Q): Promise<ReadResult<Q>>
  cancel(id: WebhookId, brand: Brand | null): Promise<Cancelled>
  setLimit(limit: Omit<SetLimit, 'type'>): Promise<StoredLimit>
  /** Makes the brand if this is the first time that it is named. */
  ensureBrand(brand: Brand): Promise<void>
  /** As they hold now. */
  limits(): Iterable<StoredLimit>
  guards(): Iterable<GuardRow>
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
  /** Sends an exit signal; the pid of who got it, or null if there is no such process. */
  kill(target: number | string, reason: string): number | null
  /** True from the first signal on: nothing new is taken. */
  stopping(): boolean
  /** Why it is not ready, or null. */
  notReady(): string | null
}
