/** A check or a backup that is in the middle of one long call: with a thread of the daemon the daemon could not have ended. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { InspectionProcess } from '#store/sqlite/inspection-process.ts'

let dir: string
const inspectors: InspectionProcess[] = []
const started = (): InspectionProcess => {
  const inspector = new InspectionProcess()
  inspectors.push(inspector)
  return inspector
}
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'inspection-'))
})
afterEach(async () => {
  for (const inspector of inspectors.splice(0)) await inspector.end()
  rmSync(dir, { recursive: true })
})

describe('an inspection', () => {
  it('that nothing can interrupt ends when it is told to, at once', async () => {
    const endless = join(dir, 'endless.db')
    const db = new Database(endless)
    db.exec(`CREATE TABLE webhooks (seq INTEGER PRIMARY KEY);
      CREATE VIEW far AS WITH RECURSIVE n (seq) AS (SELECT 1 UNION ALL SELECT seq + 1 FROM n) SELECT seq FROM n`)
    db.close()
    const inspector = started()
    const asked = expect(inspector.ask(endless, { type: 'check' })).rejects.toMatchObject({ code: 'closed' })
    const other = started()
    // By the time the second one has looked and answered, the first one is well inside.
    await expect(other.ask(join(dir, 'none.db'), { type: 'check' })).rejects.toThrow('none.db')
    await inspector.end()
    await asked
  })
  it('that has answered is over, and may be ended again', async () => {
    const inspector = started()
    await expect(inspector.ask(join(dir, 'none.db'), { type: 'check' })).rejects.toThrow('none.db')
    await inspector.end()
    await inspector.end()
  })
})
