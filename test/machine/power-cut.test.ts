/**
 * STOR-05: the power goes. From a real trace of the writer's system calls the files are put together as a disk would have them
 * that has only what it was asked to sync, and some of what it was not: nothing, all, or a drawn half of the unsynced writes,
 * in the order of the trace. Each is opened, and compared with the acknowledgements that the trace has before that moment.
 * (Simulated: the disk. Real: every byte, every sync, their order. Assumed: a directory keeps the names of its files.)
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { openSqlite } from '#store/sqlite/open-sqlite.ts'
import { Prng } from '#world/prng.ts'
import { brokenWords, note, nothing, type Word } from './acknowledgements.ts'
import { runUnder } from './strace.ts'
import { PromisedDisk, readTrace, type Step, TRACE_FLAGS, TRACED } from './trace.ts'

const ROUNDS = 12
/** Every sync, and as many moments between two. */
const MOMENTS_MAX = 70

it('STOR-05: after a power cut at any sync, or between two, all acknowledged work is there', async () => {
  const home = mkdtempSync(join(tmpdir(), 'hookpulse-power-'))
  const [dir, log] = [join(home, 'data'), join(home, 'log')]
  mkdirSync(dir)
  const child = join(import.meta.dirname, 'power-cut-child.ts')
  runUnder({ trace: TRACED, flags: TRACE_FLAGS, log }, child, [dir, String(ROUNDS)])
  const steps = readTrace(log, dir)
  const count = (kind: Step['kind']): number => steps.filter((step) => step.kind === kind).length
  expect(count('said')).toBe(4 * ROUNDS + ROUNDS / 4)
  // Each promise is synced before it is answered; marks and outcomes are not.
  expect(count('sync')).toBeGreaterThan(3 * ROUNDS)

  const prng = new Prng(5)
  const moments = momentsOf(steps, prng)
  const said = nothing()
  const disk = new PromisedDisk()
  for (const [at, step] of steps.entries()) {
    disk.do(step)
    if (step.kind === 'said') note(said, JSON.parse(step.line) as Word)
    if (!moments.has(at) || said.appended.length === 0) continue
    for (const survives of [() => false, () => true, () => prng.next() < 0.5]) {
      const copy = join(home, 'copy')
      disk.leave(copy, survives)
      const store = await openSqlite(copy)({ ended: () => undefined })
      expect(await brokenWords(store, said, 'power cut'), `power cut after step ${at}`).toEqual([])
      await store.close()
      rmSync(copy, { recursive: true })
    }
  }
  rmSync(home, { recursive: true, force: true })
})

const momentsOf = (steps: readonly Step[], prng: Prng): ReadonlySet<number> => {
  const syncs = steps.flatMap((step, at) => (step.kind === 'sync' ? [at] : []))
  const between = Array.from({ length: MOMENTS_MAX - syncs.length }, () => prng.below(steps.length))
  return new Set([...syncs, ...between])
}
