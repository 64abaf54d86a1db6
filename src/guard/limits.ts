/** The limit ladder as it lies in the table `limits`: one row a limit, read at each admission, never copied (D-10). */
import { DOMAIN_CONCURRENCY_DEFAULT } from '#config/limits.ts'
import type { Brand, Domain, Instant, LimitKind } from '#webhook/webhook.ts'
import type { RateLimit } from './rate.ts'

/**
 * One row. Units of `value` by kind: `concurrency` permits; `rate` starts per second (`burst`: starts that may come at once);
 * `weight` a share of the starts, above 0 (default 1); `pause` 1; `adaptive` 1; `closure` 0 off, 1 by shares (default), 2 the
 * whole domain; `breaker` 0 off, 1 on (default); `breaker-open-ms` milliseconds (default 30,000); `retry-budget` retries per
 * first try while the domain fails (default 0.1); `backlog` webhooks; `closed-until` and `breaker-until` wall instants.
 */
export interface LimitRow {
  readonly kind: LimitKind
  readonly domain: Domain | null
  readonly brand: Brand | null
  /** Permits, or starts per second; 0 pauses; null: removed, the default holds. */
  readonly value: number | null
  readonly burst: number | null
  readonly version: number
  readonly setBy: string
  readonly setAt: Instant
}
/** The part of a table that reading needs. */
export interface LimitTable {
  get(key: string): LimitRow | undefined
}

/** Key of a limit. Domain null: the brand over all domains. Brand null: the domain over all brands. */
export const limitKey = (kind: LimitKind, domain: Domain | null, brand: Brand | null): string =>
  // Joined, not added: guards keep these, and a sum of strings costs its parts as well as the whole.
  [kind, domain ?? '*', brand ?? '*'].join(' ')

/** The domain of a key (`*`: a brand's over all domains). */
export const domainOfKey = (key: string): Domain => key.split(' ')[1] ?? ''

/** A pause of the whole node, never stored: the daemon is stopping. */
export const NODE_PAUSE_KEY = limitKey('pause', null, null)
/** The keys that one guard reads for itself, made once. */
export interface DomainKeys {
  readonly concurrency: string
  readonly rate: string
  readonly pause: string
  readonly adaptive: string
  readonly closure: string
  readonly breaker: string
  readonly breakerOpenMs: string
  readonly retryBudget: string
}
export const domainKeys = (domain: Domain): DomainKeys => ({
  concurrency: limitKey('concurrency', domain, null),
  rate: limitKey('rate', domain, null),
  pause: limitKey('pause', domain, null),
  adaptive: limitKey('adaptive', domain, null),
  closure: limitKey('closure', domain, null),
  breaker: limitKey('breaker', domain, null),
  breakerOpenMs: limitKey('breaker-open-ms', domain, null),
  retryBudget: limitKey('retry-budget', domain, null),
})
/** The keys that it reads for one brand. */
export interface BrandKeys {
  readonly inDomain: string
  readonly rateInDomain: string
  readonly overall: string
  readonly pause: string
  readonly weight: string
  readonly weightInDomain: string
}
export const brandKeys = (domain: Domain, brand: Brand): BrandKeys => ({
  inDomain: limitKey('concurrency', domain, brand),
  rateInDomain: limitKey('rate', domain, brand),
  overall: limitKey('concurrency', null, brand),
  pause: limitKey('pause', null, brand),
  weight: limitKey('weight', null, brand),
  weightInDomain: limitKey('weight', domain, brand),
})

/** The row's value, or what holds without it. */
export const settingOf = (table: LimitTable, key: string, otherwise: number): number =>
  table.get(key)?.value ?? otherwise
/** The brand's share of the starts: its own in this domain, else its own everywhere, else 1. */
export const weightOf = (table: LimitTable, keys: BrandKeys): number =>
  table.get(keys.weightInDomain)?.value ?? table.get(keys.weight)?.value ?? 1
export const isPaused = (table: LimitTable, key: string): boolean => (table.get(key)?.value ?? 0) > 0
/** Permits, or null: none set. */
export const concurrencyOf = (table: LimitTable, key: string): number | null => table.get(key)?.value ?? null
export const domainConcurrencyOf = (table: LimitTable, key: string): number =>
  table.get(key)?.value ?? DOMAIN_CONCURRENCY_DEFAULT
export const rateOf = (table: LimitTable, key: string): RateLimit | null => {
  const row = table.get(key)
  if (row === undefined || row.value === null) return null
  return { perSecond: row.value, burst: row.burst ?? 1 }
}

/** One limit as people see it. */
export interface LimitShown {
  readonly value: number
  readonly version: number
  readonly setBy: string
  readonly setAt: Instant
}
/** Every limit of one key: a domain, a brand, or a brand in a domain. */
export interface LimitsShown {
  readonly domain: Domain | null
  readonly brand: Brand | null
  readonly concurrency: LimitShown | null
  readonly rate: (LimitShown & { readonly burst: number }) | null
  /** Counts the changes of all limits of this key. */
  readonly version: number
}

/** The limits that are set, by key, optionally of one domain or one brand. Removed ones show as null with their version. */
export const showLimits = (
  rows: Iterable<LimitRow>,
  filter: { readonly domain?: Domain; readonly brand?: Brand } = {},
): readonly LimitsShown[] => {
  const shown = new Map<string, LimitsShown>()
  for (const row of rows) {
    if (filter.domain !== undefined && row.domain !== filter.domain) continue
    if (filter.brand !== undefined && row.brand !== filter.brand) continue
    if (row.kind !== 'rate' && row.kind !== 'concurrency') continue
    const key = `${row.domain ?? '*'} ${row.brand ?? '*'}`
    const there = shown.get(key) ?? { domain: row.domain, brand: row.brand, concurrency: null, rate: null, version: 0 }
    shown.set(key, { ...there, ...showRow(row), version: there.version + row.version })
  }
  return [...shown.values()]
}
const showRow = (row: LimitRow): Partial<LimitsShown> => {
  if (row.value === null) return {}
  const limit = { value: row.value, version: row.version, setBy: row.setBy, setAt: row.setAt }
  return row.kind === 'rate' ? { rate: { ...limit, burst: row.burst ?? 1 } } : { concurrency: limit }
}
