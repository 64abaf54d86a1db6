/** STOR-11 whole: another program reads the store of a running daemon and does not end, until 256 MiB of log stand before it. */
import { statSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { expect, it, onTestFinished } from 'vitest'
import { WAL_ALARM_BYTES, WAL_IDLE_MS } from '#config/limits.ts'
import { openStage } from '#test/end-to-end/stage.ts'
import { quantile } from '#test/support/load.ts'

const BATCH = 2_000
const BODY_BYTES = 4_000
const LATER_MS = 3_600_000
/** A commit does not wait for the log, however long it is. */
const ACKNOWLEDGED_MS_MAX = 1_000
/** What stands in the log has to be moved first. */
const EMPTIED_MS_MAX = 30_000

it('STOR-11: before a reader that holds its snapshot the log grows to 256 MiB: the operator is told once, webhooks are taken and delivered as before, and when it ends the file is emptied', async () => {
  const stage = await openStage()
  const file = join(stage.daemon.data, 'hookpulse.db')
  const logBytes = (): number => statSync(`${file}-wal`).size
  const told = (): number => stage.daemon.output().split('"store.log-grown"').length - 1
  await stage.schedule(10)
  await stage.receiver.until({ distinct: 10 })

  const reader = new Database(file, { readonly: true })
  onTestFinished(() => void reader.close())
  reader.exec('BEGIN')
  const seen = (): unknown => reader.prepare('SELECT count(*) AS n FROM webhooks').get()
  const snapshot = seen()

  const webhooks = Array.from({ length: BATCH }, () => ({
    url: `${stage.receiver.url}/later`,
    body: 'x'.repeat(BODY_BYTES),
    at: Date.now() + LATER_MS,
  }))
  const small: number[] = []
  let batches = 0
  for (; logBytes() < WAL_ALARM_BYTES * 1.1; batches++) {
    await stage.client.scheduleAll(webhooks)
    const fromMono = performance.now()
    await stage.schedule(1)
    small.push(performance.now() - fromMono)
  }
  await stage.receiver.until({ distinct: 10 + batches })
  await expect.poll(told).toBe(1)
  expect(seen(), 'its snapshot stands').toEqual(snapshot)
  const grownTo = logBytes()

  reader.exec('COMMIT')
  const endedMono = performance.now()
  await expect.poll(logBytes, { timeout: WAL_IDLE_MS + EMPTIED_MS_MAX }).toBe(0)
  process.stdout.write(
    `${batches} batches, a log of ${Math.round(grownTo / 1_048_576)} MiB, empty ${Math.round(performance.now() - endedMono)} ms after the reader's end; ` +
      `single ones acknowledged in p50 ${quantile(small, 0.5).toFixed(1)}, max ${Math.max(...small).toFixed(1)} ms\n`,
  )
  expect(told()).toBe(1)
  expect(Math.max(...small)).toBeLessThanOrEqual(ACKNOWLEDGED_MS_MAX)
  expect((await stage.judge()).broken).toEqual([])
})
