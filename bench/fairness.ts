import type { ControlClient } from '#test/support/control-client.ts'
import { judge, openLedger } from '#test/support/ledger.ts'
import { domainLimits } from './limits.ts'
import { type Bench, check, type Scenario } from './scenario.ts'
import { percentile } from './stats.ts'

const BRANDS = ['flood', 'calm', 'small'] as const
const RATE = 500

/** `count` webhooks of one brand at one instant, in batches. */
const scheduleFor = async (
  client: ControlClient,
  brand: string,
  url: string,
  count: number,
  at: number,
): Promise<string[]> => {
  const ids: string[] = []
  for (let from = 0; from < count; from += 1_000) {
    const webhooks = Array.from({ length: Math.min(1_000, count - from) }, () => ({ url: `${url}/${brand}`, at }))
    const answer = await client.call<{ ids: string[] }>('scheduleWebhooks', { webhooks, brand })
    ids.push(...answer.ids)
  }
  return ids
}

/** One brand floods, two have a third of the rate's work each: equal weights, so each gets a third while all have work. */
const run = async (bench: Bench) => {
  const flood = bench.pick({ tiny: 600, small: 5_000, full: 15_000 })
  const fair = Math.floor(flood / 5)
  const receiver = await bench.receiver()
  const daemon = await bench.daemon()
  const client = await daemon.connect()
  await domainLimits(client, receiver.domain, { concurrency: 50, rate: RATE })
  const at = Date.now() + 1_000 + flood / 10
  const ledger = openLedger()
  for (const brand of BRANDS) {
    const count = brand === 'flood' ? flood : fair
    ledger.acknowledged(await scheduleFor(client, brand, receiver.url, count, at), at)
  }
  // While all three have work a fourth brand sends single webhooks: how long do they wait?
  const singles: { id: string; at: number }[] = []
  const together = ((3 * fair) / RATE) * 1_000
  for (let nth = 1; nth <= 10; nth += 1) {
    const when = Math.floor(at + (together * nth) / 12)
    const { id } = await client.schedule({ url: `${receiver.url}/single`, at: when, brand: 'single' })
    singles.push({ id, at: when })
    ledger.acknowledged([id], when)
  }
  const total = flood + 2 * fair + singles.length
  await receiver.until({ distinct: total }, (total / RATE) * 3_000 + 30_000)
  const arrivals = await receiver.arrivals()
  const { openMax } = await receiver.figures()
  await client.close()
  // As long as all three have work: until the first of them has had its last.
  const inOrder = [...arrivals.at.keys()].sort((a, b) => (arrivals.at[a] ?? 0) - (arrivals.at[b] ?? 0))
  const urls = inOrder.map((index) => arrivals.urls[index])
  const end = Math.min(...BRANDS.map((brand) => urls.lastIndexOf(`/${brand}`)))
  const window = urls.slice(0, end).filter((url) => url !== '/single')
  const shares = BRANDS.map((brand) => (window.filter((url) => url === `/${brand}`).length / window.length) * 100)
  const waits = singles.map(({ id, at: due }) => (arrivals.at[arrivals.ids.indexOf(id)] ?? Number.NaN) - due)
  const { broken } = judge(ledger, arrivals, openMax, { concurrency: 50, rate: { perSecond: RATE } })
  return {
    setup: { flood, others: fair, rate: RATE, weights: '1:1:1 (weights of brands are not built)' },
    figures: [
      ...BRANDS.map((brand, index) => ({
        name: `share of ${brand}`,
        value: shares[index] ?? Number.NaN,
        unit: '%',
        aim: { atLeast: 31.3, atMost: 35.4 },
      })),
      { name: 'wait of a single webhook of another brand, p50', value: percentile(waits, 0.5), unit: 'ms' },
      { name: 'wait of a single webhook of another brand, max', value: percentile(waits, 1), unit: 'ms' },
    ],
    checks: [check('nothing lost, doubled, early; both limits hold', broken.length === 0, broken.join('; '))],
    plots: [],
  }
}

export const fairness: Scenario = {
  name: 'fairness',
  measures: 'three brands at one rate-limited domain, one floods: their shares, and the wait of a fourth',
  run,
}
