import type { ControlClient } from '#test/support/control-client.ts'
import type { CountingReceiver } from '#test/support/counting-receiver.ts'
import { judge, openLedger } from '#test/support/ledger.ts'
import { cpuMicros } from './cpu.ts'
import { domainLimits } from './limits.ts'
import { BODY, BODY_TEXT, scheduleMany, sleepUntil, untilDelivered } from './load.ts'
import { startRawDriver } from './raw-undici.ts'
import { type Bench, check, type Scenario } from './scenario.ts'
import { median } from './stats.ts'

const CONCURRENCY = 100

export interface Round {
  readonly perSecond: number
  readonly cpuPerDelivery: number | null
  readonly broken: readonly string[]
}

/** Schedules `count` for one instant ahead, and takes the time from that instant to the last arrival. */
export const hookpulseRound = async (
  client: ControlClient,
  receiver: CountingReceiver,
  pid: number,
  count: number,
  concurrency: number,
): Promise<Round> => {
  const ledger = openLedger()
  await receiver.forget()
  const before = (await client.monitor()).totals.delivered
  // Far enough ahead for all of them to be accepted first: `enqueue` measures that part.
  const at = Date.now() + 500 + Math.ceil(count / 4)
  await scheduleMany(client, count, () => ({ url: `${receiver.url}/bench`, body: BODY, at }), ledger)
  const late = Date.now() - at
  if (late > 0) throw new Error(`accepting took ${late} ms too long`)
  await sleepUntil(at - 100)
  const cpuBefore = cpuMicros(pid)
  await receiver.until({ distinct: count }, 30_000 + count)
  const { at: arrivedAt, ...columns } = await receiver.arrivals()
  const recorded = await untilDelivered(client, before + count, 30_000)
  const cpuAfter = cpuMicros(pid)
  const { openMax } = await receiver.figures()
  const { broken } = judge(ledger, { ...columns, at: arrivedAt }, openMax, { concurrency })
  const ms = (arrivedAt.toSorted().at(-1) ?? 0) - at
  return {
    perSecond: (count / ms) * 1_000,
    cpuPerDelivery: cpuBefore === null || cpuAfter === null ? null : (cpuAfter - cpuBefore) / count,
    broken: recorded ? broken : [...broken, `only part of ${count} is recorded as delivered`],
  }
}

const run = async (bench: Bench) => {
  const count = bench.pick({ tiny: 300, small: 5_000, full: 20_000 })
  const pairs = bench.pick({ tiny: 1, small: 3, full: 5 })
  const receiver = await bench.receiver()
  const daemon = await bench.daemon()
  const client = await daemon.connect()
  await domainLimits(client, receiver.domain, { concurrency: CONCURRENCY })
  const raw = startRawDriver()
  const request = { origin: receiver.url, concurrency: CONCURRENCY, body: BODY_TEXT }
  const rounds: { ours: Round; raw: Round }[] = []
  try {
    const warm = Math.ceil(count / 4)
    await hookpulseRound(client, receiver, daemon.pid, warm, CONCURRENCY)
    await raw.run({ ...request, count: warm })
    for (let pair = 1; pair <= pairs; pair += 1) {
      const ours = await hookpulseRound(client, receiver, daemon.pid, count, CONCURRENCY)
      const plain = await raw.run({ ...request, count })
      rounds.push({
        ours,
        raw: { perSecond: (count / plain.ms) * 1_000, cpuPerDelivery: plain.cpuMicros / count, broken: [] },
      })
      bench.note(`pair ${pair}: ${ours.perSecond.toFixed(0)}/s, raw ${rounds.at(-1)?.raw.perSecond.toFixed(0)}/s`)
    }
  } finally {
    raw.stop()
    await client.close()
  }
  const ratios = rounds.map((pair) => pair.ours.perSecond / pair.raw.perSecond)
  const cpuRatios = rounds.flatMap(({ ours, raw }) =>
    ours.cpuPerDelivery === null || raw.cpuPerDelivery === null ? [] : [ours.cpuPerDelivery / raw.cpuPerDelivery],
  )
  const ours = rounds.map((pair) => pair.ours.perSecond)
  const plain = rounds.map((pair) => pair.raw.perSecond)
  const broken = rounds.flatMap((pair) => pair.ours.broken)
  return {
    setup: { webhooks: count, pairs, concurrency: CONCURRENCY, bodyBytes: BODY_TEXT.length },
    figures: [
      { name: 'deliveries against raw undici', value: median(ratios), unit: 'x', aim: { atLeast: 0.75 } },
      {
        name: 'CPU per delivery against raw undici',
        value: cpuRatios.length > 0 ? median(cpuRatios) : null,
        unit: 'x',
        aim: { atMost: 2 },
      },
      { name: 'deliveries', value: median(ours), unit: '/s' },
      { name: 'raw undici', value: median(plain), unit: '/s' },
      {
        name: 'CPU per delivery',
        value: median(rounds.map((pair) => pair.ours.cpuPerDelivery ?? Number.NaN)),
        unit: 'us',
      },
      {
        name: 'raw CPU per request',
        value: median(rounds.map((pair) => pair.raw.cpuPerDelivery ?? Number.NaN)),
        unit: 'us',
      },
    ],
    checks: [
      check('nothing lost, doubled, early; never more open than the limit', broken.length === 0, broken.join('; ')),
    ],
    plots: [
      {
        title: 'deliver: webhooks delivered per second',
        unit: '/s',
        kind: 'bars' as const,
        series: [
          { name: 'HookPulse', points: [[0, median(ours)]] as const },
          { name: 'raw undici', points: [[0, median(plain)]] as const },
        ],
      },
    ],
  }
}

export const deliver: Scenario = {
  name: 'deliver',
  measures: 'webhooks due at one instant, durable, concurrency 100, beside one plain loop over undici',
  run,
}
