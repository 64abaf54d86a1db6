/** A guard that finds a real backend's capacity by itself, and stays there: over minutes, one capacity after another. */
import { describe, expect, it } from 'vitest'
import { openStage, QUICK_RETRY } from '#test/end-to-end/stage.ts'
import { isNear, meanOpen, settle } from '#test/support/hidden-capacity.ts'

const SERVICE_MS = 250

describe('an adaptive domain before a backend that tells nobody its capacity', () => {
  it('settles within 20 % of it and stays, through halvings and doublings', async () => {
    const { client, receiver } = await openStage({ delayMs: SERVICE_MS, capacity: 16 })
    const { domain, url } = receiver
    await client.call('configureDomainConcurrencyLimit', { domain, limit: 400, adaptive: true })
    // Enough for all that follows: 100 s at each capacity, if it settles late.
    for (let from = 0; from < 40_000; from += 10_000)
      await client.scheduleAll(
        Array.from({ length: 10_000 }, (_, n) => ({ url: `${url}/${from + n}`, retry: QUICK_RETRY })),
      )
    await receiver.until({ arrivals: 1 })
    const watch = { receiver, serviceMs: SERVICE_MS, windowServices: 16 }
    for (const capacity of [16, 8, 16, 32, 16]) {
      const means = await settle(watch, capacity, 20)
      expect(isNear(means.at(-1) ?? 0, capacity), `capacity ${capacity}: ${means.join(', ')}`).toBe(true)
      const stayed = await meanOpen({ ...watch, windowServices: 80 })
      expect(isNear(stayed, capacity), `capacity ${capacity} stayed at ${stayed}`).toBe(true)
    }
  })
})
