/** Scenarios 6 to 8 of product.md before a real receiver; in virtual time: `test/simulation/scenarios.test.ts`. */
import { describe, expect, it } from 'vitest'
import { openStage, type Stage } from '#test/end-to-end/stage.ts'
import { startCountingReceiver } from '#test/support/counting-receiver.ts'

/** Paths tell whose an arrival is: `/<whose>/<n>`, in the order of arrival. */
const seen = async ({ receiver }: Stage): Promise<readonly (readonly [whose: string, n: number])[]> =>
  (await receiver.arrivals()).urls.map((url) => {
    const [whose = '', n] = url.split('/').slice(-2)
    return [whose, Number(n)] as const
  })
const webhooks = (url: string, whose: string, count: number, more: object = {}) =>
  Array.from({ length: count }, (_, n) => ({ url: `${url}/${whose}/${n}`, ...more }))

describe('scenario 6: several priorities on one domain', () => {
  it('high is not blocked by low, low is not starved, each lane is first in, first out', async () => {
    const stage = await openStage({ delayMs: 50 })
    const { client, receiver } = stage
    await client.call('configureDomainConcurrencyLimit', { domain: receiver.domain, limit: 2 })
    await client.scheduleAll(webhooks(receiver.url, 'low', 300, { priority: 'low' }))
    await receiver.until({ arrivals: 20 })
    await client.scheduleAll(webhooks(receiver.url, 'high', 100, { priority: 'high' }))
    await receiver.until({ distinct: 400 }, 60_000)
    const order = await seen(stage)
    const first = order.findIndex(([whose]) => whose === 'high')
    const highShare = order.slice(first, first + 100).filter(([whose]) => whose === 'high').length
    expect(highShare).toBeGreaterThanOrEqual(85)
    expect(highShare).toBeLessThan(95)
    for (const whose of ['low', 'high']) {
      const lane = order.filter((one) => one[0] === whose)
      // Two that are open at once may overtake each other on the way.
      for (const [place, [, n]] of lane.entries()) expect(Math.abs(place - n)).toBeLessThanOrEqual(1)
    }
  }, 90_000)
})

describe('scenario 7: three brands with weights on one backend, one floods', () => {
  it('each limit holds, shares follow the weights, an idle share is used by the others', async () => {
    const stage = await openStage({ delayMs: 50 })
    const { client, receiver } = stage
    const { domain, url } = receiver
    await client.call('configureDomainConcurrencyLimit', { domain, limit: 8 })
    await client.call('configureDomainConcurrencyLimit', { domain, limit: 4, brand: 'core' })
    await client.call('configureBrandWeight', { weight: 2, brand: 'core' })
    await client.scheduleAll(webhooks(url, 'flood', 3_000), { brand: 'flood' })
    await receiver.until({ arrivals: 200 })
    // Alone it has all eight slots.
    expect((await client.monitor({ domain })).domains).toMatchObject([{ concurrency: { current: 8 } }])
    await client.scheduleAll(webhooks(url, 'bolt', 500), { brand: 'bolt' })
    await client.scheduleAll(webhooks(url, 'core', 1_000), { brand: 'core' })
    const from = (await receiver.figures()).arrivals
    await receiver.until({ arrivals: from + 1_200 }, 60_000)
    const order = (await seen(stage)).slice(from + 50, from + 1_050)
    const share = (brand: string): number => order.filter(([whose]) => whose === brand).length / order.length
    expect(Math.abs(share('core') - 0.5)).toBeLessThan(0.03)
    expect(Math.abs(share('bolt') - 0.25)).toBeLessThan(0.03)
    expect(Math.abs(share('flood') - 0.25)).toBeLessThan(0.03)
    const { openMax, openMaxBy } = await receiver.figures()
    expect(openMaxBy['path core']).toBe(4)
    expect(openMax).toBe(8)
    expect((await client.monitor({ domain })).domains).toMatchObject([{ overshoot: 0 }])
  }, 90_000)
})

describe('scenario 8: a dead domain beside a healthy one', () => {
  const EACH_MS = 20
  const latenessMs = async (withDead: boolean): Promise<number> => {
    const stage = await openStage()
    const { client, receiver } = stage
    const dead = await startCountingReceiver({ hold: true })
    try {
      if (withDead) {
        await client.scheduleAll(webhooks(dead.url, 'dead', 5_000))
        await dead.until({ open: 10 })
      }
      const start = Date.now() + 1_000
      const healthy = webhooks(receiver.url, 'healthy', 300).map((one, n) => ({ ...one, at: start + n * EACH_MS }))
      await client.scheduleAll(healthy)
      await receiver.until({ distinct: 300 }, 30_000)
      const { at, urls } = await receiver.arrivals()
      const late = [...at].map((instant, i) => instant - start - Number(urls[i]?.split('/').at(-1)) * EACH_MS)
      expect(Math.min(...late)).toBeGreaterThan(-1)
      return late.toSorted((a, b) => a - b)[285] ?? Number.POSITIVE_INFINITY
    } finally {
      await dead.stop()
    }
  }
  it("the healthy one's lateness does not change", async () => {
    const alone = await latenessMs(false)
    expect(await latenessMs(true)).toBeLessThan(2 * alone + 10)
  }, 120_000)
})
