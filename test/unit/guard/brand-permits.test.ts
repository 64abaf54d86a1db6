import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ask, emptyPermits, forgetGuard, grantNext, holdsNothing, keepInFlight, settle } from '#guard/brand-permits.ts'

describe('brand permits', () => {
  it('answers at once with what is free, and queues the asker once', () => {
    const permits = emptyPermits<string>()
    expect(ask(permits, 3, 'a', 5)).toBe(3)
    expect(ask(permits, 3, 'b', 1)).toBe(0)
    expect(ask(permits, 3, 'b', 1)).toBe(0)
    expect([...permits.waiting]).toEqual(['a', 'b'])
    settle(permits, 'a', ['m1', 'm2'], 1)
    expect(grantNext(permits, 3)).toBe('a')
    expect(grantNext(permits, 3)).toBeUndefined()
  })
  it('nobody overtakes those who wait; a removed limit serves all of them', () => {
    const permits = emptyPermits<string>()
    ask(permits, 1, 'a', 1)
    ask(permits, 1, 'b', 1)
    settle(permits, 'a', [], 1)
    expect(ask(permits, 1, 'c', 1)).toBe(0)
    expect([grantNext(permits, null), grantNext(permits, null), grantNext(permits, null)]).toEqual([
      'b',
      'c',
      undefined,
    ])
  })
  it('of a dead guard only what is in flight keeps its permit', () => {
    const permits = emptyPermits<string>()
    ask(permits, 5, 'a', 3)
    settle(permits, 'a', ['m1', 'm2'], 0)
    permits.held.set('found', { by: null, permit: null })
    forgetGuard(permits, 'a')
    keepInFlight(permits, 'a', new Set(['m2']))
    expect([...permits.held.keys()]).toEqual(['m2', 'found'])
    expect(permits.grantedSum).toBe(0)
    expect(holdsNothing(permits)).toBe(false)
  })
  it('never gives more than the limit, whatever guards do', () => {
    const step = fc.record({
      guard: fc.constantFrom('a', 'b', 'c'),
      count: fc.integer({ min: 1, max: 4 }),
      used: fc.integer({ min: 0, max: 4 }),
      end: fc.boolean(),
      dies: fc.integer({ min: 0, max: 9 }),
    })
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5 }), fc.array(step, { maxLength: 80 }), (limit, steps) => {
        const permits = emptyPermits<string>()
        let id = 0
        const use = (guard: string, given: number, used: number): void => {
          const attempts = Array.from({ length: Math.min(given, used) }, () => `m${++id}`)
          settle(permits, guard, attempts, given - attempts.length)
        }
        for (const { guard, count, used, end, dies } of steps) {
          use(guard, ask(permits, limit, guard, count), used)
          if (end) permits.held.delete([...permits.held.keys()][0] ?? '')
          if (dies === 0) {
            forgetGuard(permits, guard)
            keepInFlight(permits, guard, new Set())
          }
          const next = grantNext(permits, limit)
          if (next !== undefined) use(next, 1, used)
          expect(permits.held.size + permits.grantedSum).toBeLessThanOrEqual(limit)
          expect(permits.grantedSum).toBe(0)
        }
      }),
    )
  })
})
