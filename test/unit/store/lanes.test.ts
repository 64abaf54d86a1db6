/** Pairs of lanes in SQLite: what nothing refers to goes, and no number is given twice. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { LANES_SCAN_MAX, PRUNE_LANES } from '#config/limits.ts'
import { appendOf, DELIVERED, idOf, newWebhook, outcomeOf, T0 } from '#test/conformance/store/fixtures.ts'
import { InlineSqlite } from '#test/conformance/store/inline-sqlite.ts'
import type { LaneKey } from '#webhook/webhook.ts'

const PRUNE = {
  type: 'prune',
  finishedBefore: T0 + 1_000_000,
  deadBefore: 0,
  deadMax: 100,
  closedBefore: 0,
  limit: 1_000,
} as const
const domainOf = (n: number): string => `d${n}.example`

describe('lanes in SQLite', () => {
  let store: InlineSqlite
  beforeEach(() => {
    store = new InlineSqlite()
  })
  afterEach(() => store.dispose())

  const appendTo = (from: number, count: number): void => {
    const rows = Array.from({ length: count }, (_, n) => newWebhook(from + n, { domain: domainOf(from + n), at: T0 }))
    store.write([appendOf(...rows)])
  }
  const deliver = (from: number, count: number): void => {
    for (let n = from; n < from + count; n += 1) {
      const id = idOf(n)
      store.write([{ type: 'mark-started', id, attempt: 1, token: `${id}/1`, startedAt: T0 }, outcomeOf(id, DELIVERED)])
    }
  }
  const dueLanes = (after: LaneKey | null = null) =>
    store.read({ type: 'due-lanes', now: T0, after, limit: 10 }) as { lanes: LaneKey[]; next: LaneKey | null }

  it('a domain whose webhooks are pruned leaves no row behind, some at each call', () => {
    appendTo(0, 2 * PRUNE_LANES)
    deliver(0, 2 * PRUNE_LANES)
    expect(store.count('lanes')).toBe(2 * PRUNE_LANES)
    for (let calls = 0; calls < 4; calls += 1) store.write([PRUNE])
    // The one with the highest number stays, so that none is given twice.
    expect(store.count('lanes')).toBe(1)
    expect(store.count('counters')).toBeLessThan(4)
    expect(store.read({ type: 'check' })).toEqual({ problems: [] })
  })
  it('a lane in use stays, also one that is used within the transaction that prunes', () => {
    appendTo(0, 3)
    deliver(0, 2)
    store.write([PRUNE])
    const again = newWebhook(7, { domain: domainOf(0), at: T0 })
    store.write([appendOf(again), PRUNE])
    expect(dueLanes().lanes.map(({ domain }) => domain)).toEqual([domainOf(0), domainOf(2)])
    expect(store.read({ type: 'webhook', id: again.id, brand: null })).toMatchObject({ domain: domainOf(0) })
    expect(store.read({ type: 'check' })).toEqual({ problems: [] })
  })
  it('what the other connection remembers of a pruned lane is never another lane', () => {
    appendTo(0, 2)
    expect(store.read({ type: 'webhook', id: idOf(1), brand: null })).toMatchObject({ domain: domainOf(1) })
    deliver(0, 2)
    for (let calls = 0; calls < 3; calls += 1) store.write([PRUNE])
    appendTo(10, 3)
    for (const n of [10, 11, 12])
      expect(store.read({ type: 'webhook', id: idOf(n), brand: null })).toMatchObject({ domain: domainOf(n) })
  })
  it('hosts that come under a wildcard after it was read are found in their order, also after others were forgotten', () => {
    const group = {
      type: 'set-group',
      group: 'group:all',
      members: ['*.example'],
      setBy: 'test',
      setAt: T0,
      carried: [],
    } as const
    appendTo(5, 2)
    store.write([group])
    const head = () => {
      const lane = { domain: 'group:all', brand: 'acme', priority: 'normal', kind: 'first' } as const
      const page = store.read({ type: 'lane', lane, after: null, until: T0, limit: 100 }) as {
        rows: { domain: string }[]
      }
      return page.rows.map(({ domain }) => domain).sort()
    }
    expect(head()).toEqual([5, 6].map(domainOf))
    appendTo(8, 1)
    appendTo(3, 2)
    expect(head()).toEqual([3, 4, 5, 6, 8].map(domainOf))
    appendTo(7, 1)
    store.write([{ ...group, members: ['*.example', 'd9.other'], setAt: T0 + 1 }])
    store.write([appendOf(newWebhook(9, { domain: 'd9.other', at: T0 }))])
    expect(head()).toEqual([...[3, 4, 5, 6, 7, 8].map(domainOf), 'd9.other'])
  })
  it('a look for due lanes passes over a bounded number of others, and says where it stopped', () => {
    appendTo(10_000, LANES_SCAN_MAX + 5)
    deliver(10_000, LANES_SCAN_MAX)
    const first = dueLanes()
    expect(first.lanes).toEqual([])
    expect(dueLanes(first.next)).toMatchObject({ lanes: { length: 5 }, next: null })
  })
})
