import { describe, expect, it } from 'vitest'
import { SHUTDOWN_GRACE_MS } from '#config/limits.ts'
import { openStage, type Stage } from './stage.ts'

const threeOpenOfTen = async () => {
  const stage = await openStage({ hold: true })
  await stage.client.call('configureDomainConcurrencyLimit', { domain: stage.receiver.domain, limit: 3 })
  await stage.schedule(10)
  await stage.receiver.until({ open: 3 })
  return stage
}
/** It says so, and goes on for as long as the three are open. */
const stopping = (stage: Stage): Promise<void> => expect.poll(() => stage.daemon.output()).toContain('daemon.stopping')
const allDelivered = async (stage: Stage): Promise<void> => {
  await stage.receiver.behave({ hold: false })
  await stage.receiver.release(100)
  await stage.restart()
  await stage.receiver.until({ distinct: 10 })
  await expect.poll(async () => (await stage.client.monitor()).totals.delivered, { timeout: 10_000 }).toBe(10)
}

describe('PROC-03: graceful stop', () => {
  it.each(['SIGTERM', 'SIGINT'] as const)(
    'on %s finishes what is open, starts nothing, exits 0, and loses nothing',
    async (signal) => {
      const stage = await threeOpenOfTen()
      const ended = stage.daemon.kill(signal)
      await stopping(stage)
      expect((await stage.receiver.figures()).arrivals).toBe(3)
      await stage.receiver.release(3)
      expect(await stage.client.closed, 'its clients are told: going away').toBe(1001)
      expect(await ended).toEqual({ code: 0, signal: null })
      expect((await stage.receiver.figures()).arrivals).toBe(3)
      await allDelivered(stage)
      expect((await stage.judge({ concurrency: 3, inDoubt: 0 })).broken).toEqual([])
    },
  )

  it('ends at once on a second signal, and what was open is in doubt, not lost', async () => {
    const stage = await threeOpenOfTen()
    const ended = stage.daemon.kill('SIGTERM')
    await stopping(stage)
    const secondMono = performance.now()
    stage.daemon.signal('SIGTERM')
    expect(await ended).toEqual({ code: 130, signal: null })
    expect(performance.now() - secondMono).toBeLessThan(2_000)
    await allDelivered(stage)
    expect((await stage.judge({ concurrency: 3, inDoubt: 3 })).broken).toEqual([])
  })

  it('gives up on a store that hangs, with a code that says so, and loses nothing', async () => {
    const stage = await openStage({}, { env: { HOOKPULSE_FAILPOINTS: 'store.commit/append:hang:2' } })
    await stage.schedule(10)
    await stage.receiver.until({ distinct: 10 })
    const unanswered = stage.client
      .call('scheduleWebhook', { url: stage.receiver.url })
      .catch((error: unknown) => error)
    await expect.poll(() => stage.client.call('getInfo').then(() => true)).toBe(true)
    const startMono = performance.now()
    expect(await stage.daemon.kill('SIGTERM')).toEqual({ code: 70, signal: null })
    expect(performance.now() - startMono).toBeLessThan(SHUTDOWN_GRACE_MS + 5_000)
    expect(await unanswered).toBeInstanceOf(Error)
    stage.daemon = await stage.daemon.restart({ env: {} })
    stage.client = await stage.daemon.connect()
    await expect.poll(async () => (await stage.client.monitor()).totals.delivered).toBe(10)
    expect((await stage.judge({ inDoubt: 10 })).broken).toEqual([])
  })

  it('stops at once when there is nothing to do', async () => {
    const stage = await openStage()
    const startMono = performance.now()
    expect(await stage.daemon.kill('SIGTERM')).toEqual({ code: 0, signal: null })
    expect(performance.now() - startMono).toBeLessThan(3_000)
  })
})
