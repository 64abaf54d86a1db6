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

it('STOR-03: killed at the Nth write to the WAL it opens clean, with every acknowledged webhook and no half of one', async () => {
  let cut = 0
  for (const nth of MOMENTS) {
    const dir = mkdtempSync(join(tmpdir(), 'hookpulse-torn-'))
    const files = [join(dir, 'hookpulse.db-wal')]
    const inject = [`pwrite64:signal=SIGKILL:when=${nth}`]
    const said = await heardUntilDeath(forkUnder({ inject, files }, child, [dir]), Number.POSITIVE_INFINITY)
    cut += said.appended.length
    const store = await openSqlite(dir)({ ended: () => undefined })
    expect(await brokenWords(store, said), `killed at write ${nth}`).toEqual([])
    await store.close()
    rmSync(dir, { recursive: true, force: true })
  }
  expect(cut, 'acknowledged appends over all runs').toBeGreaterThan(100)
})

function range(from: number, to: number, step: number): number[] {
  return Array.from({ length: Math.floor((to - from) / step) + 1 }, (_, i) => from + i * step)
}
