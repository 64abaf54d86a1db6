import type { ControlClient } from '#test/support/control-client.ts'
import type { Arrivals } from '#test/support/counting-receiver.ts'
import { judge, type Ledger, openLedger } from '#test/support/ledger.ts'
import { BODY, scheduleMany, untilDelivered } from './load.ts'
import { type Bench, check, type Scenario } from './scenario.ts'
import { percentile } from './stats.ts'

const RECEIVERS = 20
type Part = 'timerMs' | 'guardMs' | 'networkMs'

/** Lateness of each acknowledged webhook at the receiver, in milliseconds. */
export const latenessOf = (ledger: Ledger, arrivals: Arrivals): Float64Array => {
  const due = new Map(ledger.acks.map(({ id, at }) => [id, at ?? 0]))
  return Float64Array.from(arrivals.ids, (id, index) => (arrivals.at[index] ?? 0) - (due.get(id) ?? 0))
}

/** Share of webhooks that are at most so late; x in ms. */
export const distribution = (lateness: Float64Array): (readonly [number, number])[] =>
  [0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 1].map((share) => [
    percentile(lateness, share),
    share * 100,
  ])

/** The p99 of each second of due instants: whether the tail is everywhere or in a few moments. */
const p99BySecond = (ledger: Ledger, arrivals: Arrivals): number[] => {
  const lateness = latenessOf(ledger, arrivals)
  const bySecond = new Map<number, number[]>()
  lateness.forEach((late, index) => {
    const second = Math.floor(((arrivals.at[index] ?? 0) - late) / 1_000)
    bySecond.set(second, [...(bySecond.get(second) ?? []), late])
  })
  return [...bySecond.values()].filter(({ length }) => length >= 100).map((late) => percentile(late, 0.99))
}

const parts = async (client: ControlClient) => {
  const { lateness } = await client.call<{ lateness: Record<Part, { p50: number; p99: number; max: number }> }>(
    'getMonitor',
  )
  return (['timerMs', 'guardMs', 'networkMs'] as const).flatMap((part) =>
    (['p50', 'p99', 'max'] as const).map((which) => ({
      name: `${part.replace('Ms', '')} ${which}, as the daemon says`,
      value: lateness[part][which],
      unit: 'ms',
    })),
  )
}

const run = async (bench: Bench) => {
  const seconds = bench.pick({ tiny: 1, small: 5, full: 20 })
  const perSecond = bench.pick({ tiny: 200, small: 1_000, full: 1_000 })
  const count = seconds * perSecond
  const receiver = await bench.receiver({ ports: RECEIVERS })
  const daemon = await bench.daemon()
  const client = await daemon.connect()
  // A round before the measured one, so that code and connections are warm.
  const warm = openLedger()
  const warmCount = Math.ceil(count / 5)
  const soon = Date.now() + 1_000
  const target = (index: number): string => `${receiver.urls[index % RECEIVERS]}/precision`
  await scheduleMany(
    client,
    warmCount,
    (index) => ({ url: target(index), body: BODY, at: soon + Math.floor((index / warmCount) * 1_000) }),
    warm,
  )
  await receiver.until({ distinct: warmCount }, 60_000)
  await receiver.forget()

  const ledger = openLedger()
  const from = Date.now() + 2_000 + count / 4
  const at = () => Math.floor(from) + bench.random.below(seconds * 1_000)
  await scheduleMany(client, count, (index) => ({ url: target(index), body: BODY, at: at() }), ledger)
  if (Date.now() > from) throw new Error('accepting took longer than the time set aside for it')
  await receiver.until({ distinct: count }, seconds * 1_000 + 60_000)
  const recorded = await untilDelivered(client, warmCount + count, 30_000)
  const arrivals = await receiver.arrivals()
  const figures = await receiver.figures()
  const lateness = latenessOf(ledger, arrivals)
  const daemonsView = await parts(client)
  await client.close()
  const { broken, early } = judge(ledger, arrivals, figures.openMax)
  return {
    setup: { webhooks: count, seconds, perSecond, receivers: RECEIVERS },
    figures: [
      { name: 'early', value: early.length, unit: '', aim: { atMost: 0 } },
      { name: 'lateness p50', value: percentile(lateness, 0.5), unit: 'ms', aim: { atMost: 1.5 } },
      { name: 'lateness p99', value: percentile(lateness, 0.99), unit: 'ms', aim: { atMost: 5 } },
      { name: 'lateness p99.9', value: percentile(lateness, 0.999), unit: 'ms', aim: { atMost: 20 } },
      { name: 'lateness max', value: percentile(lateness, 1), unit: 'ms' },
      { name: 'p99 within one second, median', value: percentile(p99BySecond(ledger, arrivals), 0.5), unit: 'ms' },
      { name: 'p99 within one second, worst', value: percentile(p99BySecond(ledger, arrivals), 1), unit: 'ms' },
      ...daemonsView,
    ],
    checks: [
      check('nothing lost, doubled, early', broken.length === 0, broken.join('; ')),
      check('all are recorded as delivered', recorded, `${count}`),
    ],
    plots: [
      {
        title: 'precision: share of webhooks at most so late',
        unit: '%',
        xUnit: 'ms',
        kind: 'steps' as const,
        series: [{ name: 'HookPulse', points: distribution(lateness) }],
      },
    ],
  }
}

export const precision: Scenario = {
  name: 'precision',
  measures: '1,000 webhooks/s at random instants to 20 receivers: how late each one arrives',
  run,
}
