import { describe, expect, it } from 'vitest'
import { type Conditions, newConditions, restore, shareOf } from '#guard/conditions.ts'
import { surplus } from '#guard/forgetting.ts'

const NOW = 1_000_000
const used = (atMono: number): Conditions => {
  const row = newConditions()
  row.domain.lastAttemptMono = atMono
  return row
}
/** For so long, of the whole domain or of one brand's share; used just now. */
const shut = (what: 'closed' | 'breaker-opened', brand: string | null, leftMs: number, sinceMs = 0): Conditions => {
  const row = used(NOW)
  restore(row, what, brand, leftMs + sinceMs, NOW - sinceMs)
  return row
}
const nobody = (): boolean => false

describe('what is forgotten of domains without a guard', () => {
  it('is nothing while they are not too many', () => {
    expect(surplus([['a', used(1)]], nobody, 1, NOW)).toEqual([])
  })

  it('is first what holds nothing closed, the longest ago used first, and then what opens soonest', () => {
    const rows: readonly (readonly [string, Conditions])[] = [
      ['closed for an hour', shut('closed', null, 3_600_000)],
      ['closed for a second', shut('closed', null, 1_000)],
      ['broken for a minute', shut('breaker-opened', null, 60_000)],
      ['closed for a brand', shut('closed', 'acme', 30_000)],
      ['used late', used(NOW - 1)],
      ['used early', used(NOW - 100)],
      ['was closed', shut('closed', null, -1, 1_000)],
    ]
    const order = [
      'used early',
      'used late',
      'was closed',
      'closed for a second',
      'closed for a brand',
      'broken for a minute',
    ]
    for (let kept = 1; kept < rows.length; kept++)
      expect(surplus(rows, nobody, kept, NOW)).toEqual(order.slice(0, rows.length - kept))
  })

  it('is never what a live guard stands on, which counts for none of those kept', () => {
    const rows = ['a', 'b', 'c'].map((domain) => [domain, used(1)] as const)
    expect(surplus(rows, (domain) => domain !== 'b', 1, NOW)).toEqual([])
    expect(surplus(rows, (domain) => domain !== 'b', 0, NOW)).toEqual(['b'])
  })

  it('knows a brand’s share as long as the domain', () => {
    const row = newConditions()
    shareOf(row, 'acme').lastAttemptMono = NOW
    expect(
      surplus(
        [
          ['share', row],
          ['plain', used(NOW - 1)],
        ],
        nobody,
        1,
        NOW,
      ),
    ).toEqual(['plain'])
  })
})
