/** STOR-01 on the real daemon, in a small file system of its own. Needs root (mount). */
import { execFileSync } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { openSqlite } from '#store/sqlite/open-sqlite.ts'
import { openStage } from '#test/end-to-end/stage.ts'

const RUNNING = 10

/** Takes what is left of the file system, to its last page. */
const fill = (file: string): void => {
  const descriptor = openSync(file, 'w')
  const page = Buffer.alloc(4_096)
  try {
    for (;;) writeSync(descriptor, page)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOSPC')) throw error
  } finally {
    closeSync(descriptor)
  }
}

it('STOR-01: on a full disk the daemon refuses new promises, finishes what runs, says that it is not ready, and goes on by itself when there is space', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'hookpulse-full-'))
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=24m', 'none', dir])
  onTestFinished(() => {
    execFileSync('umount', ['-l', dir])
    rmSync(dir, { recursive: true, force: true })
  })
  const stage = await openStage({ hold: true }, { data: join(dir, 'data') })
  const { receiver, daemon } = stage
  const health = async (path: string): Promise<number> => (await fetch(`${daemon.url}${path}`)).status
  await stage.schedule(RUNNING + 20)
  await receiver.until({ open: RUNNING })
  const { pid } = await stage.client.tree()
  fill(join(dir, 'filler'))
  const codes: unknown[] = []
  const red: number[] = []
  let accepted = 0
  // Some promises still fit into pages that are there.
  while (codes.length < 20 && accepted < 5_000) {
    const told = await stage.client
      .schedule({ url: `${receiver.url}/full/${accepted}`, body: 'x'.repeat(3_000) })
      .catch((error: unknown) => error)
    if (told instanceof Error) {
      codes.push((told as { data?: { code?: unknown } }).data?.code)
      red.push(await health('/readyz'))
    } else {
      stage.ledger.acknowledged([(told as { id: string }).id])
      accepted += 1
    }
  }
  expect([...new Set(codes)]).toEqual(['STORAGE_UNAVAILABLE'])
  expect(red, 'not ready').toContain(503)
  expect(await health('/healthz'), 'and alive: nobody is to restart it').toBe(200)
  await receiver.behave({ hold: false })
  await receiver.release(RUNNING)
  await receiver.until({ open: 0 })
  expect((await receiver.figures()).arrivals).toBeGreaterThanOrEqual(RUNNING)
  rmSync(join(dir, 'filler'))
  const all = RUNNING + 20 + accepted
  await receiver.until({ distinct: all }, 60_000)
  await expect.poll(async () => (await stage.client.monitor()).totals.delivered, { timeout: 30_000 }).toBe(all)
  await expect.poll(() => health('/readyz')).toBe(200)
  expect(await stage.client.schedule({ url: receiver.url, delayMs: 3_600_000 })).toMatchObject({ state: 'scheduled' })
  const tree = await stage.client.tree()
  expect([tree.pid, tree.restarts], 'nobody was restarted').toEqual([pid, 0])
  expect((await stage.judge()).broken, 'no repeat either: a result was kept until it could be written').toEqual([])
  expect(await daemon.kill('SIGTERM')).toEqual({ code: 0, signal: null })
  const store = await openSqlite(daemon.data)({ ended: () => undefined })
  expect(await store.read({ type: 'check' })).toEqual({ problems: [] })
  await store.close()
})
