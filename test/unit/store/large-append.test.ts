/** D-16: a large append goes in chunks; until its commit nothing of it is there, and others pass by. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { APPEND_CHUNK_ROWS } from '#config/limits.ts'
import { encodeRows } from '#store/rows.ts'
import { BatchInTheWay } from '#store/sqlite/appending.ts'
import { problemsOf } from '#store/sqlite/checking.ts'
import { openConnection } from '#store/sqlite/connection.ts'
import { dataFiles } from '#store/sqlite/data-files.ts'
import { openSqlite } from '#store/sqlite/open-sqlite.ts'
import { Writer } from '#store/sqlite/writer.ts'
import type { NewWebhook, WriteOp } from '#store/store.ts'
import { idOf, LATER, newWebhook } from '#test/conformance/store/fixtures.ts'
import { readsOf } from '#test/conformance/store/inline-sqlite.ts'

const webhook = (n: number): NewWebhook =>
  newWebhook(n, { at: 1_000 + n, idempotencyKey: `k${n}`, request: new Uint8Array(50) })
const appendOf = (first: number, count: number) => {
  const rows = encodeRows(Array.from({ length: count }, (_, i) => webhook(first + i)))
  return { type: 'append', count, rows } as const
}
/** A row on a domain of its own: a look for due lanes passes over all of them. */
const oneOf = (n: number) => ({
  rows: encodeRows([{ ...webhook(200_000 + n), domain: `d${n}.com`, idempotencyKey: null }]),
})
const COUNT = 5 * APPEND_CHUNK_ROWS + 1
const HORIZON = { type: 'horizon', after: { nextAt: 0, seq: 0 }, limit: 500, except: [] } as const

describe('a large append', () => {
  let dir = ''
  let writer: Writer
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'hookpulse-large-'))
    writer = new Writer(dataFiles(dir))
  })
  afterEach(() => rmSync(dir, { recursive: true, force: true }))
  const run = (...ops: readonly WriteOp[]): unknown => {
    const work = writer.run(ops)
    let step = work.next()
    while (step.done !== true) step = work.next()
    return step.value
  }

  it('looks well to a check in each of its pauses, and lies by hours at its end', () => {
    const hours = 40
    const spread = Array.from({ length: COUNT }, (_, n) => ({ ...webhook(n), nextAt: LATER + (n % hours) * 3_600_000 }))
    const work = writer.run([{ type: 'append', count: COUNT, rows: encodeRows(spread) }])
    const db = openConnection(dataFiles(dir).database, 1_024)
    const placed = db.prepare<[], number>('SELECT count(*) FROM far').pluck()
    const seen = new Set<number | undefined>()
    for (let step = work.next(); step.done !== true; step = work.next()) {
      expect(problemsOf(db)).toEqual([])
      seen.add(placed.get())
    }
    expect([...seen]).toEqual([0, 1_000, COUNT])
    expect(problemsOf(db)).toEqual([])
    const inHour = db.prepare<[], number>('SELECT count(*) FROM far GROUP BY bucket').pluck().all()
    expect(inHour).toEqual(Array.from({ length: hours }, (_, n) => Math.ceil((COUNT - n) / hours)))
    db.close()
    writer.close()
  })
  /** Some chunks are written, the last is not. */
  const begin = (...ops: readonly WriteOp[]) => {
    const work = writer.run(ops)
    for (let i = 0; i < 4; i++) work.next()
    return work
  }
  const finish = (work: ReturnType<typeof begin>): unknown => {
    let step = work.next()
    while (step.done !== true) step = work.next()
    return step.value
  }

  it.each([
    ['near', 10_000_000],
    ['far', -10_000_000],
  ])('of rows that are due %s shows nothing before its commit, on either connection', (_where, until) => {
    writer.read({ ...HORIZON, until })
    const work = begin(appendOf(1, COUNT))
    const db = openConnection(dataFiles(dir).database, 1_024)
    const reads = readsOf(db)
    const filter = { brand: null }
    const counts = () => reads.counts({ type: 'counts', brand: null, domain: null, now: 5_000_000 })
    expect(writer.read({ ...HORIZON, until: 5_000_000 })).toMatchObject({ rows: [] })
    expect(writer.read({ type: 'due-lanes', now: 5_000_000, after: null, limit: 5 })).toMatchObject({ lanes: [] })
    expect(reads.webhook({ type: 'webhook', id: idOf(1), brand: null })).toBeNull()
    expect(reads.list({ type: 'list', filter, limit: 5, cursor: null, now: 0 })).toMatchObject({ webhooks: [] })
    expect(reads.backlog({ type: 'backlog', domain: 'a.com', now: 5_000_000, cap: 5 }).count).toBe(0)
    expect(counts()).toMatchObject({ scheduled: 0, waiting: 0 })
    expect(finish(work)).toMatchObject([{ ok: true }])
    expect(counts()).toMatchObject({ scheduled: 0, waiting: COUNT })
    expect(reads.list({ type: 'list', filter, limit: 5, cursor: null, now: 0 }).webhooks).toHaveLength(5)
    db.close()
    writer.close()
  })

  it('lets others write between its chunks, and keeps its own numbers together', () => {
    const work = begin(appendOf(1, COUNT))
    expect(run(appendOf(90_000, 1))).toMatchObject([{ seqs: [COUNT + 1] }])
    expect(run({ type: 'cancel', id: idOf(1), brand: null, at: 5 })).toMatchObject([{ outcome: 'notFound' }])
    expect(finish(work)).toMatchObject([{ seqs: Array.from({ length: COUNT }, (_, i) => i + 1) }])
    expect(run(appendOf(90_001, 1))).toMatchObject([{ seqs: [COUNT + 2] }])
    writer.close()
  })

  it('makes who uses one of its keys wait: nobody knows yet whether it is a duplicate', () => {
    const work = begin(appendOf(1, COUNT))
    const late = { ...webhook(99_000), idempotencyKey: 'k1' }
    const op = { type: 'append', count: 1, rows: encodeRows([late]) } as const
    expect(() => run(op)).toThrow(BatchInTheWay)
    finish(work)
    expect(run(op)).toMatchObject([{ duplicates: [true], ids: [idOf(1)] }])
    writer.close()
  })

  it('that was not committed when the process died is gone at the next boot, keys included', () => {
    begin(appendOf(1, COUNT))
    writer.close()
    writer = new Writer(dataFiles(dir))
    expect(writer.read({ ...HORIZON, until: 5_000_000 })).toMatchObject({ rows: [] })
    expect(run(appendOf(1, COUNT))).toMatchObject([{ ok: true, seqs: Array.from({ length: COUNT }, (_, i) => i + 1) }])
    writer.close()
  })

  it('in the thread: marks, small appends and reads that come after it are answered before it', async () => {
    writer.close()
    const store = await openSqlite(dir)({ ended: () => undefined })
    await store.write([appendOf(50_000, 3)])
    const order: string[] = []
    const note = (what: string) => () => order.push(what)
    await Promise.all([
      store.write([appendOf(1, 10_000)]).then(note('large')),
      store
        .write([{ type: 'mark-started', id: idOf(50_000), attempt: 1, token: 't', startedAt: LATER }])
        .then(note('mark')),
      store.write([appendOf(60_000, 1)]).then(note('small')),
      store.read({ ...HORIZON, until: 5_000_000 }).then(note('read')),
    ])
    expect(order).toEqual(['mark', 'small', 'read', 'large'])
    await store.close()
  })

  it('in the thread: is not starved by reads that never end', async () => {
    run(...Array.from({ length: 2_000 }, (_, n) => ({ ...appendOf(100_000 + n, 1), ...oneOf(n) })))
    writer.close()
    const store = await openSqlite(dir)({ ended: () => undefined })
    let isDone = false
    let reads = 0
    const readOn = async (): Promise<void> => {
      while (!isDone && reads < 5_000) {
        await store.read({ type: 'due-lanes', now: 0, after: null, limit: 500 })
        reads += 1
      }
    }
    const appended = store.write([appendOf(1, COUNT)]).then(() => {
      isDone = true
    })
    await Promise.all([appended, ...Array.from({ length: 64 }, readOn)])
    expect(reads).toBeLessThan(5_000)
    await store.close()
  })

  it('that became due while nobody was there is moved in steps: a mark passes by, and the answer is exact', async () => {
    run(appendOf(1, 10_000))
    writer.close()
    const store = await openSqlite(dir)({ ended: () => undefined })
    const order: string[] = []
    const [page] = await Promise.all([
      store.read({ ...HORIZON, until: 5_000_000 }).finally(() => order.push('horizon')),
      store
        .write([{ type: 'mark-started', id: idOf(9_000), attempt: 1, token: 't', startedAt: LATER }])
        .finally(() => order.push('mark')),
    ])
    expect(order).toEqual(['mark', 'horizon'])
    expect(page.rows.map((row) => row.id)).toEqual(Array.from({ length: 500 }, (_, i) => idOf(i + 1)))
    await store.close()
  })

  it('that a close overtakes was never there; one that was acknowledged is', async () => {
    writer.close()
    const store = await openSqlite(dir)({ ended: () => undefined })
    const acknowledged = store.write([appendOf(1, 10_000)]).then(
      () => true,
      () => false,
    )
    await store.close()
    writer = new Writer(dataFiles(dir))
    const lanes = (await acknowledged) ? [{ domain: 'a.com', brand: 'acme', priority: 'normal', kind: 'first' }] : []
    expect(writer.read({ type: 'due-lanes', now: 5_000_000, after: null, limit: 5 })).toEqual({ lanes, next: null })
    writer.close()
  })
})
