/** What the store's suites share: the engines, webhooks by the dozen, and short ways to write them. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MemoryDisk } from '#store/memory/memory-disk.ts'
import { openMemoryStore } from '#store/memory/memory-store.ts'
import { encodeRows } from '#store/rows.ts'
import { openSqlite } from '#store/sqlite/open-sqlite.ts'
import type { Append, Appended, NewWebhook, OpenStore, RecordOutcome, Store } from '#store/store.ts'
import type { AttemptRecord } from '#webhook/webhook.ts'

export interface Engine {
  readonly name: string
  /** A fresh, empty place; `open` may be called again after `close`. */
  readonly make: () => { readonly open: OpenStore; readonly dispose: () => void }
}
export const memoryEngine: Engine = {
  name: 'memory',
  make: () => {
    const disk = new MemoryDisk()
    return { open: openMemoryStore(disk), dispose: () => undefined }
  },
}
export const sqliteEngine: Engine = {
  name: 'sqlite',
  make: () => {
    const dir = mkdtempSync(join(tmpdir(), 'hookpulse-store-'))
    return { open: openSqlite(dir), dispose: () => rmSync(dir, { recursive: true, force: true }) }
  },
}
export const ENGINES: readonly Engine[] = [memoryEngine, sqliteEngine]

/** An instant in 2027, far from every edge. */
export const T0 = 1_800_000_000_000
export const HOUR_MS = 3_600_000

export const idOf = (n: number): string => `msg_01K${String(n).padStart(23, '0')}`
export const newWebhook = (n: number, change: Partial<NewWebhook> = {}): NewWebhook => {
  const at = change.at ?? T0 + n
  return {
    id: idOf(n),
    brand: 'acme',
    name: null,
    url: `https://api.example.com/hooks/${n}`,
    host: 'api.example.com',
    domain: 'api.example.com',
    method: 'POST',
    priority: 'normal',
    at,
    nextAt: at,
    createdAt: T0 - HOUR_MS,
    timeoutMs: 30_000,
    expiresAt: null,
    retry: null,
    tags: [],
    idempotencyKey: null,
    contentHash: null,
    request: Buffer.from(`{"n":${n}}`),
    ...change,
  }
}
export const appendOf = (...rows: readonly NewWebhook[]): Append => ({
  type: 'append',
  count: rows.length,
  rows: encodeRows(rows),
})
export const append = async (store: Store, ...rows: readonly NewWebhook[]): Promise<Appended> => {
  const [appended] = await store.write([appendOf(...rows)])
  return appended
}
/** When first attempts start here: what is due within milliseconds is due, what expires in 50 has not. */
export const SOON = T0 + 40
/** When everything is due. */
export const LATER = T0 + 100_000 * HOUR_MS
export const start = async (store: Store, id: string, attempt = 1, token = `${id}/${attempt}`, at?: number) => {
  const startedAt = at ?? (attempt === 1 ? SOON : LATER)
  const [marked] = await store.write([{ type: 'mark-started', id, attempt, token, startedAt }])
  return marked
}
export const attemptRecord = (number: number, change: Partial<AttemptRecord> = {}): AttemptRecord => ({
  number,
  startedAt: T0,
  endedAt: T0 + 20,
  status: 200,
  error: null,
  excerpt: null,
  timerMs: 0.5,
  guardMs: 1,
  networkMs: 18.25,
  inDoubt: false,
  ...change,
})
export const outcomeOf = (
  id: string,
  next: RecordOutcome['next'],
  attempt = attemptRecord(1),
  token = `${id}/${attempt.number}`,
): RecordOutcome => ({ type: 'record-outcome', id, token, attempt, next })
export const alone = async (store: Store, id: string, attempt = 1) =>
  (await store.write([{ type: 'mark-alone', id, attempt }]))[0]
export const DELIVERED = { state: 'delivered', finishedAt: T0 + 20 } as const
export const PAIR = { domain: 'api.example.com', brand: 'acme', priority: 'normal' } as const
export const LANE = { ...PAIR, kind: 'first' } as const
export const noEvents = { ended: () => undefined }
