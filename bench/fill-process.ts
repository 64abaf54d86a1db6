/**
 * `node bench/fill-process.ts FOLDER COUNT far|backlog URL`: fills a data directory through the store's own append, as fast
 * as the disk takes it; no daemon runs on it meanwhile. `far`: due within a day, from an hour from now on, at 50 ports;
 * `backlog`: all of them due now at the URL, in the order of their paths. Prints how long it took, in ms.
 */
import { randomBytes } from 'node:crypto'
import { encodeRows } from '#store/rows.ts'
import { lockDirectory } from '#store/sqlite/directory-lock.ts'
import { openSqlite } from '#store/sqlite/open-sqlite.ts'
import type { NewWebhook } from '#store/store.ts'
import { WebhookIds } from '#webhook/id.ts'
import { packRequest } from '#webhook/request.ts'
import { Prng } from '#world/prng.ts'
import { BODY_TEXT } from './load.ts'

const BATCH = 10_000
const FAR_FROM_MS = 3_600_000
const FAR_SPAN_MS = 24 * 3_600_000
const PORTS = 50

const [folder = '', count = '0', kind = 'far', base = 'http://127.0.0.1:9000'] = process.argv.slice(2)
const random = new Prng(1)
const ids = new WebhookIds()
const startedAt = Date.now()

const place = (index: number): { readonly url: string; readonly at: number } =>
  kind === 'far'
    ? {
        url: `http://127.0.0.1:${9_000 + (index % PORTS)}/later`,
        at: startedAt + FAR_FROM_MS + random.below(FAR_SPAN_MS),
      }
    : { url: `${base}/${index}`, at: startedAt }

const make = (index: number): NewWebhook => {
  const { url, at } = place(index)
  const { host } = new URL(url)
  const now = Date.now()
  return {
    id: ids.next(now, (length) => randomBytes(length)),
    brand: 'default',
    name: null,
    url,
    host,
    domain: host,
    method: 'POST',
    priority: 'normal',
    at,
    nextAt: Math.max(at, startedAt),
    createdAt: startedAt,
    timeoutMs: 30_000,
    expiresAt: null,
    retry: null,
    tags: [],
    idempotencyKey: null,
    contentHash: null,
    request: packRequest({ url, method: 'POST', headers: [['content-type', 'application/json']], body: BODY_TEXT }),
  }
}

const lock = lockDirectory(folder)
const store = await openSqlite(lock.dir)({
  ended: (reason) => {
    throw new Error(reason)
  },
})
await store.write([{ type: 'put-brand', brand: 'default', createdAt: startedAt }])
const startMono = performance.now()
let under: Promise<unknown> = Promise.resolve()
for (let from = 0; from < Number(count); from += BATCH) {
  const length = Math.min(BATCH, Number(count) - from)
  const rows = encodeRows(Array.from({ length }, (_, offset) => make(from + offset)))
  await under
  under = store.write([{ type: 'append', count: length, rows }])
}
await under
await store.close()
lock.release()
process.stdout.write(`${Math.round(performance.now() - startMono)}\n`)
