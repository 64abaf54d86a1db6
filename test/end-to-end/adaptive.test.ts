/** A guard that finds a real backend's capacity by itself. The long run of it: `test/long/adaptive.test.ts`. */
import { describe, expect, it } from 'vitest'
import { isNear, settle } from '#test/support/hidden-capacity.ts'
import { openStage, QUICK_RETRY } from './stage.ts'

const SERVICE_MS = 150

describe('an adaptive domain before a backend that tells nobody its capacity', () => {
  it('settles within 20 % of it, and follows when it halves and doubles', async () => {
    const { client, receiver } = await openStage({ delayMs: SERVICE_MS, capacity: 12 })
    const { domain, url } = receiver
    await client.call('configureDomainConcurrencyLimit', { domain, limit: 200, adaptive: true })
    await client.scheduleAll(Array.from({ length: 8_000 }, (_, n) => ({ url: `${url}/${n}`, retry: QUICK_RETRY })))
    await receiver.until({ arrivals: 1 })
    const watch = { receiver, serviceMs: SERVICE_MS, windowServices: 12 }
    for (const capacity of [12, 6, 12]) {
      const means = await settle(watch, capacity, 15)
      expect(isNear(means.at(-1) ?? 0, capacity), `capacity ${capacity}: ${means.join(', ')}`).toBe(true)
    }
    const { adaptive } = await client.call<{ adaptive: number }>('getGuard', { domain })
    expect(adaptive).toBeGreaterThan(6)
  })

  it('never drops below one, whatever is refused, and is let up again', async () => {
    const { client, receiver } = await openStage({ delayMs: 20, status: 503 })
    const { domain, url } = receiver
    await client.call('configureDomainConcurrencyLimit', { domain, limit: 200, adaptive: true })
    await client.call('configureBreaker', { domain, enabled: false })
    const retry = { ...QUICK_RETRY, maxAttempts: 50 }
    await client.scheduleAll(Array.from({ length: 300 }, (_, n) => ({ url: `${url}/${n}`, retry })))
    const limitOf = async () => (await client.call<{ adaptive: number }>('getGuard', { domain })).adaptive
    await expect.poll(limitOf).toBe(1)
    const before = (await receiver.figures()).arrivals
    await receiver.until({ arrivals: before + 10 })
    expect(await limitOf()).toBe(1)
    await receiver.behave({ status: 200 })
    await receiver.until({ distinct: 300 })
    await expect.poll(limitOf).toBeGreaterThan(1)
  })
})
