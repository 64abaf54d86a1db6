/** The limit ladder as it lies in the table `limits`: one row a limit, read at each admission, never copied (D-10). */
import { DOMAIN_CONCURRENCY_DEFAULT } from '#config/limits.ts'
import type { Brand, Domain, Instant } from '#webhook/webhook.ts'
import type { RateLimit } from './rate.ts'

export type LimitKind = 'concurrency' | 'rate'
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
  `${kind} ${domain ?? '*'} ${brand ?? '*'}`

/** The keys that one guard reads for itself, made once. */
export interface DomainKeys {
  readonly concurrency: string
  readonly rate: string
}
export const domainKeys = (domain: Domain): DomainKeys => ({
  concurrency: limitKey('concurrency', domain, null),
  rate: limitKey('rate', domain, null),
})
/** The keys that it reads for one brand. */
export interface BrandKeys {
  readonly inDomain: string
  readonly rateInDomain: string
  readonly overall: string
}
export const brandKeys = (domain: Domain, brand: Brand): BrandKeys => ({
  inDomain: limitKey('concurrency', domain, brand),
  rateInDomain: limitKey('rate', domain, brand),
  overall: limitKey('concurrency', null, brand),
})

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
