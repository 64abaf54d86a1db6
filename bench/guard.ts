import { densest, judge, openLedger, rateLaw } from '#test/support/ledger.ts'
import { domainLimits } from './limits.ts'
import { scheduleMany } from './load.ts'
import { type Bench, check, type Scenario } from './scenario.ts'
import { deviation, mean, percentile } from './stats.ts'

const CONCURRENCY = 10
/** Starts that were on their way when the second began and arrive within it: at most what may be open (guard.md: jitter of the network). */
const ON_THE_WAY = CONCURRENCY

const run = async (bench: Bench) => {
  const count = bench.pick({ tiny: 500, small: 10_000, full: 50_000 })
  const rate = bench.pick({ tiny: 500, small: 2_000, full: 2_000 })
  const receiver = await bench.receiver()
  const daemon = await bench.daemon()
  const client = await daemon.connect()
  await domainLimits(client, receiver.domain, { concurrency: CONCURRENCY, rate })
  // A round before the measured one, so that code and connections are warm.
  const warmCount = Math.ceil(count / 10)
  const soon = Date.now() + 1_000 + Math.ceil(warmCount / 4)
  const target = `${receiver.url}/guard`
  await scheduleMany(client, warmCount, () => ({ url: target, at: soon }), openLedger())
  await receiver.until({ distinct: warmCount }, (warmCount / rate) * 3_000 + 30_000)
  await receiver.forget()

  const ledger = openLedger()
  const at = Date.now() + 2_000 + Math.ceil(count / 4)
  await scheduleMany(client, count, () => ({ url: target, at }), ledger)
  await receiver.until({ distinct: count }, (count / rate) * 3_000 + 30_000)
  const arrivals = await receiver.arrivals()
  const { openMax } = await receiver.figures()
  await client.close()
  const { broken } = judge(ledger, arrivals, openMax, { concurrency: CONCURRENCY, rate: { perSecond: rate } })
  const instants = arrivals.at.toSorted()
  const spacing = instants.slice(1).map((instant, index) => instant - (instants[index] ?? 0))
  const seconds = ((instants.at(-1) ?? 0) - (instants[0] ?? 0)) / 1_000
  const achieved = (count - 1) / seconds / rate
  const perTenth = new Float64Array(Math.ceil(seconds * 10) + 1)
  for (const instant of instants) {
    const bucket = Math.floor((instant - (instants[0] ?? 0)) / 100)
    perTenth[bucket] = (perTenth[bucket] ?? 0) + 10
  }
  return {
    setup: { webhooks: count, rate, concurrency: CONCURRENCY },
    figures: [
      { name: 'overshoot: open at once', value: Math.max(0, openMax - CONCURRENCY), unit: '', aim: { atMost: 0 } },
      { name: 'achieved share of the rate', value: achieved * 100, unit: '%', aim: { atLeast: 98 } },
      {
        name: 'overshoot: most in one second',
        value: Math.max(0, densest(arrivals.at, 1_000) - rateLaw({ perSecond: rate }, 1_000) - ON_THE_WAY),
        unit: '',
        aim: { atMost: 0 },
      },
      { name: 'most in one second', value: densest(arrivals.at, 1_000), unit: '' },
      { name: 'spacing, mean', value: mean(spacing), unit: 'ms' },
      { name: 'spacing, standard deviation', value: deviation(spacing), unit: 'ms' },
      { name: 'spacing, p99', value: percentile(spacing, 0.99), unit: 'ms' },
    ],
    checks: [check('nothing lost, doubled, early; both limits hold', broken.length === 0, broken.join('; '))],
    plots: [
      {
        title: `guard: starts per second, limit ${rate}/s`,
        unit: '/s',
        xUnit: 's',
        kind: 'steps' as const,
        series: [{ name: 'starts', points: Array.from(perTenth, (value, index) => [index / 10, value] as const) }],
      },
    ],
  }
}

export const guard: Scenario = {
  name: 'guard',
  measures:
    'a flood due at one instant against concurrency 10 and a rate: overshoot, smoothness, share of the rate used',
  run,
}
