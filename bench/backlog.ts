/**
 * A million waiting for one small backend: what the guard holds of it, the order in which they go, and a restart in the middle,
 * which must not load them.
 */
import { residentBytes } from './cpu.ts'
import { fill } from './fill.ts'
import { domainLimits } from './limits.ts'
import { type Bench, check, type Scenario } from './scenario.ts'

const MIB = 1_048_576
const CONCURRENCY = 1

const run = async (bench: Bench) => {
  const count = bench.count ?? bench.pick({ tiny: 2_000, small: 100_000, full: 1_000_000 })
  const rounds = bench.pick({ tiny: 200, small: 2_000, full: 5_000 })
  const receiver = await bench.receiver({ hold: true })
  const first = await bench.daemon()
  const settings = await first.connect()
  // One at a time: the order of arrival is the order of starts.
  await domainLimits(settings, receiver.domain, { concurrency: CONCURRENCY })
  await settings.close()
  const emptyBytes = residentBytes(first.pid)
  await first.kill('SIGTERM')
  await fill(first.data, count, 'backlog', receiver.url)

  const daemon = await first.restart()
  await receiver.until({ open: CONCURRENCY }, 30_000)
  const heldBytes = residentBytes(daemon.pid)
  await receiver.behave({ hold: false })
  await receiver.release(CONCURRENCY)
  await receiver.until({ distinct: rounds }, 120_000)
  await daemon.kill('SIGKILL')
  const again = await daemon.restart()
  await receiver.until({ distinct: 2 * rounds }, 120_000)
  const movedBytes = residentBytes(again.pid)
  const { urls } = await receiver.arrivals()
  const { openMax } = await receiver.figures()
  await again.kill('SIGKILL')

  const numbers = urls.map((url) => Number(url.slice(1)))
  const repeats = numbers.length - new Set(numbers).size
  // What was in doubt at the kill comes again by its retry, later.
  const strays = numbers.filter((number, index) => index > 0 && number !== (numbers[index - 1] ?? 0) + 1).length
  const mib = (bytes: number | null) => (bytes === null ? null : bytes / MIB)
  return {
    setup: { waiting: count, concurrency: CONCURRENCY, delivered: numbers.length },
    figures: [
      { name: 'resident memory, empty', value: mib(emptyBytes), unit: 'MiB' },
      { name: 'resident memory, all of them waiting', value: mib(heldBytes), unit: 'MiB', aim: { atMost: 300 } },
      {
        name: 'resident memory after the restart, in motion',
        value: mib(movedBytes),
        unit: 'MiB',
        aim: { atMost: 300 },
      },
      { name: 'start to ready with all of them waiting', value: daemon.readyMs, unit: 'ms', aim: { atMost: 2_000 } },
      { name: 'start to ready after kill -9', value: again.readyMs, unit: 'ms', aim: { atMost: 2_000 } },
    ],
    checks: [
      check(
        'they go in their order, but for what was in flight at the kill',
        strays <= 4 && repeats <= CONCURRENCY,
        `${strays} out of order, ${repeats} twice`,
      ),
      check('never more than the limit', openMax <= CONCURRENCY, `${openMax}`),
    ],
    plots: [],
  }
}

export const backlog: Scenario = {
  name: 'backlog',
  measures: 'a million waiting on one domain: memory, order, and a restart in the middle',
  run,
}
