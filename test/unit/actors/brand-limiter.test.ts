import { describe, expect, it } from 'vitest'
import { type BrandGranted, brandLimiter, brandLimiterOf } from '#actors/brand-limiter.ts'
import { limitKey } from '#guard/limits.ts'
import { LIMITS_TABLE, type LimitsRow } from '#guard/tables.ts'
import { type Behaviour, keep, ok } from '#runtime/behaviour.ts'
import type { Pid } from '#runtime/pid.ts'
import { PoolStage } from '#test/support/pool-stage.ts'

interface AskerProtocol {
  readonly call: never
  readonly cast: BrandGranted
  readonly info: never
  readonly continue: never
}
/** Stands in for a guard: remembers what it is granted. */
const asker: Behaviour<AskerProtocol, BrandGranted[], BrandGranted[]> = {
  name: 'asker',
  version: 1,
  init: (granted) => ok(granted),
  cast: {
    'brand-granted': (message, granted) => {
      granted.push(message)
      return keep
    },
  },
}
const LIMIT = { kind: 'concurrency', domain: null, brand: 'acme', value: 1, burst: null, version: 1, setBy: 'test' }

describe('a brand-limiter', () => {
  it('grants nothing to a guard that has asked while there was no pool, and died (D-11)', async () => {
    const stage = new PoolStage()
    await stage.tables()
    const { runtime, world } = stage
    runtime
      .table<string, LimitsRow>(LIMITS_TABLE)
      .set(limitKey('concurrency', null, 'acme'), { ...LIMIT, kind: 'concurrency', setAt: 0 })
    await runtime.start(brandLimiter, { brand: 'acme' }, { name: brandLimiterOf('acme') })
    const ask = async (granted: BrandGranted[]): Promise<Pid> => {
      const started = await runtime.start(asker, granted, {})
      const guard = started.ok ? started.pid : expect.fail('the asker did not start')
      runtime.cast(brandLimiterOf('acme'), { type: 'ask', guard, count: 1 })
      await world.settle()
      return guard
    }
    const guard = await ask([])
    // It looks for a pool once more, and hears again that there is none.
    await world.advance(30)
    runtime.exit(guard, 'kill')
    await world.settle()
    await stage.startPool()
    await world.advance(100)
    const granted: BrandGranted[] = []
    await ask(granted)
    expect(granted).toMatchObject([{ count: 1, answer: true }])
  })

  it('counts what was admitted while there was no limit before it grants under the next one (D-7)', async () => {
    const stage = await new PoolStage().open()
    const limits = stage.runtime.table<string, LimitsRow>(LIMITS_TABLE)
    const key = limitKey('concurrency', null, 'acme')
    await stage.runtime.start(brandLimiter, { brand: 'acme' }, { name: brandLimiterOf('acme') })
    await stage.world.settle()
    const { incarnation } = await stage.guard()
    await stage.dispatch('a', stage.permit('a', incarnation))
    limits.set(key, { ...LIMIT, kind: 'concurrency', setAt: 0 })
    stage.runtime.cast(brandLimiterOf('acme'), { type: 'limits-changed' })
    const granted: BrandGranted[] = []
    const started = await stage.runtime.start(asker, granted, {})
    const guard = started.ok ? started.pid : expect.fail('the asker did not start')
    stage.runtime.cast(brandLimiterOf('acme'), { type: 'ask', guard, count: 1 })
    await stage.world.settle()
    expect(granted).toMatchObject([{ count: 0, answer: true }])
    stage.runtime.cast(brandLimiterOf('acme'), { type: 'attempt-ended', attemptId: 'a.1' })
    await stage.world.settle()
    expect(granted).toMatchObject([{ count: 0 }, { count: 1, answer: false }])
  })
})
