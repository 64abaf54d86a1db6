import { cpuMicros, residentBytes } from './cpu.ts'
import { fill } from './fill.ts'
import { sleepUntil } from './load.ts'
import { type Bench, check, type Scenario } from './scenario.ts'

const IDLE_MS = 10_000
const MIB = 1_048_576

const run = async (bench: Bench) => {
  const count = bench.count ?? bench.pick({ tiny: 2_000, small: 100_000, full: 1_000_000 })
  const receiver = await bench.receiver()
  const data = await bench.daemon()
  const first = await data.connect()
  await first.close()
  await data.kill('SIGTERM')
  const empty = await data.restart()
  const emptyBytes = residentBytes(empty.pid)
  await empty.kill('SIGTERM')
  // Through the store's own append: over the control channel ten million would take minutes.
  await fill(empty.data, count, 'far')

  const full = await empty.restart()
  const fullBytes = residentBytes(full.pid)
  const again = await full.connect()
  const at = Date.now() + 500
  const { id } = await again.schedule({ url: `${receiver.url}/first`, at })
  await receiver.until({ distinct: 1 }, 30_000)
  const arrivals = await receiver.arrivals()
  const lateness = (arrivals.at[0] ?? Number.NaN) - at
  const before = cpuMicros(full.pid)
  const fromMono = performance.now()
  await sleepUntil(Date.now() + IDLE_MS)
  const after = cpuMicros(full.pid)
  const idle = before === null || after === null ? null : (after - before) / ((performance.now() - fromMono) * 10)
  const { totals } = await again.monitor()
  await again.close()
  await full.kill('SIGKILL')
  const isLarge = count > 1_000_000
  const perWebhook = emptyBytes === null || fullBytes === null ? null : (fullBytes - emptyBytes) / count
  return {
    setup: { pending: count, bodyBytes: 300 },
    figures: [
      { name: 'memory per pending webhook', value: perWebhook, unit: 'B', aim: { atMost: 300 } },
      {
        name: 'resident memory',
        value: fullBytes === null ? null : fullBytes / MIB,
        unit: 'MiB',
        aim: { atMost: isLarge ? 400 : 300 },
      },
      { name: 'start to ready', value: full.readyMs, unit: 'ms', aim: { atMost: isLarge ? 5_000 : 2_000 } },
      { name: 'lateness of the first one due', value: lateness, unit: 'ms' },
      { name: 'idle CPU', value: idle, unit: '%', aim: { atMost: 1 } },
    ],
    checks: [
      check('all of them are pending', totals.scheduled === count, `${totals.scheduled} of ${count}`),
      check('the one that was due arrived', arrivals.ids[0] === id && lateness >= -1, `${lateness} ms`),
    ],
    plots: [],
  }
}

export const pending: Scenario = {
  name: 'pending',
  measures: 'a large store of webhooks for later: memory, start, first one due, idle CPU',
  run,
}
