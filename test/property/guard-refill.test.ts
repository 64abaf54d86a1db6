/** Most of a backlog is on disk; whatever is told, left out, cancelled or put before the tail, each webhook starts once, in order (D-1). */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { guardOf } from '#actors/guard.ts'
import { GuardStage } from '#test/support/guard-stage.ts'
import type { Due, Outcome } from '#webhook/webhook.ts'

const API = 'api.example.com'
const LANE = { domain: API, brand: 'acme', priority: 'normal', kind: 'first' } as const

const step = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('told' as const),
      count: fc.integer({ min: 1, max: 300 }),
      earlierMs: fc.nat(3_000),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('left' as const),
      count: fc.integer({ min: 1, max: 400 }),
      earlierMs: fc.nat(3_000),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('cancel' as const), every: fc.integer({ min: 2, max: 9 }) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('again' as const), every: fc.integer({ min: 2, max: 9 }) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('kill' as const) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.nat(400) }) },
)
type Step = typeof step extends fc.Arbitrary<infer S> ? S : never

const play = async (steps: readonly Step[]): Promise<GuardStage> => {
  const stage = await new GuardStage({ serviceMs: () => 20, markMs: 1, readMs: 15 }).raise()
  await stage.limit('concurrency', { domain: API }, 4)
  const waiting = (every: number): readonly Due[] =>
    [...stage.rows.values()]
      .filter(({ state }) => state === 'live')
      .flatMap(({ due }, n) => (n % every === 0 ? [due] : []))
  for (const one of steps) {
    switch (one.do) {
      case 'told':
        stage.due(one.count, API, 'acme', { nextAt: stage.world.wallNow() - one.earlierMs })
        break
      case 'left': {
        for (let n = 0; n < one.count; n += 1) stage.row(API, 'acme', { nextAt: stage.world.wallNow() - one.earlierMs })
        stage.tell(stage.row(API, 'acme'))
        await stage.world.settle()
        stage.runtime.cast(guardOf(API), { type: 'due', entries: [], more: [LANE] })
        break
      }
      case 'cancel':
        for (const { id } of waiting(one.every)) {
          const row = stage.rows.get(id)
          if (row !== undefined) row.state = 'cancelled'
          stage.runtime.cast(guardOf(API), { type: 'withdrawn', id })
        }
        break
      case 'again':
        stage.tell(...waiting(one.every))
        break
      case 'kill':
        stage.kill(guardOf(API))
        break
      case 'wait':
        await stage.world.advance(one.ms)
        break
      default:
        one satisfies never
    }
  }
  await stage.world.advance(60_000)
  return stage
}

describe('a window over a backlog on disk', () => {
  it('starts every webhook once and none that was cancelled, and holds its bound', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 2, maxLength: 12 }), async (steps) => {
        const stage = await play(steps)
        expect(stage.undone()).toBe(0)
        const ids = stage.starts.map(({ due }) => due.id)
        expect(new Set(ids).size).toBe(ids.length)
        const cancelled = [...stage.rows.values()].filter(({ state }) => state === 'cancelled')
        expect(cancelled.filter(({ due }) => ids.includes(due.id))).toEqual([])
        expect(stage.openMax.get(API) ?? 0).toBeLessThanOrEqual(4)
      }),
      { numRuns: 25 },
    )
  }, 60_000)

  describe('while the domain fails (D-21)', () => {
    /** 3,000 of a kind on disk; `early` are due first. Every second answer is a 500; the breaker stays closed at half. */
    const failing = async (early: 'retries' | 'first tries') => {
      const outcome = (due: Due): Outcome => ({
        kind: 'response',
        status: due.seq % 2 === 0 ? 500 : 200,
        retryAfterMs: null,
        excerpt: null,
      })
      const stage = await new GuardStage({ serviceMs: () => 10, outcome }).raise()
      const now = stage.world.wallNow()
      for (let n = 0; n < 6_000; n += 1) {
        const attempts = n < 3_000 === (early === 'retries') ? 1 : 0
        stage.row(API, 'acme', { nextAt: now - 6_000 + n, attempts })
      }
      stage.tell(stage.row(API, 'acme'), stage.row(API, 'acme', { attempts: 1 }))
      await stage.world.advance(2_000)
      const retries = stage.starts.filter(({ due }) => due.attempts > 0)
      for (const kind of [retries, stage.starts.filter(({ due }) => due.attempts === 0)]) {
        const instants = kind.map(({ due }) => due.nextAt)
        expect(instants).toEqual([...instants].sort((a, b) => a - b))
      }
      return { retries: retries.length, firsts: stage.starts.length - retries.length }
    }
    it('3,000 retries that are due earlier leave the starts to the first tries behind them', async () => {
      const { retries, firsts } = await failing('retries')
      expect(firsts).toBeGreaterThan(1_500)
      expect(retries).toBeGreaterThan(100)
    })
    it('3,000 first tries that are due earlier leave the retries their share', async () => {
      const { retries, firsts } = await failing('first tries')
      expect(firsts).toBeGreaterThan(1_500)
      expect(retries).toBeGreaterThan(100)
    })
  })

  it('keeps due order over all refills', async () => {
    const stage = await new GuardStage({ serviceMs: () => 5 }).raise()
    const now = stage.world.wallNow()
    const order = Array.from({ length: 2_000 }, (_, n) => (n * 7_919) % 2_000)
    for (const place of order) stage.row(API, 'acme', { nextAt: now - 2_000 + place })
    stage.tell(stage.row(API, 'acme', { nextAt: now }))
    await stage.world.advance(5_000)
    const instants = stage.starts.map(({ due }) => due.nextAt)
    expect(instants).toEqual([...instants].sort((a, b) => a - b))
    expect(stage.starts).toHaveLength(2_001)
  })
})
