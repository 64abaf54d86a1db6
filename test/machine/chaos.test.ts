/** The black box with a disk that is full, slow, or fails its syncs. Ten minutes of it: `npm run chaos`. */
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import type { ChaosResult } from '#test/chaos/chaos.ts'

const { CHAOS_SEED = String(Date.now() % 1_000_000), CHAOS_MINUTES = '1' } = process.env
const script = fileURLToPath(import.meta.resolve('#test/chaos/main.ts'))

it('PROC-02, STOR-01, STOR-02: killed, stopped and broken while its disk is full, slow and failing: lost 0, nothing early, every extra arrival in doubt, a clean check', () => {
  const args = [script, '--json', `--seed=${CHAOS_SEED}`, `--minutes=${CHAOS_MINUTES}`]
  const run = spawnSync(process.execPath, args, { encoding: 'utf8' })
  expect(run.stderr, `seed ${CHAOS_SEED}`).toBe('')
  const result: ChaosResult = JSON.parse(run.stdout)
  expect(result.findings, `npm run chaos -- --seed=${CHAOS_SEED} --minutes=${CHAOS_MINUTES}`).toEqual([])
  // What has not happened shows nothing.
  const { kill = 0, full = 0, slow = 0 } = result.faults
  expect(Math.min(kill, full + slow), JSON.stringify(result.faults)).toBeGreaterThan(0)
  expect(result.acknowledged).toBeGreaterThan(0.8 * result.offered)
  process.stdout.write(`${run.stdout}`)
})
