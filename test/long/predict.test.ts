/** `predict` through the wire, on a real daemon before a real receiver; in virtual time: `test/unit/control/foresight.test.ts`. */
import { describe, expect, it } from 'vitest'
import { openStage } from '#test/end-to-end/stage.ts'

describe('a thousand webhooks behind a rate', () => {
  it('are told when they start, within 5 % of their wait at the median', async () => {
    const { client, receiver } = await openStage()
    const { url, domain } = receiver
    await client.call('configureRateLimit', { domain, requestsPerSecond: 20 })
    await client.call('configureDomainConcurrencyLimit', { domain, limit: 500 })
    // So that the guard lives, and the history that nobody knows is over.
    await client.scheduleAll([{ url: `${url}/first` }])
    await receiver.until({ distinct: 1 })
    const webhooks = Array.from({ length: 1_000 }, (_, n) => ({ url: `${url}/${n}` }))
    const sinceAt = Date.now()
    const { ids, expectedAt } = await client.call<{ ids: string[]; expectedAt: string[] }>('scheduleWebhooks', {
      webhooks,
      defaults: { predict: true },
    })
    await receiver.until({ distinct: 1_001 }, 120_000)
    const arrivals = await receiver.arrivals()
    const arrivedAt = new Map(arrivals.ids.map((id, i) => [id, arrivals.at[i] ?? 0]))
    const errors = ids.map((id, i) => {
      const really = arrivedAt.get(id) ?? Number.POSITIVE_INFINITY
      return Math.abs(really - Date.parse(expectedAt[i] ?? '')) / Math.max(1, really - sinceAt)
    })
    expect(errors).toHaveLength(1_000)
    expect(errors.toSorted((a, b) => a - b)[500]).toBeLessThan(0.05)
  })
})
