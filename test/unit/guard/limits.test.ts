import { describe, expect, it } from 'vitest'
import {
  brandKeys,
  concurrencyOf,
  domainConcurrencyOf,
  domainKeys,
  type LimitRow,
  limitKey,
  rateOf,
  showLimits,
  weightOf,
} from '#guard/limits.ts'

const row = (more: Partial<LimitRow>): LimitRow => ({
  kind: 'concurrency',
  domain: 'a.example',
  brand: null,
  value: 5,
  burst: null,
  version: 1,
  setBy: 'key_1',
  setAt: 7,
  ...more,
})
const table = (...rows: readonly LimitRow[]): Map<string, LimitRow> =>
  new Map(rows.map((one) => [limitKey(one.kind, one.domain, one.brand), one]))

describe('the limit ladder', () => {
  it('reads each limit by its own key; a domain has ten slots unless told otherwise', () => {
    const keys = domainKeys('a.example')
    expect(domainConcurrencyOf(table(), keys.concurrency)).toBe(10)
    expect(domainConcurrencyOf(table(row({ value: 0 })), keys.concurrency)).toBe(0)
    expect(domainConcurrencyOf(table(row({ value: null })), keys.concurrency)).toBe(10)
    const brand = brandKeys('a.example', 'acme')
    const both = table(row({ brand: 'acme', value: 2 }), row({ domain: null, brand: 'acme', value: 3 }))
    expect([concurrencyOf(both, brand.inDomain), concurrencyOf(both, brand.overall)]).toEqual([2, 3])
    expect(rateOf(table(row({ kind: 'rate', value: 0.2 })), keys.rate)).toEqual({ perSecond: 0.2, burst: 1 })
  })
  it('takes the weight in the domain before the weight everywhere, else 1', () => {
    const keys = brandKeys('a.example', 'acme')
    const everywhere = row({ kind: 'weight', domain: null, brand: 'acme', value: 2 })
    expect(weightOf(table(), keys)).toBe(1)
    expect(weightOf(table(everywhere), keys)).toBe(2)
    expect(weightOf(table(everywhere, row({ kind: 'weight', brand: 'acme', value: 5 })), keys)).toBe(5)
  })
  it('is shown by key, with versions and who set it; a removed limit keeps its version', () => {
    const rows = [
      row({ version: 2 }),
      row({ kind: 'rate', value: 20, burst: 3, version: 4 }),
      row({ domain: null, brand: 'acme', value: null, version: 3 }),
      row({ kind: 'weight', domain: null, brand: 'bolt', value: 2 }),
    ]
    expect(showLimits(rows)).toEqual([
      {
        domain: 'a.example',
        brand: null,
        concurrency: { value: 5, version: 2, setBy: 'key_1', setAt: 7 },
        rate: { value: 20, version: 4, setBy: 'key_1', setAt: 7, burst: 3 },
        version: 6,
      },
      { domain: null, brand: 'acme', concurrency: null, rate: null, version: 3 },
    ])
    expect(showLimits(rows, { brand: 'acme' })).toHaveLength(1)
    expect(showLimits(rows, { domain: 'a.example' })).toHaveLength(1)
  })
})
