/** Writes in one thread, without the store's own, and says on standard output what was acknowledged. Ends after so many rounds. */
import { writeSync } from 'node:fs'
import { encodeRows } from '#store/rows.ts'
import { dataFiles } from '#store/sqlite/data-files.ts'
import { Writer } from '#store/sqlite/writer.ts'
import type { NewWebhook, WriteOp } from '#store/store.ts'
import { idOf, newWebhook } from '#test/conformance/store/fixtures.ts'

const [dir = '', rounds = '10'] = process.argv.slice(2)
const webhook = (n: number): NewWebhook =>
  newWebhook(n, {
    brand: `b${n % 3}`,
    domain: `a${n % 7}.com`,
    at: 1_000 + n * 100_000,
    idempotencyKey: `k${n}`,
    request: new Uint8Array(200),
  })
const say = (what: string, n: number, count = 1): void => {
  writeSync(1, `${JSON.stringify({ what, n, count })}\n`)
}

const writer = new Writer(dataFiles(dir))
const write = (...ops: readonly WriteOp[]): void => {
  const run = writer.run(ops)
  while (run.next().done !== true);
}
let next = 1
const append = (count: number): number => {
  const first = next
  next += count
  const rows = encodeRows(Array.from({ length: count }, (_, i) => webhook(first + i)))
  write({ type: 'append', count, rows })
  say('appended', first, count)
  return first
}
for (let round = 1; round <= Number(rounds); round++) {
  const [a, b] = [append(1), append(1)]
  if (round % 4 === 0) append(1_000)
  write({ type: 'cancel', id: idOf(a), brand: null, at: 5 })
  say('cancelled', a)
  const token = `t${b}`
  write({ type: 'mark-started', id: idOf(b), attempt: 1, token, startedAt: 1 })
  const record = { number: 1, startedAt: 1, endedAt: 2, status: 200, error: null, excerpt: null, inDoubt: false }
  const attempt = { ...record, timerMs: 0, guardMs: 0, networkMs: 0 }
  write({ type: 'record-outcome', id: idOf(b), token, attempt, next: { state: 'delivered', finishedAt: 2 } })
  say('delivered', b)
  // As the daemon does after each 4 MiB: frames go into the database, and the log begins anew over what it was.
  if (round % 6 === 0) writer.finishCheckpoint()
}
process.exit(0)
