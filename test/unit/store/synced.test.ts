import Database from 'better-sqlite3'
import { afterAll, beforeEach, describe, expect, it } from 'vitest'
import { encodeRows } from '#store/rows.ts'
import type { NewWebhook } from '#store/store.ts'
import { InlineSqlite } from '#test/conformance/store/inline-sqlite.ts'
import { packRequest } from '#webhook/request.ts'

const FULL = 2
const NORMAL = 1

/** Every commit of this process, with what `synchronous` was at that moment. */
const commits: number[] = []
const probe = new Database(':memory:')
const Statement = Object.getPrototypeOf(probe.prepare('COMMIT'))
const run = Statement.run
Statement.run = function (this: Database.Statement, ...bound: unknown[]): unknown {
  if (this.source === 'COMMIT') commits.push(Number(this.database.pragma('synchronous', { simple: true })))
  return Reflect.apply(run, this, bound)
}
afterAll(() => {
  Statement.run = run
  probe.close()
})

const NOW = 1_767_225_600_000
const ID = 'msg_01KDVDNA00H5T1A9X7KWAKWKNG'
const row: NewWebhook = {
  id: ID,
  brand: 'default',
  name: null,
  url: 'https://api.example.com/',
  host: 'api.example.com',
  domain: 'api.example.com',
  method: 'POST',
  priority: 'normal',
  at: NOW,
  nextAt: NOW,
  createdAt: NOW,
  timeoutMs: 1_000,
  expiresAt: null,
  retry: null,
  tags: [],
  idempotencyKey: null,
  contentHash: null,
  request: packRequest({ url: 'https://api.example.com/', method: 'POST', headers: [], body: new Uint8Array(0) }),
}

describe('acknowledged means synced (D-6)', () => {
  beforeEach(() => void commits.splice(0))

  it('what was promised to somebody is committed with synchronous FULL, marks alone with NORMAL', () => {
    const store = new InlineSqlite()
    const committed = (write: () => unknown): readonly number[] => {
      commits.splice(0)
      write()
      return [...commits]
    }
    try {
      const append = () => store.write([{ type: 'append', count: 1, rows: encodeRows([row]) }])
      const mark = () => store.write([{ type: 'mark-started', id: ID, attempt: 1, token: 't', startedAt: NOW }])
      const limit = () =>
        store.write([
          {
            type: 'set-limit',
            kind: 'concurrency',
            domain: 'api.example.com',
            brand: null,
            value: 5,
            burst: null,
            setBy: 'test',
            setAt: NOW,
          },
        ])
      expect(committed(append)).toEqual([FULL])
      expect(committed(mark)).toEqual([NORMAL])
      expect(committed(() => store.write([{ type: 'hand-back', id: ID, token: 't' }]))).toEqual([NORMAL])
      expect(committed(limit), 'after marks it is FULL again').toEqual([FULL])
      expect(committed(() => store.write([{ type: 'cancel', id: ID, brand: null, at: NOW }]))).toEqual([FULL])
    } finally {
      store.dispose()
    }
  })
})
