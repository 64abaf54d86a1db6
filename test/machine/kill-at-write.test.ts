/** STOR-03: the process is killed at the Nth write to the WAL, in the middle of a transaction. Needs strace. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { openSqlite } from '#store/sqlite/open-sqlite.ts'
import { brokenWords, heardUntilDeath } from './acknowledgements.ts'
import { forkUnder } from './strace.ts'

const child = join(import.meta.dirname, '../unit/store/crash-child.ts')
/** A frame is two writes. The first two hundred make the tables; then come groups of small and of 1,000 rows. */
const MOMENTS = [...range(1, 200, 1), ...range(201, 1_200, 29)]
/** Half of each run is the start of a process: two at a time use two cores. */
const LANES = 2

it('STOR-03: killed at the Nth write to the WAL it opens clean, with every acknowledged webhook and no half of one', async () => {
  const moments = MOMENTS.values()
  const runs = Array.from({ length: LANES }, async () => {
    let acknowledged = 0
    for (const nth of moments) acknowledged += await killedAt(nth)
    return acknowledged
  })
  const acknowledged = (await Promise.all(runs)).reduce((sum, n) => sum + n, 0)
  expect(acknowledged, 'acknowledged appends over all runs').toBeGreaterThan(100)
})

async function killedAt(nth: number): Promise<number> {
  const dir = mkdtempSync(join(tmpdir(), 'hookpulse-torn-'))
  const files = [join(dir, 'hookpulse.db-wal')]
  const inject = [`pwrite64:signal=SIGKILL:when=${nth}`]
  const writer = forkUnder({ inject, files }, child, [dir])
  const said = await heardUntilDeath(writer, Number.POSITIVE_INFINITY)
  // A tracer dies of its tracee's signal. Anything else, and this run has torn nothing.
  expect(writer.signalCode, `what ended the writer at write ${nth}`).toBe('SIGKILL')
  const store = await openSqlite(dir)({ ended: () => undefined })
  expect(await brokenWords(store, said), `killed at write ${nth}`).toEqual([])
  await store.close()
  rmSync(dir, { recursive: true, force: true })
  return said.appended.length
}

function range(from: number, to: number, step: number): number[] {
  return Array.from({ length: Math.floor((to - from) / step) + 1 }, (_, i) => from + i * step)
}
