import { fork } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openSqlite } from '#store/sqlite/open-sqlite.ts'
import type { Store } from '#store/store.ts'

interface Acknowledged {
  /** First number and count of each acknowledged append. */
  readonly appended: readonly (readonly [first: number, count: number])[]
  readonly cancelled: readonly number[]
  readonly delivered: readonly number[]
}

/** Lets a child write and acknowledge until `enough`, and kills it (-9); or until a failpoint does. */
const writeAndDie = (dir: string, env: Record<string, string>, enough: number): Promise<Acknowledged> =>
  new Promise((resolve) => {
    const child = fork(join(import.meta.dirname, 'crash-child.ts'), [dir], { env: { ...process.env, ...env } })
    const said: { appended: [number, number][]; cancelled: number[]; delivered: number[] } = {
      appended: [],
      cancelled: [],
      delivered: [],
    }
    let acknowledged = 0
    child.on(
      'message',
      (message: { readonly what: keyof Acknowledged; readonly n: number; readonly count: number }) => {
        acknowledged += 1
        if (message.what === 'appended') said.appended.push([message.n, message.count])
        else said[message.what].push(message.n)
        if (acknowledged === enough) child.kill('SIGKILL')
      },
    )
    child.on('exit', () => resolve(said))
  })

const idOf = (n: number): string => `msg_01K${String(n).padStart(23, '0')}`

describe('a process that is killed (-9) while it writes', { timeout: 60_000 }, () => {
  let dir = ''
  let store: Store
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'hookpulse-crash-'))
  })
  afterEach(async () => {
    await store.close()
    rmSync(dir, { recursive: true, force: true })
  })
  const stateOf = async (n: number) => (await store.read({ type: 'webhook', id: idOf(n), brand: null }))?.state

  it.each([
    ['at some moment', {}, 300],
    ['before a commit', { HOOKPULSE_FAILPOINTS: 'store.commit:exit9:150' }, 10_000],
    ['after a commit, before its answer', { HOOKPULSE_FAILPOINTS: 'store.committed:exit9:150' }, 10_000],
    ['when the next group arrives', { HOOKPULSE_FAILPOINTS: 'store.heard:exit9:150' }, 10_000],
  ])('%s has lost nothing of what was acknowledged, and half of no batch is there', async (_when, env, enough) => {
    const said = await writeAndDie(dir, env, enough)
    expect(said.appended.length).toBeGreaterThan(5)
    store = await openSqlite(dir)({ ended: () => undefined })
    for (const [first, count] of said.appended)
      for (const n of [first, first + count - 1]) expect(await stateOf(n), `webhook ${n}`).toBeDefined()
    for (const n of said.cancelled) expect(await stateOf(n)).toBe('cancelled')
    for (const n of said.delivered) expect(await stateOf(n)).toBe('delivered')
    const figures = await store.read({ type: 'counts', brand: null, domain: null, now: 0 })
    const rows = Object.values(figures).reduce((sum, n) => sum + n, 0)
    const promised = said.appended.reduce((sum, [, count]) => sum + count, 0)
    // One append may be there without its answer: the child has one under way.
    expect([0, 1, 1_000]).toContain(rows - promised)
    const listed = await countListed(store)
    expect(listed).toBe(rows)
  })
})

const countListed = async (store: Store): Promise<number> => {
  let rows = 0
  let cursor: string | null = null
  do {
    const page: { readonly webhooks: readonly unknown[]; readonly nextCursor: string | null } = await store.read({
      type: 'list',
      filter: { brand: null },
      limit: 500,
      cursor,
      now: 0,
    })
    rows += page.webhooks.length
    cursor = page.nextCursor
  } while (cursor !== null)
  return rows
}

describe('a store thread that dies', () => {
  it('fails what was under way, says once that it ended, and leaves the files to the next one', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'hookpulse-thread-'))
    process.env['HOOKPULSE_FAILPOINTS'] = 'store.heard:throw:3'
    const reasons: string[] = []
    const ended = Promise.withResolvers<void>()
    const store = await openSqlite(dir)({
      ended: (reason) => {
        reasons.push(reason)
        ended.resolve()
      },
    })
    delete process.env['HOOKPULSE_FAILPOINTS']
    const put = (brand: string) => store.write([{ type: 'put-brand', brand, createdAt: 1 }])
    await put('a')
    await put('b')
    await expect(put('c')).rejects.toMatchObject({ code: 'closed' })
    await ended.promise
    expect(reasons).toEqual(["closed: the store's thread died: failpoint store.heard"])
    await expect(put('d')).rejects.toMatchObject({ code: 'closed' })
    const next = await openSqlite(dir)({ ended: () => undefined })
    expect((await next.read({ type: 'brands' })).map((row) => row.brand)).toEqual(['a', 'b'])
    await next.close()
    rmSync(dir, { recursive: true, force: true })
  })
})
