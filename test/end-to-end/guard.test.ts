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

  it('nor a replay, nor what an operator wants to run now', async () => {
    const { client, receiver } = await openStage({ delayMs: 5 })
    const { url, domain } = receiver
    const { ids: done } = await client.scheduleAll(Array.from({ length: 3 }, (_, n) => ({ url: `${url}/done/${n}` })))
    await receiver.until({ distinct: 3 })
    const stateOf = async (id: string) => (await client.call<{ state: string }>('getWebhook', { id })).state
    await expect.poll(async () => Promise.all(done.map(stateOf))).toEqual(Array(3).fill('delivered'))
    const later = Date.now() + 3_600_000
    const { ids: ahead } = await client.scheduleAll([{ url: `${url}/ahead`, at: later }])
    await receiver.behave({ status: 429, headers: { 'retry-after': '3' } })
    await client.scheduleAll([{ url: `${url}/refused`, retry: QUICK_RETRY }])
    await expect.poll(async () => (await client.call<{ state: string }>('getGuard', { domain })).state).toBe('closed')
    const closedAt = Date.now()
    await receiver.behave({ status: 200, headers: {} })
    const before = (await receiver.arrivals()).at
    for (const id of done) await client.call('replayWebhook', { id })
    await client.call('runWebhookNow', { id: ahead[0] })
    await receiver.until({ arrivals: before.length + 5 }, 30_000)
    const after = [...(await receiver.arrivals()).at].toSorted().slice(before.length)
    // The refusal was heard before the guard was seen closed; its three seconds began at most that much earlier.
    expect(Math.min(...after)).toBeGreaterThanOrEqual(Math.max(...before) + 3_000)
    expect(Math.min(...after)).toBeGreaterThan(closedAt + 1_000)
  }, 60_000)
})
