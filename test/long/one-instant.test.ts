/** LOAD-02 whole: 50,000 webhooks of 500 hosts, all due in the same millisecond. */
import { expect, it } from 'vitest'
import { residentBytes } from '#bench/cpu.ts'
import { openStage } from '#test/end-to-end/stage.ts'
import { fillWith, quantile } from '#test/support/load.ts'

const HOSTS = 500
const COUNT = 50_000
/** The same hosts, due one after the other, quicker than the machine can: what it does when nothing comes at once. */
const STEADY_COUNT = 20_000
const STEADY_PER_SECOND = 10_000
const CONCURRENCY = 10
const RISE_MIB_MAX = 200
const FIRST_MS_MAX = 500
const STEADY_SHARE_MIN = 0.8
const MIB = 1_048_576
/** Without the last hundredth, which may wait for the last of its host alone. */
const COUNTED_SHARE = 0.99
const rateOf = (instants: readonly number[], from: number): number =>
  (1_000 * COUNTED_SHARE * instants.length) / (quantile(instants, COUNTED_SHARE) - from)

it('LOAD-02: 50,000 due in one millisecond to 500 hosts: limits hold, first dispatch within 500 ms, drained at 80 % of the steady rate or more, memory rises by 200 MiB at most', async () => {
  const { client, receiver, daemon } = await openStage({ delayMs: 5, ports: HOSTS })
  for (const domain of receiver.domains)
    await client.call('configureDomainConcurrencyLimit', { domain, limit: CONCURRENCY })
  const urlOf = (index: number): string => `${receiver.urls[index % HOSTS]}/x`
  /** Instants of arrival, ascending, of what came after the first `before`. */
  const instants = async (before: number): Promise<readonly number[]> =>
    [...(await receiver.arrivals()).at].sort((a, b) => a - b).slice(before)

  const steadyFrom = Date.now() + 5_000
  await fillWith(client, STEADY_COUNT, (index) => ({
    url: urlOf(index),
    at: steadyFrom + Math.floor((index * 1_000) / STEADY_PER_SECOND),
  }))
  expect(Date.now(), 'stored before the first is due').toBeLessThan(steadyFrom)
  await receiver.until({ distinct: STEADY_COUNT }, 300_000)
  const steady = await instants(0)
  const steadyPerSecond = rateOf(steady, steadyFrom)
  const shownSteady = [0.1, 0.5, 0.9, 0.99, 1]
    .map((share) => Math.round(quantile(steady, share) - steadyFrom))
    .join(' / ')

  const at = Date.now() + 20_000
  await fillWith(client, COUNT, (index) => ({ url: urlOf(index), at }))
  expect(Date.now(), 'stored before they are due').toBeLessThan(at)
  const rss = (): number => (residentBytes(daemon.pid) ?? Number.NaN) / MIB
  const before = rss()
  let most = before
  const looking = setInterval(() => {
    most = Math.max(most, rss())
  }, 100)
  await receiver.until({ distinct: STEADY_COUNT + COUNT }, 600_000)
  clearInterval(looking)

  const burst = await instants(STEADY_COUNT)
  const perSecond = rateOf(burst, at)
  const firstMs = (burst[0] ?? 0) - at
  process.stdout.write(
    `first after ${firstMs} ms; ${perSecond.toFixed(0)}/s, steady ${steadyPerSecond.toFixed(0)}/s (arrived p10 / p50 / p90 / p99 / max ${shownSteady} ms) (${(perSecond / steadyPerSecond).toFixed(2)}); ` +
      `p50 ${quantile(burst, 0.5) - at} ms; RSS ${before.toFixed(0)} -> ${most.toFixed(0)} MiB\n`,
  )
  const { arrivals, openMaxBy } = await receiver.figures()
  expect(arrivals, 'nothing twice').toBe(STEADY_COUNT + COUNT)
  const perPort = Object.entries(openMaxBy).flatMap(([of, open]) => (of.startsWith('port ') ? [open] : []))
  expect(perPort).toHaveLength(HOSTS)
  expect(Math.max(...perPort)).toBeLessThanOrEqual(CONCURRENCY)
  expect(firstMs, 'never early').toBeGreaterThanOrEqual(0)
  expect(firstMs).toBeLessThanOrEqual(FIRST_MS_MAX)
  expect(perSecond / steadyPerSecond).toBeGreaterThanOrEqual(STEADY_SHARE_MIN)
  expect(most - before).toBeLessThanOrEqual(RISE_MIB_MAX)
})
