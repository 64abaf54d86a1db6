/** The keeper over the real store: threads that die and a file that another program holds (STOR-06). */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
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

const webhook = (n: number): NewWebhook =>
  newWebhook(n, { at: n, idempotencyKey: `k${n}`, request: new Uint8Array(100) })
const appendOf = (first: number, count: number): Append => {
  const rows = encodeRows(Array.from({ length: count }, (_, i) => webhook(first + i)))
  return { type: 'append', count, rows }
}

/** Threads start in 100 ms; under a loaded machine in a second. */
describe('the store-keeper over SQLite', { timeout: 60_000 }, () => {
  let dir = ''
  let opened = 0
  let runtime: Runtime
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'hookpulse-keeper-'))
    opened = 0
  })
  afterEach(async () => {
    delete process.env['HOOKPULSE_FAILPOINTS']
    await runtime.stop(storeKeeper, 'shutdown')
    rmSync(dir, { recursive: true, force: true })
  })
  const startKeeper = async (): Promise<void> => {
    runtime = new Runtime(new RealWorld())
    const events = new EventHub((error) => {
      throw error
    })
    events.on(['store.opened', 'store.failed'], (event) => {
      if (event.type === 'store.opened' && event.detail.startsWith('open ')) opened += 1
    })
    const flags = { strategy: 'one_for_one', intensity: 1, periodMs: 1_000 } as const
    await runtime.start(supervisor, { flags, tables: [STORE_FAILURES_TABLE], children: [] }, { name: 'tables' })
    const started = await runtime.start(storeKeeperActor, { open: openSqlite(dir), events }, { name: storeKeeper })
    expect(started.ok).toBe(true)
  }
  const ask = (op: WriteOp | ReadQuery): Promise<unknown> =>
    runtime.call<never>(storeKeeper as never, op as never, Number.POSITIVE_INFINITY)
  /** As callers do: what was not taken is sent again. */
  const insist = async (op: WriteOp): Promise<unknown> => {
    for (;;) {
      const answer = await ask(op)
      if (typeof answer !== 'object' || answer === null || !('failed' in answer)) return answer
    }
  }
  const total = async (): Promise<number> => {
    const answer = await ask({ type: 'counts', brand: null, domain: null, now: 0 })
    const { value } = answer as { readonly value: Readonly<Record<string, number>> }
    return Object.values(value).reduce((sum, n) => sum + n, 0)
  }

  it('answers everything although its thread dies again and again, and each row is there once', async () => {
    process.env['HOOKPULSE_FAILPOINTS'] = 'store.heard:throw:6'
    await startKeeper()
    const answers: Promise<unknown>[] = []
    for (let n = 0; n < 12; n++) {
      answers.push(insist(appendOf(n * 1_000, 1)), insist(appendOf(n * 1_000 + 1, 400)))
      await answers.at(-2)
      const mark = { type: 'mark-started', id: idOf(n * 1_000), attempt: 1, token: `t${n}`, startedAt: LATER } as const
      answers.push(insist(mark))
    }
    for (const answer of await Promise.all(answers)) expect(answer).toMatchObject({ ok: true })
    expect(opened).toBeGreaterThan(3)
    delete process.env['HOOKPULSE_FAILPOINTS']
    runtime.exit(storeKeeper, 'kill')
    await expect.poll(() => runtime.whereis(storeKeeper)).toBeNull()
    await startKeeper()
    expect(await total()).toBe(12 * 401)
    expect(await ask({ type: 'check' })).toMatchObject({ value: { problems: [] } })
  })

  it('opens anew after it was killed in the middle of a group: the thread has closed the file before', async () => {
    await startKeeper()
    const lost = ask(appendOf(0, 5_000)).then(
      () => true,
      () => false,
    )
    runtime.exit(storeKeeper, 'kill')
    const wasAcknowledged = await lost
    await expect.poll(() => runtime.whereis(storeKeeper)).toBeNull()
    await startKeeper()
    expect(await total()).toBe(wasAcknowledged ? 5_000 : 0)
    expect(await ask(appendOf(0, 5_000))).toMatchObject({ ok: true })
    expect(await total()).toBe(5_000)
  })

  it('waits for another program that holds the file for a while, and loses nothing (STOR-06)', async () => {
    await startKeeper()
    await ask(appendOf(0, 10))
    const holder = fork(join(import.meta.dirname, 'holding-child.ts'), [join(dir, 'hookpulse.db')])
    await once(holder, 'message')
    const mark = ask({ type: 'mark-started', id: idOf(1), attempt: 1, token: 't', startedAt: LATER })
    const append = ask(appendOf(100, 1))
    holder.send('release')
    await once(holder, 'exit')
    expect(await mark).toMatchObject({ ok: true })
    expect(await append).toMatchObject({ ok: true })
  })
})
