import type { ControlClient } from '#test/support/control-client.ts'
import type { Arrivals } from '#test/support/counting-receiver.ts'
import { judge, type Ledger, openLedger } from '#test/support/ledger.ts'
import { domainLimits } from './limits.ts'
import { type Bench, type CountingReceiver, check, type Figure, type Scenario } from './scenario.ts'
import { percentile } from './stats.ts'

/** The flooding one first. Each has work for longer than its share of the measured time. */
const BRANDS = [
  { brand: 'flood', weight: 1 },
  { brand: 'calm', weight: 1 },
  { brand: 'heavy', weight: 2 },
] as const
const WEIGHTS = BRANDS.reduce((sum, { weight }) => sum + weight, 0)
const SINGLES = 20
const CONCURRENCY = 50

interface Stage {
  readonly client: ControlClient
  readonly receiver: CountingReceiver
  readonly ledger: Ledger
}

const BATCH = 1_000
/** `count` webhooks of one brand at one instant. */
const scheduleFor = async ({ client, receiver, ledger }: Stage, brand: string, count: number, at: number) => {
  for (let from = 0; from < count; from += BATCH) {
    const url = `${receiver.url}/${brand}`
    const webhooks = Array.from({ length: Math.min(BATCH, count - from) }, () => ({ url, at }))
    const { ids } = await client.call<{ readonly ids: string[] }>('scheduleWebhooks', { webhooks, brand })
    ledger.acknowledged(ids, at)
  }
}

/** Single webhooks of a fourth brand, evenly over a while, one at a time. Their ids and instants. */
const sendSingles = async ({ client, receiver, ledger }: Stage, from: number, overMs: number) => {
  const singles: { readonly id: string; readonly at: number }[] = []
  for (let nth = 0; nth < SINGLES; nth += 1) {
    const at = Math.floor(from + (overMs * nth) / SINGLES)
    const { id } = await client.schedule({ url: `${receiver.url}/single`, at, brand: 'single' })
    singles.push({ id, at })
    ledger.acknowledged([id], at)
  }
  return singles
}
const waitsOf = (singles: readonly { readonly id: string; readonly at: number }[], arrivals: Arrivals): number[] =>
  singles.map(({ id, at }) => (arrivals.at[arrivals.ids.indexOf(id)] ?? Number.NaN) - at)

/** Shares of the starts while all three have work: until the first of them has had its last. In percent. */
const sharesOf = (arrivals: Arrivals): number[] => {
  const inOrder = [...arrivals.at.keys()].sort((a, b) => (arrivals.at[a] ?? 0) - (arrivals.at[b] ?? 0))
  const urls = inOrder.map((index) => arrivals.urls[index])
  const end = Math.min(...BRANDS.map(({ brand }) => urls.lastIndexOf(`/${brand}`)))
  const together = urls.slice(0, end).filter((url) => url !== '/single')
  return BRANDS.map(({ brand }) => (together.filter((url) => url === `/${brand}`).length / together.length) * 100)
}

/** Within 2 % of what the weights say. */
const shareFigures = (shares: readonly number[]): Figure[] =>
  BRANDS.map(({ brand, weight }, index) => {
    const due = (weight / WEIGHTS) * 100
    return {
      name: `share of ${brand}, weight ${weight}`,
      value: shares[index] ?? Number.NaN,
      unit: '%',
      aim: { atLeast: due * 0.98, atMost: due * 1.02 },
    }
  })

const run = async (bench: Bench) => {
  const flood = bench.pick({ tiny: 600, small: 6_000, full: 15_000 })
  const rate = bench.pick({ tiny: 200, small: 500, full: 500 })
  const perWeight = Math.floor(flood / 3)
  const receiver = await bench.receiver()
  const daemon = await bench.daemon()
  const client = await daemon.connect()
  const stage: Stage = { client, receiver, ledger: openLedger() }
  await domainLimits(client, receiver.domain, { concurrency: CONCURRENCY, rate })
  for (const { brand, weight } of BRANDS) await client.call('configureBrandWeight', { brand, weight })

  // The same single webhooks with nobody beside them: what they wait more later is what the flood costs them.
  const alone = await sendSingles(stage, Date.now() + 500, 2_000)
  await receiver.until({ distinct: SINGLES }, 30_000)

  const at = Date.now() + 1_000 + flood / 5
  for (const { brand, weight } of BRANDS) {
    const count = brand === 'flood' ? flood : perWeight * weight
    await scheduleFor(stage, brand, count, at)
  }
  const togetherMs = ((WEIGHTS * perWeight) / rate) * 1_000
  const beside = await sendSingles(stage, at + togetherMs * 0.1, togetherMs * 0.7)
  const total = flood + perWeight * (WEIGHTS - 1) + 2 * SINGLES
  await receiver.until({ distinct: total }, (total / rate) * 3_000 + 30_000)
  const arrivals = await receiver.arrivals()
  const { openMax } = await receiver.figures()
  await client.close()
  const [before, after] = [waitsOf(alone, arrivals), waitsOf(beside, arrivals)]
  const { broken } = judge(stage.ledger, arrivals, openMax, { concurrency: CONCURRENCY, rate: { perSecond: rate } })
  return {
    setup: { flood, calm: perWeight, heavy: 2 * perWeight, rate, concurrency: CONCURRENCY, weights: '1:1:2' },
    figures: [
      ...shareFigures(sharesOf(arrivals)),
      { name: 'single webhook of a fourth brand, alone, p50', value: percentile(before, 0.5), unit: 'ms' },
      { name: 'single webhook beside the flood, p50', value: percentile(after, 0.5), unit: 'ms' },
      { name: 'single webhook beside the flood, max', value: percentile(after, 1), unit: 'ms' },
      {
        name: 'added delay of a single webhook, p50',
        value: percentile(after, 0.5) - percentile(before, 0.5),
        unit: 'ms',
        // One round of the rate: the heaviest is served at every visit, each of the others at every second one.
        aim: { atMost: (4 * 1_000) / rate },
      },
    ],
    checks: [check('nothing lost, doubled, early; both limits hold', broken.length === 0, broken.join('; '))],
    plots: [],
  }
}

export const fairness: Scenario = {
  name: 'fairness',
  measures:
    'three brands with weights 1:1:2 at one rate-limited domain, one floods: their shares, the wait of a fourth',
  run,
}
