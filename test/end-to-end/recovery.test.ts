/** Deaths that come while the daemon recovers from one, and deaths at random. */
import { expect, it } from 'vitest'
import { spawnDaemon } from '#test/support/daemon.ts'
import { Prng } from '#world/prng.ts'
import { openStage, QUICK_RETRY } from './stage.ts'

const KILLED = { code: null, signal: 'SIGKILL' }

it('PROC-05: a recovery that is killed three times running ends as one: each attempt is in doubt once, none is counted that was not sent', async () => {
  const stage = await openStage({ hold: true })
  const ids = await stage.schedule(5)
  await stage.receiver.until({ open: 5 })
  await stage.daemon.kill('SIGKILL')
  const { data } = stage.daemon
  // While it looks who was started; before it has written that they are in doubt; and after, before anybody knows.
  for (const point of ['executor.recovering', 'store.commit/record-outcome', 'store.committed/record-outcome']) {
    const dying = spawnDaemon(data, { env: { HOOKPULSE_FAILPOINTS: `${point}:exit9` } })
    expect(await dying.ended, point).toEqual(KILLED)
  }
  await stage.receiver.behave({ hold: false })
  await stage.receiver.release(100)
  await stage.restart()
  await expect.poll(async () => (await stage.client.monitor()).totals.delivered).toBe(5)
  const arrivals = (await stage.receiver.arrivals()).ids
  for (const id of ids) {
    const { attempts } = await stage.client.call<{ attempts: { inDoubt: boolean }[] }>('getAttempts', { id })
    expect(attempts.map(({ inDoubt }) => inDoubt)).toEqual([true, false])
    expect(arrivals.filter((other) => other === id)).toHaveLength(2)
  }
})

const { RANDOM_KILLS_SEED = String(Date.now() % 1_000_000) } = process.env
const KILLS = 5
const CONCURRENCY = 10

it('PROC-02: killed (-9) at random moments under 200 schedules a second: nothing lost, few repeats, the books balance', async () => {
  const random = new Prng(Number(RANDOM_KILLS_SEED))
  const said = `RANDOM_KILLS_SEED=${RANDOM_KILLS_SEED}`
  const stage = await openStage({ delayMs: 10 })
  const { receiver, ledger } = stage
  await stage.client.call('configureDomainConcurrencyLimit', { domain: receiver.domain, limit: CONCURRENCY })
  let kills = 0
  const scheduling = (async () => {
    for (let batch = 0; kills < KILLS; batch++) {
      const webhooks = Array.from({ length: 20 }, (_, index) => ({
        url: receiver.url,
        at: Date.now() + random.below(300),
        // Where the answer dies with the daemon, the same keys are said to the next one.
        idempotencyKey: `${batch}-${index}`,
        retry: { ...QUICK_RETRY, maxAttempts: 50 },
      }))
      for (;;) {
        const told = await stage.client.scheduleAll(webhooks).catch((error: unknown) => error)
        await new Promise((resolve) => setTimeout(resolve, 100))
        if (told instanceof Error) continue
        const { ids } = told as { ids: string[] }
        ledger.acknowledged(ids)
        break
      }
    }
  })()
  for (; kills < KILLS; kills++) {
    await new Promise((resolve) => setTimeout(resolve, 300 + random.below(1_500)))
    await stage.daemon.kill('SIGKILL')
    await stage.restart()
  }
  await scheduling
  const all = ledger.acks.length
  expect(all, said).toBeGreaterThan(KILLS * 20)
  await receiver.until({ distinct: all })
  await expect
    .poll(async () => (await stage.client.monitor()).totals, { message: said })
    .toMatchObject({ delivered: all, dead: 0, scheduled: 0, waiting: 0, executing: 0, retrying: 0 })
  const verdict = await stage.judge({ concurrency: CONCURRENCY, inDoubt: KILLS * 2 * CONCURRENCY })
  expect(verdict.broken, said).toEqual([])
  expect(verdict.unknown, said).toEqual([])
})
