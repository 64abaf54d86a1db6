import { type ChildProcess, spawn } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { expect, it, onTestFinished } from 'vitest'
import { openStage } from '#test/end-to-end/stage.ts'

const { STARVED_SECONDS = '60' } = process.env
const BURNERS_PER_CORE = 4
const PER_SECOND = 20
const CONCURRENCY = 10

/** Processes that do nothing but burn: four for each core, the eight on two cores of the row. */
const burn = (): readonly ChildProcess[] =>
  Array.from({ length: BURNERS_PER_CORE * availableParallelism() }, () =>
    spawn(process.execPath, ['-e', 'for (;;);'], { stdio: 'ignore' }),
  )

it('LOAD-08: the cores taken by four busy processes each: later, but nothing early, lost or twice, and no thread or actor is given up', async () => {
  const { client, receiver, daemon, ledger, schedule, judge } = await openStage({ delayMs: 20 })
  await client.call('configureDomainConcurrencyLimit', { domain: receiver.domain, limit: CONCURRENCY })
  const { pid: root } = await client.tree()
  const burners = burn()
  onTestFinished(() => {
    for (const burner of burners) burner.kill('SIGKILL')
  })
  const endMono = performance.now() + Number(STARVED_SECONDS) * 1_000
  while (performance.now() < endMono) {
    const at = Date.now() + 1_000
    await schedule(PER_SECOND, { at })
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, at - Date.now())))
  }
  await receiver.until({ distinct: ledger.acks.length }, 60_000)
  // No in-doubt attempt is allowed: nobody was given up for being slow.
  const verdict = await judge({ inDoubt: 0, concurrency: CONCURRENCY })
  expect(verdict.broken).toEqual([])
  expect(verdict.extra).toBe(0)
  const dueOf = new Map(ledger.acks.map(({ id, at }) => [id, at ?? Number.NaN]))
  const { ids, at } = await receiver.arrivals()
  const late = ids
    .map((id, index) => (at[index] ?? Number.NaN) - (dueOf.get(id) ?? Number.NaN))
    .toSorted((a, b) => a - b)
  await expect
    .poll(async () => (await client.monitor()).totals, { timeout: 60_000 })
    .toMatchObject({ delivered: ledger.acks.length, executing: 0, waiting: 0, retrying: 0 })
  expect((await client.tree()).pid, 'the same root').toBe(root)
  expect(daemon.output()).not.toMatch(/process\.(crashed|restarted)|supervisor\.gave-up/)
  const quantile = (share: number): string => (late[Math.floor(late.length * share)] ?? Number.NaN).toFixed(1)
  process.stdout.write(`${ids.length} arrivals, late p50 ${quantile(0.5)} ms, p99 ${quantile(0.99)} ms\n`)
})
