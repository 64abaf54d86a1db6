import { expect, it } from 'vitest'
import { VirtualDaemon } from '#test/support/virtual-daemon.ts'

const ATTEMPTS = 12

it('LOAD-10: a webhook that always fails has as many attempts as its policy says, then is a dead letter with the reason of each; its neighbours are delivered', async () => {
  let poison = ''
  const daemon = new VirtualDaemon({
    script: (order) => (order.webhookId === poison ? { status: 500, latencyMs: 5 } : { latencyMs: 5 }),
  })
  await daemon.start()
  const retry = {
    maxAttempts: ATTEMPTS,
    backoff: 'fixed',
    initialDelayMs: 1_000,
    maxDelayMs: 1_000,
    jitter: 0,
    inDoubt: 'retry',
  } as const
  const [id = ''] = await daemon.schedule([{ inMs: 10, retry }])
  poison = id
  for (let i = 0; i < 30; i++) {
    await daemon.schedule([{}, {}])
    await daemon.world.advance(10_000)
  }
  expect(daemon.stateOf(poison)).toBe('dead')
  const tries = daemon.network.arrivals.filter(({ webhookId }) => webhookId === poison)
  expect(tries.map(({ attempt }) => attempt)).toEqual(Array.from({ length: ATTEMPTS }, (_, i) => i + 1))
  const kept = await daemon.attemptsOf(poison)
  expect(kept.length).toBe(ATTEMPTS)
  for (const attempt of kept) expect(attempt).toMatchObject({ status: 500, error: 'http_5xx' })
  expect(daemon.acknowledged.filter((one) => one !== poison && daemon.stateOf(one) !== 'delivered')).toEqual([])
})
