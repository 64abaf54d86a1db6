/** In a file system of 8 MiB: writes until it is full, waits, makes space, goes on. Prints what it saw. */
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { STORE_FAILURES_TABLE } from '#actors/store-keeper/trouble.ts'
import { storeKeeper, storeKeeperActor } from '#actors/store-keeper.ts'
import { Runtime } from '#runtime/runtime.ts'
import { supervisor } from '#runtime/supervisor.ts'
import { encodeRows } from '#store/rows.ts'
import { openSqlite } from '#store/sqlite/open-sqlite.ts'
import type { Append, NewWebhook, ReadQuery, WriteOp } from '#store/store.ts'
import { EventHub } from '#telemetry/event-hub.ts'
import { idOf, LATER, newWebhook } from '#test/conformance/store/fixtures.ts'
import { RealWorld } from '#world/real-world.ts'

const dir = process.argv[2] ?? ''
const webhook = (n: number): NewWebhook =>
  newWebhook(n, { at: n, idempotencyKey: `k${n}`, request: new Uint8Array(1_000) })
const appendOf = (first: number, count: number): Append => {
  const rows = encodeRows(Array.from({ length: count }, (_, i) => webhook(first + i)))
  return { type: 'append', count, rows }
}

const events: string[] = []
const hub = new EventHub((error) => {
  throw error
})
hub.on(['store.opened', 'store.failed'], (event) => events.push(event.type))
const runtime = new Runtime(new RealWorld())
await runtime.start(
  supervisor,
  {
    flags: { strategy: 'one_for_one', intensity: 1, periodMs: 1_000 },
    tables: [STORE_FAILURES_TABLE],
    children: [],
  },
  { name: 'tables' },
)
await runtime.start(storeKeeperActor, { open: openSqlite(join(dir, 'data')), events: hub }, { name: storeKeeper })
const ask = (op: WriteOp | ReadQuery): Promise<unknown> =>
  runtime.call<never>(storeKeeper as never, op as never, Number.POSITIVE_INFINITY)
const failedOf = (answer: unknown): string | null =>
  typeof answer === 'object' && answer !== null && 'failed' in answer ? String(answer.failed) : null

let next = 0
const acknowledged: number[] = []
const append = async (count: number): Promise<string | null> => {
  const first = next
  next += count
  const failed = failedOf(await ask(appendOf(first, count)))
  if (failed === null) for (let n = first; n < first + count; n++) acknowledged.push(n)
  return failed
}
await append(500)
writeFileSync(join(dir, 'filler'), Buffer.alloc(3_500_000))
const failures: string[] = []
for (const count of [...new Array<number>(400).fill(20), 2_000, 20]) {
  const failed = await append(count)
  if (failed !== null) failures.push(failed)
}
const marks = Array.from({ length: 200 }, (_, n) =>
  ask({ type: 'mark-started', id: idOf(n), attempt: 1, token: `t${n}`, startedAt: LATER }),
)
await new Promise((resolve) => setTimeout(resolve, 300))
rmSync(join(dir, 'filler'))
const marked = await Promise.all(marks)
const after = await append(300)
const { value: counts } = (await ask({ type: 'counts', brand: null, domain: null, now: 0 })) as {
  readonly value: Readonly<Record<string, number>>
}
const check = await ask({ type: 'check' })
await runtime.stop(storeKeeper, 'shutdown')
process.stdout.write(
  JSON.stringify({
    failures: [...new Set(failures)],
    failed: failures.length,
    marked: marked.filter((answer) => JSON.stringify(answer).startsWith('{"ok":true')).length,
    after,
    acknowledged: acknowledged.length,
    stored: Object.values(counts).reduce((sum, n) => sum + n, 0),
    check,
    events,
  }),
)
