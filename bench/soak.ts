/**
 * Hours in small: a steady mixed load, most of it to a healthy receiver, 1 % each to receivers that misbehave in every way, each
 * at a domain of its own so that the guard's answer to one does not slow the mix. What grows is found by a line through it.
 */
import { readdirSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { createServer, type Server } from 'node:net'
import type { ControlClient } from '#test/support/control-client.ts'
import { type RawConnection, RawReceiver } from '#test/support/raw-receiver.ts'
import { residentBytes } from './cpu.ts'
import { fitLine, lowWater } from './fit.ts'
import { BODY, sleepUntil } from './load.ts'
import { type Bench, check, type Scenario } from './scenario.ts'

const OK = 'HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok'
const CLOSED = 'HTTP/1.1 429 Slow\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n'
/** A domain that is closed all the time lets one a second through: at the end it takes what has gathered. */
const load = { isOver: false }
type Fault = readonly [name: string, behave: (connection: RawConnection) => void]
const FAULTS: readonly Fault[] = [
  ['500', (one) => one.write('HTTP/1.1 500 No\r\nconnection: close\r\ncontent-length: 0\r\n\r\n')],
  ['429', (one) => one.write(load.isOver ? OK : CLOSED)],
  [
    'redirect',
    (one) =>
      one.write('HTTP/1.1 302 Go\r\nlocation: http://127.0.0.1/\r\nconnection: close\r\ncontent-length: 0\r\n\r\n'),
  ],
  ['silence', () => undefined],
  ['reset', (one) => one.reset()],
  [
    'cut short',
    (one) => {
      one.write('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf')
      one.end()
    },
  ],
  ['no http', (one) => one.write('220 mail ready\r\n')],
  [
    'drip',
    (one) =>
      one.drip(
        Array.from({ length: 600 }, (_, at) => (at === 0 ? 'HTTP/1.1 200 OK\r\n' : `x-${at}: 1\r\n`)),
        100,
      ),
  ],
  ['1xx', (one) => one.write('HTTP/1.1 102 Wait\r\n\r\n'.repeat(1_000))],
  ['endless', (one) => one.write(`HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n${'x'.repeat(1_000_000)}`)],
  ['slow', (one) => void setTimeout(() => one.write(OK), 300)],
]
const PER_SECOND = 100
const TIMEOUT_MS = 1_000
const RETRY = { maxAttempts: 2, backoff: 'fixed', initialDelayMs: 500, maxDelayMs: 500, jitter: 0 }
/** Caches fill, the heap finds its size. */
const WARM_SHARE = 0.3
const STRETCH_S = 15
const MIB = 1_048_576

interface Sample {
  readonly s: number
  readonly heap: number
  readonly rss: number
  readonly descriptors: number
}

const run = async (bench: Bench) => {
  const minutes = bench.minutes ?? bench.pick({ tiny: 0.08, small: 5, full: 20 })
  const healthy = await bench.receiver()
  const hostile = await Promise.all(FAULTS.map(([, behave]) => RawReceiver.start(behave)))
  const closed = await closedPort()
  const urls = [...hostile.map(({ url }) => url), `http://127.0.0.1:${closed}`]
  const daemon = await bench.daemon()
  const client = await daemon.connect()
  // They stay wrong all the time: a breaker would take most of their load away.
  for (const url of urls) await client.call('configureBreaker', { domain: new URL(url).host, enabled: false })
  load.isOver = false
  const endAt = Date.now() + minutes * 60_000
  const samples: Sample[] = []
  const [scheduled] = await Promise.all([
    offer(client, endAt, bench, healthy.url, urls),
    sampled(daemon.url, daemon.pid, endAt, samples),
  ])
  load.isOver = true
  const books = await balanced(client, scheduled)
  for (const receiver of hostile) await receiver.stop()
  await client.close()
  const late = samples.filter(({ s }) => s >= minutes * 60 * WARM_SHARE)
  const heap = fitLine(
    lowWater(
      late.map(({ s, heap: bytes }) => [s, bytes] as const),
      STRETCH_S,
    ),
  )
  const rss = fitLine(late.map(({ s, rss: bytes }) => [s, bytes] as const))
  const descriptors = fitLine(late.map(({ s, descriptors: count }) => [s, count] as const))
  const grows = (line: { readonly slope: number; readonly uncertainty: number }) => line.slope > line.uncertainty
  const perHour = (slope: number): number => (slope * 3_600) / MIB
  const mostOpen = Math.max(...late.map((sample) => sample.descriptors))
  return {
    setup: { minutes, perSecond: PER_SECOND, scheduled, faults: FAULTS.length + 1 },
    figures: [
      { name: 'heap, slope of its low-water mark', value: perHour(heap.slope), unit: 'MiB/h' },
      { name: '  two standard errors', value: perHour(heap.uncertainty), unit: 'MiB/h' },
      { name: 'resident memory, slope', value: perHour(rss.slope), unit: 'MiB/h' },
      { name: 'resident memory at the end', value: (samples.at(-1)?.rss ?? 0) / MIB, unit: 'MiB' },
      { name: 'descriptors, slope', value: descriptors.slope * 3_600, unit: '/h' },
      { name: '  two standard errors', value: descriptors.uncertainty * 3_600, unit: '/h' },
      { name: 'descriptors, most', value: mostOpen, unit: '' },
    ],
    checks: [
      check('the books balance: all that was accepted has ended', books === null, books ?? ''),
      // A run of minutes cannot tell a slope from a wave; a leak of one descriptor in a hundred attempts is beyond doubt.
      check('no descriptor is left behind', mostOpen < 400, `${mostOpen}`),
      check(
        'the heap does not grow',
        minutes < 4 || !grows(heap) || perHour(heap.slope) < 60,
        `${perHour(heap.slope)} MiB/h`,
      ),
    ],
    plots: [
      {
        title: 'Memory over a soak',
        unit: 'MiB',
        kind: 'steps' as const,
        xUnit: 's',
        series: [
          { name: 'resident', points: samples.map(({ s, rss: bytes }) => [s, bytes / MIB] as const) },
          { name: 'heap', points: samples.map(({ s, heap: bytes }) => [s, bytes / MIB] as const) },
        ],
      },
    ],
  }
}

/** One in a hundred to each of those that misbehave. */
const offer = async (
  client: ControlClient,
  endAt: number,
  bench: Bench,
  healthy: string,
  hostile: readonly string[],
): Promise<number> => {
  let scheduled = 0
  for (let at = Date.now(); at < endAt; at += 1_000) {
    const webhooks = Array.from({ length: PER_SECOND }, () => {
      const url = hostile[bench.random.below(100)] ?? healthy
      return {
        url: `${url}/soak`,
        body: BODY,
        at: at + 500 + bench.random.below(1_000),
        timeoutMs: TIMEOUT_MS,
        retry: RETRY,
      }
    })
    scheduled += (await client.scheduleAll(webhooks)).ids.length
    await sleepUntil(at + 1_000)
  }
  return scheduled
}

const sampled = async (url: string, pid: number, endAt: number, samples: Sample[]): Promise<void> => {
  const startAt = Date.now()
  while (Date.now() < endAt) {
    const page = await (await fetch(`${url}/metrics`)).text()
    const heap = Number(/^hookpulse_heap_used_bytes (\S+)$/m.exec(page)?.[1])
    samples.push({
      s: (Date.now() - startAt) / 1_000,
      heap,
      rss: residentBytes(pid) ?? 0,
      descriptors: descriptorsOf(pid),
    })
    await sleepUntil(Date.now() + 1_000)
  }
}
/** Linux; elsewhere none are counted. */
const descriptorsOf = (pid: number): number => {
  try {
    return readdirSync(`/proc/${pid}/fd`).length
  } catch (error) {
    if (error instanceof Error) return 0
    throw error
  }
}

/** Null if it does: accepted = delivered + dead, and nothing is under way (I11). */
const balanced = async (client: ControlClient, scheduled: number): Promise<string | null> => {
  const patienceAt = Date.now() + 60_000
  for (;;) {
    const { totals } = await client.monitor()
    const left = totals.scheduled + totals.waiting + totals.executing + totals.retrying
    if (left === 0 && totals.delivered + totals.dead === scheduled) return null
    if (Date.now() > patienceAt) return `${scheduled} accepted, ${JSON.stringify(totals)}`
    await sleepUntil(Date.now() + 200)
  }
}

/** A port on which nobody listens. */
const closedPort = async (): Promise<number> => {
  const server: Server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

export const soak: Scenario = {
  name: 'soak',
  measures: 'minutes of mixed load, every kind of bad receiver at 1 % each: what grows, and whether the books balance',
  run,
}
