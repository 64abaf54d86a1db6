/**
 * One run of the black box: the real daemon under 200 schedules a second with receivers of every mood, hurt by what the seed has
 * drawn; then everything is healed, and it must bring all to an end. The books are judged when it has stopped.
 */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type CountingReceiver, startCountingReceiver } from '#test/support/counting-receiver.ts'
import { SmallDisk } from './disk.ts'
import { endsOf, wrongEnd } from './ends.ts'
import { type Hurting, hurtInTurn } from './faults.ts'
import { judge, rowsOf, type Verdict } from './judging.ts'
import { Line, pause } from './line.ts'
import { type Books, Offering } from './offering.ts'
import { DISK_FAULTS, type FaultType, planOf } from './plan.ts'
import { Watch } from './watch.ts'

export interface ChaosOptions {
  readonly seed: number
  /** How long it is hurt; the end comes when all is delivered, or 180 s later. */
  readonly ms: number
  readonly faults: readonly FaultType[]
  /** For faults of the disk: a small file system of its own. The data directory is `<dir>/data`. */
  readonly dir: string
  /** What will be cancelled is due so late that the cancel comes in time: at least so many ms. Default: 15,000. */
  readonly cancelledInMs?: number
  readonly say?: (line: string) => void
}
export interface ChaosResult extends Verdict {
  readonly seed: number
  readonly faults: Hurting['counts']
  readonly ends: Readonly<Record<string, number>>
  readonly refusals: Readonly<Record<string, number>>
  readonly resigned: number
  readonly offered: number
  readonly openMax: number
  /** Lines of the log within one second of the clock, in the worst one. */
  readonly linesMax: number
  /** From the last fault to the answer to the last schedule, and to the last delivery; milliseconds. */
  readonly answeredMs: number
  readonly drainedMs: number
}

const CONCURRENCY = 50
const CANCELLED_IN_MS = 15_000
const DRAINED_WITHIN_MS = 180_000
/** I9. */
const ANSWERED_WITHIN_MS = 30_000
/** A hundred in a second (SUPV-02); one of the clock touches two of the daemon's. */
const LINES_MAX = 200
const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const CALM = { scheduled: 0, waiting: 0, executing: 0, retrying: 0, dead: 0 }

/** Moods: at once, slow, 500 for a moment every three seconds, and 429 with Retry-After for a moment every five. */
const moody = (receivers: readonly CountingReceiver[]): (() => Promise<void>) => {
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
  return async () => {
    for (const timer of timers) clearInterval(timer)
    // The last mood is over by then.
    await pause(400)
  }
}

/** `hookpulse check` of what is left: null, or what it says. */
const checked = (data: string): Promise<string | null> =>
  new Promise((resolve) => {
    execFile(process.execPath, [MAIN, 'check', '--data', data], (error, out, err) =>
      resolve(error === null ? null : `${out}${err}`),
    )
  })

const configure = async (line: Line, receivers: readonly CountingReceiver[]): Promise<void> => {
  for (const { domain } of receivers) {
    await line.patiently((client) => client.call('configureDomainConcurrencyLimit', { domain, limit: CONCURRENCY }))
    await line.patiently((client) => client.call('configureBreaker', { domain, enabled: false }))
  }
}

/** How long it took, or null: not all of it is over. */
const drained = async (line: Line): Promise<number | null> => {
  const startMono = performance.now()
  while (performance.now() - startMono < DRAINED_WITHIN_MS) {
    const { totals } = await line.patiently((client) => client.monitor())
    const isOver = Object.entries(CALM).every(([name, n]) => totals[name as keyof typeof totals] === n)
    if (isOver) return performance.now() - startMono
    await pause(200)
  }
  return null
}

/** The same words again: the same ids, and nothing is made twice. */
const askAgain = async (line: Line, { kept, findings }: Books): Promise<void> => {
  for (const { webhooks, ids } of kept) {
    const again = await line.patiently((client) => client.scheduleAll(webhooks))
    const isSame = again.ids.every((id, index) => id === ids[index]) && again.duplicates.every((is) => is)
    if (!isSame) findings.push(`asked again in the same words it answered ${again.ids} instead of ${ids}`)
  }
}

export const runChaos = async (options: ChaosOptions): Promise<ChaosResult> => {
  const { seed, ms, faults, dir, cancelledInMs = CANCELLED_IN_MS, say = () => undefined } = options
  const data = join(dir, 'data')
  const receivers = await Promise.all([{}, { delayMs: 300 }, {}, {}].map((mood) => startCountingReceiver(mood)))
  const watch = new Watch(data)
  try {
    const line = new Line(watch)
    await configure(line, receivers)
    const plan = planOf(seed, ms, faults)
    const hasDisk = faults.some((type) => DISK_FAULTS.includes(type))
    const startMono = performance.now()
    const tell = (what: string): void => say(`${((performance.now() - startMono) / 1_000).toFixed(1)} s ${what}`)
    const disk = hasDisk ? new SmallDisk(dir) : null
    const hurting: Hurting = { watch, line, data, disk, counts: {}, blows: [], startMono, say: tell }
    const offering = new Offering(
      line,
      receivers.map(({ url }) => url),
      { seed, cancelledInMs },
    )
    const { books } = offering
    const beCalm = moody(receivers)
    const offered = offering.run(ms)
    await Promise.all([hurtInTurn(plan.ofProcess, hurting), hurtInTurn(plan.ofDisk, hurting), pause(ms)])
    const [healedMono, healedAt] = [performance.now(), Date.now()]
    tell('healed')
    await offered
    const answeredMs = performance.now() - healedMono
    await beCalm()
    const drainedIn = await drained(line)
    const drainedMs = performance.now() - healedMono
    tell('drained')
    await askAgain(line, books)
    const figures = await Promise.all(receivers.map((receiver) => receiver.figures()))
    const openMax = Math.max(...figures.map((figure) => figure.openMax))
    await watch.close()
    const problems = await checked(data)
    const received = await Promise.all(receivers.map((receiver) => receiver.arrivals()))
    const ends = watch.lives.map(({ endedAt }) => ({ what: 'end of the process', from: endedAt, to: endedAt }) as const)
    const verdict = judge(books, rowsOf(data), received, { healedAt, blows: [...ends, ...hurting.blows] })
    const findings = [
      ...watch.lives.map(wrongEnd).filter((wrong) => wrong !== null),
      ...verdict.findings,
      ...(drainedIn === null ? ['not everything came to an end (I9)'] : []),
      ...(answeredMs > ANSWERED_WITHIN_MS ? [`the last answer came ${answeredMs} ms after the last fault (I9)`] : []),
      ...(line.silent > 0 ? [`${line.silent} questions were never answered on a line that stayed open`] : []),
      ...(openMax > CONCURRENCY ? [`${openMax} requests were open at once; the limit is ${CONCURRENCY} (I6)`] : []),
      ...(problems === null ? [] : [`hookpulse check: ${problems}`]),
    ]
    const linesMax = Math.max(...watch.lives.map((life) => life.linesMax))
    if (linesMax > LINES_MAX) findings.push(`${linesMax} lines were logged within one second (SUPV-02)`)
    const { refusals, resigned } = books
    const said = {
      seed,
      faults: hurting.counts,
      ends: endsOf(watch.lives),
      refusals,
      resigned: resigned.size,
      offered: books.offered,
    }
    return { ...said, ...verdict, linesMax, openMax, answeredMs, drainedMs, findings }
  } finally {
    watch.end('SIGKILL')
    await watch.close()
    await Promise.all(receivers.map((receiver) => receiver.stop()))
  }
}
