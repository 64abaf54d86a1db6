/**
 * More domains with due work than guards may live at once: they take turns, nobody is lost, starved or kept waiting by those who can
 * start nothing, whoever dies meanwhile.
 */
import { describe, expect, it } from 'vitest'
import { guardOf, guards } from '#actors/guard.ts'
import { scheduler } from '#actors/scheduler.ts'
import { storeKeeper } from '#actors/store-keeper.ts'
import type { FakeScript } from '#dispatch/fake.ts'
import type { MemoryFaults } from '#store/memory/memory-store.ts'
import { VirtualDaemon } from '#test/support/virtual-daemon.ts'

const MAX = 40
/** Far fewer than there are: the others are known to the store only. */
const LISTED_MAX = 60
const HEALTHY = 'healthy.example.com'
const domainOf = (n: number): string => `d${n}.example.com`

const raise = async (
  script: FakeScript = () => ({ latencyMs: 40 }),
  faults: MemoryFaults = {},
  domainsWaitingMax = LISTED_MAX,
): Promise<VirtualDaemon> => {
  const daemon = new VirtualDaemon({
    safeMessages: false,
    places: { guardsMax: MAX, domainsWaitingMax, horizonMax: 500 },
    script,
    faults,
  })
  await daemon.start()
  return daemon
}
/** Guards and waiters, looked at all the time; nothing of it may ever be above its bound. */
const watchFor = async (daemon: VirtualDaemon, ms: number): Promise<{ guards: number; waiting: number }> => {
  const most = { guards: 0, waiting: 0 }
  for (const until = daemon.world.monoNow() + ms; daemon.world.monoNow() < until; ) {
    await daemon.world.advance(5)
    if (daemon.runtime.whereis(guards) !== null) {
      const children = daemon.runtime.call(guards, { type: 'which-children' })
      await daemon.world.settle()
      const live = (await children).filter(({ id }) => id.startsWith('guard '))
      most.guards = Math.max(most.guards, live.length)
    }
    if (daemon.runtime.whereis(scheduler) === null) continue
    const figures = daemon.runtime.call(scheduler, { type: 'figures' })
    await daemon.world.settle()
    most.waiting = Math.max(most.waiting, (await figures).waiting)
  }
  return most
}
const undelivered = (daemon: VirtualDaemon): readonly string[] =>
  daemon.acknowledged.filter((id) => daemon.stateOf(id) !== 'delivered')
const crowd = (domains: number, webhook = {}) =>
  Array.from({ length: domains }, (_, n) => ({ domain: domainOf(n), inMs: 1_000, ...webhook }))
/** One webhook every 50 ms: its guard has nothing to do in between, and loses its place each time. */
const stream = (fromMs: number, count: number, apartMs = 50) =>
  Array.from({ length: count }, (_, n) => ({ domain: HEALTHY, brand: 'healthy', inMs: fromMs + n * apartMs }))
/** How late each webhook of a domain arrived, in milliseconds. */
const latenessOf = (daemon: VirtualDaemon, ids: readonly string[]): readonly number[] =>
  ids.map((id) => {
    const row = daemon.disk.byId.get(id)
    const arrival = daemon.network.arrivals.find(({ webhookId }) => webhookId === id)
    if (row === undefined || arrival === undefined) throw new Error(`${id} has not arrived`)
    return arrival.at - row.at
  })

describe(`at most ${MAX} live guards`, () => {
  it('serve 2,000 domains at one instant, each once, and a healthy domain in between on time', async () => {
    const daemon = await raise()
    await daemon.schedule(crowd(2_000))
    const healthy = await daemon.schedule(stream(1_010, 20))
    const most = await watchFor(daemon, 5_000)
    expect(most.guards).toBe(MAX)
    expect(most.waiting).toBeGreaterThan(0)
    expect(most.waiting).toBeLessThanOrEqual(LISTED_MAX)
    expect(undelivered(daemon)).toEqual([])
    expect([...daemon.arrivals().values()].every((count) => count === 1)).toBe(true)
    // 2,000 x 40 ms / 40 guards are two seconds; a place is free after 40 ms.
    expect(Math.max(...latenessOf(daemon, healthy))).toBeLessThanOrEqual(100)
    await daemon.world.advance(10_000)
    expect(await daemon.runtime.call(scheduler, { type: 'figures' })).toMatchObject({
      guards: 0,
      waiting: 0,
      unlisted: false,
    })
  }, 60_000)

  it('do not make the horizon late, where it takes seconds to read what is due at once', async () => {
    const daemon: VirtualDaemon = await raise(undefined, {
      beforeRead: (query) =>
        query.type === 'horizon' ? new Promise((resolve) => daemon.world.setTimer(400, resolve)) : undefined,
    })
    await daemon.schedule(crowd(4_000))
    const healthy = await daemon.schedule(stream(1_200, 20))
    await daemon.world.advance(4_500)
    expect(Math.max(...latenessOf(daemon, healthy))).toBeLessThanOrEqual(1_300)
    await daemon.world.advance(10_000)
    expect(undelivered(daemon)).toEqual([])
    expect([...daemon.arrivals().values()].every((count) => count === 1)).toBe(true)
  }, 60_000)

  it('are not kept by domains that are closed for long', async () => {
    const closed = (domain: string): boolean => domain.startsWith('d')
    const opensAt = 600_000
    const daemon: VirtualDaemon = await raise(({ domain }) =>
      closed(domain) && daemon.world.monoNow() < opensAt ? { status: 429, retryAfterMs: opensAt } : { latencyMs: 10 },
    )
    // The first is refused and closes its domain; the second waits behind it.
    await daemon.schedule([...crowd(200), ...crowd(200, { inMs: 3_000 })])
    const healthy = await daemon.schedule([...stream(5_000, 20), ...stream(120_000, 20, 3_000)])
    const most = await watchFor(daemon, 10_000)
    expect(most.guards).toBe(MAX)
    await daemon.world.advance(190_000)
    expect(Math.max(...latenessOf(daemon, healthy))).toBeLessThanOrEqual(150)
    await daemon.world.advance(2 * opensAt)
    expect(undelivered(daemon)).toEqual([])
  }, 60_000)

  it('are not kept by domains of a paused brand, whose work goes on when it is resumed', async () => {
    const daemon = await raise()
    await daemon.setLimit({ kind: 'pause', brand: 'paused', value: 1 })
    const paused = await daemon.schedule(crowd(200, { brand: 'paused' }))
    const healthy = await daemon.schedule(stream(3_000, 20))
    await daemon.world.advance(10_000)
    expect(Math.max(...latenessOf(daemon, healthy))).toBeLessThanOrEqual(150)
    expect(daemon.network.arrivals.length).toBe(healthy.length)
    await daemon.setLimit({ kind: 'pause', brand: 'paused', value: null })
    await daemon.world.advance(1_000)
    expect(paused.filter((id) => daemon.stateOf(id) !== 'delivered')).toEqual([])
  }, 60_000)

  it('are not kept by domains that all wait for the permits of one brand', async () => {
    const daemon = await raise(({ domain }) => ({ latencyMs: domain === HEALTHY ? 10 : 1_000 }))
    await daemon.setLimit({ kind: 'concurrency', brand: 'default', value: 2 })
    await daemon.schedule(crowd(100))
    const healthy = await daemon.schedule(stream(3_000, 20))
    await daemon.world.advance(6_000)
    expect(Math.max(...latenessOf(daemon, healthy))).toBeLessThanOrEqual(150)
    // Two at a time, a second each: no slot of the brand stays empty while guards make room.
    await daemon.world.advance(47_000)
    expect(undelivered(daemon)).toEqual([])
  }, 60_000)

  it('take turns where some domains always have work that is due and others wait', async () => {
    const daemon = await raise(() => ({ latencyMs: 100 }))
    // 60 domains with a webhook every 100 ms are more than all places can serve.
    const flood = await daemon.schedule(
      Array.from({ length: 60 * 50 }, (_, n) => ({
        domain: `busy${n % 60}.example.com`,
        inMs: 1_000 + Math.floor(n / 60) * 100,
      })),
    )
    const once = await daemon.schedule(crowd(200, { inMs: 2_000 }))
    await daemon.world.advance(6_000)
    expect(flood.filter((id) => daemon.stateOf(id) !== 'delivered')).not.toEqual([])
    expect(once.filter((id) => daemon.stateOf(id) !== 'delivered')).toEqual([])
    await daemon.world.advance(20_000)
    expect(undelivered(daemon)).toEqual([])
  }, 60_000)
})

describe('amid the rotation', () => {
  it.each([
    ['scheduler', scheduler],
    ['guards', guards],
    ['store-keeper', storeKeeper],
  ] as const)(
    '%s may be killed again and again: nobody is lost, and no more guards live',
    async (_name, victim) => {
      const daemon = await raise(({ domain }) => ({ latencyMs: domain.length % 2 === 0 ? 30 : 300 }))
      await daemon.schedule(crowd(600))
      await daemon.world.advance(1_005)
      for (let kill = 0; kill < 4; kill += 1) {
        const pid = daemon.runtime.whereis(victim)
        if (pid !== null) daemon.runtime.exit(pid, 'kill')
        const most = await watchFor(daemon, 700)
        expect(most.guards).toBeLessThanOrEqual(MAX)
        expect(most.waiting).toBeLessThanOrEqual(LISTED_MAX)
      }
      await daemon.world.advance(30_000)
      expect(undelivered(daemon)).toEqual([])
      expect([...daemon.arrivals().values()].every((count) => count === 1)).toBe(true)
    },
    60_000,
  )

  it('single guards may be killed, and the whole process', async () => {
    const daemon = await raise(() => ({ latencyMs: 100 }))
    await daemon.schedule(crowd(600, { retry: null }))
    await daemon.world.advance(1_005)
    for (let n = 0; n < 600; n += 7) {
      const pid = daemon.runtime.whereis(guardOf(domainOf(n)))
      if (pid !== null) daemon.runtime.exit(pid, 'kill')
      await daemon.world.advance(3)
    }
    await daemon.crash()
    await daemon.start()
    const most = await watchFor(daemon, 5_000)
    expect(most.guards).toBeLessThanOrEqual(MAX)
    await daemon.world.advance(60_000)
    expect(undelivered(daemon)).toEqual([])
  }, 60_000)
})

describe('a crowd', () => {
  const toldOf = (daemon: VirtualDaemon) => daemon.events.filter(({ type }) => type.startsWith('crowd.'))

  it('is told once at its begin and once at its end, however many domains wait and whoever dies meanwhile', async () => {
    const daemon = await raise(() => ({ latencyMs: 100 }))
    await daemon.schedule(crowd(600))
    await daemon.world.advance(1_300)
    expect(toldOf(daemon)).toEqual([
      { type: 'crowd.started', at: expect.any(Number), limit: 'live-guards', guards: MAX, depth: expect.any(Number) },
    ])
    const pid = daemon.runtime.whereis(scheduler)
    if (pid !== null) daemon.runtime.exit(pid, 'kill')
    await daemon.world.advance(10_000)
    expect(undelivered(daemon)).toEqual([])
    const [begun, ended, ...more] = toldOf(daemon)
    expect(more).toEqual([])
    expect(ended).toMatchObject({ type: 'crowd.ended', limit: 'live-guards' })
    const peak = ended?.type === 'crowd.ended' ? ended.peak : Number.NaN
    expect(peak).toBeGreaterThan(LISTED_MAX / 2)
    expect(peak).toBeLessThanOrEqual(LISTED_MAX)
    // 600 x 100 ms / 40 guards; the fold of a second is not part of it.
    const durationMs = ended?.type === 'crowd.ended' ? ended.durationMs : Number.NaN
    expect(durationMs).toBeGreaterThan(1_000)
    expect(durationMs).toBeLessThanOrEqual((ended?.at ?? 0) - (begun?.at ?? 0) - 1_000)
  }, 60_000)

  it('that passes for a moment and comes again is one', async () => {
    const daemon = await raise(() => ({ latencyMs: 10 }))
    for (let wave = 0; wave < 4; wave += 1) await daemon.schedule(crowd(100, { inMs: 1_000 + wave * 700 }))
    await daemon.world.advance(10_000)
    expect(toldOf(daemon).map(({ type }) => type)).toEqual(['crowd.started', 'crowd.ended'])
    expect(toldOf(daemon)[1]).toMatchObject({ spans: 4 })
  }, 60_000)

  it('is over when nobody waits any more, though all guards go on and nothing happens', async () => {
    const daemon = await raise(({ domain }) => ({ latencyMs: domain === domainOf(0) ? 500 : 60_000 }))
    await daemon.schedule(crowd(MAX + 1, { timeoutMs: 100_000 }))
    await daemon.world.advance(2_400)
    expect(toldOf(daemon).map(({ type }) => type)).toEqual(['crowd.started'])
    await daemon.world.advance(300)
    expect(toldOf(daemon).map(({ type }) => type)).toEqual(['crowd.started', 'crowd.ended'])
  }, 60_000)

  it('explains to each domain what it waits for, and when its turn comes', async () => {
    const daemon = await raise(() => ({ latencyMs: 200 }), {}, 1_000)
    await daemon.setLimit({ kind: 'pause', domain: 'd7.example.com', value: 1 })
    // Ten waves of 40, 200 ms each, and the sixth is under way.
    await daemon.schedule(crowd(400))
    await daemon.world.advance(2_100)
    const explainPlace = (domain: string) =>
      daemon.runtime.call(scheduler, { type: 'explain-place', domain, brand: 'default' })
    const waiting: { domain: string; expectedAt: number }[] = []
    for (let n = 0; n < 400; n += 1) {
      const domain = domainOf(n)
      const isLive = daemon.runtime.whereis(guardOf(domain)) !== null
      const place = await explainPlace(domain)
      if (domain === 'd7.example.com')
        expect(place).toMatchObject({
          blockedOn: { limit: 'domain-paused', key: domain },
          state: 'paused',
          expectedAt: null,
        })
      else if (isLive) expect(place).toBeNull()
      else if (place?.ahead != null) {
        expect(place).toMatchObject({ blockedOn: { limit: 'live-guards', key: 'node' }, state: 'starting' })
        waiting.push({ domain, expectedAt: place.expectedAt ?? Number.NaN })
      }
    }
    expect(waiting.length).toBeGreaterThan(100)
    await daemon.world.advance(3_000)
    for (const { domain, expectedAt } of waiting) {
      const arrival = daemon.network.arrivals.find((one) => one.domain === domain)
      // A wave more or less.
      expect(Math.abs((arrival?.at ?? Number.NaN) - expectedAt), domain).toBeLessThanOrEqual(250)
    }
    expect(await explainPlace(domainOf(3))).toBeNull()
  }, 60_000)
})
