import type { ControlClient } from '#test/support/control-client.ts'
import { judge, openLedger } from '#test/support/ledger.ts'
import { BODY, scheduleMany } from './load.ts'
import { latenessOf } from './precision.ts'
import { type Bench, type CountingReceiver, check, type Scenario } from './scenario.ts'
import { percentile } from './stats.ts'

const PER_SECOND = 50

const healthyRound = async (bench: Bench, client: ControlClient, receiver: CountingReceiver, seconds: number) => {
  await receiver.forget()
  const ledger = openLedger()
  const from = Date.now() + 1_000
  const count = seconds * PER_SECOND
  const at = () => from + bench.random.below(seconds * 1_000)
  await scheduleMany(client, count, () => ({ url: `${receiver.url}/healthy`, body: BODY, at: at() }), ledger)
  await receiver.until({ distinct: count }, seconds * 1_000 + 60_000)
  const arrivals = await receiver.arrivals()
  return {
    lateness: latenessOf(ledger, arrivals),
    broken: judge(ledger, arrivals, (await receiver.figures()).openMax).broken,
  }
}

const run = async (bench: Bench) => {
  const waiting = bench.pick({ tiny: 1_000, small: 20_000, full: 100_000 })
  const seconds = bench.pick({ tiny: 1, small: 10, full: 30 })
  const healthy = await bench.receiver()
  // It takes connections and never answers.
  const dead = await bench.receiver({ hold: true })
  const daemon = await bench.daemon()
  const client = await daemon.connect()
  await healthyRound(bench, client, healthy, seconds)
  const alone = await healthyRound(bench, client, healthy, seconds)
  await scheduleMany(client, waiting, () => ({ url: `${dead.url}/dead`, body: BODY }), openLedger())
  await dead.until({ open: 10 }, 10_000)
  const beside = await healthyRound(bench, client, healthy, seconds)
  await client.close()
  const [before, after] = [percentile(alone.lateness, 0.99), percentile(beside.lateness, 0.99)]
  const broken = [...alone.broken, ...beside.broken]
  return {
    setup: { waitingAtDead: waiting, healthyPerSecond: PER_SECOND, seconds },
    figures: [
      {
        name: 'healthy p99 beside a dead domain, against alone',
        value: after / before,
        unit: 'x',
        aim: { atMost: 1.2 },
      },
      { name: 'healthy p99 alone', value: before, unit: 'ms' },
      { name: 'healthy p99 beside a dead domain', value: after, unit: 'ms' },
    ],
    checks: [check('nothing of the healthy domain lost, doubled, early', broken.length === 0, broken.join('; '))],
    plots: [],
  }
}

export const isolation: Scenario = {
  name: 'isolation',
  measures: 'a healthy domain beside a dead one with a long queue: lateness with and without',
  run,
}
