import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { encodeRows } from '#store/rows.ts'
import { backUp as copyStore } from '#store/sqlite/backup.ts'
import { lockDirectory } from '#store/sqlite/directory-lock.ts'
import { openSqlite } from '#store/sqlite/open-sqlite.ts'
import { checkDirectory, restore } from '#store/sqlite/restore.ts'
import type { NewWebhook, Store } from '#store/store.ts'
import { newWebhook, noEvents } from '#test/conformance/store/fixtures.ts'

const webhook = (n: number): NewWebhook =>
  newWebhook(n, { at: n, nextAt: n * 100_000, request: Buffer.from(`the request of webhook ${n}`) })
const append = (store: Store, first: number, count: number) => {
  const rows = encodeRows(Array.from({ length: count }, (_, i) => webhook(first + i)))
  return store.write([{ type: 'append', count, rows }])
}
const countOf = async (store: Store) => {
  const { scheduled, waiting } = await store.read({ type: 'counts', brand: null, domain: null, now: 0 })
  return scheduled + waiting
}
const flipped = (file: string, text: string): void => {
  const bytes = readFileSync(file)
  const at = bytes.indexOf(text)
  bytes[at] = (bytes[at] ?? 0) ^ 1
  writeFileSync(file, bytes)
}

describe('a backup', () => {
  let home = ''
  let store: Store
  const path = (name: string): string => join(home, name)
  const backUp = (to = path('b.db')) => store.read({ type: 'backup', to })
  beforeEach(async () => {
    home = mkdtempSync(join(tmpdir(), 'hookpulse-backup-'))
    store = await openSqlite(path('data'))(noEvents)
    await append(store, 1, 1_000)
  })
  afterEach(async () => {
    await store.close()
    rmSync(home, { recursive: true, force: true })
  })

  it('made while the store is written restores to what was there, and the store goes on', async () => {
    const [backup] = await Promise.all([backUp(), append(store, 2_000, 2_000)])
    expect(backup).toMatchObject({ ok: true, bytes: statSync(path('b.db')).size })
    restore(path('b.db'), path('again'))
    const again = await openSqlite(path('again'))(noEvents)
    // The batch of 2,000 is there whole or not at all.
    expect([1_000, 3_000]).toContain(await countOf(again))
    await append(again, 10_000, 1)
    expect(await again.read({ type: 'check' })).toEqual({ problems: [] })
    await again.close()
    expect(checkDirectory(path('again')).problems).toEqual([])
    expect(await countOf(store)).toBe(3_000)
  })
  it('is one file for its owner alone, and so is what is restored of it', async () => {
    expect(await backUp()).toMatchObject({ ok: true, webhooks: 1_000 })
    expect(readdirSync(home)).toEqual(['b.db', 'data'])
    chmodSync(path('b.db'), 0o644)
    expect(restore(path('b.db'), path('deep/er/again'))).toMatchObject({ webhooks: 1_000, replaced: null })
    const modeOf = (name: string): number => statSync(path(name)).mode & 0o777
    expect([modeOf('deep'), modeOf('deep/er/again'), modeOf('deep/er/again/hookpulse.db')]).toEqual([
      0o700, 0o700, 0o600,
    ])
  })
  it('never overwrites a file, and says what is wrong with a path', async () => {
    await backUp()
    mkdirSync(path('folder'))
    writeFileSync(path('c.db.unfinished'), 'of another one')
    const refused = async (to: string, text: string) => {
      const before = readdirSync(home)
      expect(await copyStore(path('data/hookpulse.db'), to), to).toMatchObject({
        ok: false,
        why: 'path',
        detail: expect.stringContaining(text),
      })
      expect(readdirSync(home)).toEqual(before)
    }
    expect(await backUp()).toMatchObject({ ok: false, why: 'path' })
    await refused(path('b.db'), 'exists already: a backup never overwrites')
    await refused(path('folder'), 'is a directory: name a file in it')
    await refused('b2.db', 'is not an absolute path')
    await refused(path('a\0b'), 'is not an absolute path')
    await refused(path('missing/b.db'), 'no such file or directory')
    await refused(path('b.db/b.db'), 'not a directory')
    await refused('/proc/x', 'no such file or directory')
    await refused(path('data/b.db'), 'is in the data directory')
    await refused(path('c.db'), 'another backup is being made there, or was cut short')
    expect(readFileSync(path('c.db.unfinished'), 'utf8')).toBe('of another one')
  })
  it('goes on while lists are answered, one at a time, and a store that closes meanwhile leaves nothing of it', async () => {
    await append(store, 10_000, 9_000)
    const order: string[] = []
    const first = backUp().then(() => order.push('backup'))
    expect(await backUp(path('c.db'))).toMatchObject({ ok: false, why: 'under-way' })
    await store.read({ type: 'counts', brand: null, domain: null, now: 0 }).then(() => order.push('counts'))
    await first
    expect(order).toEqual(['counts', 'backup'])
    const cut = expect(backUp(path('cut.db'))).rejects.toMatchObject({ code: 'closed' })
    await store.close()
    await cut
    expect(readdirSync(home)).toEqual(['b.db', 'data'])
  })
  it('of a damaged store is kept by another name and not called a backup', async () => {
    await store.close()
    flipped(path('data/hookpulse.db'), 'webhook 500')
    store = await openSqlite(path('data'))(noEvents)
    expect(await backUp()).toMatchObject({
      ok: false,
      why: 'damaged',
      detail: expect.stringContaining(`${webhook(500).id} is damaged; the copy is kept as ${path('b.db.damaged')}`),
    })
    expect(readdirSync(home)).toEqual(['b.db.damaged', 'data'])
  })
})

describe('a restore', () => {
  let home = ''
  const path = (name: string): string => join(home, name)
  beforeEach(async () => {
    home = mkdtempSync(join(tmpdir(), 'hookpulse-restore-'))
    const store = await openSqlite(path('data'))(noEvents)
    await append(store, 1, 1_000)
    await store.read({ type: 'backup', to: path('b.db') })
    await append(store, 2_000, 1)
    await store.close()
  })
  afterEach(() => rmSync(home, { recursive: true, force: true }))

  it('never overwrites a store; with `replace` it moves it aside, whole', async () => {
    const before = readFileSync(path('data/hookpulse.db'))
    expect(() => restore(path('b.db'), path('data'))).toThrow('or move it aside with --replace')
    expect(readFileSync(path('data/hookpulse.db'))).toEqual(before)
    expect(restore(path('b.db'), path('data'), true)).toMatchObject({ replaced: path('data/replaced-1') })
    expect(restore(path('b.db'), path('data'), true)).toMatchObject({ replaced: path('data/replaced-2') })
    expect(checkDirectory(path('data'))).toMatchObject({ webhooks: 1_000, problems: [] })
    expect(checkDirectory(path('data/replaced-1'))).toMatchObject({ webhooks: 1_001, problems: [] })
  })
  it('over a store that was killed takes its -wal aside too', async () => {
    const store = await openSqlite(path('data'))(noEvents)
    await append(store, 3_000, 5)
    for (const name of ['hookpulse.db', 'hookpulse.db-wal', 'store.open', 'store.json']) {
      mkdirSync(path('killed'), { recursive: true })
      writeFileSync(join(path('killed'), name), readFileSync(path(`data/${name}`)))
    }
    await store.close()
    expect(restore(path('b.db'), path('killed'), true)).toMatchObject({ replaced: path('killed/replaced-1') })
    expect(readdirSync(path('killed')).filter((name) => name.includes('-wal') || name.includes('.open'))).toEqual([])
    const again = await openSqlite(path('killed'))(noEvents)
    expect(await countOf(again)).toBe(1_000)
    await again.close()
    const aside = await openSqlite(path('killed/replaced-1'))(noEvents)
    expect(await countOf(aside)).toBe(1_006)
    await aside.close()
  })
  it('cut short between the two leaves a directory that a start refuses by name', async () => {
    mkdirSync(path('data/replaced-1'))
    writeFileSync(path('data/replaced-1/hookpulse.db'), readFileSync(path('data/hookpulse.db')))
    rmSync(path('data/hookpulse.db'))
    await expect(openSqlite(path('data'))(noEvents)).rejects.toThrow('hookpulse.db is missing or empty')
    expect(restore(path('b.db'), path('data'), true)).toMatchObject({ replaced: path('data/replaced-2') })
    expect(checkDirectory(path('data'))).toMatchObject({ webhooks: 1_000 })
  })
  it('is refused where a daemon runs, and so is a check; both name it', () => {
    const lock = lockDirectory(path('data'))
    const inUse = `is in use by process ${process.pid}`
    expect(() => restore(path('b.db'), path('data'), true)).toThrow(inUse)
    expect(() => checkDirectory(path('data'))).toThrow(inUse)
    lock.release()
  })
  it('of what is no backup is refused, and leaves nothing behind', async () => {
    const refused = (from: string, text: string) => {
      expect(() => restore(from, path('again')), from).toThrow(text)
      const left = existsSync(path('again')) ? readdirSync(path('again')) : []
      expect(left.filter((name) => name.includes('hookpulse.db'))).toEqual([])
    }
    refused(path('missing.db'), 'no such file or directory')
    refused(path('data'), 'is not a file')
    refused('/dev/null', 'is not a file')
    writeFileSync(path('text'), 'no database, and longer than a header of one hundred bytes'.repeat(4))
    refused(path('text'), 'file is not a database')
    flipped(path('b.db'), 'webhook 500')
    refused(path('b.db'), 'is damaged')
    const store = await openSqlite(path('data'))(noEvents)
    await append(store, 3_000, 1)
    refused(path('data/hookpulse.db'), 'is the file of a store that was not closed')
    await store.close()
  })
  it('into a place where nothing can be made says why at once', () => {
    writeFileSync(path('file'), '')
    expect(() => restore(path('b.db'), path('file/data'))).toThrow('a part of the path is not a directory')
    expect(() => restore(path('b.db'), path('file'))).toThrow('is not a directory')
    // Node's own recursive mkdir never returns from this one.
    expect(() => restore(path('b.db'), '/proc/x')).toThrow('/proc/x cannot be made: no such file or directory')
    expect(() => lockDirectory('/proc/x/y')).toThrow('/proc/x/y cannot be made')
  })
})

describe('a check of a stopped store', () => {
  let home = ''
  const path = (name: string): string => join(home, name)
  beforeEach(() => {
    home = mkdtempSync(join(tmpdir(), 'hookpulse-check-'))
  })
  afterEach(() => rmSync(home, { recursive: true, force: true }))

  /** What kill -9 leaves: the files of an open store. */
  const killed = async (): Promise<string> => {
    const store = await openSqlite(path('data'))(noEvents)
    await append(store, 1, 700)
    mkdirSync(path('killed'))
    for (const name of ['hookpulse.db', 'hookpulse.db-wal', 'store.open', 'store.json'])
      writeFileSync(path(`killed/${name}`), readFileSync(path(`data/${name}`)))
    await store.close()
    return path('killed')
  }
  it('reads what is only in the -wal, changes nothing, and the next start finds all of it', async () => {
    const dir = await killed()
    const bytesOf = () => ['hookpulse.db', 'hookpulse.db-wal'].map((name) => readFileSync(join(dir, name)))
    const before = bytesOf()
    expect(checkDirectory(dir)).toEqual({ dir, webhooks: 700, problems: [] })
    expect(bytesOf()).toEqual(before)
    const store = await openSqlite(dir)(noEvents)
    expect(await countOf(store)).toBe(700)
    await store.close()
  })
  it('tells of a -wal that is gone, of damage, and of a directory without a store, which it does not make', async () => {
    const dir = await killed()
    rmSync(join(dir, 'hookpulse.db-wal'))
    expect(() => checkDirectory(dir)).toThrow('hookpulse.db-wal is missing')
    flipped(path('data/hookpulse.db'), 'webhook 500')
    expect(checkDirectory(path('data')).problems).toEqual([`webhook ${webhook(500).id} is damaged`])
    expect(() => checkDirectory(path('nowhere'))).toThrow(`there is no store in ${path('nowhere')}`)
    expect(() => checkDirectory('/proc/x')).toThrow('there is no store in /proc/x')
    expect(readdirSync(dirname(dir))).toEqual(['data', 'killed'])
  })
})
