/**
 * STOR-03, STOR-05 without tracing tools: what a power cut leaves of the write-ahead log is a beginning of it, or one with a torn
 * frame inside (https://sqlite.org/fileformat2.html, 4.1). The long versions are in test/machine.
 */
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { encodeRows } from '#store/rows.ts'
import { problemsOf } from '#store/sqlite/checking.ts'
import { openConnection } from '#store/sqlite/connection.ts'
import { dataFiles } from '#store/sqlite/data-files.ts'
import { Writer } from '#store/sqlite/writer.ts'
import type { NewWebhook, WriteOp } from '#store/store.ts'
import { idOf, newWebhook } from '#test/conformance/store/fixtures.ts'

const WAL_HEADER = 32
const FRAME = 24 + 4_096
/** In the frame's header, at its end, in the page, before its last byte. */
const TORN_AT = [1, 20, 24, 2_000, FRAME - 1]
const webhook = (n: number): NewWebhook =>
  newWebhook(n, { domain: `a${n % 3}.com`, at: n * 1_000_000, idempotencyKey: `k${n}`, request: new Uint8Array(300) })
const write = (writer: Writer, ...ops: readonly WriteOp[]): void => {
  const run = writer.run(ops)
  while (run.next().done !== true);
}

/** Webhooks and cancels that were acknowledged when the log was so long. */
interface Word {
  readonly bytes: number
  readonly webhooks: number
  readonly cancelled: number
}

describe('a log that was cut', () => {
  const home = mkdtempSync(join(tmpdir(), 'hookpulse-wal-'))
  const files = dataFiles(join(home, 'data'))
  const words: Word[] = [{ bytes: 0, webhooks: 0, cancelled: 0 }]
  let wal = Buffer.alloc(0)
  beforeAll(() => {
    mkdirSync(join(home, 'data'))
    const writer = new Writer(files)
    let [webhooks, cancelled] = [0, 0]
    const acknowledged = (): void => {
      words.push({ bytes: statSync(files.wal).size, webhooks, cancelled })
    }
    for (const count of [1, 1, 20, 1, 3, 320, 1]) {
      const rows = Array.from({ length: count }, (_, i) => webhook(webhooks + i + 1))
      write(writer, { type: 'append', count, rows: encodeRows(rows) })
      webhooks += count
      acknowledged()
      write(writer, { type: 'cancel', id: idOf(webhooks), brand: null, at: 5 })
      cancelled += 1
      acknowledged()
    }
    // The log as it lies there before the connection is closed.
    wal = readFileSync(files.wal)
    copyFileSync(files.database, join(home, 'database'))
    writer.close()
  })
  afterAll(() => rmSync(home, { recursive: true, force: true }))

  /** What a start finds in the database and this log. */
  const found = (log: Uint8Array) => {
    const copy = dataFiles(join(home, 'copy'))
    mkdirSync(join(home, 'copy'))
    try {
      copyFileSync(join(home, 'database'), copy.database)
      writeFileSync(copy.wal, log)
      writeFileSync(copy.made, '{}')
      writeFileSync(copy.opened, '')
      new Writer(copy).close()
      const db = openConnection(copy.database, 1_024)
      const count = (sql: string): number => Number(db.prepare(sql).pluck().get())
      const webhooks = count('SELECT count(*) FROM webhooks')
      const cancelled = count('SELECT count(*) FROM done')
      const problems = problemsOf(db)
      db.close()
      return { webhooks, cancelled, problems }
    } finally {
      rmSync(join(home, 'copy'), { recursive: true })
    }
  }
  /** All that was acknowledged when the log was `bytes` long, and no half of what came after. */
  const isKept = (log: Uint8Array, bytes: number, what: string): void => {
    const promised = words.findLast((word) => word.bytes <= bytes)
    const { webhooks, cancelled, problems } = found(log)
    expect(problems, what).toEqual([])
    expect({ webhooks, cancelled }, what).toEqual({ webhooks: promised?.webhooks, cancelled: promised?.cancelled })
  }
  const boundaries = (): number[] => {
    const frames = (wal.length - WAL_HEADER) / FRAME
    return Array.from({ length: frames + 1 }, (_, i) => WAL_HEADER + i * FRAME)
  }

  it('STOR-05: at any frame it opens with all that was acknowledged by then, and nothing by half', () => {
    expect(boundaries().length).toBeGreaterThan(60)
    expect(words.at(-1)?.bytes).toBe(wal.length)
    for (const at of boundaries()) isKept(wal.subarray(0, at), at, `cut at ${at}`)
  })
  it('STOR-03: in the middle of a frame too: its transaction is gone as a whole', () => {
    for (const [i, at] of boundaries().slice(0, -1).entries()) {
      if (i % 2 !== 0) continue
      const torn = at + (TORN_AT[(i / 2) % TORN_AT.length] ?? 1)
      isKept(wal.subarray(0, torn), at, `cut at ${torn}`)
    }
  })
  it('STOR-05: where a frame in the middle never reached the disk, nothing behind it is believed', () => {
    for (const [i, at] of boundaries().slice(0, -1).entries()) {
      if (i % 4 !== 0) continue
      const holed = Buffer.from(wal)
      holed.fill(0xa5, at + 512, at + FRAME - 512)
      isKept(holed, at, `hole at ${at}`)
    }
  })
})
