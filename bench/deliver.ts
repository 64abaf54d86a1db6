import type { ControlClient } from '#test/support/control-client.ts'
import type { CountingReceiver } from '#test/support/counting-receiver.ts'
import { judge, type Ledger, openLedger } from '#test/support/ledger.ts'
import { cpuMicros } from './cpu.ts'
import { domainLimits } from './limits.ts'
import { BODY, BODY_TEXT, scheduleMany, sleepUntil, untilDelivered } from './load.ts'
import { type RawDriver, startRawDriver } from './raw-undici.ts'
import { type Bench, check, type Figure, type Measured, type Scenario } from './scenario.ts'
import { median } from './stats.ts'

const CONCURRENCY = 100

export interface Round {
  readonly perSecond: number
  readonly cpuPerDelivery: number | null
  readonly broken: readonly string[]
}

export interface Target {
  readonly client: ControlClient
  readonly receiver: CountingReceiver
  readonly pid: number
  readonly count: number
  readonly concurrency: number
}

/**
 * Schedules all for one instant, so far ahead that all are accepted before it: `enqueue` measures that part. Where the machine
 * was too slow for that they go out unmeasured, and it is tried again with twice the time.
 */
const scheduleAhead = async (target: Target, aheadMs: number): Promise<{ at: number; ledger: Ledger }> => {
  const { client, receiver, count } = target
  const ledger = openLedger()
  await receiver.forget()
  const at = Date.now() + Math.ceil(aheadMs)
  await scheduleMany(client, count, () => ({ url: `${receiver.url}/bench`, body: BODY, at }), ledger)
  if (Date.now() < at) return { at, ledger }
  if (aheadMs > 60_000) throw new Error(`${count} webhooks were not accepted within ${aheadMs} ms`)
  await receiver.until({ distinct: count }, 60_000 + count)
  return scheduleAhead(target, aheadMs * 2)
}

/** Schedules them for one instant ahead, and takes the time from that instant to the last arrival. */
export const hookpulseRound = async (target: Target): Promise<Round> => {
  const { client, receiver, pid, count, concurrency } = target
  const { at, ledger } = await scheduleAhead(target, 500 + count / 4)
  const { totals } = await client.monitor()
  const before = totals.delivered
  await sleepUntil(at - 100)
  const cpuBefore = cpuMicros(pid)
  await receiver.until({ distinct: count }, 60_000 + count)
  const arrivals = await receiver.arrivals()
  const recorded = await untilDelivered(client, before + count, 30_000)
  const cpuAfter = cpuMicros(pid)
  const { openMax } = await receiver.figures()
  const { broken } = judge(ledger, arrivals, openMax, { concurrency })
  const ms = (arrivals.at.toSorted().at(-1) ?? 0) - at
  return {
    perSecond: (count / ms) * 1_000,
    cpuPerDelivery: cpuBefore === null || cpuAfter === null ? null : (cpuAfter - cpuBefore) / count,
    broken: recorded ? broken : [...broken, `only part of ${count} is recorded as delivered`],
  }
}

const rawRound = async (raw: RawDriver, { receiver, count, concurrency }: Target): Promise<Round> => {
  const { ms, cpuMicros } = await raw.run({ origin: receiver.url, count, concurrency, body: BODY_TEXT })
  return { perSecond: (count / ms) * 1_000, cpuPerDelivery: cpuMicros / count, broken: [] }
}

interface Pair {
  readonly ours: Round
  readonly raw: Round
}

/** Ours, raw, ours, raw, ...; both warm. */
const inTurns = async (bench: Bench, target: Target, pairs: number): Promise<Pair[]> => {
  const raw = startRawDriver()
  const rounds: Pair[] = []
  try {
    const warm = { ...target, count: Math.ceil(target.count / 4) }
    await hookpulseRound(warm)
    await rawRound(raw, warm)
    for (let pair = 1; pair <= pairs; pair += 1) {
      const round = { ours: await hookpulseRound(target), raw: await rawRound(raw, target) }
      rounds.push(round)
      bench.note(`pair ${pair}: ${round.ours.perSecond.toFixed(0)}/s, raw ${round.raw.perSecond.toFixed(0)}/s`)
    }
    return rounds
  } finally {
    raw.stop()
  }
}

const figuresOf = (rounds: readonly Pair[]): Figure[] => {
  const medianOf = (of: (pair: Pair) => number | null): number => median(rounds.map((pair) => of(pair) ?? Number.NaN))
  const cpuRatio = medianOf(({ ours, raw }) => (ours.cpuPerDelivery ?? Number.NaN) / (raw.cpuPerDelivery ?? Number.NaN))
  return [
    {
      name: 'deliveries against raw undici',
      value: medianOf(({ ours, raw }) => ours.perSecond / raw.perSecond),
      unit: 'x',
      aim: { atLeast: 0.75 },
    },
    { name: 'CPU per delivery against raw undici', value: cpuRatio, unit: 'x', aim: { atMost: 2 } },
    { name: 'deliveries', value: medianOf(({ ours }) => ours.perSecond), unit: '/s' },
    { name: 'raw undici', value: medianOf(({ raw }) => raw.perSecond), unit: '/s' },
    { name: 'CPU per delivery', value: medianOf(({ ours }) => ours.cpuPerDelivery), unit: 'us' },
    { name: 'raw CPU per request', value: medianOf(({ raw }) => raw.cpuPerDelivery), unit: 'us' },
  ]
}

const bar = (name: string, value: number) => ({ name, points: [[0, value]] as const })

const run = async (bench: Bench): Promise<Measured> => {
  const count = bench.pick({ tiny: 300, small: 5_000, full: 20_000 })
  const pairs = bench.pick({ tiny: 1, small: 3, full: 5 })
  const receiver = await bench.receiver()
  const { pid, connect } = await bench.daemon()
  const client = await connect()
  await domainLimits(client, receiver.domain, { concurrency: CONCURRENCY })
  const rounds = await inTurns(bench, { client, receiver, pid, count, concurrency: CONCURRENCY }, pairs)
  await client.close()
  const broken = rounds.flatMap(({ ours }) => ours.broken)
  const series = [
    bar('HookPulse', median(rounds.map(({ ours }) => ours.perSecond))),
    bar('raw undici', median(rounds.map(({ raw }) => raw.perSecond))),
  ]
  return {
    setup: { webhooks: count, pairs, concurrency: CONCURRENCY, bodyBytes: BODY_TEXT.length },
    figures: figuresOf(rounds),
    checks: [
      check('nothing lost, doubled, early; never more open than the limit', broken.length === 0, broken.join('; ')),
    ],
    plots: [{ title: 'deliver: webhooks delivered per second', unit: '/s', kind: 'bars', series }],
  }
}

export const deliver: Scenario = {
  name: 'deliver',
  measures: 'webhooks due at one instant, durable, concurrency 100, beside one plain loop over undici',
  run,
}
