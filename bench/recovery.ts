import { judge, openLedger } from '#test/support/ledger.ts'
import { domainLimits } from './limits.ts'
import { scheduleMany } from './load.ts'
import { type Bench, check, type Scenario } from './scenario.ts'
import { median, percentile } from './stats.ts'

const CONCURRENCY = 50
/** Other domains, where nothing is in doubt after the kill: there recovery is measured (D-12). */
const run = async (bench: Bench) => {
  const kills = bench.pick({ tiny: 1, small: 5, full: 20 })
  const perRound = bench.pick({ tiny: 300, small: 2_000, full: 5_000 })
  const receiver = await bench.receiver({ delayMs: 5, ports: 2 })
  let daemon = await bench.daemon()
  const ledger = openLedger()
  const firsts: number[] = []
  const readies: number[] = []
  let open = 0
  for (let round = 0; round < kills; round += 1) {
    const client = await daemon.connect()
    await domainLimits(client, receiver.domain, { concurrency: CONCURRENCY })
    await scheduleMany(client, perRound, () => ({ url: `${receiver.url}/recovery` }), ledger)
    await receiver.until({ distinct: Math.floor(ledger.acks.length - perRound * 0.9) })
    // Due while it is dead, at a domain that had nothing in flight.
    const at = Date.now() + 300
    ledger.acknowledged([(await client.schedule({ url: `${receiver.urls[1]}/first`, at })).id], at)
    open += (await receiver.figures()).open
    await daemon.kill('SIGKILL')
    const restartedAt = Date.now()
    daemon = await daemon.restart()
    readies.push(daemon.readyMs)
    await receiver.until({ distinct: ledger.acks.length })
    const arrivals = await receiver.arrivals()
    const second = arrivals.at.filter((instant, index) => arrivals.ports[index] === 1 && instant >= restartedAt)
    firsts.push((second[0] ?? Number.NaN) - restartedAt)
    bench.note(`kill ${round + 1}: first delivery after ${firsts.at(-1)?.toFixed(0)} ms`)
  }
  const arrivals = await receiver.arrivals()
  const { openMaxBy } = await receiver.figures()
  await daemon.kill('SIGKILL')
  const inDoubt = kills * 2 * CONCURRENCY
  const verdict = judge(ledger, arrivals, openMaxBy['port 0'] ?? 0, { concurrency: CONCURRENCY, inDoubt })
  return {
    setup: { kills, webhooksPerKill: perRound, concurrency: CONCURRENCY },
    figures: [
      { name: 'first delivery after the restart, median', value: median(firsts), unit: 'ms', aim: { atMost: 1_000 } },
      { name: 'first delivery after the restart, worst', value: percentile(firsts, 1), unit: 'ms' },
      { name: 'ready after', value: median(readies), unit: 'ms' },
      { name: 'lost', value: verdict.missing.length, unit: '', aim: { atMost: 0 } },
      { name: 'doubled', value: verdict.extra, unit: '' },
      { name: 'open at the receiver at the kills, together', value: open, unit: '' },
    ],
    checks: [
      check(
        'nothing lost; extra arrivals only for what was in flight',
        verdict.broken.length === 0,
        verdict.broken.join('; '),
      ),
    ],
    plots: [],
  }
}

export const recovery: Scenario = {
  name: 'recovery',
  measures: 'kill -9 under load and restart: time to the first delivery, lost, doubled',
  run,
}
