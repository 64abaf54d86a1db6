/** Data directories of earlier releases: `schema-2.sql` is the dump of one, written by that release's own code. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openSqlite } from '#store/sqlite/open-sqlite.ts'
import { checkDirectory, restore } from '#store/sqlite/restore.ts'
import type { Store } from '#store/store.ts'

const T0 = 1_800_000_000_000
const FAR = T0 + 30 * 86_400_000
const idOf = (n: number): string => `msg_01K${String(n).padStart(23, '0')}`
const OLD: readonly (readonly [schema: number, sql: string])[] = [
  [1, 'DROP INDEX live_expiry; DROP INDEX far_expiry; PRAGMA user_version = 1'],
  [2, ''],
]
const ANSWER = { startedAt: T0 + 1, endedAt: T0 + 20, timerMs: 0.5, guardMs: 1, networkMs: 18.25, inDoubt: false }
const OK = { ...ANSWER, number: 1, status: 200, error: null, excerpt: new Uint8Array([111, 107]) }
const failed = (number: number) => ({ ...ANSWER, number, status: 503, error: 'http_5xx', excerpt: null }) as const

describe.each(OLD)('a store of schema %i', (_, older) => {
  let dir = ''
  let store: Store
  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), 'hookpulse-schema-'))
    const db = new Database(join(dir, 'hookpulse.db'))
    db.exec(readFileSync(join(import.meta.dirname, 'schema-2.sql'), 'utf8'))
    db.exec(older)
    db.close()
    store = await openSqlite(dir)({ ended: () => undefined })
  })
  afterEach(async () => {
    expect(await store.read({ type: 'check' })).toEqual({ problems: [] })
    await store.close()
    rmSync(dir, { recursive: true, force: true })
  })
  const stateOf = async (n: number) => (await store.read({ type: 'webhook', id: idOf(n), brand: null }))?.state
  const attemptsOf = (n: number) => store.read({ type: 'attempts', id: idOf(n), brand: null })
  const mark = async (n: number, attempt: number, token: string) => {
    const op = { type: 'mark-started', id: idOf(n), seq: n, attempt, token, startedAt: T0 + 10_000 } as const
    return (await store.write([op]))[0]
  }

  it('shows its webhooks and their attempts as they were', async () => {
    const states = await Promise.all([1, 2, 3, 4, 5, 8].map(stateOf))
    expect(states).toEqual(['delivered', 'dead', 'executing', 'executing', 'scheduled', 'scheduled'])
    expect(await attemptsOf(1)).toEqual([OK])
    expect(await attemptsOf(2)).toEqual([failed(1), failed(2)])
    const last = await store.read({ type: 'webhook', id: idOf(2), brand: null })
    expect(last).toMatchObject({
      attempts: 2,
      lastStatus: 503,
      lateness: { timerMs: 0.5, guardMs: 1, networkMs: 18.25 },
    })
    const { rows } = await store.read({
      type: 'horizon',
      after: { nextAt: 0, seq: 0 },
      until: FAR,
      limit: 9,
      except: [],
    })
    expect(rows.map(({ seq, attempts }) => [seq, attempts])).toEqual([5, 6, 8, 7].map((seq) => [seq, 0]))
  })

  it('goes on with what was started: its token answers, its outcome is taken, its next attempt follows', async () => {
    const { rows } = await store.read({ type: 'started', after: 0, limit: 9 })
    const started = rows.map(({ due, attempt, token, startedAt }) => [due.seq, due.attempts, attempt, token, startedAt])
    expect(started).toEqual([
      [3, 2, 2, 't3.2', T0 + 1],
      [4, 1, 1, 't4.1', T0 + 1],
    ])
    expect(await mark(3, 2, 't3.2')).toMatchObject({ ok: true })
    expect(await mark(4, 1, 'other')).toEqual({ ok: false, why: 'already-started' })
    const whose = { type: 'record-outcome', id: idOf(3), seq: 3, token: 't3.2', attempt: failed(2) } as const
    const retrying = { ...whose, next: { state: 'retrying', nextAt: T0 + 9_000 } } as const
    for (const _ of ['first', 'again']) expect((await store.write([retrying]))[0]).toEqual({ ok: true, seq: 3 })
    expect(await attemptsOf(3)).toEqual([failed(1), failed(2)])
    expect(await mark(3, 3, 't3.3')).toMatchObject({ ok: true })
    const late = { type: 'record-outcome', id: idOf(1), token: 't1.1', attempt: OK } as const
    const delivered = { state: 'delivered', finishedAt: T0 + 21 } as const
    expect((await store.write([{ ...late, next: delivered }]))[0]).toEqual({ ok: true, seq: 1 })
  })

  it('never starts what was handed back with the same token', async () => {
    expect(await mark(8, 1, 't8.1')).toEqual({ ok: false, why: 'other-attempt' })
    expect(await mark(8, 1, 't8.2')).toMatchObject({ ok: true })
  })

  it('expires what may expire, near and far', async () => {
    const [answer] = await store.write([{ type: 'expire', now: FAR + 1, limit: 10 }])
    expect(answer.expired.map((row) => row.id)).toEqual([idOf(6), idOf(7)])
  })
})

describe.each(OLD)('what is done with schema %i while no daemon runs', (_, older) => {
  let dir = ''
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'hookpulse-schema-'))
  })
  afterEach(() => rmSync(dir, { recursive: true, force: true }))
  const made = (file: string, further = ''): string => {
    const db = new Database(join(dir, file))
    db.exec(readFileSync(join(import.meta.dirname, 'schema-2.sql'), 'utf8'))
    db.exec(older)
    db.exec(further)
    db.close()
    return join(dir, file)
  }

  it('a backup of it is checked and restored, and opens with all its webhooks', async () => {
    const to = join(dir, 'restored')
    expect(restore(made('old.backup'), to)).toMatchObject({ webhooks: 8, replaced: null })
    const store = await openSqlite(to)({ ended: () => undefined })
    expect(await store.read({ type: 'check' })).toEqual({ problems: [] })
    expect(await store.read({ type: 'counts', brand: null, domain: null, now: T0 - 1 })).toMatchObject({ executing: 2 })
    await store.close()
  })

  it('its data directory is checked as it stands, and damage in it is seen', () => {
    mkdirSync(join(dir, 'good'))
    made('good/hookpulse.db')
    expect(checkDirectory(join(dir, 'good'))).toMatchObject({ webhooks: 8, problems: [] })
    expect(checkDirectory(join(dir, 'good'))).toMatchObject({ webhooks: 8, problems: [] })
    mkdirSync(join(dir, 'bad'))
    made('bad/hookpulse.db', 'UPDATE counters SET n = 1 WHERE state = 1; DELETE FROM live WHERE seq = 5')
    expect(checkDirectory(join(dir, 'bad')).problems).toEqual([
      'the counter of scheduled says 4, there are 3',
      'the counter of executing says 1, there are 2',
      `webhook ${idOf(5)} is in none of far, live and done`,
    ])
  })
})
