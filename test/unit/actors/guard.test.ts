import { describe, expect, it } from 'vitest'
import type { GuardFigures } from '#actors/guard.ts'
import { guardOf } from '#actors/guard.ts'
import { limits } from '#actors/limits.ts'
import { GuardStage, rateViolations } from '#test/support/guard-stage.ts'

const API = 'api.example.com'
const monos = (starts: readonly { readonly mono: number }[]): readonly number[] => starts.map(({ mono }) => mono)

describe('a guard', () => {
  it('runs five of twenty at once with a concurrency of five, and the next as each ends', async () => {
    const stage = await new GuardStage({ serviceMs: () => 1_000 }).raise()
    await stage.limit('concurrency', { domain: API }, 5)
    stage.due(20, API)
    await stage.world.advance(10)
    expect(stage.open.get(API)).toBe(5)
    await stage.world.advance(4_000)
    expect(stage.starts).toHaveLength(20)
    expect(stage.openMax.get(API)).toBe(5)
    expect(stage.undone()).toBe(0)
    expect(stage.starts.map(({ due }) => due.seq)).toEqual(Array.from({ length: 20 }, (_, n) => n + 1))
  })

  it('spaces a hundred webhooks by a rate of ten a second', async () => {
    const stage = await new GuardStage({ serviceMs: () => 20 }).raise()
    await stage.limit('concurrency', { domain: API }, 100)
    await stage.limit('rate', { domain: API }, 10)
    stage.due(100, API)
    await stage.world.advance(10_100)
    expect(stage.starts).toHaveLength(100)
    expect(rateViolations(monos(stage.starts), 10)).toBe(0)
  })

  it('reaches 98 percent of 2,000 a second and keeps its law', async () => {
    const stage = await new GuardStage({ serviceMs: () => 5 }).raise()
    await stage.limit('concurrency', { domain: API }, 1_000)
    await stage.limit('rate', { domain: API }, 2_000)
    stage.due(4_000, API)
    await stage.world.advance(2_020)
    expect(stage.starts.length).toBeGreaterThanOrEqual(3_920)
    // Admitted ahead, sent at the instants of their permits.
    expect(
      rateViolations(
        stage.starts.map(({ permit }) => permit.admittedMono),
        2_000,
      ),
    ).toBe(0)
  })

  it('holds a bounded window and refills it in due order, while all of a backlog comes through', async () => {
    const stage = await new GuardStage({ serviceMs: () => 10 }).raise()
    for (let n = 0; n < 3_000; n += 1) stage.row(API)
    stage.tell(stage.row(API))
    await stage.world.advance(0)
    const figures = await stage.runtime.call(guardOf(API), { type: 'figures' })
    expect(figures.queued).toBeLessThanOrEqual(512)
    await stage.world.advance(3_200)
    expect(stage.undone()).toBe(0)
    expect(stage.starts.map(({ due }) => due.seq)).toEqual(Array.from({ length: 3_001 }, (_, n) => n + 1))
    expect(stage.refusedByStore).toBe(0)
  })

  it('stops when it is idle and forgets no rate', async () => {
    const stage = await new GuardStage().raise()
    await stage.limit('rate', { domain: API }, 0.2)
    await stage.world.advance(10_000)
    stage.due(1, API)
    await stage.world.advance(100)
    expect(stage.starts).toHaveLength(1)
    await stage.world.advance(3_000)
    expect(stage.runtime.whereis(guardOf(API))).toBeNull()
    stage.due(1, API)
    await stage.world.advance(100)
    expect(stage.starts).toHaveLength(1)
    await stage.world.advance(5_000)
    expect(stage.starts).toHaveLength(2)
    expect(rateViolations(monos(stage.starts), 0.2)).toBe(0)
  })

  it('keeps a brand under its limit over all domains', async () => {
    const stage = await new GuardStage({ serviceMs: () => 100 }).raise()
    await stage.limit('concurrency', { brand: 'acme' }, 3)
    for (const domain of ['a.example', 'b.example', 'c.example']) stage.due(20, domain, 'acme')
    stage.due(5, 'a.example', 'other')
    await stage.world.advance(50)
    expect(stage.startsOf({ brand: 'other' })).toHaveLength(5)
    await stage.world.advance(2_500)
    expect(stage.openMax.get('brand acme')).toBe(3)
    expect(stage.undone()).toBe(0)
  })

  it.each(['guard', 'executor', 'dispatch-pool', 'brand-limiter'])(
    'stays within every limit when %s is killed',
    async (who) => {
      const stage = await new GuardStage({ serviceMs: () => 30 }).raise()
      await stage.limit('concurrency', { domain: API }, 5)
      await stage.limit('concurrency', { brand: 'acme' }, 3)
      stage.due(60, API, 'acme')
      stage.due(60, API, 'other')
      for (let round = 0; round < 12; round += 1) {
        await stage.world.advance(25)
        stage.kill(who === 'guard' ? guardOf(API) : who === 'brand-limiter' ? 'brand-limiter acme' : who)
      }
      await stage.world.advance(20_000)
      expect(stage.undone()).toBe(0)
      expect(stage.openMax.get(API)).toBeLessThanOrEqual(5)
      expect(stage.openMax.get('brand acme')).toBeLessThanOrEqual(3)
    },
  )

  it('writes its figures into the table', async () => {
    const stage = await new GuardStage({ serviceMs: () => 500 }).raise()
    await stage.limit('concurrency', { domain: API }, 2)
    stage.due(10, API)
    await stage.world.advance(150)
    const figures: GuardFigures = await stage.runtime.call(guardOf(API), { type: 'figures' })
    expect(figures).toMatchObject({ state: 'open', concurrency: { current: 2, limit: 2 }, queued: 8, overshoot: 0 })
    expect(figures.backpressure).toMatchObject({ active: true, limit: 'domain-concurrency' })
  })

  it('admits nothing more while the daemon stops', async () => {
    const stage = await new GuardStage({ serviceMs: () => 50 }).raise()
    stage.due(100, API)
    await stage.world.advance(20)
    stage.runtime.cast(limits, { type: 'quiesce' })
    await stage.world.advance(1_000)
    expect(stage.starts).toHaveLength(10)
    expect(stage.open.get(API)).toBe(0)
  })

  it('shows the limit that presses now, not the one that did first', async () => {
    const stage = await new GuardStage({ serviceMs: () => 1_000 }).raise()
    await stage.limit('concurrency', { domain: API }, 1)
    stage.due(5, API)
    await stage.world.advance(10)
    await stage.set('pause', { domain: API }, 1)
    await stage.world.advance(10)
    const figures = await stage.runtime.call(guardOf(API), { type: 'figures' })
    expect(figures.backpressure).toMatchObject({ active: true, limit: 'domain-paused' })
  })
})
