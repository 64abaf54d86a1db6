import { describe, expect, it } from 'vitest'
import { nodesOf, openStage } from './stage.ts'

describe('scenario 1: 20 webhooks due at once, concurrency 5', () => {
  it('runs five, keeps fifteen waiting, and starts the next as each one completes', async () => {
    const stage = await openStage({ hold: true })
    const { client, receiver } = stage
    await client.call('configureDomainConcurrencyLimit', { domain: receiver.domain, limit: 5 })
    await stage.schedule(20, { at: Date.now() + 300 })
    await receiver.until({ open: 5 })
    await expect
      .poll(async () => (await client.monitor()).domains, { timeout: 5_000 })
      .toEqual([
        expect.objectContaining({
          domain: receiver.domain,
          concurrency: { current: 5, limit: 5 },
          queueDepth: 15,
          overshoot: 0,
        }),
      ])
    for (let completed = 1; completed <= 15; completed += 1) {
      await receiver.release(1)
      await receiver.until({ arrivals: 5 + completed, open: 5 })
    }
    await receiver.behave({ hold: false })
    await receiver.release(5)
    await expect.poll(async () => (await client.monitor()).totals.delivered, { timeout: 5_000 }).toBe(20)
    expect((await receiver.figures()).openMax).toBe(5)
    expect((await stage.judge({ concurrency: 5 })).broken).toEqual([])
  })
})

describe('scenario 2: 100 webhooks due at once, 10 requests per second', () => {
  it('spaces them about 100 ms apart, within the law but for what the way there may bunch', async () => {
    const stage = await openStage()
    const { client, receiver } = stage
    await client.call('configureRateLimit', { domain: receiver.domain, requestsPerSecond: 10 })
    const at = Date.now() + 300
    await stage.schedule(100, { at })
    await receiver.until({ distinct: 100 }, 20_000)
    const verdict = await stage.judge({ rate: { perSecond: 10 } })
    expect(verdict.broken).toEqual([])
    // The guard's own count is exact; at the receiver the way there may add one to a window.
    expect((await client.monitor()).domains).toMatchObject([{ overshoot: 0 }])
    const arrivals = await receiver.arrivals()
    const tookMs = (arrivals.at.at(-1) ?? 0) - at
    expect(tookMs).toBeGreaterThanOrEqual(9_899)
    expect(tookMs).toBeLessThan(11_500)
    const spacing = arrivals.at.slice(1).map((instant, index) => instant - (arrivals.at[index] ?? 0))
    expect(spacing.toSorted((a, b) => a - b)[49]).toBeGreaterThan(98)
    expect(spacing.toSorted((a, b) => a - b)[49]).toBeLessThan(110)
  })
})

describe('scenario 3: 103 webhooks to different paths of one host, concurrency 5 and 10 per second', () => {
  it('puts one guard before the host, and both limits hold together', async () => {
    const stage = await openStage({ delayMs: 100 })
    const { client, receiver } = stage
    await client.call('configureDomainConcurrencyLimit', { domain: receiver.domain, limit: 5 })
    await client.call('configureRateLimit', { domain: receiver.domain, requestsPerSecond: 10 })
    await stage.schedule(103, { at: Date.now() + 300, path: '/path' })
    // At first the rate binds; with slower answers the concurrency does.
    await receiver.until({ distinct: 50 })
    const guards = nodesOf(await client.tree()).filter(({ name }) => name.startsWith('guard '))
    expect(guards.map(({ name }) => name)).toEqual([`guard ${receiver.domain}`])
    await receiver.behave({ delayMs: 800 })
    await receiver.until({ distinct: 103 }, 30_000)
    const verdict = await stage.judge({ concurrency: 5, rate: { perSecond: 10 } })
    expect(verdict.broken).toEqual([])
    expect(verdict.openMax).toBe(5)
  })
})

describe('scenario 9: 10,000 webhooks at the same millisecond to a backend that dies above 20 at once', () => {
  it('leaves the backend alive and delivers each of them once', async () => {
    const stage = await openStage({ diesAbove: 20, delayMs: 1 })
    const { client, receiver } = stage
    await client.call('configureDomainConcurrencyLimit', { domain: receiver.domain, limit: 20 })
    await stage.schedule(10_000, { at: Date.now() + 3_000 })
    await receiver.until({ distinct: 10_000 }, 90_000)
    expect(await receiver.figures()).toMatchObject({ died: false, arrivals: 10_000 })
    expect((await stage.judge({ concurrency: 20 })).broken).toEqual([])
    await expect.poll(async () => (await client.monitor()).totals.delivered, { timeout: 10_000 }).toBe(10_000)
  })
})
