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
  readonly title: string
  readonly domains: number
  /** Of the brand; null: they go as they come, and only the guards of the last second live. */
  readonly limit: number | null
  /** From one to the next; 0: all at once. */
  readonly apartMs: number
  /** All that the daemon holds at most. */
  readonly rssMbMax: number
}
const CASES: readonly Case[] = [
  { title: '10,000 domains, held by a limit of their brand', domains: 10_000, limit: 200, apartMs: 0, rssMbMax: 512 },
  { title: '100,000 domains at one instant', domains: 100_000, limit: null, apartMs: 0, rssMbMax: 512 },
  { title: '100,000 domains, 3 ms from one to the next', domains: 100_000, limit: null, apartMs: 3, rssMbMax: 512 },
]
const BATCH = 2_000
/** Long enough to store them all before the first is due. */
const AHEAD_MS = 40_000
const HEALTHY = '127.100.0.1'
const HEALTHY_COUNT = 200
const HEALTHY_APART_MS = 100

const rssMb = (pid: number): number => Number(execFileSync('ps', ['-o', 'rss=', '-p', String(pid)]).toString()) / 1_024
const quantile = (sorted: readonly number[], share: number): number =>
  sorted[Math.floor(share * (sorted.length - 1))] ?? Number.NaN

it.each(CASES)(
  '$title with one webhook each: bounded memory, guards that stop, and a healthy domain beside them on time',
  async ({ title, domains, limit, apartMs, rssMbMax }) => {
    // Every address of 127.0.0.0/8 is this machine, and a domain of its own.
    const seen = new Map<string, number>()
    const lateMs: number[] = []
    const server = createServer((request, response) => {
      const id = String(request.headers['webhook-id'])
      seen.set(id, (seen.get(id) ?? 0) + 1)
      if (request.url?.startsWith('/healthy/') === true)
        lateMs.push(Date.now() - Number(request.url.slice('/healthy/'.length)))
      response.writeHead(200, { 'content-length': 2 }).end('ok')
    })
    // Thousands connect at once; a receiver that refuses some would be tried again after minutes.
    await new Promise<void>((resolve) => server.listen({ port: 0, backlog: 65_535 }, resolve))
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
    const start = Date.now() + AHEAD_MS
    const healthy = Array.from({ length: HEALTHY_COUNT }, (_, n) => start + 1_000 + n * HEALTHY_APART_MS)
    ids.push(
      ...(
        await client.scheduleAll(
          healthy.map((at) => ({ url: `http://${HEALTHY}:${port}/healthy/${at}`, at, brand: 'healthy' })),
        )
      ).ids,
    )
    for (let from = 0; from < domains; from += BATCH) {
      const webhooks = Array.from({ length: BATCH }, (_, i) => {
        const n = from + i
        return {
          url: `http://127.${1 + (n >> 16)}.${(n >> 8) & 255}.${n & 255}:${port}/`,
          at: start + n * apartMs,
        }
      })
      ids.push(...(await client.scheduleAll(webhooks)).ids)
      await look()
    }
    const storedMs = Date.now() - (start - AHEAD_MS)
    await expect.poll(look, { timeout: 1_200_000, interval: 1_000 }).toBe(ids.length)
    const doneMs = Date.now() - start
    expect([...seen.values()].every((count) => count === 1)).toBe(true)
    expect(ids.every((id) => seen.has(id))).toBe(true)
    const liveGuards = async (): Promise<number> =>
      nodesOf(await client.tree()).filter(({ name }) => name?.startsWith('guard ')).length
    await expect.poll(liveGuards, { timeout: 60_000 }).toBe(0)
    lateMs.sort((a, b) => a - b)
    process.stderr.write(
      `${title}: stored after ${storedMs} ms, done ${doneMs} ms after the instant, at most ${guardsMax} guards listed; ` +
        `${Math.round(before)} MB before, ${Math.round(peak)} MB at most, ${Math.round(rssMb(daemon.pid))} MB after; ` +
        `the healthy domain late by ${quantile(lateMs, 0.5)} ms, p90 ${quantile(lateMs, 0.9)} ms, at most ${lateMs.at(-1)} ms\n`,
    )
    expect(peak).toBeLessThan(rssMbMax)
    await client.close()
  },
)
