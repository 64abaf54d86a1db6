import { describe, expect, it } from 'vitest'
import { openStage } from './stage.ts'

const CONCURRENCY = 5
const COUNT = 200

/** Each step by itself: kill-points.test.ts. Here others are at other steps meanwhile. */
const ON_THE_WAY = ['dispatch.status', 'dispatch-pool.reported', 'store.commit', 'store.committed']

describe('PROC-01: the process dies (-9) in the middle of 200 deliveries', () => {
  it.each(ON_THE_WAY)('at %s: nothing lost, extra arrivals only for what was in flight', async (point) => {
    const stage = await openStage({ delayMs: 5 }, { env: { HOOKPULSE_FAILPOINTS: `${point}:exit9:40` } })
    await stage.client.call('configureDomainConcurrencyLimit', { domain: stage.receiver.domain, limit: CONCURRENCY })
    await stage.schedule(COUNT)
    expect(await stage.daemon.ended).toEqual({ code: null, signal: 'SIGKILL' })
    stage.daemon = await stage.daemon.restart({ env: {} })
    expect(stage.daemon.readyMs).toBeLessThan(5_000)
    stage.client = await stage.daemon.connect()
    await stage.receiver.until({ distinct: COUNT })
    await expect.poll(async () => (await stage.client.monitor()).totals.delivered, { timeout: 10_000 }).toBe(COUNT)
    expect((await stage.judge({ concurrency: CONCURRENCY, inDoubt: 2 * CONCURRENCY })).broken).toEqual([])
  })
})

describe('PROC-06: a thread', () => {
  it.each([
    ['for dispatch that dies', 'dispatch.send:throw:60'],
    // Rarely enough that nobody is alone in three deaths by chance, which would be poison (D-17).
    ['for dispatch that dies of a rejection', 'dispatch.orders:reject:40'],
    ['for dispatch that dies between the answer and its report', 'dispatch.report:throw:30'],
    ['for dispatch that hangs', 'dispatch.send:hang:60'],
    ['of the store that dies when it hears', 'store.heard:throw:80'],
    ['of the store that dies before it commits', 'store.commit:throw:80'],
    ['of the store that dies between the commit and its answer', 'store.committed:throw:80'],
  ])('%s is replaced: all delivered, never more than the limit open', async (_what, armed) => {
    const stage = await openStage({ delayMs: 5 }, { env: { HOOKPULSE_FAILPOINTS: armed }, args: ['--threads', '2'] })
    await stage.client.call('configureDomainConcurrencyLimit', { domain: stage.receiver.domain, limit: CONCURRENCY })
    await stage.schedule(COUNT, { timeoutMs: 2_000 })
    await stage.receiver.until({ distinct: COUNT }, 60_000)
    await expect.poll(async () => (await stage.client.monitor()).totals.delivered, { timeout: 20_000 }).toBe(COUNT)
    expect((await stage.judge({ concurrency: CONCURRENCY, inDoubt: 4 * CONCURRENCY })).broken).toEqual([])
  })
})
