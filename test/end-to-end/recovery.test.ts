/** Deaths that come while the daemon recovers from one, and deaths at random. */
import { expect, it, onTestFinished } from 'vitest'
import { runChaos } from '#test/chaos/chaos.ts'
import { PROCESS_FAULTS } from '#test/chaos/plan.ts'
import { freshDataDirectory, removeDirectory, spawnDaemon } from '#test/support/daemon.ts'
import { openStage } from './stage.ts'

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

const { CHAOS_SEED = String(Date.now() % 1_000_000) } = process.env

it('PROC-02: killed (-9), stopped and hurt at random moments under 200 schedules a second: nothing lost, repeats only of what was in doubt, the books balance', async () => {
  const dir = freshDataDirectory()
  onTestFinished(() => removeDirectory(dir))
  const seed = Number(CHAOS_SEED)
  const result = await runChaos({ seed, ms: 6_000, faults: PROCESS_FAULTS, dir, cancelledInMs: 4_000 })
  expect(result.findings, `CHAOS_SEED=${seed}`).toEqual([])
  expect(result.acknowledged, `CHAOS_SEED=${seed}`).toBe(result.offered - result.resigned)
})
