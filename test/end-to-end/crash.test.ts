import { describe, expect, it } from 'vitest'
import { ChannelClosed } from '#test/support/control-client.ts'
import { openStage } from './stage.ts'

const CONCURRENCY = 20
/** What was in flight at the kill: open requests, and those that were answered and not yet recorded. */
const IN_DOUBT_MAX = 2 * CONCURRENCY

describe('kill -9 in the middle of 3,000 webhooks', () => {
  it('while they are delivered: each one arrives, extra arrivals only for those in flight', async () => {
    const stage = await openStage({ delayMs: 5 })
    await stage.client.call('configureDomainConcurrencyLimit', { domain: stage.receiver.domain, limit: CONCURRENCY })
    await stage.schedule(3_000)
    await stage.receiver.until({ distinct: 1_000 })
    await stage.daemon.kill('SIGKILL')
    await stage.restart()
    await stage.receiver.until({ distinct: 3_000 })
    await expect.poll(async () => (await stage.client.monitor()).totals.delivered, { timeout: 10_000 }).toBe(3_000)
    const verdict = await stage.judge({ concurrency: CONCURRENCY, inDoubt: IN_DOUBT_MAX })
    expect(verdict.broken).toEqual([])
    expect(verdict.unknown).toEqual([])
  })

  it('while they are accepted: every acknowledged one arrives', async () => {
    const stage = await openStage({ delayMs: 5 })
    await stage.client.call('configureDomainConcurrencyLimit', { domain: stage.receiver.domain, limit: CONCURRENCY })
    const batches = Array.from({ length: 60 }, () => stage.schedule(50))
    const settled = Promise.allSettled(batches)
    await stage.receiver.until({ distinct: 100 })
    await stage.daemon.kill('SIGKILL')
    for (const batch of await settled) {
      if (batch.status === 'rejected') expect(batch.reason).toBeInstanceOf(ChannelClosed)
    }
    await stage.restart()
    await expect.poll(async () => (await stage.judge()).missing, { timeout: 60_000 }).toEqual([])
    const left = async () => {
      const { totals } = await stage.client.monitor()
      return totals.scheduled + totals.waiting + totals.executing + totals.retrying
    }
    await expect.poll(left, { timeout: 30_000 }).toBe(0)
    expect((await stage.judge({ concurrency: CONCURRENCY, inDoubt: IN_DOUBT_MAX })).broken).toEqual([])
  })

  it('three times in a row, and the limits are still those that were set', async () => {
    const stage = await openStage({ delayMs: 5 })
    await stage.client.call('configureDomainConcurrencyLimit', { domain: stage.receiver.domain, limit: CONCURRENCY })
    await stage.schedule(3_000)
    for (const seen of [500, 1_200, 2_000]) {
      await stage.receiver.until({ distinct: seen })
      await stage.daemon.kill('SIGKILL')
      await stage.restart()
    }
    await stage.receiver.until({ distinct: 3_000 })
    expect((await stage.judge({ concurrency: CONCURRENCY, inDoubt: 3 * IN_DOUBT_MAX })).broken).toEqual([])
  })
})
