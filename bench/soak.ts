/**
 * Hours in small: a steady mixed load, most of it to a healthy receiver, 1 % each to receivers that misbehave in every way, each
 * at a domain of its own so that the guard's answer to one does not slow the mix. What grows is found by a line through it.
 */
import type { AddressInfo } from 'node:net'
import { createServer, type Server } from 'node:net'
import type { ControlClient } from '#test/support/control-client.ts'
import { type RawConnection, RawReceiver } from '#test/support/raw-receiver.ts'
import { descriptorGrowth, figuresOf, growths, inWords, isGrowing, memoryPlot, sample } from './growth.ts'
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
/** Caches fill (SQLite's, within the first 50,000 webhooks), the heap finds its size. */
const WARM_SHARE = 0.35
/** A shorter run cannot tell a slope from a wave. */
const JUDGED_MINUTES = 4
/**
 * Growth below it is not judged: a megabyte an hour is where the noise of a run of twenty minutes ends, and what is kept by design
 * (names, figures of guards) is far below it.
 */
const HEAP_KIB_PER_MINUTE = 17
/**
 * A domain that fails has its retries come at one a second and, by their budget, go at one a second: what has gathered by chance at the end (the
 * root of the seconds: 60 after eight minutes) goes at that pace.
 */
const DRAIN_MS_MAX = 300_000
/** main, the store's two, ingest, dispatch. */
const THREADS = 5
/** As `npm start` runs it, and with its heaps collected in all threads, twice a minute. */
const COLLECTED = ['--expose-gc', '--import', import.meta.resolve('./collecting.ts')]

const run = async (bench: Bench) => {
  const minutes = bench.minutes ?? bench.pick({ tiny: 0.08, small: 5, full: 20 })
  const healthy = await bench.receiver()
  const hostile = await Promise.all(FAULTS.map(([, behave]) => RawReceiver.start(behave)))
  const closed = await closedPort()
  const urls = [...hostile.map(({ url }) => url), `http://127.0.0.1:${closed}`]
  const daemon = await bench.daemon({ execArgv: COLLECTED })
  const client = await daemon.connect()
  // They stay wrong all the time: a breaker would take most of their load away.
  for (const url of urls) await client.call('configureBreaker', { domain: new URL(url).host, enabled: false })
  load.isOver = false
  const endAt = Date.now() + minutes * 60_000
  const [scheduled, samples] = await Promise.all([
    offer(client, endAt, bench, healthy.url, urls),
    sample(daemon.url, daemon.pid, endAt),
  ])
  load.isOver = true
  const books = await balanced(client, scheduled)
  for (const receiver of hostile) await receiver.stop()
  await client.close()
  const late = samples.filter(({ s }) => s >= minutes * 60 * WARM_SHARE)
  const lines = growths(late)
  const heaps = lines.filter(({ what }) => what.startsWith('heap'))
  const descriptors = descriptorGrowth(late)
  const mostOpen = Math.max(...late.map((sample) => sample.descriptors))
  return {
    setup: { minutes, perSecond: PER_SECOND, scheduled, faults: FAULTS.length + 1 },
    figures: [...[...lines, descriptors].flatMap(figuresOf), { name: 'descriptors, most', value: mostOpen, unit: '' }],
    checks: [
      check('the books balance: all that was accepted has ended', books === null, books ?? ''),
      // A run of minutes cannot tell a slope from a wave; a leak of one descriptor in a hundred attempts is beyond doubt.
      check('no descriptor is left behind', mostOpen < 400, `${mostOpen}`),
      ...heaps.map((heap) =>
        check(
          `${heap.what}: does not grow`,
          minutes < JUDGED_MINUTES || !isGrowing(heap) || heap.slope < HEAP_KIB_PER_MINUTE,
          inWords(heap),
        ),
      ),
      check('every thread was looked at', heaps.length >= THREADS, heaps.map(({ what }) => what).join('; ')),
    ],
    plots: [memoryPlot(samples)],
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

/** Null if it does: accepted = delivered + dead, and nothing is under way (I11). */
const balanced = async (client: ControlClient, scheduled: number): Promise<string | null> => {
  const patienceAt = Date.now() + DRAIN_MS_MAX
  for (;;) {
    const { totals } = await client.monitor()
    const left = totals.scheduled + totals.waiting + totals.executing + totals.retrying
    if (left === 0 && totals.delivered + totals.dead === scheduled) return null
    if (Date.now() > patienceAt) return `${scheduled} accepted, ${JSON.stringify(totals)}: ${await explained(client)}`
    await sleepUntil(Date.now() + 200)
  }
}

/** What the first ones that have not ended wait on, in the daemon's own words. */
const explained = async (client: ControlClient): Promise<string> => {
  const said: unknown[] = []
  for (const state of ['waiting', 'executing', 'retrying', 'scheduled']) {
    const { webhooks } = await client.call<{ webhooks: { readonly id: string }[] }>('listWebhooks', { state, limit: 3 })
    for (const { id } of webhooks)
      said.push(await client.call('explainWebhook', { id }), await client.call('getWebhook', { id }))
  }
  return JSON.stringify(said)
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
