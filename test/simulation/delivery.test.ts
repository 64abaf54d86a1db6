import { describe, expect, it } from 'vitest'
import { TIMEOUT_MS_DEFAULT } from '#config/limits.ts'
import { VirtualDaemon } from '#test/support/virtual-daemon.ts'

const DOMAIN = 'api.example.com'

describe('the daemon in virtual time', () => {
  it('delivers a webhook at its instant, never early', async () => {
    const daemon = new VirtualDaemon()
    await daemon.start()
    const at = daemon.world.wallNow() + 5_000
    const [id = ''] = await daemon.schedule([{ at }])
    await daemon.world.advance(4_999)
    expect(daemon.network.arrivals).toEqual([])
    await daemon.world.advance(2)
    expect(daemon.network.arrivals.map((arrival) => arrival.webhookId)).toEqual([id])
    expect(daemon.network.arrivals[0]?.at).toBeGreaterThanOrEqual(at)
    await daemon.world.advance(10)
    expect(daemon.stateOf(id)).toBe('delivered')
  })

  it('scenario 1: of 20 due at once with concurrency 5, five run and the next starts as each completes', async () => {
    const daemon = new VirtualDaemon({ script: () => ({ latencyMs: 100 }) })
    await daemon.start()
    await daemon.setLimit({ kind: 'concurrency', domain: DOMAIN, value: 5 })
    await daemon.schedule(Array.from({ length: 20 }, () => ({})))
    await daemon.world.advance(50)
    expect(daemon.network.open(DOMAIN)).toBe(5)
    expect(daemon.network.arrivals.length).toBe(5)
    await daemon.world.advance(500)
    expect([...daemon.arrivals().values()]).toEqual(Array(20).fill(1))
    expect(daemon.network.openMax(DOMAIN)).toBe(5)
  })

  it('RECV-01: a receiver that never answers keeps its slot for the thirty seconds of a deadline, then the next one starts and it is tried again', async () => {
    const daemon = new VirtualDaemon({ script: (order) => (order.attempt === 1 ? { never: true } : {}) })
    await daemon.start()
    await daemon.setLimit({ kind: 'concurrency', domain: DOMAIN, value: 1 })
    const ids = await daemon.schedule([{ timeoutMs: TIMEOUT_MS_DEFAULT }, { timeoutMs: TIMEOUT_MS_DEFAULT }])
    await daemon.world.advance(29_900)
    expect(daemon.network.arrivals.length).toBe(1)
    await daemon.world.advance(200)
    expect(daemon.network.arrivals.length, 'its slot is free').toBe(2)
    const [first = ''] = daemon.network.arrivals.map(({ webhookId }) => webhookId)
    expect(await daemon.attemptsOf(first)).toMatchObject([{ status: null, error: 'timeout', inDoubt: true }])
    await daemon.world.advance(120_000)
    expect(ids.map((id) => daemon.stateOf(id))).toEqual(['delivered', 'delivered'])
  })

  it('retries a failed attempt at the instant that the policy says', async () => {
    const daemon = new VirtualDaemon({ script: (order) => ({ status: order.attempt < 3 ? 500 : 200 }) })
    await daemon.start()
    const retry = {
      maxAttempts: 5,
      backoff: 'fixed' as const,
      initialDelayMs: 1_000,
      maxDelayMs: 1_000,
      jitter: 0,
      inDoubt: 'retry' as const,
    }
    const [id = ''] = await daemon.schedule([{ retry }])
    await daemon.world.advance(500)
    expect(daemon.network.arrivals.length).toBe(1)
    await daemon.world.advance(1_000)
    expect(daemon.network.arrivals.length).toBe(2)
    await daemon.world.advance(1_100)
    expect(daemon.stateOf(id)).toBe('delivered')
    expect(daemon.network.arrivals.map((arrival) => arrival.attempt)).toEqual([1, 2, 3])
  })

  const VICTIMS = [
    'scheduler',
    'executor',
    'executions',
    'dispatch-pool',
    'retry-manager',
    'retries',
    'store-keeper',
    'limits',
    'guards',
    'delivery',
    `guard ${DOMAIN}`,
  ]
  it.each(VICTIMS)(
    'killing %s at any moment loses nothing, doubles only what was in doubt, and never breaks the limit',
    async (victim) => {
      const daemon = new VirtualDaemon({ script: () => ({ latencyMs: 40 }) })
      await daemon.start()
      await daemon.setLimit({ kind: 'concurrency', domain: DOMAIN, value: 5 })
      await daemon.schedule(Array.from({ length: 60 }, (_, i) => ({ inMs: i * 5 })))
      for (let kill = 0; kill < 3; kill++) {
        await daemon.world.advance(83)
        daemon.runtime.exit(victim, 'kill')
      }
      await daemon.world.advance(30_000)
      const missing = daemon.acknowledged.filter((id) => daemon.stateOf(id) !== 'delivered')
      expect(missing.map((id) => daemon.disk.byId.get(id))).toEqual([])
      expect(daemon.network.openMax(DOMAIN)).toBeLessThanOrEqual(5)
      const doubled = [...daemon.arrivals().values()].filter((count) => count > 1).length
      const inDoubt = daemon.events.filter((event) => event.type === 'attempt.in-doubt').length
      expect(doubled).toBeLessThanOrEqual(inDoubt)
      expect(daemon.ended).toBeNull()
    },
  )

  it('a killed process delivers every acknowledged webhook after its restart', async () => {
    const daemon = new VirtualDaemon({ script: () => ({ latencyMs: 40 }) })
    await daemon.start()
    await daemon.schedule(Array.from({ length: 100 }, (_, i) => ({ inMs: i * 7 })))
    await daemon.world.advance(333)
    await daemon.crash()
    await daemon.world.advance(100)
    await daemon.start()
    await daemon.world.advance(30_000)
    expect(daemon.acknowledged.filter((id) => daemon.stateOf(id) !== 'delivered')).toEqual([])
  })
})
