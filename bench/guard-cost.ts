import { hookpulseRound } from './deliver.ts'
import { domainLimits } from './limits.ts'
import { type Bench, check, type Scenario } from './scenario.ts'
import { median } from './stats.ts'

const CONCURRENCY = 100
/** High enough never to bind: what is measured is the cost of looking. */
const NEVER_BINDS = 100_000

const run = async (bench: Bench) => {
  const count = bench.pick({ tiny: 200, small: 5_000, full: 20_000 })
  const pairs = bench.pick({ tiny: 1, small: 3, full: 5 })
  const receiver = await bench.receiver()
  const daemon = await bench.daemon()
  const client = await daemon.connect()
  const { domain } = receiver
  const limits = async (on: boolean): Promise<void> => {
    await domainLimits(client, domain, { concurrency: CONCURRENCY, rate: on ? NEVER_BINDS : null })
    await domainLimits(client, domain, {
      brand: 'default',
      concurrency: on ? 1_000 : null,
      rate: on ? NEVER_BINDS : null,
    })
    await client.call('configureBrandConcurrencyLimit', { limit: on ? 1_000 : null })
  }
  const one = async (on: boolean) => {
    await limits(on)
    return hookpulseRound({ client, receiver, pid: daemon.pid, count, concurrency: CONCURRENCY })
  }
  await one(true)
  const rounds: { without: Awaited<ReturnType<typeof one>>; with: Awaited<ReturnType<typeof one>> }[] = []
  for (let pair = 1; pair <= pairs; pair += 1) {
    rounds.push({ without: await one(false), with: await one(true) })
    const last = rounds.at(-1)
    bench.note(
      `pair ${pair}: ${last?.without.perSecond.toFixed(0)}/s without, ${last?.with.perSecond.toFixed(0)}/s with`,
    )
  }
  await client.close()
  const cost = median(rounds.map((pair) => (1 - pair.with.perSecond / pair.without.perSecond) * 100))
  const broken = rounds.flatMap((pair) => [...pair.without.broken, ...pair.with.broken])
  return {
    setup: {
      webhooks: count,
      pairs,
      concurrency: CONCURRENCY,
      limits: 'domain rate, brand-in-domain concurrency and rate, brand concurrency',
    },
    figures: [
      { name: 'cost of four limits', value: cost, unit: '%', aim: { atMost: 10 } },
      { name: 'without limits', value: median(rounds.map((pair) => pair.without.perSecond)), unit: '/s' },
      { name: 'with four limits', value: median(rounds.map((pair) => pair.with.perSecond)), unit: '/s' },
    ],
    checks: [check('nothing lost, doubled, early', broken.length === 0, broken.join('; '))],
    plots: [],
  }
}

export const guardCost: Scenario = {
  name: 'guard-cost',
  measures: 'deliver with the domain concurrency alone against deliver with four more limits that never bind',
  run,
}
