/**
 * The real daemon under 200 schedules a second with receivers of every mood, killed by -9 at random instants, stopped and
 * continued, its actors killed: then three books must say the same (I11): what was acknowledged and has arrived, what the daemon's
 * monitor says, and what lies in its store. Extra arrivals are counted out one by one against the attempts in doubt (I2).
 */
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { expect, it, onTestFinished } from 'vitest'
import { nodesOf } from '#test/end-to-end/stage.ts'
import type { ControlClient, WebhookInput } from '#test/support/control-client.ts'
import { type CountingReceiver, startCountingReceiver } from '#test/support/counting-receiver.ts'
import { type Daemon, removeDirectory, startDaemon } from '#test/support/daemon.ts'
import { Prng } from '#world/prng.ts'

const { CHAOS_SECONDS = '600', CHAOS_SEED = '1' } = process.env
const PER_SECOND = 200
const BATCH_MAX = 500
const CONCURRENCY = 50
const [BETWEEN_MS_MIN, BETWEEN_MS_MAX] = [500, 5_000]
/** A daemon that stands still for longer than its clients wait is the same as a dead one. */
const STILL_MS_MAX = 1_500
const DRAINED_WITHIN_MS = 180_000
const RETRY = { maxAttempts: 50, backoff: 'fixed', initialDelayMs: 200, maxDelayMs: 200, jitter: 0 }

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

class Stage {
  daemon: Daemon
  /** Of the daemon that runs, or of the one that is being started. */
  client: Promise<ControlClient>
  constructor(daemon: Daemon) {
    this.daemon = daemon
    this.client = daemon.connect()
  }
  async killAndRestart(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<ControlClient>()
    this.client = promise
    await this.daemon.kill('SIGKILL')
    this.daemon = await this.daemon.restart()
    resolve(await this.daemon.connect())
  }
  /** Asked again, in the same words, until it is answered. */
  async patiently<Value>(ask: (client: ControlClient) => Promise<Value>): Promise<Value> {
    const end = performance.now() + 60_000
    for (;;) {
      try {
        return await ask(await this.client)
      } catch (error) {
        if (performance.now() > end) throw error
        await sleep(50)
        const connected = await this.daemon.connect().catch((cause: unknown) => cause)
        if (!(connected instanceof Error)) this.client = Promise.resolve(connected as ControlClient)
      }
    }
  }
}

interface Books {
  readonly acked: Set<string>
  offered: number
}
const offer = async (stage: Stage, receivers: readonly CountingReceiver[], random: Prng, books: Books, ms: number) => {
  const startMono = performance.now()
  for (;;) {
    const elapsed = Math.min(ms, performance.now() - startMono)
    const count = Math.min(BATCH_MAX, Math.floor((elapsed / 1_000) * PER_SECOND) - books.offered)
    if (count > 0) {
      const webhooks = Array.from({ length: count }, (_, index): WebhookInput => {
        const number = books.offered + index
        return {
          url: `${receivers[number % receivers.length]?.url}/chaos`,
          at: Date.now() + random.below(3_000),
          idempotencyKey: `${CHAOS_SEED}-${number}`,
          retry: RETRY,
        }
      })
      const { ids } = await stage.patiently((client) => client.scheduleAll(webhooks))
      for (const id of ids) books.acked.add(id)
      books.offered += count
    } else if (elapsed >= ms) return
    else await sleep(20)
  }
}

const hurt = async (stage: Stage, random: Prng, counts: Record<string, number>): Promise<void> => {
  const dice = random.below(10)
  const what = dice < 6 ? 'kill -9' : dice < 8 ? 'SIGSTOP' : 'killProcess'
  counts[what] = (counts[what] ?? 0) + 1
  if (what === 'kill -9') return stage.killAndRestart()
  if (what === 'SIGSTOP') {
    stage.daemon.signal('SIGSTOP')
    await sleep(random.below(STILL_MS_MAX))
    stage.daemon.signal('SIGCONT')
    return
  }
  const client = await stage.client
  const tree = await client.tree().catch(() => null)
  if (tree === null) return
  const names = [...new Set(nodesOf(tree).map(({ name }) => name))].filter((name) => name !== 'root' && name !== '')
  await client.call('killProcess', { name: names[random.below(names.length)] ?? 'scheduler' }).catch(() => null)
}

/** Moods: at once, slow, 500 for a moment every three seconds, and 429 with Retry-After for a moment every five. */
const moody = (receivers: readonly CountingReceiver[]): (() => void) => {
  const [, , failing, closing] = receivers
  const timers = [
    setInterval(() => {
      void failing?.behave({ status: 500 })
      setTimeout(() => void failing?.behave({ status: 200 }), 300)
    }, 3_000),
    setInterval(() => {
      void closing?.behave({ status: 429, headers: { 'retry-after': '1' } })
      setTimeout(() => void closing?.behave({ status: 200, headers: {} }), 100)
    }, 5_000),
  ]
  return () => {
    for (const timer of timers) clearInterval(timer)
  }
}

interface Row {
  readonly id: string
  readonly state: number | null
  readonly attempts: number
  readonly doubts: number
}
const storeOf = (data: string): readonly Row[] => {
  const db = new Database(join(data, 'hookpulse.db'), { readonly: true })
  try {
    return db
      .prepare<[], Row>(
        `SELECT w.id, d.state, (SELECT count(*) FROM attempts a WHERE a.seq = w.seq) AS attempts,
           (SELECT count(*) FROM attempts a WHERE a.seq = w.seq AND a.in_doubt = 1) AS doubts
         FROM webhooks w LEFT JOIN done d ON d.seq = w.seq`,
      )
      .all()
  } finally {
    db.close()
  }
}

it('PROC-02: bears ten minutes of kill -9 under 200 schedules a second: lost 0, and every extra arrival has its attempt in doubt', async () => {
  const random = new Prng(Number(CHAOS_SEED))
  const receivers = await Promise.all([{}, { delayMs: 300 }, {}, {}].map((mood) => startCountingReceiver(mood)))
  onTestFinished(async () => void (await Promise.all(receivers.map((receiver) => receiver.stop()))))
  const stage = new Stage(await startDaemon({ args: ['--log-level', 'error'] }))
  onTestFinished(async () => {
    await stage.daemon.kill()
    removeDirectory(stage.daemon.data)
  })
  for (const { domain } of receivers) {
    await stage.patiently((client) => client.call('configureDomainConcurrencyLimit', { domain, limit: CONCURRENCY }))
    await stage.patiently((client) => client.call('configureBreaker', { domain, enabled: false }))
  }
  const books: Books = { acked: new Set(), offered: 0 }
  const counts: Record<string, number> = {}
  const ms = Number(CHAOS_SECONDS) * 1_000
  const calm = moody(receivers)
  const startMono = performance.now()
  const offering = offer(stage, receivers, random, books, ms)
  while (performance.now() - startMono < ms) {
    await sleep(BETWEEN_MS_MIN + random.below(BETWEEN_MS_MAX - BETWEEN_MS_MIN))
    await hurt(stage, random, counts)
  }
  await offering
  calm()
  for (const receiver of receivers) await receiver.behave({ status: 200, headers: {} })
  const totals = async () => (await stage.patiently((client) => client.monitor())).totals
  await expect
    .poll(totals, { timeout: DRAINED_WITHIN_MS, interval: 500 })
    .toMatchObject({ delivered: books.acked.size, scheduled: 0, waiting: 0, executing: 0, retrying: 0, dead: 0 })
  const openMax = await Promise.all(receivers.map(async (receiver) => (await receiver.figures()).openMax))
  await stage.daemon.kill('SIGTERM')

  const rows = storeOf(stage.daemon.data)
  expect(new Set(rows.map(({ id }) => id))).toEqual(books.acked)
  const arrived = new Map<string, number>()
  for (const receiver of receivers)
    for (const id of (await receiver.arrivals()).ids) arrived.set(id, (arrived.get(id) ?? 0) + 1)
  const lost = rows.filter(({ id }) => !arrived.has(id))
  expect(lost).toEqual([])
  // Each attempt arrives at most once; one that is not in doubt has arrived, once, or was refused its connection.
  expect(rows.filter(({ id, attempts }) => (arrived.get(id) ?? 0) > attempts)).toEqual([])
  const extra = rows.reduce(
    (sum, { id, attempts, doubts }) => sum + Math.max(0, (arrived.get(id) ?? 0) - (attempts - doubts)),
    0,
  )
  const doubts = rows.reduce((sum, row) => sum + row.doubts, 0)
  expect(extra).toBeLessThanOrEqual(doubts)
  expect(Math.max(...openMax)).toBeLessThanOrEqual(CONCURRENCY)
  process.stdout.write(
    `${JSON.stringify(counts)}; ${books.offered} offered, ${books.acked.size} acknowledged, ${rows.length} stored, ` +
      `${[...arrived.values()].reduce((a, b) => a + b, 0)} arrivals, ${doubts} attempts in doubt, ${extra} of them arrived, ` +
      `lost ${lost.length}\n`,
  )
})
