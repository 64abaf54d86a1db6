import { describe, expect, it } from 'vitest'
import type { Webhook } from '#test/support/control-client.ts'
import { openStage } from './stage.ts'

const QUICK = { backoff: 'fixed', initialDelayMs: 50, maxDelayMs: 50, jitter: 0 } as const
interface Attempts {
  readonly attempts: readonly { readonly number: number; readonly status?: number; readonly inDoubt: boolean }[]
}

describe('a failed webhook', () => {
  it('is tried again under the same id until the receiver takes it', async () => {
    const { client, receiver } = await openStage({ status: 503 })
    const { id } = await client.schedule({ url: `${receiver.url}/retry`, retry: { maxAttempts: 20, ...QUICK } })
    await receiver.until({ arrivals: 2 })
    await receiver.behave({ status: 200 })
    await expect.poll(async () => (await client.call<Webhook>('getWebhook', { id })).state).toBe('delivered')
    const { attempts } = await client.call<Attempts>('getAttempts', { id })
    expect(attempts.map(({ number }) => number)).toEqual(attempts.map((_, index) => index + 1))
    expect(attempts.map(({ status }) => status)).toEqual([...attempts.slice(1).map(() => 503), 200])
    expect(new Set((await receiver.arrivals()).ids)).toEqual(new Set([id]))
  })

  it('becomes a dead letter when its attempts are used up', async () => {
    const { client, receiver } = await openStage({ status: 500 })
    const { id } = await client.schedule({ url: `${receiver.url}/dead`, retry: { maxAttempts: 3, ...QUICK } })
    await expect.poll(async () => (await client.call<Webhook>('getWebhook', { id })).state).toBe('dead')
    expect((await receiver.figures()).arrivals).toBe(3)
  })

  it('waits as long as Retry-After says', async () => {
    const { client, receiver } = await openStage({ status: 503, headers: { 'retry-after': '1' } })
    await client.schedule({ url: `${receiver.url}/later`, retry: { maxAttempts: 2, ...QUICK } })
    await receiver.until({ arrivals: 2 })
    const { at } = await receiver.arrivals()
    expect((at[1] ?? 0) - (at[0] ?? 0)).toBeGreaterThanOrEqual(999)
  })

  it('that was scheduled before a kill -9 keeps its next instant', async () => {
    const stage = await openStage({ status: 503 })
    const retry = { maxAttempts: 5, ...QUICK, initialDelayMs: 2_000, maxDelayMs: 2_000 }
    const { id } = await stage.client.schedule({ url: `${stage.receiver.url}/later`, retry })
    await expect.poll(async () => (await stage.client.call<Webhook>('getWebhook', { id })).state).toBe('retrying')
    await stage.daemon.kill('SIGKILL')
    await stage.receiver.behave({ status: 200 })
    await stage.restart()
    await stage.receiver.until({ arrivals: 2 })
    const { at } = await stage.receiver.arrivals()
    expect((at[1] ?? 0) - (at[0] ?? 0)).toBeGreaterThanOrEqual(1_999)
  })
})

describe('time', () => {
  it('is never early, and on time to a few milliseconds, over the edge of a second', async () => {
    const stage = await openStage()
    const from = Date.now() + 300
    for (let nth = 0; nth < 50; nth += 1) await stage.schedule(1, { at: from + nth * 23 })
    await stage.receiver.until({ distinct: 50 })
    expect((await stage.judge()).broken).toEqual([])
  })

  it('goes on while the daemon is down: what fell due is delivered after the start', async () => {
    const stage = await openStage()
    await stage.schedule(5, { at: Date.now() + 500 })
    await stage.daemon.kill('SIGKILL')
    await new Promise((resolve) => setTimeout(resolve, 600))
    await stage.restart()
    await stage.receiver.until({ distinct: 5 })
    expect((await stage.judge()).broken).toEqual([])
  })

  it('a cancelled webhook never arrives', async () => {
    const stage = await openStage()
    const at = Date.now() + 700
    const { id } = await stage.client.schedule({ url: `${stage.receiver.url}/never`, at })
    expect(await stage.client.call('cancelWebhook', { id })).toMatchObject({ outcome: 'cancelled' })
    await stage.schedule(1, { at: at + 300 })
    await stage.receiver.until({ distinct: 1 })
    expect((await stage.receiver.arrivals()).ids).not.toContain(id)
    expect((await stage.client.call<Webhook>('getWebhook', { id })).state).toBe('cancelled')
  })
})

describe('limits', () => {
  it('of a brand hold over all its domains, and other brands are not held up', async () => {
    const { client, receiver } = await openStage({ hold: true, ports: 2 })
    await client.call('configureBrandConcurrencyLimit', { brand: 'acme', limit: 3 })
    const urls = Array.from({ length: 12 }, (_, index) => `${receiver.urls[index % 2]}`)
    await client.call('scheduleWebhooks', { brand: 'acme', webhooks: urls.map((url) => ({ url: `${url}/acme` })) })
    await client.call('scheduleWebhooks', { brand: 'other', webhooks: urls.map((url) => ({ url: `${url}/other` })) })
    await receiver.until({ open: 15 })
    for (let left = 24; left > 0; ) left -= await receiver.release(3)
    await expect.poll(async () => (await client.monitor()).totals.delivered, { timeout: 10_000 }).toBe(24)
    expect((await receiver.figures()).openMaxBy).toMatchObject({ 'path acme': 3 })
  })

  it('change live: raised, lowered, paused by 0, resumed', async () => {
    const { client, receiver } = await openStage({ hold: true })
    const limit = (value: number | null) =>
      client.call('configureDomainConcurrencyLimit', { domain: receiver.domain, limit: value })
    await limit(2)
    const webhooks = Array.from({ length: 20 }, () => ({ url: `${receiver.url}/live` }))
    await client.scheduleAll(webhooks)
    await receiver.until({ open: 2 })
    await limit(6)
    await receiver.until({ open: 6 })
    await limit(0)
    await receiver.release(6)
    await expect.poll(async () => (await receiver.figures()).open).toBe(0)
    await expect.poll(async () => (await client.monitor()).totals.delivered).toBe(6)
    expect((await receiver.figures()).arrivals).toBe(6)
    await limit(4)
    await receiver.until({ open: 4 })
    await receiver.behave({ hold: false })
    await receiver.release(4)
    await receiver.until({ distinct: 20 })
    expect((await receiver.figures()).openMax).toBe(6)
  })

  it('of the domain default to ten at once', async () => {
    const stage = await openStage({ hold: true })
    await stage.schedule(30)
    await stage.receiver.until({ open: 10 })
    await stage.receiver.behave({ hold: false })
    await stage.receiver.release(10)
    await stage.receiver.until({ distinct: 30 })
    expect((await stage.receiver.figures()).openMax).toBe(10)
  })
})
