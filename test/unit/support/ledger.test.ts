import { describe, expect, it } from 'vitest'
import type { Arrivals } from '#test/support/counting-receiver.ts'
import { densest, judge, openLedger, rateLaw } from '#test/support/ledger.ts'

const arrivalsOf = (rows: readonly (readonly [string, number])[]): Arrivals => ({
  ids: rows.map(([id]) => id),
  urls: rows.map(() => '/'),
  ports: rows.map(() => 0),
  statuses: Uint16Array.from(rows, () => 200),
  at: Float64Array.from(rows, ([, at]) => at),
})
const ledgerOf = (ids: readonly string[], at: number | null = null) => {
  const ledger = openLedger()
  ledger.acknowledged(ids, at)
  return ledger
}

describe('the oracle', () => {
  it('finds nothing in balanced books', () => {
    const verdict = judge(
      ledgerOf(['a', 'b'], 1_000),
      arrivalsOf([
        ['a', 1_000.2],
        ['b', 1_001],
      ]),
      2,
      { concurrency: 2 },
    )
    expect(verdict.broken).toEqual([])
  })
  it('finds a webhook that never arrived', () => {
    expect(judge(ledgerOf(['a', 'b']), arrivalsOf([['a', 5]]), 1).broken).toEqual([expect.stringContaining('I1: 1')])
  })
  it('finds an extra arrival, unless a fault explains it', () => {
    const arrivals = arrivalsOf([
      ['a', 5],
      ['a', 6],
    ])
    expect(judge(ledgerOf(['a']), arrivals, 1).broken).toEqual([expect.stringContaining('I2: 1')])
    expect(judge(ledgerOf(['a']), arrivals, 1, { inDoubt: 1 }).broken).toEqual([])
  })
  it('finds what is early', () => {
    expect(judge(ledgerOf(['a'], 1_000), arrivalsOf([['a', 990]]), 1).broken).toEqual([expect.stringContaining('I3')])
  })
  it('finds one open request too many', () => {
    const broken = judge(ledgerOf(['a']), arrivalsOf([['a', 5]]), 6, { concurrency: 5 }).broken
    expect(broken).toEqual([expect.stringContaining('I6: 6')])
  })
  it('finds a rate that was not kept, in any window', () => {
    const even = Array.from({ length: 40 }, (_, n) => [`${n}`, n * 100] as const)
    const ledger = ledgerOf(even.map(([id]) => id))
    const rate = { perSecond: 10 }
    expect(judge(ledger, arrivalsOf(even), 1, { rate }).broken).toEqual([])
    const bunched = even.map(([id, at]) => [id, Math.floor(at / 1_000) * 1_000 + (at % 1_000) / 10] as const)
    expect(judge(ledger, arrivalsOf(bunched), 1, { rate }).broken.join()).toContain('I6')
  })
  it('knows what arrived without having been acknowledged, and calls it no fault', () => {
    const verdict = judge(
      ledgerOf(['a']),
      arrivalsOf([
        ['a', 5],
        ['x', 6],
      ]),
      1,
    )
    expect(verdict).toMatchObject({ unknown: ['x'], broken: [] })
  })
})

describe('rates', () => {
  it('counts the densest half-open window', () => {
    expect(densest(Float64Array.of(0, 999, 1_000, 1_500), 1_000)).toBe(3)
    expect(densest(Float64Array.of(), 1_000)).toBe(0)
  })
  it('states the law of both regimes', () => {
    expect(rateLaw({ perSecond: 10 }, 1_000)).toBe(10)
    expect(rateLaw({ perSecond: 10, burst: 3 }, 1_000)).toBe(12)
    expect(rateLaw({ perSecond: 1_000 }, 1_000)).toBe(1_002)
  })
})
