import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Client, connect, RpcFailure } from '#client/node.ts'
import { FILTER_PAGE_ROWS } from '#config/limits.ts'
import { ControlStage } from '#test/support/control-stage.ts'

const url = 'http://10.1.2.3:8080/hook'
const HOUR_MS = 3_600_000

describe('another instant', () => {
  let stage: ControlStage
  let client: Client
  beforeAll(async () => {
    stage = await ControlStage.start()
    client = await connect({ url: stage.url, key: stage.adminKey })
  })
  afterAll(async () => {
    client.close()
    await stage.stop()
  })
  const failure = async (asked: Promise<unknown>): Promise<RpcFailure> => {
    const error = await asked.catch((caught: unknown) => caught)
    if (error instanceof RpcFailure) return error
    throw new Error('it did not fail')
  }
  /** Resolves at the first event that says it is over. */
  const finished = (id: string): Promise<string> =>
    new Promise((resolve) => {
      const end = stage.events.on(['webhook.finished'], (event) => {
        if (event.id !== id) return
        end()
        resolve(event.state)
      })
    })

  it('is shown, and counts from when it is given', async () => {
    const { id } = await client.scheduleWebhook({ url, delayMs: HOUR_MS })
    const at = '2031-01-31T09:00:00.000Z'
    expect(await client.rescheduleWebhook({ id, at })).toMatchObject({ id, state: 'scheduled', at, nextAttemptAt: at })
    expect(await client.getWebhook({ id })).toMatchObject({ at })
  })

  it('now: the webhook goes out at once, and is over then', async () => {
    const { id } = await client.scheduleWebhook({ url, delayMs: HOUR_MS })
    const over = finished(id)
    expect(await client.runWebhookNow({ id })).toMatchObject({ id })
    expect(await over).toBe('delivered')
    const refused = await failure(client.runWebhookNow({ id }))
    expect(refused).toMatchObject({ code: 'CONFLICT', field: 'id', message: expect.stringContaining('replayWebhook') })
  })

  it('after its expiry is refused', async () => {
    const at = Date.now() + HOUR_MS
    const { id } = await client.scheduleWebhook({ url, at, expiresAt: at + HOUR_MS })
    const refused = await failure(client.rescheduleWebhook({ id, at: at + 2 * HOUR_MS }))
    expect(refused).toMatchObject({ code: 'CONFLICT', field: 'at', message: expect.stringContaining('expires before') })
  })

  it('is given to the own webhooks of a brand, and others are not there for it', async () => {
    const { id } = await client.scheduleWebhook({ url, delayMs: HOUR_MS, brand: 'acme' })
    const other = await connect({ url: stage.url, key: stage.brandKey('zed').key })
    const own = await connect({ url: stage.url, key: stage.brandKey('acme').key })
    for (const asked of [
      other.rescheduleWebhook({ id, delayMs: 0 }),
      other.runWebhookNow({ id }),
      other.replayWebhook({ id }),
    ])
      expect((await failure(asked)).code).toBe('NOT_FOUND')
    expect(await other.cancelWebhooks({ state: 'scheduled' })).toEqual({ cancelled: 0, more: false })
    expect(await own.rescheduleWebhook({ id, delayMs: 2 * HOUR_MS })).toMatchObject({ brand: 'acme' })
    other.close()
    own.close()
  })

  it('a replay sends a finished webhook again under its id, or as another one', async () => {
    const { id } = await client.scheduleWebhook({ url })
    await expect.poll(async () => (await client.getWebhook({ id })).state).toBe('delivered')
    const again = finished(id)
    expect((await client.replayWebhook({ id })).id).toBe(id)
    expect(await again).toBe('delivered')
    expect((await client.getAttempts({ id })).attempts.map(({ number }) => number)).toEqual([1, 2])
    const copy = await client.replayWebhook({ id, newId: true })
    expect(copy.id).not.toBe(id)
    await expect.poll(async () => (await client.getWebhook({ id: copy.id })).state).toBe('delivered')
    const { id: waits } = await client.scheduleWebhook({ url, delayMs: HOUR_MS })
    expect(await failure(client.replayWebhook({ id: waits }))).toMatchObject({ code: 'CONFLICT', field: 'id' })
  })

  it('a filter cancels page after page, and replays them all', async () => {
    const count = 2 * FILTER_PAGE_ROWS + 1
    const webhooks = Array.from({ length: count }, () => ({ url, delayMs: HOUR_MS, tags: ['many'] }))
    await client.scheduleWebhooks({ webhooks })
    expect(await client.cancelWebhooks({ tag: 'many' })).toEqual({ cancelled: count, more: false })
    expect(await client.cancelWebhooks({ tag: 'many' })).toEqual({ cancelled: 0, more: false })
    expect(await client.replayWebhooks({ tag: 'many' })).toEqual({ replayed: 0, more: false })
    expect(await client.replayWebhooks({ tag: 'many', state: 'cancelled' })).toEqual({ replayed: count, more: false })
    const left = async () => (await client.listWebhooks({ tag: 'many', state: 'delivered', limit: 500 })).webhooks
    await expect.poll(async () => (await left()).length, { timeout: 10_000 }).toBe(count)
  })

  it('many are replayed as new ones over several calls, each of them once', async () => {
    const given = { brand: 'copied', tags: ['copied'] }
    const webhooks = Array.from({ length: 5 }, () => ({ url, delayMs: HOUR_MS, tags: given.tags }))
    await client.scheduleWebhooks({ webhooks, brand: given.brand })
    expect(await client.cancelWebhooks({ tag: 'copied' })).toEqual({ cancelled: 5, more: false })
    await client.configureBrandBacklog({ limit: 3, brand: given.brand })
    const asked = { tag: 'copied', state: 'cancelled', newId: true } as const
    const first = await client.replayWebhooks(asked)
    expect(first).toEqual({ replayed: 3, more: true, nextCursor: expect.any(String) })
    await client.configureBrandBacklog({ limit: null, brand: given.brand })
    const { nextCursor: cursor = '' } = first
    expect(await client.replayWebhooks({ ...asked, cursor })).toEqual({ replayed: 2, more: false })
    const copies = async () => (await client.listWebhooks({ tag: 'copied', state: 'delivered' })).webhooks.length
    await expect.poll(copies, { timeout: 10_000 }).toBe(5)
    expect((await client.listWebhooks({ tag: 'copied' })).webhooks).toHaveLength(10)
  })

  it('a replay counts against the backlog of its brand', async () => {
    await client.configureBrandBacklog({ limit: 2, brand: 'small' })
    const { id } = await client.scheduleWebhook({ url, brand: 'small' })
    await expect.poll(async () => (await client.getWebhook({ id })).state).toBe('delivered')
    await client.configureBrandBacklog({ limit: 0, brand: 'small' })
    const refused = await failure(client.replayWebhook({ id }))
    expect(refused.code).toBe('RESOURCE_EXHAUSTED')
    expect(refused.message).toMatch(/brand "small" has \d unfinished webhooks and may have 0/)
    expect((await client.getWebhook({ id })).state).toBe('delivered')
  })
})
