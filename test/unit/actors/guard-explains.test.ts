import { describe, expect, it } from 'vitest'
import { guardOf } from '#actors/guard.ts'
import { GuardStage } from '#test/support/guard-stage.ts'

const API = 'api.example.com'
const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0

describe('a guard explains', () => {
  it('what a webhook waits for, its place, and when it will start', async () => {
    const stage = await new GuardStage({ serviceMs: () => 100 }).raise()
    await stage.limit('concurrency', { domain: API }, 2)
    const dues = stage.due(20, API)
    await stage.world.advance(350)
    const id = dues[13]?.id ?? ''
    const explained = await stage.runtime.call(guardOf(API), { type: 'explain', id })
    expect(explained).toMatchObject({
      blockedOn: { limit: 'domain-concurrency', key: API },
      placeInLane: 6,
      placeInDomain: 6,
    })
    await stage.world.advance(1_000)
    const started = stage.starts.find(({ due }) => due.id === id)
    expect(Math.abs((explained?.expectedAt ?? 0) - (started?.permit.admittedAt ?? 0))).toBeLessThanOrEqual(100)
    expect(await stage.runtime.call(guardOf(API), { type: 'explain', id })).toBeNull()
  })

  it('a pause as what blocks, without an instant', async () => {
    const stage = await new GuardStage().raise()
    await stage.set('pause', { domain: API }, 1)
    const [due] = stage.due(1, API)
    await stage.world.advance(100)
    const explained = await stage.runtime.call(guardOf(API), { type: 'explain', id: due?.id ?? '' })
    expect(explained).toMatchObject({ blockedOn: { limit: 'domain-paused', key: API }, expectedAt: null })
  })

  it.each([
    ['one brand', ['acme']],
    ['two brands', ['acme', 'bolt']],
  ] as const)('starts of 1,000 webhooks of %s behind a rate within 5 percent of the wait', async (_what, brands) => {
    const stage = await new GuardStage({ serviceMs: () => 40 }).raise()
    await stage.limit('concurrency', { domain: API }, 50)
    await stage.limit('rate', { domain: API }, 20)
    await stage.world.advance(1_000)
    const dues = brands.flatMap((brand) => stage.due(1_000 / brands.length, API, brand))
    await stage.world.advance(100)
    const expected = new Map<string, number>()
    for (const due of dues) {
      const explained = await stage.runtime.call(guardOf(API), { type: 'explain', id: due.id, due })
      if (explained?.expectedAt) expected.set(due.id, explained.expectedAt)
    }
    const askedAt = stage.world.wallNow()
    await stage.world.advance(52_000)
    const errors = stage.starts.flatMap(({ due, permit }) => {
      const expectedAt = expected.get(due.id)
      return expectedAt === undefined
        ? []
        : [Math.abs(permit.admittedAt - expectedAt) / Math.max(1, permit.admittedAt - askedAt)]
    })
    expect(errors.length).toBeGreaterThan(990)
    expect(median(errors)).toBeLessThan(0.05)
  })

  it('a webhook that is still on disk, if it is told which', async () => {
    const stage = await new GuardStage({ serviceMs: () => 10 }).raise()
    await stage.limit('rate', { domain: API }, 100)
    const rows = Array.from({ length: 3_000 }, () => stage.row(API))
    stage.due(1, API)
    await stage.world.advance(1_000)
    const due = rows[2_500]
    expect(await stage.runtime.call(guardOf(API), { type: 'explain', id: due?.id ?? '' })).toBeNull()
    if (due === undefined) return
    const explained = await stage.runtime.call(guardOf(API), { type: 'explain', id: due.id, due })
    const started = stage.starts.length
    expect(explained).toMatchObject({ blockedOn: { limit: 'domain-rate' }, placeInLane: 2_501 - started })
    const waitMs = (explained?.expectedAt ?? 0) - stage.world.wallNow()
    await stage.world.advance(30_000)
    const really = stage.starts.find((one) => one.due.id === due.id)?.mono ?? 0
    expect(Math.abs(really - 1_000 - waitMs)).toBeLessThan(0.05 * waitMs)
  })

  it('when a new webhook would start behind a backlog that is mostly on disk', async () => {
    const stage = await new GuardStage({ serviceMs: () => 10 }).raise()
    await stage.limit('rate', { domain: API }, 100)
    for (let n = 0; n < 1_999; n += 1) stage.row(API)
    stage.due(1, API)
    await stage.world.advance(1_000)
    const predicted = await stage.runtime.call(guardOf(API), {
      type: 'predict',
      brand: 'acme',
      priority: 'normal',
      count: 1,
    })
    const waitMs = (predicted.expectedAt ?? 0) - stage.world.wallNow()
    expect(waitMs).toBeGreaterThan(18_000)
    expect(waitMs).toBeLessThan(20_500)
    const shown = await stage.runtime.call(guardOf(API), { type: 'show' })
    expect(shown.waiting).toBeGreaterThan(1_850)
    expect(shown.depths).toMatchObject([{ brand: 'acme', priority: 'normal', retry: 0, more: true }])
    expect(Math.abs((shown.drainMs ?? 0) - 19_000)).toBeLessThan(500)
    expect(shown).toMatchObject({
      blockedOn: 'domain-rate',
      breaker: { state: 'closed' },
      closedUntil: null,
      overshoot: 0,
    })
  })
})
