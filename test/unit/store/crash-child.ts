/** Writes as fast as it is answered and tells its parent what was acknowledged, until it is killed. */
import { encodeRows } from '#store/rows.ts'
import { openSqlite } from '#store/sqlite/open-sqlite.ts'
import type { NewWebhook } from '#store/store.ts'
import { idOf, LATER, newWebhook } from '#test/conformance/store/fixtures.ts'

const webhook = (n: number): NewWebhook =>
  newWebhook(n, {
    brand: `b${n % 3}`,
    domain: `a${n % 7}.com`,
    at: 1_000 + n * 100_000,
    idempotencyKey: `k${n}`,
    request: new Uint8Array(200),
  })
const say = (what: string, n: number, count = 1): void => {
  process.send?.({ what, n, count })
}

const store = await openSqlite(process.argv[2] ?? '')({ ended: (reason) => say(`ended ${reason}`, 0) })
await store.read({ type: 'horizon', after: { nextAt: 0, seq: 0 }, until: 5_000_000, limit: 500, except: [] })
let next = 1
const append = async (count: number): Promise<number> => {
  const first = next
  next += count
  const rows = encodeRows(Array.from({ length: count }, (_, i) => webhook(first + i)))
  await store.write([{ type: 'append', count, rows }])
  say('appended', first, count)
  return first
}
for (;;) {
  const [a, b] = [await append(1), await append(1)]
  if (a % 5 === 0) await append(1_000)
  await store.write([{ type: 'cancel', id: idOf(a), brand: null, at: 5 }])
  say('cancelled', a)
  const token = `t${b}`
  await store.write([{ type: 'mark-started', id: idOf(b), attempt: 1, token, startedAt: LATER }])
  const record = { number: 1, startedAt: 1, endedAt: 2, status: 200, error: null, excerpt: null, inDoubt: false }
  const attempt = { ...record, timerMs: 0, guardMs: 0, networkMs: 0 }
  const outcome = { type: 'record-outcome', id: idOf(b), token, attempt } as const
  await store.write([{ ...outcome, next: { state: 'delivered', finishedAt: 2 } }])
  say('delivered', b)
}
