/** H11 on the real binary: what a failure looked like from near is the operator's; clients see its class. */
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:tls'
import { expect, it, onTestFinished } from 'vitest'
import { OWN_CERT, OWN_KEY } from '#test/support/certificates.ts'
import { openStage } from './stage.ts'

const startSelfSigned = async (): Promise<string> => {
  const server = createServer({ cert: OWN_CERT, key: OWN_KEY }, (socket) => void socket.on('error', () => {}))
  server.on('tlsClientError', () => {})
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  return `https://127.0.0.1:${(server.address() as AddressInfo).port}/hook`
}
const REASON = 'DEPTH_ZERO_SELF_SIGNED_CERT'

it('H11: a certificate’s fault is a line of the log for a domain a minute, and no client is told more than its class', async () => {
  const stage = await openStage()
  const url = await startSelfSigned()
  const told: unknown[] = []
  const call = async <Answer>(method: string, params: Record<string, unknown>): Promise<Answer> => {
    const answer = await stage.client.call<Answer>(method, params)
    told.push(answer)
    return answer
  }
  const retry = { backoff: 'fixed', initialDelayMs: 50, maxDelayMs: 50, jitter: 0, maxAttempts: 3 }
  const { id } = await call<{ id: string }>('scheduleWebhook', { url, retry })
  await expect
    .poll(async () => (await call<{ webhooks: { state: string }[] }>('listWebhooks', {})).webhooks)
    .toMatchObject([{ state: 'dead' }])
  const { attempts } = await call<{ attempts: unknown[] }>('getAttempts', { id })
  expect(attempts).toMatchObject(new Array(3).fill({ error: 'tls_cert', inDoubt: false }))
  await call('getWebhook', { id })
  await call('explainWebhook', { id })
  told.push(await stage.client.monitor())
  expect(JSON.stringify(told)).not.toContain('SELF_SIGNED')
  const lines = stage.daemon.output().split('\n')
  const failures = lines.filter((line) => line.includes('"attempt.failed"')).map((line): unknown => JSON.parse(line))
  expect(failures).toMatchObject([
    {
      level: 'info',
      attemptId: `${id}.1`,
      brand: 'default',
      error: 'tls_cert',
      detail: expect.stringContaining(REASON),
    },
  ])
})
