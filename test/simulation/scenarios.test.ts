/** The scenarios of the field at full size, in virtual time: the whole daemon with a memory store and a scripted network. */
import { describe, expect, it } from 'vitest'
import type { FakeArrival, FakeScript } from '#dispatch/fake.ts'
import { rateViolations } from '#test/support/guard-stage.ts'
import { VirtualDaemon, type VirtualWebhook } from '#test/support/virtual-daemon.ts'

const API = 'api.example.com'
const times = (count: number, webhook: (n: number) => VirtualWebhook = () => ({})): VirtualWebhook[] =>
  Array.from({ length: count }, (_, n) => webhook(n))
const raise = async (script: FakeScript): Promise<VirtualDaemon> => {
  const daemon = new VirtualDaemon({ script, safeMessages: false })
  await daemon.start()
  return daemon
}
const once = (daemon: VirtualDaemon): boolean => [...daemon.arrivals().values()].every((count) => count === 1)
const undelivered = (daemon: VirtualDaemon): number =>
  daemon.acknowledged.filter((id) => daemon.stateOf(id) !== 'delivered').length
const monos = (arrivals: readonly FakeArrival[]): readonly number[] => arrivals.map(({ atMono }) => atMono)

describe('scenario 2: 100 due at once, 10 a second', () => {
  it('are spaced by 100 ms, all within about ten seconds', async () => {
    const daemon = await raise(() => ({ latencyMs: 20 }))
    await daemon.setLimit({ kind: 'rate', domain: API, value: 10 })
    await daemon.schedule(times(100))
    await daemon.world.advance(10_200)
    expect(daemon.network.arrivals).toHaveLength(100)
    expect(rateViolations(monos(daemon.network.arrivals), 10)).toBe(0)
    expect(once(daemon)).toBe(true)
  })
})

describe('scenario 3: 103 to different paths of one host, concurrency 5 and 10 a second', () => {
  it('both limits hold together', async () => {
    const daemon = await raise(() => ({ latencyMs: 700 }))
    await daemon.setLimit({ kind: 'concurrency', domain: API, value: 5 })
    await daemon.setLimit({ kind: 'rate', domain: API, value: 10 })
    await daemon.schedule(times(103))
    await daemon.world.advance(20_000)
    expect(undelivered(daemon)).toBe(0)
    expect(daemon.network.openMax(API)).toBe(5)
    expect(rateViolations(monos(daemon.network.arrivals), 10)).toBe(0)
  })
})

describe('scenario 4: 1,000 webhooks, concurrency 5, ten seconds each', () => {
  it('995 wait without timing out or using up retries', async () => {
    const daemon = await raise(() => ({ latencyMs: 10_000 }))
    await daemon.setLimit({ kind: 'concurrency', domain: API, value: 5 })
    await daemon.schedule(times(1_000))
    await daemon.world.advance(2_005_000)
    expect(undelivered(daemon)).toBe(0)
    expect(daemon.network.openMax(API)).toBe(5)
    expect(once(daemon)).toBe(true)
    expect(daemon.network.arrivals.every(({ attempt }) => attempt === 1)).toBe(true)
  }, 60_000)
})

describe('scenario 5: 50,000 webhooks, concurrency 10, 20 a second', () => {
  it('is 2,500 seconds of smooth traffic with a bounded window, and all are delivered', async () => {
    const daemon = await raise(() => ({ latencyMs: 200 }))
    await daemon.setLimit({ kind: 'concurrency', domain: API, value: 10 })
    await daemon.setLimit({ kind: 'rate', domain: API, value: 20 })
    for (let batch = 0; batch < 5; batch += 1) await daemon.schedule(times(10_000))
    let queuedMax = 0
    for (let minute = 0; minute < 42; minute += 1) {
      await daemon.world.advance(60_000)
      queuedMax = Math.max(queuedMax, (await daemon.guard(API))?.queued ?? 0)
    }
    expect(undelivered(daemon)).toBe(0)
    expect(once(daemon)).toBe(true)
    expect(daemon.network.openMax(API)).toBeLessThanOrEqual(10)
    const starts = monos(daemon.network.arrivals)
    expect(rateViolations(starts.slice(0, 3_000), 20)).toBe(0)
    const seconds = ((starts.at(-1) ?? 0) - (starts[0] ?? 0)) / 1_000
    expect(seconds).toBeGreaterThanOrEqual(2_499)
    expect(seconds).toBeLessThan(2_510)
    expect(queuedMax).toBeLessThanOrEqual(512)
  }, 120_000)
})

describe('scenario 6: several priorities on one domain', () => {
  it('high is not blocked by low, low is not starved, each lane is first in, first out', async () => {
    const daemon = await raise(() => ({ latencyMs: 100 }))
    await daemon.setLimit({ kind: 'concurrency', domain: API, value: 2 })
    const low = await daemon.schedule(times(200, () => ({ priority: 'low' })))
    await daemon.world.advance(1_000)
    const high = await daemon.schedule(times(100, () => ({ priority: 'high' })))
    await daemon.world.advance(5_500)
    const order = daemon.network.arrivals.map(({ webhookId }) => webhookId)
    const highAt = order.filter((id) => high.includes(id))
    const lowAt = order.filter((id) => low.includes(id))
    expect(highAt).toEqual(high.slice(0, highAt.length))
    expect(lowAt).toEqual(low.slice(0, lowAt.length))
    const after = order.slice(22, 122)
    const highShare = after.filter((id) => high.includes(id)).length
    expect(highShare).toBeGreaterThanOrEqual(85)
    expect(highShare).toBeLessThan(95)
  })
})

describe('scenario 7: three brands with weights on one backend, one floods', () => {
  it('each limit holds, shares follow the weights, an idle share is used by the others', async () => {
    const daemon = await raise(() => ({ latencyMs: 100 }))
    await daemon.setLimit({ kind: 'concurrency', domain: API, value: 8 })
    await daemon.setLimit({ kind: 'weight', brand: 'core', value: 2 })
    await daemon.schedule(times(10_000, () => ({ brand: 'flood' })))
    await daemon.world.advance(5_000)
    const alone = daemon.network.arrivals.length
    expect(alone).toBeGreaterThanOrEqual(8 * 49)
    await daemon.schedule(times(1_000, (n) => ({ brand: n % 2 === 0 ? 'bolt' : 'core' })))
    const from = daemon.network.arrivals.length
    await daemon.world.advance(10_000)
    const arrivals = daemon.network.arrivals.slice(from)
    const share = (brand: string): number => arrivals.filter((one) => one.brand === brand).length / arrivals.length
    expect(Math.abs(share('core') - 0.5)).toBeLessThan(0.02)
    expect(Math.abs(share('bolt') - 0.25)).toBeLessThan(0.02)
    expect(Math.abs(share('flood') - 0.25)).toBeLessThan(0.02)
    expect(daemon.network.openMax(API)).toBe(8)
  }, 60_000)
  it('a brand limit holds over its domains while others go on', async () => {
    const daemon = await raise(() => ({ latencyMs: 100 }))
    await daemon.setLimit({ kind: 'concurrency', brand: 'flood', value: 3 })
    let open = 0
    let openMax = 0
    daemon.network.script = ({ brand }) => {
      if (brand === 'flood') openMax = Math.max(openMax, ++open)
      daemon.world.setTimer(100, () => {
        if (brand === 'flood') open -= 1
      })
      return { latencyMs: 100 }
    }
    await daemon.schedule(times(300, (n) => ({ brand: 'flood', domain: `host-${n % 3}.example` })))
    await daemon.schedule(times(60, (n) => ({ brand: 'bolt', domain: `host-${n % 3}.example` })))
    await daemon.world.advance(500)
    expect(daemon.network.arrivals.filter(({ brand }) => brand === 'bolt')).toHaveLength(60)
    await daemon.world.advance(12_000)
    expect(undelivered(daemon)).toBe(0)
    expect(openMax).toBe(3)
  })
})

describe('scenario 8: a dead domain beside a healthy one', () => {
  const lateness = async (withDead: boolean): Promise<number> => {
    const daemon = await raise(({ domain }) => (domain === 'dead.example' ? { never: true } : { latencyMs: 20 }))
    if (withDead) await daemon.schedule(times(5_000, () => ({ domain: 'dead.example' })))
    const start = daemon.world.wallNow() + 1_000
    await daemon.schedule(times(500, (n) => ({ at: start + n * 20 })))
    await daemon.world.advance(15_000)
    const healthy = daemon.network.arrivals.filter(({ domain }) => domain === API)
    expect(healthy).toHaveLength(500)
    return Math.max(...healthy.map(({ at }, n) => at - (start + n * 20)))
  }
  it("the healthy one's lateness does not change", async () => {
    expect(await lateness(true)).toBeLessThanOrEqual((await lateness(false)) + 1)
  }, 60_000)
})

describe('scenario 9: 10,000 at the same millisecond to a backend that dies above 10 at once', () => {
  it('survives', async () => {
    let dead = false
    const daemon = await raise((_order, { open }) => {
      dead ||= open > 10
      return dead ? { error: 'connect_refused' } : { latencyMs: 20 }
    })
    const at = daemon.world.wallNow() + 2_000
    await daemon.schedule(times(10_000, () => ({ at })))
    await daemon.world.advance(30_000)
    expect(dead).toBe(false)
    expect(undelivered(daemon)).toBe(0)
    expect(daemon.network.openMax(API)).toBe(10)
  }, 60_000)
})

describe('a closed domain', () => {
  it('gets nothing before the instant that it named: first tries, retries and later ones alike', async () => {
    let closedUntil = 0
    const daemon = await raise(() => ({}))
    daemon.network.script = (_order, { arrival }) => {
      if (arrival > 20 || closedUntil > 0) return { latencyMs: 20 }
      if (arrival < 20) return { latencyMs: 20 }
      closedUntil = daemon.world.monoNow() + 10 + 3_000
      return { latencyMs: 10, status: 429, retryAfterMs: 3_000 }
    }
    await daemon.setLimit({ kind: 'concurrency', domain: API, value: 4 })
    await daemon.schedule(times(200, (n) => ({ inMs: n * 10 })))
    await daemon.world.advance(20_000)
    expect(closedUntil).toBeGreaterThan(0)
    const during = daemon.network.arrivals.filter(({ atMono }) => atMono > closedUntil - 3_000 && atMono < closedUntil)
    expect(during).toHaveLength(0)
    expect(undelivered(daemon)).toBe(0)
  })
})
