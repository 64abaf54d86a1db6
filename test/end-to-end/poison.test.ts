/** D-17 on the real process: who is the cause of its deaths, and who only was there. */

import { readdirSync, statSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { LONELY_DEATHS_MAX } from '#config/limits.ts'
import type { Webhook } from '#test/support/control-client.ts'
import type { Ended } from '#test/support/daemon.ts'
import { openStage, QUICK_RETRY, type Stage } from './stage.ts'

/** What Node does after a fatal error: abort(). A shell calls it 134. */
const ABORTED: Ended = { code: null, signal: 'SIGABRT' }
const CONCURRENCY = 5
const PATIENT = { ...QUICK_RETRY, maxAttempts: 20 }

/** Answers 102 before its 200: harmless, but for a daemon whose failpoint is armed. */
const startOddReceiver = async (): Promise<string> => {
  const server = createServer((_request, response) => {
    response.writeProcessing()
    setTimeout(() => response.end('ok'), 50)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/poison`
}
const webhook = (stage: Stage, id: string) => stage.client.call<Webhook>('getWebhook', { id })
const errorsOf = async (stage: Stage, id: string): Promise<string[]> => {
  const { attempts } = await stage.client.call<{ attempts: { error: string }[] }>('getAttempts', { id })
  return attempts.map(({ error }) => error)
}
const reportsOf = (stage: Stage): string[] => readdirSync(join(stage.daemon.data, 'fatal-reports'))

it('WORK-04: a giant allocation ends the process; nothing is lost, and the webhook that did it three times alone is quarantined', async () => {
  const env = { HOOKPULSE_FAILPOINTS: 'dispatch.info:exhaust' }
  const stage = await openStage({ delayMs: 5 }, { env, args: ['--threads', '2'] })
  await stage.client.call('configureDomainConcurrencyLimit', { domain: stage.receiver.domain, limit: CONCURRENCY })
  await stage.schedule(100)
  const url = await startOddReceiver()
  const { id } = await stage.client.call<{ id: string }>('scheduleWebhook', { url, body: {}, retry: PATIENT })
  let deaths = 0
  for (; (await stateOf(stage, id)) !== 'quarantined'; deaths++) {
    expect(deaths, 'it is convicted some time').toBeLessThan(10)
    expect(await stage.daemon.ended).toEqual(ABORTED)
    // As a service manager does.
    await stage.restart()
    await stage.schedule(30)
  }
  // One in company, which makes it a suspect.
  expect(deaths).toBe(1 + LONELY_DEATHS_MAX)
  expect(await errorsOf(stage, id)).toEqual(['in_doubt', 'in_doubt', 'in_doubt', 'poison'])
  const all = 100 + 30 * deaths
  await stage.receiver.until({ distinct: all })
  await expect.poll(async () => (await stage.client.monitor()).totals).toMatchObject({ delivered: all })
  expect((await stage.judge({ concurrency: CONCURRENCY, inDoubt: deaths * 2 * CONCURRENCY })).broken).toEqual([])
  expect(reportsOf(stage)).toHaveLength(deaths)
  expect(stage.daemon.output()).toContain('an earlier run ended with a fatal error')
  const kept = reportsOf(stage).map((name) => statSync(join(stage.daemon.data, 'fatal-reports', name)).size)
  expect(Math.max(...kept)).toBeLessThan(100_000)
})

const stateOf = async (stage: Stage, id: string): Promise<string> => {
  for (;;) {
    const asked = await webhook(stage, id).catch((error: unknown) => error)
    if (!(asked instanceof Error)) {
      const { state } = asked as { state: string }
      if (state === 'quarantined') return state
    }
    const end = await Promise.race([stage.daemon.ended, new Promise((resolve) => setTimeout(resolve, 50))])
    if (end !== undefined) return 'its daemon has ended'
  }
}

it('D-17: deaths by a signal never count, however often a webhook is there', async () => {
  const stage = await openStage({ hold: true })
  const { url } = stage.receiver
  const { id } = await stage.client.call<{ id: string }>('scheduleWebhook', { url, body: {}, retry: PATIENT })
  stage.ledger.acknowledged([id])
  for (let deaths = 1; deaths <= LONELY_DEATHS_MAX + 2; deaths++) {
    await stage.receiver.until({ arrivals: deaths })
    await stage.daemon.kill(deaths % 2 === 0 ? 'SIGKILL' : 'SIGABRT')
    await stage.restart()
  }
  await stage.receiver.behave({ hold: false })
  await stage.receiver.until({ arrivals: LONELY_DEATHS_MAX + 3 })
  await stage.receiver.release(100)
  await expect.poll(async () => (await webhook(stage, id)).state).toBe('delivered')
  expect(reportsOf(stage)).toEqual([])
})

it('PROC-04: main runs out of heap in the middle of 300 deliveries: a clear end with a report, nothing is lost, nobody is suspect', async () => {
  const env = { HOOKPULSE_FAILPOINTS: 'dispatch-pool.reported:exhaust:100' }
  const stage = await openStage({ delayMs: 5 }, { env, execArgv: ['--max-old-space-size=150'] })
  await stage.client.call('configureDomainConcurrencyLimit', { domain: stage.receiver.domain, limit: CONCURRENCY })
  await stage.schedule(300)
  expect(await stage.daemon.ended).toEqual(ABORTED)
  expect(stage.daemon.output()).toContain('JavaScript heap out of memory')
  stage.daemon = await stage.daemon.restart({ env: {} })
  stage.client = await stage.daemon.connect()
  await stage.receiver.until({ distinct: 300 })
  await expect.poll(async () => (await stage.client.monitor()).totals.delivered).toBe(300)
  expect((await stage.judge({ concurrency: CONCURRENCY, inDoubt: 2 * CONCURRENCY })).broken).toEqual([])
  expect(reportsOf(stage)).toHaveLength(1)
  // Not the heap of a thread for dispatch.
  expect(stage.daemon.output()).toContain('"heap":null')
})
