/**
 * Thousands of domains with one webhook each on the real daemon: guards that stop, nothing lost, and what it costs in memory.
 * Once all due at once and held by a limit of their brand, so that every guard lives at the same time; once as they come.
 */
import { execFileSync } from 'node:child_process'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, it, onTestFinished } from 'vitest'
import { nodesOf } from '#test/end-to-end/stage.ts'
import { removeDirectory, startDaemon } from '#test/support/daemon.ts'

interface Case {
  readonly domains: number
  /** Of the brand; null: they go as they come, and only the guards of the last second live. */
  readonly limit: number | null
  /** From one to the next; 0: all at once. */
  readonly apartMs: number
  /** Above what the daemon holds before the first of them. */
  readonly growthMbMax: number
}
const CASES: readonly Case[] = [
  { domains: 10_000, limit: 200, apartMs: 0, growthMbMax: 900 },
  { domains: 100_000, limit: null, apartMs: 3, growthMbMax: 900 },
]
const BATCH = 2_000

const rssMb = (pid: number): number => Number(execFileSync('ps', ['-o', 'rss=', '-p', String(pid)]).toString()) / 1_024

it.each(CASES)(
  '$domains domains with one webhook each are served in bounded memory, by guards that stop (limit $limit)',
  async ({ domains, limit, apartMs, growthMbMax }) => {
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
    if (limit !== null) await client.call('configureBrandConcurrencyLimit', { brand: 'default', limit })
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
    const start = Date.now() + 30_000
    for (let from = 0; from < domains; from += BATCH) {
      const webhooks = Array.from({ length: BATCH }, (_, i) => {
        const n = from + i
        const when = apartMs === 0 ? {} : { at: start + n * apartMs }
        return { url: `http://127.${1 + (n >> 16)}.${(n >> 8) & 255}.${n & 255}:${port}/`, ...when }
      })
      ids.push(...(await client.scheduleAll(webhooks)).ids)
      await look()
    }
    await expect.poll(look, { timeout: 1_200_000, interval: 1_000 }).toBe(domains)
    expect([...seen.values()].every((count) => count === 1)).toBe(true)
    expect(ids.every((id) => seen.has(id))).toBe(true)
    const liveGuards = async (): Promise<number> =>
      nodesOf(await client.tree()).filter(({ name }) => name?.startsWith('guard ')).length
    await expect.poll(liveGuards, { timeout: 60_000 }).toBe(0)
    process.stderr.write(
      `${domains} domains, at most ${guardsMax} guards listed at once: ${Math.round(before)} MB before, ${Math.round(peak)} MB at most, ${Math.round(rssMb(daemon.pid))} MB after\n`,
    )
    expect(peak - before).toBeLessThan(growthMbMax)
    await client.close()
  },
)
