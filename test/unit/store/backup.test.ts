import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { encodeRows } from '#store/rows.ts'
import { checkDirectory, restore } from '#store/sqlite/backup.ts'
import { lockDirectory } from '#store/sqlite/directory-lock.ts'
import { openSqlite } from '#store/sqlite/open-sqlite.ts'
import type { NewWebhook, Store } from '#store/store.ts'

const noEvents = { ended: () => undefined }
const webhook = (n: number): NewWebhook => ({
  id: `msg_${String(n).padStart(26, '0')}`,
  brand: 'acme',
  name: null,
  url: 'https://a.com/',
  host: 'a.com',
  domain: 'a.com',
  method: 'POST',
  priority: 'normal',
  at: n,
  nextAt: n * 100_000,
  createdAt: 0,
  timeoutMs: 1_000,
  expiresAt: null,
  retry: null,
  tags: [],
  idempotencyKey: null,
  contentHash: null,
  request: Buffer.from(`the request of webhook ${n}`),
})
const append = (store: Store, first: number, count: number) => {
  const rows = encodeRows(Array.from({ length: count }, (_, i) => webhook(first + i)))
  return store.write([{ type: 'append', count, rows }])
}
const countOf = async (store: Store) => {
  const { scheduled, waiting } = await store.read({ type: 'counts', brand: null, domain: null, now: 0 })
  return scheduled + waiting
}

describe('a backup', () => {
  let home = ''
  let store: Store
  const path = (name: string): string => join(home, name)
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
    const [backup] = await Promise.all([store.read({ type: 'backup', to: path('b.db') }), append(store, 2_000, 2_000)])
    expect(backup.bytes).toBeGreaterThan(100_000)
    restore(path('b.db'), path('again'))
    const again = await openSqlite(path('again'))(noEvents)
    // The batch of 2,000 is there whole or not at all.
    expect([1_000, 3_000]).toContain(await countOf(again))
    await append(again, 10_000, 1)
    expect(await again.read({ type: 'check' })).toEqual({ problems: [] })
    await again.close()
    expect(checkDirectory(path('again'))).toEqual([])
    expect(await countOf(store)).toBe(3_000)
  })
  it('never overwrites a file, and a restore never a store', async () => {
    await store.read({ type: 'backup', to: path('b.db') })
    await expect(store.read({ type: 'backup', to: path('b.db') })).rejects.toMatchObject({ code: 'invalid' })
    await store.close()
    expect(() => restore(path('b.db'), path('data'))).toThrow('holds a store already')
  })
  it('is refused where a daemon runs', async () => {
    await store.read({ type: 'backup', to: path('b.db') })
    const lock = lockDirectory(path('data'))
    expect(() => restore(path('b.db'), path('data'))).toThrow('is in use')
    lock.release()
  })
  it('with a flipped bit is not restored', async () => {
    await store.read({ type: 'backup', to: path('b.db') })
    const bytes = readFileSync(path('b.db'))
    const at = bytes.indexOf('webhook 500')
    bytes[at] = (bytes[at] ?? 0) ^ 1
    writeFileSync(path('b.db'), bytes)
    expect(() => restore(path('b.db'), path('again'))).toThrow('is damaged')
  })
})
