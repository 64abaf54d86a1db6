import type { ControlClient } from '#test/support/control-client.ts'
import { judge, openLedger } from '#test/support/ledger.ts'
import { BODY, scheduleMany } from './load.ts'
import { latenessOf } from './precision.ts'
import { type Bench, type CountingReceiver, check, type Scenario } from './scenario.ts'
import { median, percentile } from './stats.ts'

const PER_SECOND = 200
/** The longest there is: the dead domain's attempts outlast the bench, so its breaker stays closed and its permits taken. */
const TIMEOUT_MS = 120_000
/** What `scheduleMany` leaves to do for a moment (checkpoints, the look for damage) is not the dead domain's doing. */
const SETTLE_MS = 3_000

interface Round {
  readonly lateness: Float64Array
  readonly broken: readonly string[]
}

interface Pair {
  readonly alone: Round
  readonly beside: Round
}
const p99Of = ({ alone, beside }: Pair) => ({
  alone: percentile(alone.lateness, 0.99),
  beside: percentile(beside.lateness, 0.99),
})

const healthyRound = async (
  bench: Bench,
  client: ControlClient,
  receiver: CountingReceiver,
  seconds: number,
): Promise<Round> => {
  await receiver.forget()
  const ledger = openLedger()
  const from = Date.now() + 1_000
  const count = seconds * PER_SECOND
  const at = () => from + bench.random.below(seconds * 1_000)
  await scheduleMany(client, count, () => ({ url: `${receiver.url}/healthy`, body: BODY, at: at() }), ledger)
  await receiver.until({ distinct: count }, seconds * 1_000 + 60_000)
  const arrivals = await receiver.arrivals()
  const lateness = latenessOf(ledger, arrivals)
  const { broken } = judge(ledger, arrivals, (await receiver.figures()).openMax)
  return { lateness, broken }
}

/** Two daemons, one of them with a dead domain; both have the same work in turns, since a machine is not the same twice. */
const run = async (bench: Bench) => {
  const waiting = bench.pick({ tiny: 1_000, small: 20_000, full: 100_000 })
  const seconds = bench.pick({ tiny: 1, small: 5, full: 5 })
  const pairs = bench.pick({ tiny: 1, small: 5, full: 15 })
  const healthy = await bench.receiver()
  // It takes connections and never answers.
  const dead = await bench.receiver({ hold: true })
  const alone = await (await bench.daemon()).connect()
  const beside = await (await bench.daemon()).connect()
  for (const client of [alone, beside]) await healthyRound(bench, client, healthy, seconds)
  await scheduleMany(
    beside,
    waiting,
    () => ({ url: `${dead.url}/dead`, body: BODY, timeoutMs: TIMEOUT_MS }),
    openLedger(),
  )
  await dead.until({ open: 10 }, 10_000)
  await new Promise((resolve) => setTimeout(resolve, SETTLE_MS))
  const rounds: Pair[] = []
  for (let pair = 1; pair <= pairs; pair += 1) {
    const round = {
      alone: await healthyRound(bench, alone, healthy, seconds),
      beside: await healthyRound(bench, beside, healthy, seconds),
    }
    rounds.push(round)
    const { alone: one, beside: other } = p99Of(round)
    bench.note(`pair ${pair}: p99 ${one.toFixed(2)} ms alone, ${other.toFixed(2)} ms beside`)
  }
  const { open } = await dead.figures()
  await alone.close()
  await beside.close()
  // One stall of the machine decides the p99 of all rounds of a kind together, and of one pair only.
  const ratios = rounds.map(p99Of).map((p99) => p99.beside / p99.alone)
  const at = (share: number, of: 'alone' | 'beside'): number =>
    percentile(
      rounds.flatMap((round) => [...round[of].lateness]),
      share,
    )
  const broken = rounds.flatMap((round) => [...round.alone.broken, ...round.beside.broken])
  return {
    setup: { waitingAtDead: waiting, healthyPerSecond: PER_SECOND, seconds, pairs },
    figures: [
      {
        name: 'healthy p99 beside a dead domain, against alone',
        value: median(ratios),
        unit: 'x',
        aim: { atMost: 1.2 },
      },
      { name: 'the same, all rounds together', value: at(0.99, 'beside') / at(0.99, 'alone'), unit: 'x' },
      {
        name: 'healthy p50 beside a dead domain, against alone',
        value: at(0.5, 'beside') / at(0.5, 'alone'),
        unit: 'x',
      },
      { name: 'healthy p99 alone', value: at(0.99, 'alone'), unit: 'ms' },
      { name: 'healthy p99 beside a dead domain', value: at(0.99, 'beside'), unit: 'ms' },
    ],
    checks: [
      check('nothing of the healthy domain lost, doubled, early', broken.length === 0, broken.join('; ')),
      check('the dead domain holds its permits to the end', open > 0, `${open} open`),
    ],
    plots: [],
  }
}

export const isolation: Scenario = {
  name: 'isolation',
  measures: 'a healthy domain beside a dead one with a long queue, and the same without, in turns',
  run,
}
