import { expect, it } from 'vitest'
import type { Webhook } from '#test/support/control-client.ts'
import { openStage } from './stage.ts'

const ONCE = { maxAttempts: 1, backoff: 'fixed', initialDelayMs: 50, maxDelayMs: 50, jitter: 0 } as const

it("a webhook never reaches the daemon's own control channel, in no spelling, though the private network may be called", async () => {
  const { client, daemon, receiver } = await openStage()
  const { port } = new URL(daemon.url)
  const refused = {
    data: { code: 'BLOCKED_TARGET', field: 'url', message: "url names 127.0.0.1: the daemon's own address" },
  }
  for (const host of ['127.0.0.1', '0x7f.1'])
    await expect(client.schedule({ url: `http://${host}:${port}/rpc` })).rejects.toMatchObject(refused)
  // So large that another thread reads it.
  const body = 'x'.repeat(20_000)
  await expect(client.schedule({ url: `http://127.0.0.1:${port}/rpc`, body })).rejects.toMatchObject(refused)
  const { id: named } = await client.schedule({ url: `http://localhost:${port}/rpc`, retry: ONCE })
  await expect.poll(async () => (await client.call<Webhook>('getWebhook', { id: named })).state).toBe('dead')
  expect(await client.call<Webhook>('getWebhook', { id: named })).toMatchObject({ lastError: 'blocked_target' })
  const { id } = await client.schedule({ url: `${receiver.url}/ok`, retry: ONCE })
  await expect.poll(async () => (await client.call<Webhook>('getWebhook', { id })).state).toBe('delivered')
})
