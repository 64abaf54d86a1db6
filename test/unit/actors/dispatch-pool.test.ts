import { describe, expect, it } from 'vitest'
import { brandLimiterOf } from '#actors/brand-limiter.ts'
import { dispatchPool, dispatchPoolActor } from '#actors/dispatch-pool.ts'
import { guardOf } from '#actors/guard.ts'
import { limitKey } from '#guard/limits.ts'
import { CONDITIONS_TABLE, type ConditionsRow, LIMITS_TABLE, type LimitsRow } from '#guard/tables.ts'
import { DOMAIN, PoolStage } from '#test/support/pool-stage.ts'

describe('dispatch-pool', () => {
  it('carries out an attempt: the permit goes back before the execution hears', async () => {
    const stage = await new PoolStage().open()
    const { incarnation } = await stage.guard()
    const limiter = await stage.limiter('acme')
    await stage.dispatch('a', stage.permit('a', incarnation, { limiter: limiter.incarnation }))
    expect(stage.network.open(DOMAIN)).toBe(1)
    await stage.world.advance(100)
    expect(stage.heard.map(({ by, type }) => `${by}: ${type}`)).toEqual([
      `guard ${DOMAIN}: attempt-ended`,
      'brand-limiter acme: attempt-ended',
      'execution a: attempt-reported',
    ])
    expect(stage.heard[0]).toMatchObject({
      attemptId: 'a.1',
      brand: 'acme',
      outcome: { kind: 'response', status: 200 },
    })
    expect(stage.heard[2]).toMatchObject({ report: { attemptId: 'a.1', networkMs: 100 } })
    expect(await stage.runtime.call(dispatchPool, { type: 'in-flight' })).toEqual([])
  })

  it('D-7: refuses a permit of an older incarnation, and tells the new guard what is in flight', async () => {
    const stage = await new PoolStage().open()
    const first = await stage.guard()
    await stage.dispatch('a', stage.permit('a', first.incarnation))
    await stage.kill(guardOf(DOMAIN))
    await stage.dispatch('b', stage.permit('b', first.incarnation))
    expect(stage.by('execution b'), 'its guard has died and no other is there').toEqual(['attempt-refused'])
    const second = await stage.guard()
    expect(second.incarnation).toBeGreaterThan(first.incarnation)
    expect(second.inFlight).toEqual([{ attemptId: 'a.1', domain: DOMAIN, brand: 'acme' }])
    await stage.dispatch('c', stage.permit('c', first.incarnation))
    expect(stage.by('execution c')).toEqual(['attempt-refused'])
    await stage.dispatch('d', stage.permit('d', second.incarnation))
    expect(stage.network.arrivals.map(({ webhookId }) => webhookId)).toEqual(['a', 'd'])
    await stage.world.advance(100)
    expect(stage.by(guardOf(DOMAIN)), 'the new guard gets the old permit back').toEqual([
      'attempt-ended',
      'attempt-ended',
    ])
  })

  it('what a receiver says while its host has no guard, the next guard finds (D-10, D-13)', async () => {
    const stage = await new PoolStage().open()
    stage.answers.set('a', { latencyMs: 100, status: 429, retryAfterMs: 5_000 })
    const first = await stage.guard()
    await stage.dispatch('a', stage.permit('a', first.incarnation))
    await stage.kill(guardOf(DOMAIN))
    await stage.world.advance(100)
    const row = stage.runtime.table<string, ConditionsRow>(CONDITIONS_TABLE).get(DOMAIN)
    expect(row?.shares.get('acme')?.closure.untilMono).toBe(stage.world.monoNow() + 5_000)
    expect(stage.emitted.map(({ type }) => type)).toContain('guard.closed')
  })

  it('D-7: refuses a permit of a domain whose guard it does not know', async () => {
    const stage = await new PoolStage().open()
    const { incarnation } = await stage.guard()
    await stage.dispatch('a', stage.permit('a', incarnation, { domain: 'other.acme.com' }))
    expect(stage.by('execution a')).toEqual(['attempt-refused'])
    expect(stage.network.arrivals).toEqual([])
  })

  it('a guard that registers again refuses its own older permits', async () => {
    const stage = await new PoolStage().open()
    const first = await stage.guard()
    const pid = stage.pids.get(guardOf(DOMAIN)) ?? expect.fail()
    const second = await stage.runtime.call(dispatchPool, { type: 'register-guard', domain: DOMAIN, pid })
    await stage.dispatch('a', stage.permit('a', first.incarnation))
    await stage.dispatch('b', stage.permit('b', second.incarnation))
    expect(stage.by('execution a')).toEqual(['attempt-refused'])
    expect(stage.network.arrivals.map(({ webhookId }) => webhookId)).toEqual(['b'])
    await stage.kill(guardOf(DOMAIN))
    await stage.dispatch('c', stage.permit('c', second.incarnation))
    expect(stage.by('execution c')).toEqual(['attempt-refused'])
  })

  it("D-7: a permit of a dead brand-limiter is refused, and the guard's part of it goes back", async () => {
    const stage = await new PoolStage().open()
    const { incarnation } = await stage.guard()
    const limiter = await stage.limiter('acme')
    await stage.kill(brandLimiterOf('acme'))
    await stage.dispatch('a', stage.permit('a', incarnation, { limiter: limiter.incarnation }))
    expect(stage.by('execution a')).toEqual(['attempt-refused'])
    expect(stage.by(guardOf(DOMAIN))).toEqual(['attempt-ended'])
    expect((await stage.limiter('acme')).inFlight).toEqual([])
  })

  it('refuses a permit that was given before its brand had the limit that it has now', async () => {
    const stage = await new PoolStage().open()
    const { incarnation } = await stage.guard()
    const before = stage.permit('a', incarnation)
    const limit = { kind: 'concurrency', domain: null, brand: 'acme', value: 5, burst: null } as const
    stage.runtime
      .table<string, LimitsRow>(LIMITS_TABLE)
      .set(limitKey('concurrency', null, 'acme'), { ...limit, version: 1, setBy: 'test', setAt: 0 })
    await stage.dispatch('a', before)
    expect(stage.by('execution a')).toEqual(['attempt-refused'])
    await stage.dispatch('b', stage.permit('b', incarnation, { brand: 'other' }))
    expect(stage.by('execution b')).toEqual([])
  })

  it("gives the brand-limiter's part back where only the guard is not the registered one any more", async () => {
    const stage = await new PoolStage().open()
    const { incarnation } = await stage.guard()
    const limiter = await stage.limiter('acme')
    await stage.kill(guardOf(DOMAIN))
    await stage.dispatch('a', stage.permit('a', incarnation, { limiter: limiter.incarnation }))
    expect(stage.by('execution a')).toEqual(['attempt-refused'])
    expect(stage.by(brandLimiterOf('acme'))).toEqual(['attempt-ended'])
  })

  it('WORK-08: never gives a carrier more than it holds; the rest waits here, first come first served', async () => {
    const stage = await new PoolStage().open({ carriers: 2, capacity: 3 })
    const { incarnation } = await stage.guard()
    for (let i = 0; i < 10; i++) await stage.dispatch(`w${i}`, stage.permit(`w${i}`, incarnation))
    expect(stage.network.carriers.map((carrier) => carrier.running)).toEqual([3, 3])
    expect(await stage.runtime.call(dispatchPool, { type: 'figures' })).toEqual({ carriers: 2, inFlight: 6, queued: 4 })
    await stage.world.advance(1_000)
    expect(stage.network.arrivals.map(({ webhookId }) => webhookId)).toEqual(
      Array.from({ length: 10 }, (_, i) => `w${i}`),
    )
    expect(stage.by(guardOf(DOMAIN))).toHaveLength(10)
  })

  it('WORK-05: what waits is cancelled, then what runs: only these two, in this order; the thread and its neighbour go on', async () => {
    const stage = await new PoolStage().open({ carriers: 1, capacity: 2 })
    const { incarnation } = await stage.guard()
    const cancel = async (id: string): Promise<void> => {
      const permit = permits.get(id) ?? expect.fail()
      await stage.kill(`execution ${id}`)
      stage.runtime.cast(dispatchPool, { type: 'execution-died', attemptId: `${id}.1`, permit })
      await stage.world.settle()
    }
    const permits = new Map(['running', 'beside', 'waiting', 'next'].map((id) => [id, stage.permit(id, incarnation)]))
    for (const [id, permit] of permits) await stage.dispatch(id, permit)
    await cancel('waiting')
    await cancel('running')
    await stage.world.advance(1_000)
    const told = stage.heard.filter(({ by }) => by === 'executor')
    expect(told).toMatchObject([
      { attemptId: 'waiting.1', how: { how: 'unsent' } },
      { attemptId: 'running.1', how: { report: { outcome: { error: 'in_doubt' } } } },
    ])
    expect(stage.network.arrivals.map(({ webhookId }) => webhookId)).toEqual(['running', 'beside', 'next'])
    for (const id of ['beside', 'next']) expect(stage.by(`execution ${id}`)).toEqual(['attempt-reported'])
    expect(
      stage.emitted.map(({ type }) => type),
      'one thread, alive',
    ).toEqual(['carrier.started'])
    expect(await stage.runtime.call(dispatchPool, { type: 'figures' })).toEqual({ carriers: 1, inFlight: 0, queued: 0 })
  })

  it('WORK-02: a dead thread is replaced at once, its attempts are lost with their permits back, others go on', async () => {
    const stage = await new PoolStage().open({ carriers: 2, capacity: 10 })
    const { incarnation } = await stage.guard()
    for (const id of ['a', 'b', 'c', 'd']) await stage.dispatch(id, stage.permit(id, incarnation))
    const died = stage.world.monoNow()
    stage.network.killCarrier('out of memory')
    await stage.world.settle()
    expect(stage.heard, 'D-8: not before exit + 10 ms').toEqual([])
    await stage.world.advance(10)
    expect(stage.world.monoNow() - died).toBe(10)
    const lost = stage.heard.filter(({ type }) => type === 'attempt-lost')
    expect(lost.map(({ attemptId, reason, lonelyDeaths }) => ({ attemptId, reason, lonelyDeaths }))).toEqual([
      { attemptId: 'a.1', reason: 'out of memory', lonelyDeaths: 0 },
      { attemptId: 'c.1', reason: 'out of memory', lonelyDeaths: 0 },
    ])
    expect(stage.by(guardOf(DOMAIN))).toEqual(['attempt-ended', 'attempt-ended'])
    expect(await stage.runtime.call(dispatchPool, { type: 'figures' })).toEqual({ carriers: 2, inFlight: 2, queued: 0 })
    await stage.world.advance(100)
    expect(stage.by('execution b')).toEqual(['attempt-reported'])
    expect(stage.emitted.map(({ type }) => type)).toEqual([
      'carrier.started',
      'carrier.started',
      'carrier.ended',
      'carrier.started',
    ])
  })

  it('D-17: what died with a thread runs alone from then on; only three lonely deaths convict it', async () => {
    const stage = await new PoolStage().open()
    let { incarnation } = await stage.guard()
    stage.answers.set('poison', { latencyMs: 50, killsCarrier: true })
    const ids = ['a', 'poison', 'b']
    for (const id of ids) await stage.dispatch(id, stage.permit(id, incarnation))
    await stage.world.advance(60)
    expect([...stage.suspicion]).toEqual(ids.map((id) => [id, 0]))
    ;({ incarnation } = await stage.registerAgain())
    const again = async (id: string) => {
      await stage.dispatch(id, stage.permit(id, incarnation))
      await stage.world.settle()
    }
    for (const id of ids) await again(id)
    await again('innocent')
    expect(
      stage.network.carriers.map((carrier) => carrier.running),
      'one suspect at a time, in a thread of its own',
    ).toEqual([1, 1])
    await stage.world.advance(150)
    expect(stage.by('execution a').at(-1)).toBe('attempt-reported')
    expect(stage.by('execution innocent')).toEqual(['attempt-reported'])
    await stage.world.advance(150)
    expect(stage.by('execution b').at(-1), 'it waited until the poison had died alone').toBe('attempt-reported')
    for (let death = 2; death <= 3; death++) {
      expect(stage.suspicion.get('poison')).toBe(death - 1)
      await again('poison')
      await stage.world.advance(100)
    }
    const last = stage.heard.findLast(({ by }) => by === 'execution poison')
    expect(last).toMatchObject({ type: 'attempt-reported', report: { outcome: { kind: 'error', error: 'poison' } } })
    expect(await stage.runtime.call(dispatchPool, { type: 'in-flight' })).toEqual([])
  })

  it('D-17: a suspect is sent once the store knows that it is alone; until then it is unsent', async () => {
    const stage = await new PoolStage().open()
    const { incarnation } = await stage.guard()
    stage.keeper.silent = true
    stage.suspicion.set('a', 1)
    await stage.dispatch('a', stage.permit('a', incarnation))
    await stage.world.advance(1_000)
    expect(stage.keeper.isolated).toEqual(['a.1'])
    expect(stage.network.arrivals).toEqual([])
    stage.network.killCarrier('died before it was given anything', 1)
    await stage.world.advance(10)
    expect(stage.by('execution a'), 'not a lonely death').toEqual(['attempt-refused'])
    await stage.dispatch('a', stage.permit('a', incarnation))
    await stage.world.advance(10)
    await stage.kill('store-keeper')
    stage.keeper.silent = false
    await stage.startKeeper()
    await stage.world.advance(1_000)
    expect(stage.network.arrivals, 'the next keeper is asked again').toHaveLength(1)
    expect(stage.by('execution a').at(-1)).toBe('attempt-reported')
  })

  it.each([
    ['waits for a place', { carriers: 1, capacity: 1 }, false],
    ['waits to be alone', { carriers: 1, capacity: 10 }, true],
  ])('what %s when its execution dies is unsent, not in doubt', async (_what, options, suspect) => {
    const stage = await new PoolStage().open(options)
    const { incarnation } = await stage.guard()
    stage.keeper.silent = true
    await stage.dispatch('first', stage.permit('first', incarnation), 30_000)
    if (suspect) stage.suspicion.set('a', 0)
    const permit = stage.permit('a', incarnation)
    await stage.dispatch('a', permit)
    await stage.kill('execution a')
    stage.runtime.cast(dispatchPool, { type: 'execution-died', attemptId: 'a.1', permit })
    await stage.world.settle()
    expect(stage.heard.find(({ by }) => by === 'executor')).toMatchObject({ attemptId: 'a.1', how: { how: 'unsent' } })
    await stage.world.advance(1_000)
    expect(stage.network.arrivals.map(({ webhookId }) => webhookId)).toEqual(['first'])
    expect(await stage.runtime.call(dispatchPool, { type: 'in-flight' })).toEqual([])
  })

  it('what it refused to an execution that died of something else is unsent, not in doubt', async () => {
    const stage = await new PoolStage().open()
    const permit = stage.permit('a', 0)
    await stage.dispatch('a', permit)
    stage.runtime.cast(dispatchPool, { type: 'execution-died', attemptId: 'a.1', permit })
    stage.runtime.cast(dispatchPool, { type: 'execution-died', attemptId: 'b.1', permit })
    await stage.world.settle()
    expect(stage.heard.filter(({ by }) => by === 'executor').map(({ how }) => how)).toEqual([
      { how: 'unsent' },
      { how: 'in-doubt', reason: 'its execution died with the report' },
    ])
  })

  it('D-17: the spare thread ends when nobody needs it', async () => {
    const stage = await new PoolStage().open()
    let { incarnation } = await stage.guard()
    await stage.dispatch('a', stage.permit('a', incarnation))
    stage.network.killCarrier()
    await stage.world.advance(10)
    ;({ incarnation } = await stage.registerAgain())
    await stage.dispatch('a', stage.permit('a', incarnation))
    expect(stage.network.carriers).toHaveLength(2)
    await stage.world.advance(60_000)
    expect(stage.network.carriers).toHaveLength(1)
    expect(stage.by('execution a').at(-1)).toBe('attempt-reported')
    await stage.dispatch('a', stage.permit('a', incarnation))
    await stage.world.advance(100)
    expect(stage.network.arrivals, 'it is a suspect no more').toHaveLength(3)
  })

  it('aborts an attempt whose execution has died, and tells the executor how it ended, permits first', async () => {
    const stage = await new PoolStage().open()
    const { incarnation } = await stage.guard()
    await stage.dispatch('a', stage.permit('a', incarnation))
    await stage.kill('execution a')
    expect(
      await stage.runtime.call(dispatchPool, { type: 'in-flight' }),
      'the request goes on: its permit stays',
    ).toHaveLength(1)
    stage.runtime.cast(dispatchPool, {
      type: 'execution-died',
      attemptId: 'a.1',
      permit: stage.permit('a', incarnation),
    })
    await stage.world.advance(10)
    expect(stage.heard.map(({ by, type }) => `${by}: ${type}`)).toEqual([
      `guard ${DOMAIN}: attempt-ended`,
      'executor: attempt-ended',
    ])
    expect(stage.heard[1]).toMatchObject({
      how: { how: 'ended', report: { outcome: { error: 'in_doubt' }, sent: true } },
    })
    expect(stage.network.open(DOMAIN)).toBe(0)
  })

  it('answers at once about an attempt that it does not hold, or that was never sent', async () => {
    const stage = await new PoolStage().open({ carriers: 1, capacity: 1 })
    const { incarnation } = await stage.guard()
    for (const id of ['a', 'b']) await stage.dispatch(id, stage.permit(id, incarnation))
    for (const id of ['b', 'zzz'])
      stage.runtime.cast(dispatchPool, {
        type: 'execution-died',
        attemptId: `${id}.1`,
        permit: stage.permit(id, incarnation),
      })
    await stage.world.settle()
    const told = stage.heard.filter(({ by }) => by === 'executor')
    expect(told).toMatchObject([
      { attemptId: 'b.1', how: { how: 'unsent' } },
      { attemptId: 'zzz.1', how: { how: 'in-doubt', reason: 'its execution died with the report' } },
    ])
    await stage.world.advance(1_000)
    expect(stage.network.arrivals.map(({ webhookId }) => webhookId)).toEqual(['a'])
  })

  it('tells the executor when a thread dies with an attempt whose execution has died before', async () => {
    const stage = await new PoolStage().open()
    const { incarnation } = await stage.guard()
    stage.answers.set('a', { hangsCarrier: true })
    await stage.dispatch('a', stage.permit('a', incarnation), 1_000)
    stage.runtime.cast(dispatchPool, {
      type: 'execution-died',
      attemptId: 'a.1',
      permit: stage.permit('a', incarnation),
    })
    await stage.world.advance(3_010)
    expect(stage.heard.find(({ by }) => by === 'executor')).toMatchObject({
      attemptId: 'a.1',
      how: { how: 'in-doubt', lonelyDeaths: 0 },
    })
  })

  it.each(['kill', 'shutdown'] as const)(
    'D-9: when it dies by %s its threads have ended before anybody hears of it',
    async (reason) => {
      const stage = await new PoolStage().open()
      const { incarnation } = await stage.guard()
      await stage.dispatch('a', stage.permit('a', incarnation))
      const opens: number[] = []
      stage.runtime.monitor(dispatchPool, () => opens.push(stage.network.open(), stage.network.carriers.length))
      stage.runtime.exit(dispatchPool, reason)
      await stage.world.settle()
      expect(opens).toEqual([])
      await stage.world.advance(10)
      expect(opens).toEqual([0, 0])
      expect(stage.runtime.whereis(dispatchPool)).toBeNull()
      await stage.startPool()
      await stage.dispatch('b', stage.permit('b', incarnation))
      expect(stage.by('execution b'), 'the new one knows no incarnation').toEqual(['attempt-refused'])
    },
  )

  it('drains: refuses new orders with their permits back, and answers when nothing is in flight', async () => {
    const stage = await new PoolStage().open()
    const { incarnation } = await stage.guard()
    await stage.dispatch('a', stage.permit('a', incarnation))
    let drained = false
    const answer = stage.runtime.call(dispatchPool, { type: 'drain' }).then(() => {
      drained = true
    })
    await stage.world.settle()
    await stage.dispatch('b', stage.permit('b', incarnation))
    expect(stage.by('execution b')).toEqual(['attempt-refused'])
    expect(stage.by(guardOf(DOMAIN))).toEqual(['attempt-ended'])
    expect(drained).toBe(false)
    await stage.world.advance(100)
    await answer
    expect(await stage.runtime.call(dispatchPool, { type: 'drain' })).toBe('drained')
    expect(stage.by('execution a')).toEqual(['attempt-reported'])
  })

  it('answers a guard only when there is a thread to send with, so that nothing is admitted into a queue', async () => {
    const stage = new PoolStage()
    await stage.tables()
    const dispatch = stage.network.openDispatch()
    const ready = Promise.withResolvers<void>()
    const openDispatch = () => ({
      capacity: 10,
      carriers: 1,
      close: () => dispatch.close(),
      startCarrier: async (events: Parameters<typeof dispatch.startCarrier>[0]) => {
        await ready.promise
        return dispatch.startCarrier(events)
      },
    })
    await stage.runtime.start(dispatchPoolActor, { openDispatch, events: stage.events }, { name: dispatchPool })
    let registered = false
    const registration = stage.guard().then((answer) => {
      registered = true
      return answer
    })
    await stage.world.advance(1_000)
    expect(registered).toBe(false)
    ready.resolve()
    await stage.world.settle()
    expect((await registration).inFlight).toEqual([])
  })

  it('sends what waits back unsent when the last thread dies, and has the guards register again', async () => {
    const stage = await new PoolStage().open({ carriers: 1, capacity: 1 })
    const { incarnation } = await stage.guard()
    for (const id of ['a', 'b']) await stage.dispatch(id, stage.permit(id, incarnation))
    stage.network.killCarrier('out of memory')
    await stage.world.advance(10)
    expect(stage.by('execution a')).toEqual(['attempt-lost'])
    expect(stage.by('execution b')).toEqual(['attempt-refused'])
    expect(stage.by(guardOf(DOMAIN))).toContain('register-again')
    await stage.dispatch('c', stage.permit('c', incarnation))
    expect(stage.by('execution c'), 'its incarnation is over').toEqual(['attempt-refused'])
  })

  it('asks for a thread again where one could not start', async () => {
    const stage = new PoolStage()
    let tries = 0
    const dispatch = stage.network.openDispatch()
    const openDispatch = () => ({
      capacity: 10,
      carriers: 1,
      close: () => dispatch.close(),
      startCarrier: (events: Parameters<typeof dispatch.startCarrier>[0]) => {
        tries += 1
        return tries < 3 ? Promise.reject(new Error('no memory')) : dispatch.startCarrier(events)
      },
    })
    await stage.runtime.start(dispatchPoolActor, { openDispatch, events: stage.events }, { name: dispatchPool })
    await stage.world.advance(1_000)
    expect(tries).toBe(3)
    expect(stage.emitted.map(({ type }) => type)).toEqual(['carrier.ended', 'carrier.ended', 'carrier.started'])
  })
})
