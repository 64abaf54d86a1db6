/** Actors of the real tree that fail again and again, and one whose state is wrong. In virtual time. */
import { expect, it } from 'vitest'
import { dispatchPool } from '#actors/dispatch-pool.ts'
import { StoreError } from '#store/store.ts'
import { VirtualDaemon } from '#test/support/virtual-daemon.ts'
import { DEFAULT_RETRY_POLICY } from '#webhook/retry.ts'

const QUICK = { ...DEFAULT_RETRY_POLICY, maxAttempts: 90, backoff: 'fixed', initialDelayMs: 100, jitter: 0 } as const
const HOUSE_RESTARTS = 5
const RESTARTS_PER_SECOND_MAX = 10
const LOG_LINES_PER_SECOND_MAX = 100

it('SUPV-01: an actor that throws on every message uses up the budget of its supervisor, then of root: bounded, never a hot loop, nothing lost', async () => {
  const daemon = new VirtualDaemon({ seed: 3, script: () => ({ latencyMs: 20 }) })
  await daemon.start()
  const ids = await daemon.schedule(Array.from({ length: 10 }, () => ({ retry: QUICK })))
  const always = (): void => {
    daemon.world.armFailpoint('dispatch-pool.reported', always)
    throw new Error('on every message')
  }
  daemon.world.armFailpoint('dispatch-pool.reported', always)
  const startMono = daemon.world.monoNow()
  while (daemon.ended === null && daemon.world.monoNow() - startMono < 60_000) await daemon.world.advance(50)
  expect(daemon.ended, 'the end of root is the end of the process').toContain('shutdown')
  expect(daemon.world.monoNow() - startMono).toBeLessThan(10_000)
  const gaveUp = daemon.reports.flatMap((report) => (report.type === 'supervisor-gave-up' ? [report.supervisor] : []))
  expect(gaveUp.filter((name) => name === 'delivery')).toHaveLength(HOUSE_RESTARTS + 1)
  expect(gaveUp.at(-1)).toBe('root')
  const restarts = daemon.reports.filter((report) => report.type === 'process-restarted').length
  expect(restarts).toBeLessThanOrEqual((HOUSE_RESTARTS + 1) ** 2)
  await daemon.crash()
  daemon.world.armFailpoint('dispatch-pool.reported', () => undefined)
  await daemon.start()
  await daemon.world.advance(60_000)
  for (const id of ids) expect(daemon.stateOf(id)).toBe('delivered')
})

it.each([
  { how: 'dies whenever it is opened', hurt: 'beforeWrite' },
  { how: 'cannot be opened', hurt: 'beforeOpen' },
] as const)(
  'SUPV-02: the store $how: one cause, one recovery; nobody else is restarted, few opens and few words a second, and all is delivered in the end',
  async ({ hurt }) => {
    let dead = false
    let opens = 0
    const fail = (): void => {
      if (dead) throw new StoreError('closed', 'the thread of the store died')
    }
    const faults = {
      beforeOpen: () => {
        opens += 1
        if (hurt === 'beforeOpen') fail()
      },
      beforeWrite: fail,
    }
    const daemon = new VirtualDaemon({ seed: 5, script: () => ({ latencyMs: 20 }), faults })
    await daemon.start()
    const ids = await daemon.schedule(Array.from({ length: 20 }, (_, n) => ({ inMs: 100 * n, retry: QUICK })))
    dead = true
    const [reports, events] = [daemon.reports.length, daemon.events.length]
    const perSecond: { readonly opens: number; readonly words: number }[] = []
    for (let second = 0; second < 60; second++) {
      const before = { opens, words: daemon.reports.length + daemon.events.length }
      for (let tick = 0; tick < 20; tick++) await daemon.world.advance(50)
      perSecond.push({
        opens: opens - before.opens,
        words: daemon.reports.length + daemon.events.length - before.words,
      })
    }
    expect(Math.max(...perSecond.map((one) => one.opens))).toBeLessThanOrEqual(RESTARTS_PER_SECOND_MAX)
    expect(opens, 'it is tried again all the time').toBeGreaterThan(10)
    expect(Math.max(...perSecond.map((one) => one.words))).toBeLessThanOrEqual(LOG_LINES_PER_SECOND_MAX)
    expect(daemon.reports.slice(reports).map(({ type }) => type)).toEqual([])
    expect(daemon.events.slice(events).filter(({ type }) => type === 'process.restarted')).toEqual([])
    expect(daemon.ended).toBeNull()
    dead = false
    await daemon.world.advance(60_000)
    for (const id of ids) expect(daemon.stateOf(id)).toBe('delivered')
    expect(daemon.reports.slice(reports).map(({ type }) => type)).toEqual([])
  },
)

it('SUPV-05: an assertion on the state of the dispatch-pool fails: it dies, what it held is in doubt, and the bad state is never written', async () => {
  const daemon = new VirtualDaemon({ seed: 4, script: () => ({ latencyMs: 200 }) })
  await daemon.start()
  const [id = ''] = await daemon.schedule([{ retry: QUICK }])
  await daemon.world.advance(50)
  const pool = daemon.runtime.whereis(dispatchPool)
  const [flying] = await daemon.runtime.call(dispatchPool, { type: 'in-flight' })
  const attemptId = flying?.attemptId ?? expect.fail('nothing is in flight')
  const { domain, brand } = flying ?? expect.fail('nothing is in flight')
  const permit = {
    attemptId,
    domain,
    brand,
    guard: 0,
    limiter: null,
    rates: [],
    dueAt: 0,
    enteredAt: 0,
    admittedAt: 0,
    admittedMono: 0,
  }
  const request = new Uint8Array(0)
  const order = { attemptId, webhookId: id, attempt: 1, brand, domain, request, lonelyDeaths: null, timeoutMs: 1_000 }
  daemon.runtime.cast(dispatchPool, { type: 'dispatch', order, permit, execution: pool ?? expect.fail('no pool') })
  await daemon.world.advance(20)
  expect(daemon.runtime.whereis(dispatchPool)?.id).not.toBe(pool?.id)
  const crash = daemon.reports.find((report) => report.type === 'server-terminated')
  expect(JSON.stringify(crash, (_key, value) => (value instanceof Error ? value.message : value))).toContain(
    `${attemptId} was dispatched twice`,
  )
  await daemon.world.advance(10_000)
  expect(daemon.stateOf(id)).toBe('delivered')
  const history = daemon.disk.byId.get(id)?.history ?? []
  expect(history.map(({ attempt }) => [attempt.number, attempt.inDoubt])).toEqual([
    [1, true],
    [2, false],
  ])
  expect(daemon.arrivals().get(id)).toBe(2)
})
