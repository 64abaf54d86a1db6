/** The node-local tables of the guards: their names and rows. They outlive the actors that fill them (D-10). */
import { type GroupBook, NO_GROUPS } from '#webhook/domain-group.ts'
import type { Brand, Domain, Instant } from '#webhook/webhook.ts'
import type { Pressure } from './backpressure.ts'
import type { Conditions } from './conditions.ts'
import type { Hold } from './flights.ts'
import type { LimitRow } from './limits.ts'
import type { RateState } from './rate.ts'

/** The limits by `limitKey`. Filled by the actor `limits`; read at each admission. */
export const LIMITS_TABLE = 'limits'
export type LimitsRow = LimitRow

/** The domain groups, in one row: replacing it is the instant at which they change (D-13). Filled by the actor `limits`. */
export const GROUPS_TABLE = 'groups'
const BOOK = 'book'
interface GroupsTable {
  get(key: string): GroupBook | undefined
  set(key: string, book: GroupBook): void
}
export const bookIn = (table: GroupsTable): GroupBook => table.get(BOOK) ?? NO_GROUPS
export const putBook = (table: GroupsTable, book: GroupBook): void => table.set(BOOK, book)

/** What each rate limit remembers, by `limitKey`. */
export const RATES_TABLE = 'rates'
export type RatesRow = RateState
/** The same for what was really sent, by `limitKey`: filled by the dispatch pool. */
export const DEPARTURES_TABLE = 'departures'
/** The row that says since when the table knows what was started: before it nobody knows. */
export const RATES_KNOWN_SINCE = 'known since'

/** Attempts in doubt that keep their permits for a while, by `domain <domain>` and `brand <brand>` (D-12). */
export const HOLDS_TABLE = 'holds'
export type HoldsRow = readonly Hold[]
export const domainHolds = (domain: Domain): string => `domain ${domain}`
/** Null: it is a brand's. */
export const hostOfHolds = (key: string): Domain | null =>
  key.startsWith('domain ') ? key.slice('domain '.length) : null
export const brandHolds = (brand: string): string => `brand ${brand}`

/** What each guard's receiver has said, by guard key; by member, what the hosts of it heard in a group that they have left. */
export const CONDITIONS_TABLE = 'conditions'
export type ConditionsRow = Conditions

/** Slots of the node by domain, and their sum under `NODE_SUM` (D-14). */
export const NODE_TABLE = 'node-load'
export const NODE_SUM = ' sum'
export interface NodeLoad {
  inFlight: number
  /** Of guards that have an attempt older than SLOW_ATTEMPT_MS. */
  slow: number
  /** Of guards that have none, and of which nobody knows that they are quick. */
  unknown: number
  /** Guards that wait for a slot. */
  blocked: number
}
/** Domains that were quick when their guard ended, and when that was (monotonic), the earliest first. */
export const QUICK_TABLE = 'quick-domains'
export type QuickRow = number

/** What each live guard shows of itself, by domain. */
export const FIGURES_TABLE = 'guard-figures'

/** Live guards with nothing in flight that can start nothing, by domain, the one first that has rested longest: they can make room. */
export const RESTING_TABLE = 'guards-resting'
export interface RestingRow {
  /** It waits for permits of this brand and for nothing else; null: for something else, or for no work. */
  readonly parkedBrand: Brand | null
}

/** There is a row in it while domains wait for a place and all places are taken. */
export const CROWD_TABLE = 'crowd'
export const CROWD = 'guards'
export interface CrowdRow {
  readonly sinceAt: Instant
}

/** What is shown of it, from its begin until its end is told; short pauses in between are folded. Filled by the scheduler. */
export const CROWD_SHOWN_TABLE = 'crowd-shown'
export interface CrowdShownRow {
  /** The bound on live guards as a limit that presses: depth and peak are domains that wait by name. */
  readonly pressure: Pressure
  readonly guardsMax: number
  readonly waiting: number
  /** Others wait, and only the store knows of them. */
  readonly more: boolean
  /** Given in the last second. */
  readonly placesPerSecond: number
  /** Some of those who wait, the one first that waits longest. */
  readonly longest: readonly Domain[]
}

/**
 * Owned by root, so that the death of the supervisor `guards` with all its guards forgets no closure, no rate and no hold; the
 * table `limits` is the actor's own, and root keeps it while that restarts.
 */
export const GUARDS_TABLES: readonly string[] = [
  GROUPS_TABLE,
  RATES_TABLE,
  DEPARTURES_TABLE,
  HOLDS_TABLE,
  CONDITIONS_TABLE,
  NODE_TABLE,
  QUICK_TABLE,
  FIGURES_TABLE,
  RESTING_TABLE,
  CROWD_TABLE,
  CROWD_SHOWN_TABLE,
]
