/** STOR-08, STOR-12 of reliability.md: damage is refused and named, and nothing is overwritten. */
import {
  copyFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { encodeRows } from '#store/rows.ts'
import { checkVersion } from '#store/sqlite/connection.ts'
import { dataFiles } from '#store/sqlite/data-files.ts'
import { openSqlite } from '#store/sqlite/open-sqlite.ts'
import { Writer } from '#store/sqlite/writer.ts'
import type { NewWebhook, Store } from '#store/store.ts'
import { LATER, newWebhook, noEvents } from '#test/conformance/store/fixtures.ts'

const webhook = (n: number): NewWebhook => newWebhook(n, { at: n, request: Buffer.from(`the request of webhook ${n}`) })

describe('STOR-08: a damaged store', () => {
  let dir = ''
  const path = (name: string): string => join(dir, name)
  const file = (): string => path('hookpulse.db')
  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), 'hookpulse-damage-'))
    const store = await openSqlite(dir)(noEvents)
    const rows = Array.from({ length: 2_000 }, (_, n) => webhook(n + 1))
    await store.write([{ type: 'append', count: rows.length, rows: encodeRows(rows) }])
    await store.close()
  })
  afterEach(() => rmSync(dir, { recursive: true, force: true }))

  const isRefused = async (code: string, named: string): Promise<void> => {
    const before = existsSync(file()) ? readFileSync(file()) : null
    const error: unknown = await openSqlite(dir)(noEvents).catch((reason: unknown) => reason)
    expect(error).toMatchObject({ name: 'StoreError', code })
    expect(String(error)).toContain(named)
    expect(existsSync(file()) ? readFileSync(file()) : null).toEqual(before)
  }

  it('with a zeroed header is refused', async () => {
    const bytes = readFileSync(file())
    bytes.fill(0, 0, 100)
    writeFileSync(file(), bytes)
    await isRefused('corrupt', file())
  })
  it('that is garbage is refused', async () => {
    writeFileSync(file(), 'not a database, and longer than a header of one hundred bytes'.repeat(4))
    await isRefused('corrupt', file())
  })
  it('cut to half is refused', async () => {
    truncateSync(file(), Math.floor(readFileSync(file()).length / 8192) * 4096)
    await isRefused('corrupt', file())
  })
  it('that is empty or gone is refused, not made anew', async () => {
    truncateSync(file(), 0)
    await isRefused('corrupt', file())
    rmSync(file())
    await isRefused('corrupt', file())
    expect(existsSync(file())).toBe(false)
  })
  it('of another program is refused', async () => {
    rmSync(dir, { recursive: true })
    dir = mkdtempSync(join(tmpdir(), 'hookpulse-damage-'))
    const db = new Database(file())
    db.exec('CREATE TABLE theirs (x)')
    db.close()
    await isRefused('corrupt', 'is not a HookPulse store')
  })
  it('of a later release is refused by its version', async () => {
    const db = new Database(file())
    db.pragma('user_version = 99')
    db.close()
    await isRefused('version', 'schema 99')
  })
  it('whose -wal is gone although it was not closed is refused', async () => {
    const copy = await copyOfOpenStore(dir)
    rmSync(dir, { recursive: true })
    dir = copy
    rmSync(path('hookpulse.db-wal'))
    await isRefused('corrupt', path('hookpulse.db-wal'))
    await isRefused('corrupt', path('hookpulse.db-wal'))
  })
  it('whose opening has failed, which takes the -wal away, and whose process died in that moment, opens again', async () => {
    const copy = await copyOfOpenStore(dir)
    rmSync(dir, { recursive: true })
    dir = copy
    const fails = (point: string): void => {
      if (point.startsWith('store.commit')) throw new Error('the disk')
    }
    expect(() => new Writer(dataFiles(dir), fails)).toThrow('the disk')
    expect(existsSync(path('hookpulse.db-wal'))).toBe(false)
    const store = await openSqlite(dir)(noEvents)
    expect((await store.read({ type: 'brands' })).map((row) => row.brand)).toEqual(['late'])
    await store.close()
  })
  it('whose -shm alone is gone opens as if nothing had happened', async () => {
    const copy = await copyOfOpenStore(dir)
    rmSync(dir, { recursive: true })
    dir = copy
    rmSync(path('hookpulse.db-shm'), { force: true })
    const store = await openSqlite(dir)(noEvents)
    expect((await store.read({ type: 'brands' })).map((row) => row.brand)).toEqual(['late'])
    await store.close()
  })

  it('with a flipped bit in one request quarantines that webhook, and the others go on', async () => {
    const bytes = readFileSync(file())
    for (let at = bytes.indexOf('webhook 777'); at !== -1; at = bytes.indexOf('webhook 777', at + 1))
      bytes[at] = (bytes[at] ?? 0) ^ 4
    writeFileSync(file(), bytes)
    const store = await openSqlite(dir)(noEvents)
    const mark = (n: number) =>
      store.write([{ type: 'mark-started', id: webhook(n).id, attempt: 1, token: `t${n}`, startedAt: LATER }])
    expect((await mark(777))[0]).toMatchObject({ ok: false, why: 'not-live', ended: { state: 'quarantined' } })
    expect((await mark(778))[0]).toMatchObject({ ok: true })
    expect((await store.read({ type: 'webhook', id: webhook(777).id, brand: null }))?.state).toBe('quarantined')
    expect((await store.read({ type: 'counts', brand: null, domain: null, now: 0 })).quarantined).toBe(1)
    expect(await listAll(store)).toHaveLength(2_000)
    const { problems } = await store.read({ type: 'check' })
    expect(problems).toEqual([`${file()}: webhook ${webhook(777).id} is damaged`])
    await store.close()
  })
  it('with a zeroed page is found by the check, which names the file, and the rest of it goes on', async () => {
    const bytes = readFileSync(file())
    const page = Math.floor(bytes.indexOf('the request of webhook 1500') / 4_096)
    bytes.fill(0, page * 4_096, (page + 1) * 4_096)
    writeFileSync(file(), bytes)
    const store = await openSqlite(dir)(noEvents)
    const checking = store.read({ type: 'check' })
    const mark = { type: 'mark-started', id: webhook(3).id, attempt: 1, token: 't', startedAt: LATER } as const
    expect((await store.write([mark]))[0]).toMatchObject({ ok: true })
    const { problems } = await checking
    expect(problems.length).toBeGreaterThan(0)
    for (const problem of problems) expect(problem.startsWith(`${file()}: `)).toBe(true)
    expect((await store.read({ type: 'webhook', id: webhook(3).id, brand: null }))?.state).toBe('executing')
    await store.close()
  })
  it('whose books do not balance is told of by the check', async () => {
    const db = new Database(file())
    db.exec(`DELETE FROM live WHERE seq = 3; DELETE FROM far WHERE seq = 3; DELETE FROM lanes;
      INSERT INTO done VALUES (4, 3, 1, 5, 5, NULL), (9999, 3, 1, 5, 5, NULL), (7, 3, 1, 5, 5, x'09');
      DELETE FROM live WHERE seq = 7; DELETE FROM far WHERE seq = 7`)
    db.close()
    const store = await openSqlite(dir)(noEvents)
    const { problems } = await store.read({ type: 'check' })
    expect(problems).toEqual(
      [
        '1 rows of done without a webhook',
        '1 rows of far that are in live or done too',
        '2000 webhooks of no lane',
        'the counter of scheduled says 2000, there are 1998',
        'the counter of delivered says 0, there are 3',
        `webhook ${webhook(3).id} is in none of far, live and done`,
        `the last attempt of ${webhook(7).id} is damaged`,
      ].map((problem) => `${file()}: ${problem}`),
    )
    await store.close()
  })
  it('answers what is asked while a check is under way, and closes in the middle of one', async () => {
    const store = await openSqlite(dir)(noEvents)
    const order: string[] = []
    const checking = store.read({ type: 'check' }).then(() => order.push('check'))
    await store.read({ type: 'counts', brand: null, domain: null, now: 0 }).then(() => order.push('counts'))
    await checking
    expect(order).toEqual(['counts', 'check'])
    const cut = store.read({ type: 'check' })
    const closed = expect(cut).rejects.toMatchObject({ code: 'closed' })
    await store.close()
    await closed
  })
})

/** What a killed process leaves: a copy of the files while the store is open. */
const copyOfOpenStore = async (dir: string): Promise<string> => {
  const store = await openSqlite(dir)(noEvents)
  await store.write([{ type: 'put-brand', brand: 'late', createdAt: 1 }])
  const copy = mkdtempSync(join(tmpdir(), 'hookpulse-damage-'))
  for (const name of readdirSync(dir)) copyFileSync(join(dir, name), join(copy, name))
  await store.close()
  return copy
}
const listAll = async (store: Store): Promise<readonly unknown[]> =>
  (await store.read({ type: 'list', filter: { brand: null }, limit: 5_000, cursor: null, now: 0 })).webhooks

describe('STOR-12: the version of SQLite', () => {
  it.each(['3.51.3', '3.54.1', '3.50.7', '3.44.6', '3.60.0'])('%s is taken', (version) => {
    expect(() => checkVersion(version)).not.toThrow()
  })
  it.each(['3.51.2', '3.50.6', '3.44.5', '3.45.9', '3.7.0', '4.0.0', ''])('%s is refused', (version) => {
    expect(() => checkVersion(version)).toThrow('3.51.3 or later')
  })
})
