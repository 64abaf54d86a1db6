/**
 * What users of other queues have been hurt by, each as what happens to them here. The daemon in virtual time, memory store,
 * scripted network.
 */
import { describe, expect, it } from 'vitest'
import { scheduler } from '#actors/scheduler.ts'
import type { FakeScript } from '#dispatch/fake.ts'
import { rateViolations } from '#test/support/guard-stage.ts'
import { VirtualDaemon, type VirtualWebhook } from '#test/support/virtual-daemon.ts'

const API = 'api.example.com'
const QUICK = {
  maxAttempts: 20,
  backoff: 'fixed',
  initialDelayMs: 100,
  maxDelayMs: 100,
  jitter: 0,
  inDoubt: 'retry',
} as const
const times = (count: number, webhook: (n: number) => VirtualWebhook = () => ({})): VirtualWebhook[] =>
  Array.from({ length: count }, (_, n) => webhook(n))
const raise = async (script: FakeScript = () => ({ latencyMs: 20 })): Promise<VirtualDaemon> => {
  const daemon = new VirtualDaemon({ script, safeMessages: false })
  await daemon.start()
  return daemon
}
const arrivalsOf = (daemon: VirtualDaemon, brand: string): number[] =>
  daemon.network.arrivals.filter((one) => one.brand === brand).map(({ atMono }) => atMono)
const undelivered = (daemon: VirtualDaemon): string[] =>
  daemon.acknowledged.filter((id) => daemon.stateOf(id) !== 'delivered')

// Hatchet 4804: a rate limit and a concurrency limit deadlocked together and never freed their slots.
describe('you set a rate limit and a concurrency limit for one receiver', () => {
  it('both hold, no slot is lost to a timeout, a dead thread or a cancel, and everything is delivered', async () => {
    const daemon = await raise((order, { arrival }) => {
      if (order.attempt > 1) return { latencyMs: 300 }
      if (arrival % 7 === 0) return { never: true }
      if (arrival % 11 === 0) return { status: 500, latencyMs: 50 }
      return arrival === 60 ? { latencyMs: 40, killsCarrier: true } : { latencyMs: 300 }
    })
    await daemon.setLimit({ kind: 'concurrency', domain: API, value: 3 })
    await daemon.setLimit({ kind: 'rate', domain: API, value: 10 })
    await daemon.setLimit({ kind: 'concurrency', brand: 'default', value: 2 })
    await daemon.setLimit({ kind: 'breaker', domain: API, value: 0 })
    const ids = await daemon.schedule(times(120, () => ({ timeoutMs: 1_000, retry: QUICK })))
    const cancelled: string[] = []
    for (let round = 0; round < 20; round += 1) {
      await daemon.world.advance(430)
      const id = ids[119 - round * 2] ?? ''
      const answer = daemon.runtime.call(scheduler, { type: 'cancel', id, brand: null })
      await daemon.world.settle()
      const outcome = await answer
      if ('outcome' in outcome && outcome.outcome === 'cancelled') cancelled.push(id)
    }
    await daemon.world.advance(120_000)
    expect(undelivered(daemon).sort()).toEqual(cancelled.sort())
    expect(daemon.network.openMax(API)).toBe(2)
    expect(rateViolations(daemon.network.starts(API), 10)).toBe(0)
    expect((await daemon.guard(API))?.concurrency.current ?? 0).toBe(0)
    // All slots are there again: two at once, and what they can take.
    daemon.network.script = () => ({ latencyMs: 100 })
    const before = daemon.network.arrivals.length
    await daemon.schedule(times(30))
    await daemon.world.advance(10_000)
    expect(daemon.network.arrivals.length - before).toBe(30)
  })
})

// River 1145: a global limit halved the throughput.
describe('you limit a brand over all its domains', () => {
  it('what the limit allows is really used: nobody waits for a round of asking', async () => {
    const domains = times(8, (n) => ({ domain: `d${n}.example.com` }))
    const took = async (brandLimit: number | null): Promise<number> => {
      const daemon = await raise()
      for (const { domain } of domains) await daemon.setLimit({ kind: 'concurrency', domain: domain ?? null, value: 5 })
      if (brandLimit !== null) await daemon.setLimit({ kind: 'concurrency', brand: 'default', value: brandLimit })
      await daemon.schedule(times(1_200, (n) => ({ domain: `d${n % 8}.example.com` })))
      await daemon.world.advance(10_000)
      expect(undelivered(daemon)).toEqual([])
      const starts = daemon.network.arrivals.map(({ atMono }) => atMono)
      return Math.max(...starts) - Math.min(...starts)
    }
    const free = await took(null)
    expect(await took(40)).toBeLessThan(free * 1.1)
    expect(await took(20)).toBeLessThan(free * 2.2)
  }, 60_000)
})

// Hatchet 2866: two limits that nobody was near cost seconds of delay.
describe('you set every limit there is, far above what you send', () => {
  it('a webhook goes out as soon as without them', async () => {
    const daemon = await raise()
    const lateness = async (): Promise<number> => {
      const before = daemon.network.arrivals.length
      const dueAt = daemon.world.wallNow() + 1_000
      await daemon.schedule(times(10, () => ({ at: dueAt, brand: 'acme' })))
      await daemon.world.advance(3_000)
      const late = daemon.network.arrivals.slice(before).map(({ at }) => at - dueAt)
      expect(late).toHaveLength(10)
      return Math.max(...late)
    }
    const without = await lateness()
    await daemon.setLimit({ kind: 'concurrency', domain: API, value: 100 })
    await daemon.setLimit({ kind: 'rate', domain: API, value: 1_000, burst: 100 })
    await daemon.setLimit({ kind: 'concurrency', domain: API, brand: 'acme', value: 100 })
    await daemon.setLimit({ kind: 'rate', domain: API, brand: 'acme', value: 1_000, burst: 100 })
    await daemon.setLimit({ kind: 'concurrency', brand: 'acme', value: 100 })
    await daemon.world.advance(1_000)
    expect(await lateness()).toBeLessThanOrEqual(without + 2)
  })
})

// Temporal 10188: a head that is blocked stalled all other keys behind it.
describe('one of your brands is stuck at its own limit', () => {
  it('the others pass it, whichever of its limits it is', async () => {
    const daemon = await raise(({ brand }) => ({ latencyMs: brand.startsWith('stuck') ? 60_000 : 20 }))
    await daemon.setLimit({ kind: 'concurrency', domain: API, value: 6 })
    await daemon.setLimit({ kind: 'concurrency', domain: API, brand: 'stuck-here', value: 1 })
    await daemon.setLimit({ kind: 'concurrency', brand: 'stuck-everywhere', value: 1 })
    await daemon.setLimit({ kind: 'rate', domain: API, brand: 'stuck-slow', value: 0.01 })
    await daemon.setLimit({ kind: 'pause', brand: 'stuck-paused', value: 1 })
    const stuck = ['stuck-here', 'stuck-everywhere', 'stuck-slow', 'stuck-paused']
    for (const brand of stuck) await daemon.schedule(times(50, () => ({ brand })))
    await daemon.world.advance(100)
    const sinceMono = daemon.world.monoNow()
    await daemon.schedule(times(100, () => ({ brand: 'free' })))
    await daemon.world.advance(2_000)
    const free = arrivalsOf(daemon, 'free')
    expect(free).toHaveLength(100)
    // Three slots at least are left: 100 x 20 ms / 3.
    expect(Math.max(...free) - sinceMono).toBeLessThan(720)
  })
})

// Inngest 372, Hatchet 4880: a 429 delayed one message while its siblings stormed on.
describe('your receiver answers one of 500 webhooks with 429 and Retry-After: 10', () => {
  it('all of them wait, retries too, and then they come one by one, not at once', async () => {
    const daemon = await raise((_order, { arrival }) =>
      arrival === 20 ? { status: 429, retryAfterMs: 10_000, latencyMs: 20 } : { latencyMs: 20 },
    )
    await daemon.schedule(times(500, () => ({ retry: QUICK })))
    await daemon.world.advance(30_000)
    const starts = daemon.network.starts(API)
    const refusedMono = (starts[20] ?? 0) + 20
    const after = starts.filter((mono) => mono > refusedMono + 2)
    expect(Math.min(...after) - refusedMono).toBeGreaterThanOrEqual(10_000)
    const first = Math.min(...after)
    expect(after.filter((mono) => mono < first + 20)).toHaveLength(1)
    expect(after.filter((mono) => mono < first + 39).length).toBeLessThanOrEqual(3)
    expect(undelivered(daemon)).toEqual([])
  })
})

// River 1060: one tenant's 15,000 jobs starved all the others.
describe('one of your tenants schedules 15,000 webhooks at once', () => {
  it('the one webhook of another goes within a service time, and the flood is not lost', async () => {
    const daemon = await raise(() => ({ latencyMs: 100 }))
    await daemon.setLimit({ kind: 'concurrency', domain: API, value: 20 })
    await daemon.schedule(times(15_000, () => ({ brand: 'flood' })))
    await daemon.world.advance(500)
    for (const brand of ['small', 'tiny', 'single']) {
      const sinceMono = daemon.world.monoNow()
      await daemon.schedule([{ brand }])
      await daemon.world.advance(1_000)
      expect((arrivalsOf(daemon, brand)[0] ?? Number.POSITIVE_INFINITY) - sinceMono).toBeLessThanOrEqual(105)
    }
    await daemon.world.advance(80_000)
    expect(undelivered(daemon)).toEqual([])
  }, 60_000)
})

// Convoy 1927: a rate limit was configured, shown, and not enforced.
describe('you configure a limit', () => {
  it('it holds for what is queued already, for retries, and after a death of the process', async () => {
    const daemon = await raise(({ attempt }) => ({ status: attempt === 1 ? 500 : 200, latencyMs: 5 }))
    await daemon.setLimit({ kind: 'breaker', domain: API, value: 0 })
    await daemon.setLimit({ kind: 'retry-budget', domain: API, value: 100 })
    await daemon.schedule(times(300, () => ({ retry: QUICK })))
    await daemon.world.advance(20)
    await daemon.setLimit({ kind: 'rate', domain: API, value: 20 })
    const sinceMono = daemon.world.monoNow()
    await daemon.world.advance(5_000)
    await daemon.crash()
    await daemon.start()
    await daemon.world.advance(40_000)
    const starts = daemon.network.starts(API).filter((mono) => mono > sinceMono)
    expect(starts.length).toBeGreaterThan(400)
    expect(rateViolations(starts, 20)).toBe(0)
    expect(undelivered(daemon)).toEqual([])
  })
})
