/**
 * What the dispatch room alone reaches beside plain undici, in turns, in one run: `node bench/dispatch.ts [count] [pairs]`.
 * Ours: main -> thread -> receiver -> thread -> main, one thread, no guard and no store. Both sides keep 100 requests open and
 * POST the same 300 bytes to the same receiver process.
 */
import { median, spread } from '#bench/stats.ts'
import type { Carrier } from '#dispatch/dispatch.ts'
import { openDispatchPool } from '#dispatch/pool.ts'
import { startCountingReceiver } from '#test/support/counting-receiver.ts'
import { LOCAL_SETTINGS, packed } from '#test/support/dispatching.ts'
import { RealWorld } from '#world/real-world.ts'
import { type RawAnswer, startRawDriver } from './raw-undici.ts'

const CONCURRENCY = 100
const count = Number(process.argv[2] ?? 20_000)
const pairs = Number(process.argv[3] ?? 5)
const body = JSON.stringify({ type: 'order.paid', data: 'x'.repeat(260) })

const receiver = await startCountingReceiver()
const raw = startRawDriver()
const world = new RealWorld()
const pool = openDispatchPool({ world, settings: LOCAL_SETTINGS, threads: 1, failed: (error) => console.error(error) })
let reported = (_count: number): void => {}
let groups = 0
let mainMicros = 0
const carrier: Carrier = await pool.startCarrier({
  reported: (reports) => {
    for (const { outcome } of reports)
      if (outcome.kind !== 'response' || outcome.status !== 200) throw new Error(JSON.stringify(outcome))
    groups += 1
    reported(reports.length)
  },
  ended: (reason) => console.error(`carrier ended: ${reason}`),
})

const request = packed(`${receiver.url}/ours`, { body })
let sent = 0
const order = () => {
  sent += 1
  const webhookId = `msg_${String(sent).padStart(26, '0')}`
  return {
    attemptId: `${webhookId}.1`,
    webhookId,
    attempt: 1,
    brand: 'default',
    domain: receiver.domain,
    request,
    lonelyDeaths: null,
    timeoutMs: 30_000,
  }
}
const ours = (): Promise<RawAnswer> =>
  new Promise((resolve) => {
    const cpuBefore = process.cpuUsage()
    const mainBefore = process.threadCpuUsage()
    const startMono = performance.now()
    let left = count - CONCURRENCY
    let open = CONCURRENCY
    reported = (ended) => {
      open -= ended
      const more = Math.min(left, ended)
      left -= more
      open += more
      if (more > 0) carrier.dispatch(Array.from({ length: more }, order))
      if (open > 0) return
      const cpu = process.cpuUsage(cpuBefore)
      const main = process.threadCpuUsage(mainBefore)
      mainMicros += main.user + main.system
      resolve({ ms: performance.now() - startMono, cpuMicros: cpu.user + cpu.system })
    }
    carrier.dispatch(Array.from({ length: CONCURRENCY }, order))
  })
const theirs = () => raw.run({ origin: receiver.url, count, concurrency: CONCURRENCY, body })

await ours()
await theirs()
const rounds: { readonly ours: RawAnswer; readonly theirs: RawAnswer }[] = []
for (let i = 0; i < pairs; i++) rounds.push({ ours: await ours(), theirs: await theirs() })
const perSecond = (answers: readonly RawAnswer[]) => Math.round(median(answers.map(({ ms }) => (count / ms) * 1_000)))
const cpuEach = (answers: readonly RawAnswer[]) => median(answers.map(({ cpuMicros }) => cpuMicros / count)).toFixed(1)
const ratios = rounds.map((round) => round.theirs.ms / round.ours.ms)
const cpus = rounds.map((round) => round.ours.cpuMicros / round.theirs.cpuMicros)
console.log(`ours    ${perSecond(rounds.map((r) => r.ours))}/s, ${cpuEach(rounds.map((r) => r.ours))} us CPU each`)
console.log(`undici  ${perSecond(rounds.map((r) => r.theirs))}/s, ${cpuEach(rounds.map((r) => r.theirs))} us CPU each`)
console.log(
  `main    ${(mainMicros / (count * (pairs + 1))).toFixed(1)} us CPU each, ${((count * (pairs + 1)) / groups).toFixed(1)} reports a group`,
)
console.log(
  `ratio   ${median(ratios).toFixed(2)} (${spread(ratios)}), CPU ${median(cpus).toFixed(2)} (${spread(cpus)})`,
)
await pool.close()
raw.stop()
await receiver.stop()
