import { expect, it } from 'vitest'
import type { Webhook } from '#test/support/control-client.ts'
import { openStage } from './stage.ts'

const ONCE = { maxAttempts: 1, backoff: 'fixed', initialDelayMs: 50, maxDelayMs: 50, jitter: 0 } as const

it("a webhook never reaches the daemon's own control channel, in no spelling, though the private network may be called", async () => {
  const { client, daemon, receiver } = await openStage()
  const { port } = new URL(daemon.url)
  for (const host of ['127.0.0.1', '0x7f.1', 'localhost']) {
    const { id } = await client.schedule({ url: `http://${host}:${port}/rpc`, retry: ONCE })
    await expect.poll(async () => (await client.call<Webhook>('getWebhook', { id })).state).toBe('dead')
    expect(await client.call<Webhook>('getWebhook', { id })).toMatchObject({ lastError: 'blocked_target' })
  }
  const { id } = await client.schedule({ url: `${receiver.url}/ok`, retry: ONCE })
  await expect.poll(async () => (await client.call<Webhook>('getWebhook', { id })).state).toBe('delivered')
})
