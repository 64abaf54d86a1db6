/** Which guard a host has: the quick way against the slow one (D-13). */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  bookOf,
  type DomainGroup,
  epochOf,
  groupKeyOf,
  guardKeyOf,
  isGroupKey,
  NO_GROUPS,
  regroup,
  TOUCHED_MAX,
} from '#webhook/domain-group.ts'

const label = fc.constantFrom('a', 'b', 'example', 'org')
const port = fc.constantFrom('', ':8080')
const host = fc
  .tuple(fc.array(label, { minLength: 1, maxLength: 4 }), port)
  .map(([labels, port]) => `${labels.join('.')}${port}`)
const member = fc.tuple(fc.boolean(), host).map(([wild, host]) => (wild ? `*.${host}` : host))
const groupsOf = (owners: readonly (readonly [string, string])[]): DomainGroup[] => {
  const byGroup = Map.groupBy(new Map(owners), ([, group]) => group)
  return [...byGroup].map(([group, entries]) => {
    return { group, members: entries.map(([member]) => member), version: 1, setBy: 'test', setAt: 0 }
  })
}
const groups = fc
  .array(fc.tuple(member, fc.constantFrom('group:one', 'group:two', 'group:three')), { maxLength: 8 })
  .map(groupsOf)

/** Every member that matches, by its rule; the exact one wins, else the one with the most characters. */
const slowly = (groups: readonly DomainGroup[], host: string): string => {
  const matching = groups.flatMap(({ group, members }) =>
    members
      .filter((member) =>
        member.startsWith('*.') ? host.endsWith(member.slice(1)) && host !== member.slice(2) : member === host,
      )
      .map((member) => ({ group, rank: member === host ? Number.POSITIVE_INFINITY : member.length })),
  )
  return matching.sort((a, b) => b.rank - a.rank)[0]?.group ?? host
}

describe('the guard of a host', () => {
  it('is that of the slow reference, for every host and any groups', () => {
    fc.assert(
      fc.property(groups, host, (groups, host) => {
        expect(guardKeyOf(bookOf(groups), host)).toBe(slowly(groups, host))
      }),
      { numRuns: 2_000 },
    )
  })
  it('is below a wildcard at any depth, of the same port, and not the domain itself', () => {
    const book = bookOf(groupsOf([['*.example.org', 'group:one']]))
    const key = (host: string) => guardKeyOf(book, host)
    expect([key('a.example.org'), key('a.b.example.org')]).toEqual(['group:one', 'group:one'])
    for (const other of ['example.org', 'badexample.org', 'a.example.org:8080', 'org']) expect(key(other)).toBe(other)
  })
  it('has another epoch whenever it has another key than before, and only a host that changed has', () => {
    fc.assert(
      fc.property(groups, groups, host, (before, after, host) => {
        const first = regroup(NO_GROUPS, before, 1).book
        const { book, moves } = regroup(first, after, 2)
        const [was, is] = [guardKeyOf(first, host), guardKeyOf(book, host)]
        if (was !== is) {
          for (const key of [was, is]) expect(epochOf(book, key)).toBe(book.version)
          expect(moves.some(({ from, to }) => (from ?? host) === was && (to ?? host) === is)).toBe(true)
        }
        const untouched = moves.every(({ member }) => slowly(groupsOf([[member, 'group:one']]), host) === host)
        if (untouched) expect([is, isGroupKey(is) || epochOf(book, is) === epochOf(first, was)]).toEqual([was, true])
      }),
      { numRuns: 2_000 },
    )
  })
})

describe('what is known of changes', () => {
  it('is bounded, however many hosts come and go; a guard whose change is forgotten begins anew, once', () => {
    const of = (...members: readonly string[]): DomainGroup[] => [
      { group: 'group:one', members, version: 1, setBy: 'test', setAt: 0 },
    ]
    let book = regroup(NO_GROUPS, of('first.org'), 0).book
    const epochs = new Set<number>()
    for (let n = 0; n < 3 * TOUCHED_MAX; n += 50) {
      const hosts = Array.from({ length: 50 }, (_, i) => `h${n + i}.org`)
      book = regroup(book, of(...hosts), n).book
      expect(book.touched.size).toBeLessThanOrEqual(TOUCHED_MAX)
      expect(epochOf(book, 'group:one')).toBe(book.version)
      expect(epochOf(book, hosts[0] ?? '')).toBe(book.version)
      epochs.add(epochOf(book, 'first.org'))
    }
    expect(epochs.size).toBeLessThan(8)
    expect([...epochs]).toEqual([...epochs].sort((a, b) => a - b))
  })
})

describe('the name of a group', () => {
  it('is no host, whatever it is', () => {
    expect([groupKeyOf('payments'), groupKeyOf('group:payments')]).toEqual(['group:payments', 'group:payments'])
    expect(['', '9', 'A', 'a b', 'group:', 'group:8080', 'x'.repeat(64)].map(groupKeyOf)).toEqual(Array(7).fill(null))
    expect(['group:payments', 'group:8080', 'group', 'group.org'].map(isGroupKey)).toEqual([true, false, false, false])
  })
})
