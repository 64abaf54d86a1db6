import { readFileSync } from 'node:fs'
import { describe, expect, it, onTestFinished } from 'vitest'
import { runCommand } from '#cli/run-command.ts'
import type { Webhook } from '#test/support/control-client.ts'
import { freshDataDirectory, removeDirectory, startDaemon } from '#test/support/daemon.ts'
import { control, fillWith, offerIn, quantile } from '#test/support/load.ts'
import { openStage } from './stage.ts'

const LATER_MS = 3_600_000
const megabytes = (pid: number): number =>
  Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? Number.NaN) / 1_024

describe('overload of the real daemon, in short', () => {
  it('LOAD-01: 10,000 schedules a second from 8 sockets: what is accepted is durable, the rest is told when to come back, control stays answered', async () => {
    const data = freshDataDirectory()
    const daemon = await startDaemon({ data })
    onTestFinished(async () => {
      daemon.signal('SIGKILL')
      await daemon.ended
      removeDirectory(data)
    })
    const client = await daemon.connect()
    const toCancel = await fillWith(client, 100, () => ({ url: 'http://127.0.0.1:9000/x', at: Date.now() + LATER_MS }))
    const offering = offerIn({ url: daemon.url, key: daemon.key, sockets: 8, pace: { perSecond: 10_000 }, seconds: 4 })
    const took = await control(daemon, offering, toCancel)
    const { ids, refused, withoutHint, lost } = await offering
    await client.close()
    await daemon.kill('SIGKILL')

    expect(ids.length).toBeGreaterThan(1_000)
    expect({ ...refused, RESOURCE_EXHAUSTED: 0 }).toEqual({ RESOURCE_EXHAUSTED: 0 })
    expect([withoutHint, lost]).toEqual([0, 0])
    for (const [what, ms] of Object.entries(took))
      expect(quantile(ms, 0.5), `${what}: ${ms.join(' ')}`).toBeLessThan(500)

    const next = await daemon.restart()
    onTestFinished(async () => void (await next.kill()))
    const again = await next.connect()
    const cancelled = took.cancel.length
    expect((await again.monitor()).totals.scheduled).toBeGreaterThanOrEqual(ids.length + toCancel.length - cancelled)
    for (let i = 0; i < ids.length; i += Math.ceil(ids.length / 100))
      expect(await again.call<Webhook>('getWebhook', { id: ids[i] })).toMatchObject({ state: 'scheduled' })
  })

  it('LOAD-02: 2,000 due in one millisecond to 100 hosts: every limit holds, none comes early, nothing is lost', async () => {
    const { client, receiver } = await openStage({ delayMs: 20, ports: 100 })
    for (const domain of receiver.domains) await client.call('configureDomainConcurrencyLimit', { domain, limit: 3 })
    const at = Date.now() + 3_000
    await fillWith(client, 2_000, (index) => ({ url: `${receiver.urls[index % 100]}/burst`, at }))
    await receiver.until({ distinct: 2_000 }, 60_000)
    const { arrivals, openMaxBy } = await receiver.figures()
    expect(arrivals).toBe(2_000)
    expect(Math.max(...Object.entries(openMaxBy).flatMap(([of, most]) => (of.startsWith('port ') ? [most] : [])))).toBe(
      3,
    )
    expect(Math.min(...(await receiver.arrivals()).at)).toBeGreaterThanOrEqual(at)
  })

  it('LOAD-03: 50,000 pending: a restart reads none of them, a page is quick anywhere, the next one due is on time', async () => {
    const stage = await openStage()
    const from = Date.now() + LATER_MS
    await fillWith(stage.client, 50_000, (index) => ({
      url: `http://127.0.0.1:${9_000 + (index % 50)}/x`,
      at: from + index,
      ...(index === 0 ? { tags: ['the-first'] } : {}),
    }))
    const before = megabytes(stage.daemon.pid)
    await stage.daemon.kill('SIGTERM')
    await stage.restart()
    expect(stage.daemon.readyMs).toBeLessThan(10_000)
    expect(megabytes(stage.daemon.pid)).toBeLessThan(Math.max(before, 400))
    let cursor: string | undefined
    for (let page = 0; page < 20; page++) {
      const fromMono = performance.now()
      const answer: { nextCursor?: string } = await stage.client.call('listWebhooks', {
        limit: 100,
        ...(cursor === undefined ? {} : { cursor }),
      })
      expect(performance.now() - fromMono).toBeLessThan(2_000)
      cursor = answer.nextCursor
    }
    // One that lies far behind: a page looks at a bounded number of rows, the command line goes on until it has what it shows.
    const far = { tag: 'the-first' }
    const page = await stage.client.call<{ webhooks: unknown[]; nextCursor?: string }>('listWebhooks', far)
    expect(page).toEqual({ webhooks: [], nextCursor: expect.any(String) })
    let shown = ''
    const around = {
      env: { HOOKPULSE_URL: stage.daemon.url, HOOKPULSE_DATA: stage.daemon.data },
      out: (text: string) => {
        shown += text
      },
      err: () => undefined,
    }
    expect(await runCommand(['list', '--tag', far.tag], '1.2.3', around)).toBe(0)
    expect(shown).toMatch(/scheduled .*127\.0\.0\.1:9000/)
    const { id } = await stage.client.schedule({ url: `${stage.receiver.url}/now` })
    await stage.receiver.until({ distinct: 1 })
    expect((await stage.receiver.arrivals()).ids).toEqual([id])
  })

  it('LOAD-09: with hardly a descriptor left: attempts fail as retryable, the store keeps its own, and all of it recovers by itself', async () => {
    const stage = await openStage(
      { hold: true },
      { command: ['sh', '-c', 'ulimit -n 110 && exec "$0" "$@"', process.execPath, 'src/main.ts'] },
    )
    const { client, receiver, daemon } = stage
    await client.call('configureDomainConcurrencyLimit', { domain: receiver.domain, limit: 400 })
    await client.call('configureBreaker', { domain: receiver.domain, enabled: true, retryBudget: 100 })
    const retry = { maxAttempts: 50, backoff: 'fixed', initialDelayMs: 300, maxDelayMs: 300, jitter: 0 }
    const { ids } = await client.scheduleAll(Array.from({ length: 300 }, () => ({ url: `${receiver.url}/x`, retry })))
    // More than it can open: some attempts found no descriptor.
    const failed = async (): Promise<readonly string[]> => {
      const all = await Promise.all(
        ids.map((id) => client.call<Webhook & { lastError?: string }>('getWebhook', { id })),
      )
      return all.flatMap(({ lastError }) => (lastError === undefined ? [] : [lastError]))
    }
    await expect.poll(async () => (await failed()).length, { timeout: 30_000 }).toBeGreaterThan(0)
    // The lack is ours, and so is the class: ten of them in a row are no broken receiver.
    expect(new Set(await failed())).toEqual(new Set(['in_doubt']))
    const guard = await client.call<{ breaker: { state: string } }>('getGuard', { domain: receiver.domain })
    expect(guard.breaker.state).toBe('closed')
    // What is promised meanwhile is on disk: the store's descriptors are open already.
    const { id } = await client.schedule({ url: `${receiver.url}/meanwhile`, retry })
    await receiver.behave({ hold: false })
    const release = setInterval(() => void receiver.release(1_000), 50)
    onTestFinished(() => clearInterval(release))
    await receiver.until({ distinct: 301 }, 60_000)
    await expect.poll(async () => (await client.monitor()).totals.delivered, { timeout: 60_000 }).toBe(301)
    expect(await client.call<Webhook>('getWebhook', { id })).toMatchObject({ state: 'delivered' })
    // Idle connections are closed within seconds; then there are descriptors for who comes.
    await stage.reconnect()
    expect((await stage.client.monitor()).totals.delivered).toBe(301)
    expect(daemon.output()).not.toContain('outside every actor')
  })
})
