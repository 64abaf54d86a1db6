import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { describe, expect, it, onTestFinished } from 'vitest'
import { encodeRows } from '#store/rows.ts'
import { openSqlite } from '#store/sqlite/open-sqlite.ts'
import { WalCare } from '#store/sqlite/wal-care.ts'
import type { NewWebhook } from '#store/store.ts'
import { VirtualWorld } from '#world/virtual-world.ts'

const BOUNDS = { framesMax: 80, alarmBytes: 200 * 4_120, idleMs: 1_000 }
const stage = () => {
  const world = new VirtualWorld()
  const asked: string[] = []
  const care = new WalCare(
    BOUNDS,
    {
      checkpoint: () => asked.push('checkpoint'),
      finish: () => asked.push('finish'),
      truncate: () => asked.push('truncate'),
      grown: (bytes) => asked.push(`grown ${bytes / 4_120}`),
    },
    world,
  )
  return { world, care, asked }
}

describe('the care for the log', () => {
  it('asks for one checkpoint at a time, chases its end while it moves, and lets the writer finish', () => {
    const { care, asked } = stage()
    care.wanted()
    care.wanted()
    expect(asked).toEqual(['checkpoint'])
    care.checkpointed(79, 10)
    care.wanted()
    care.checkpointed(100, 60)
    expect(asked).toEqual(['checkpoint', 'checkpoint', 'checkpoint'])
    care.checkpointed(105, 95)
    expect(asked).toEqual(['checkpoint', 'checkpoint', 'checkpoint', 'finish'])
  })
  it('STOR-11: does not turn in a circle before a reader, tells of a long log once, and again after it was short', () => {
    const { care, asked } = stage()
    for (const frames of [100, 150, 200, 250, 300]) {
      care.wanted()
      care.checkpointed(frames, 20)
      care.checkpointed(frames, 20)
    }
    expect(asked.filter((what) => what === 'checkpoint')).toHaveLength(6)
    expect(asked.filter((what) => what.startsWith('grown'))).toEqual(['grown 200'])
    care.checkpointed(120, 120)
    care.checkpointed(210, 20)
    expect(asked.filter((what) => what.startsWith('grown'))).toEqual(['grown 200'])
    care.checkpointed(90, 90)
    care.checkpointed(210, 20)
    expect(asked.filter((what) => what.startsWith('grown'))).toEqual(['grown 200', 'grown 210'])
  })
  it('STOR-11: empties the file after a quiet while, not before a reader has gone, and not after its end', async () => {
    const { world, care, asked } = stage()
    care.wanted()
    care.checkpointed(50, 50)
    await world.advance(999)
    expect(asked).toEqual(['checkpoint'])
    await world.advance(1)
    care.checkpointed(50, 20)
    expect(asked).toEqual(['checkpoint', 'checkpoint'])
    await world.advance(1_000)
    care.checkpointed(50, 50)
    expect(asked).toEqual(['checkpoint', 'checkpoint', 'checkpoint', 'truncate'])
    care.wanted()
    care.stop()
    care.wanted()
    await world.advance(0)
    expect(asked).toHaveLength(5)
  })
})

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
  request: new Uint8Array(4_000),
})

describe('a store whose log is held by another reader', () => {
  it('STOR-11: tells of it, goes on, and empties the log when the reader has gone', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'hookpulse-wal-care-'))
    onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
    const grown: number[] = []
    const bounds = { framesMax: 500, alarmBytes: 4_000_000, idleMs: 200 }
    const store = await openSqlite(dir, bounds)({ ended: () => undefined, grown: (bytes) => grown.push(bytes) })
    const reader = new Database(join(dir, 'hookpulse.db'), { readonly: true })
    reader.exec('BEGIN')
    reader.prepare('SELECT count(*) FROM webhooks').get()
    for (let first = 1; first <= 3_000; first += 300) {
      const rows = encodeRows(Array.from({ length: 300 }, (_, i) => webhook(first + i)))
      await store.write([{ type: 'append', count: 300, rows }])
    }
    await expect.poll(() => grown.length, { timeout: 10_000 }).toBe(1)
    const wal = join(dir, 'hookpulse.db-wal')
    expect(statSync(wal).size).toBeGreaterThan(4_000_000)
    reader.close()
    await expect.poll(() => statSync(wal).size, { timeout: 15_000 }).toBe(0)
    expect(await store.read({ type: 'check' })).toEqual({ problems: [] })
    await store.close()
  })
})
