/** The real daemon under 200 schedules a second with receivers of every mood; its disk is left alone (`machine/chaos.test.ts`). */
import { expect, it, onTestFinished } from 'vitest'
import { runChaos } from '#test/chaos/chaos.ts'
import { PROCESS_FAULTS } from '#test/chaos/plan.ts'
import { freshDataDirectory, removeDirectory } from '#test/support/daemon.ts'

const { CHAOS_SECONDS = '600', CHAOS_SEED = '1' } = process.env

it('PROC-02: bears ten minutes of kill -9 under 200 schedules a second: lost 0, and every extra arrival has its attempt in doubt', async () => {
  const dir = freshDataDirectory()
  onTestFinished(() => removeDirectory(dir))
  const options = { seed: Number(CHAOS_SEED), ms: Number(CHAOS_SECONDS) * 1_000, faults: PROCESS_FAULTS, dir }
  const { findings, ...figures } = await runChaos(options)
  process.stdout.write(`${JSON.stringify(figures)}\n`)
  expect(findings).toEqual([])
  expect(figures.faults.kill).toBeGreaterThan(0)
})
