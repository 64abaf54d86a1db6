/**
 * Thousands of domains with one webhook each on the real daemon, all due at once and held by a limit of their brand, so that
 * every guard lives at the same time: guards that stop, nothing lost, and what it costs in memory.
 */
import { execFileSync } from 'node:child_process'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, it, onTestFinished } from 'vitest'
import { nodesOf } from '#test/end-to-end/stage.ts'
import { removeDirectory, startDaemon } from '#test/support/daemon.ts'

const DOMAINS = 10_000
const BATCH = 2_000
/** Above what the daemon holds before the first of them: ~60 KB a domain were measured, most of it not the guards' own. */
const GROWTH_MB_MAX = 900

const rssMb = (pid: number): number => Number(execFileSync('ps', ['-o', 'rss=', '-p', String(pid)]).toString()) / 1_024

it(`${DOMAINS} domains with one webhook each are served in bounded memory, by guards that stop`, async () => {
  // Every address of 127.0.0.0/8 is this machine, and a domain of its own.
  const seen = new Map<string, number>()
  const server = createServer((request, response) => {
    const id = String(request.headers['webhook-id'])
    seen.set(id, (seen.get(id) ?? 0) + 1)
    response.writeHead(200, { 'content-length': 2 }).end('ok')
  })
  await new Promise<void>((resolve) => server.listen(0, resolve))
  onTestFinished(() => void server.close(() => server.closeAllConnections()))
  const { port } = server.address() as AddressInfo
  const daemon = await startDaemon()
  onTestFinished(async () => {
    await daemon.kill()
    removeDirectory(daemon.data)
  })
  const client = await daemon.connect()
  await client.call('configureBrandConcurrencyLimit', { brand: 'default', limit: 200 })
  const before = rssMb(daemon.pid)
  let peak = before
  let guardsMax = 0
  const look = async (): Promise<number> => {
    peak = Math.max(peak, rssMb(daemon.pid))
    const { guards } = await client.call<{ guards: readonly unknown[] }>('listGuards', {})
    guardsMax = Math.max(guardsMax, guards.length)
    return seen.size
  }
  const ids: string[] = []
  for (let from = 0; from < DOMAINS; from += BATCH) {
    const webhooks = Array.from({ length: BATCH }, (_, i) => {
      const n = from + i
      return { url: `http://127.${1 + (n >> 16)}.${(n >> 8) & 255}.${n & 255}:${port}/` }
    })
    ids.push(...(await client.scheduleAll(webhooks)).ids)
    await look()
  }
  await expect.poll(look, { timeout: 1_200_000, interval: 1_000 }).toBe(DOMAINS)
  expect([...seen.values()].every((count) => count === 1)).toBe(true)
  expect(ids.every((id) => seen.has(id))).toBe(true)
  const liveGuards = async (): Promise<number> =>
    nodesOf(await client.tree()).filter(({ name }) => name?.startsWith('guard ')).length
  await expect.poll(liveGuards, { timeout: 60_000 }).toBe(0)
  process.stderr.write(
    `${DOMAINS} domains: ${Math.round(before)} MB before, ${Math.round(peak)} MB at most, ${Math.round(rssMb(daemon.pid))} MB after\n`,
  )
  expect(peak - before).toBeLessThan(GROWTH_MB_MAX)
  await client.close()
})
