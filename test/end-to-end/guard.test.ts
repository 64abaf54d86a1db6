/** The guard listens to a real receiver. */
import { describe, expect, it } from 'vitest'
import { openStage, QUICK_RETRY } from './stage.ts'

describe('a receiver that answers 429 with Retry-After: 3', () => {
  it('hears nothing but what was in flight for three seconds: first tries and retries alike', async () => {
    const { client, receiver } = await openStage({ delayMs: 50, status: 429, headers: { 'retry-after': '3' } })
    const webhooks = Array.from({ length: 40 }, (_, index) => ({ url: `${receiver.url}/${index}`, retry: QUICK_RETRY }))
    await client.scheduleAll(webhooks)
    await receiver.until({ arrivals: 1 })
    await expect.poll(async () => (await receiver.figures()).open).toBe(0)
    await receiver.behave({ status: 200, headers: {}, delayMs: 10 })
    await client.scheduleAll(webhooks.slice(0, 5))
    await receiver.until({ distinct: 45 }, 30_000)
    const { at } = await receiver.arrivals()
    const instants = at.toSorted()
    const refused = [...instants].filter((instant) => instant < (instants[0] ?? 0) + 1_000)
    expect(refused.length).toBeLessThanOrEqual(10)
    const lastRefused = refused.at(-1) ?? 0
    // The last refusal was sent 50 ms after its arrival, and names three seconds from then.
    expect((instants[refused.length] ?? 0) - lastRefused).toBeGreaterThanOrEqual(3_000)
  }, 60_000)
})
