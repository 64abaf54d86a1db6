/** The verdict at the end of a run, when everything has come to rest (reliability.md 0.1). */
import { aheadMs } from '#guard/rate.ts'
import type { MemoryDisk, MemoryRow } from '#store/memory/memory-disk.ts'
import type { AttemptRecord } from '#webhook/webhook.ts'
import type { SimDaemon } from './daemon.ts'
import type { Arrival, Ledger } from './ledger.ts'
import type { SimOptions } from './options.ts'

/** The wall clock counts in whole milliseconds. */
const WALL_MS = 0.001

/** I1, I2, I11: what the store says, what clients were told, and what receivers have seen are one story. */
export const judgeBooks = (disk: MemoryDisk, ledger: Ledger): void => {
  for (const id of ledger.shed) if (disk.byId.has(id)) ledger.fail('O2', `${id} was refused and is stored`)
  for (const id of ledger.acked.keys()) if (!disk.byId.has(id)) ledger.fail('I1', `${id} was acknowledged and is gone`)
  for (const row of disk.byId.values()) judgeRow(row, ledger)
  for (const id of ledger.arrivalsOf.keys()) if (!disk.byId.has(id)) ledger.fail('I11', `${id} arrived, unknown`)
}

const judgeRow = (row: MemoryRow, ledger: Ledger): void => {
  const { id, state, history } = row
  const records = history.map(({ attempt }) => attempt)
  const arrivals = ledger.arrivalsOf.get(id) ?? []
  if (state === 'live') return ledger.fail('I9', `${id} has no end`)
  if (records.some(({ number }, index) => number !== index + 1)) ledger.fail('I11', `${id} has gaps in its attempts`)
  for (const record of records) judgeRecord(id, record, ledger)
  const unknown = arrivals.filter(({ attempt }) => !records.some(({ number }) => number === attempt))
  if (unknown.length > 0) ledger.fail('I11', `${id}.${unknown[0]?.attempt} arrived and has no record`)
  if (row.retry !== null && records.length - (row.attemptsBefore ?? 0) > row.retry.maxAttempts)
    ledger.fail('I11', `${id} has too many attempts`)
  const doubts = records.filter(({ inDoubt }) => inDoubt).length
  const successes = arrivals.filter(({ answer }) => isSuccess(answer)).length
  if (successes - 1 > doubts + (ledger.retimed.get(id) ?? 0))
    ledger.fail('I2', `${id}: ${successes} successes, ${doubts} in doubt`)
  // A replay is a new series of attempts, numbered on.
  judgeEnd(row, records.slice(row.attemptsBefore ?? 0).at(-1), ledger)
}

const isSuccess = ({ status, error, never, killsCarrier, hangsCarrier }: Arrival['answer']): boolean =>
  error === undefined && never !== true && killsCarrier !== true && hangsCarrier !== true && (status ?? 200) < 300

/** What is recorded is what the receiver did. */
const judgeRecord = (id: string, { number, status, error, inDoubt }: AttemptRecord, ledger: Ledger): void => {
  const arrival = ledger.arrivals.get(`${id}.${number}`)
  if (inDoubt || error === 'poison') return
  if (status === null) return
  if (arrival === undefined) return ledger.fail('I11', `${id}.${number} has status ${status} and never arrived`)
  if (!arrival.answered || (arrival.answer.status ?? 200) !== status)
    ledger.fail('I11', `${id}.${number} is recorded as ${status}, the receiver said ${JSON.stringify(arrival.answer)}`)
}

const judgeEnd = (row: MemoryRow, last: AttemptRecord | undefined, ledger: Ledger): void => {
  const { id, state, retry } = row
  const wrong = (why: string): void => ledger.fail('I11', `${id} is ${state}: ${why} (${JSON.stringify(last)})`)
  const success = last !== undefined && last.status !== null && last.status >= 200 && last.status < 300
  if (state === 'cancelled') {
    if (!ledger.cancelAsked.has(id)) wrong('nobody asked')
    if (success) wrong('it was delivered')
  } else if (ledger.cancelled.has(id)) wrong('its cancel was acknowledged')
  if (state === 'delivered' && !success) wrong('its last attempt did not succeed')
  if (state !== 'delivered' && success) wrong('its last attempt succeeded')
  if (state === 'expired' && row.expiresAt === null) wrong('it has no end')
  if (state === 'quarantined' && !ledger.poison.has(id) && last?.error !== 'poison') wrong('it has killed nothing')
  if (state === 'dead' && last !== undefined && retry !== null) {
    const stopped = last.inDoubt && retry.inDoubt === 'stop'
    if (last.number - (row.attemptsBefore ?? 0) < retry.maxAttempts && last.status !== 410 && !stopped)
      wrong('it had attempts left')
  }
}

/** I6, rates: every stretch in which one limit was certainly in force, by the law of its regime. `exact`: at the network, else at the marks. */
export const judgeRates = (ledger: Ledger, exact: boolean): void => {
  for (const key of ledger.limits.keys) {
    const [kind, domain, brand] = key.split(' ')
    if (kind !== 'rate') continue
    // A mark is written so long before its instant at the most, where its domain has a fast rate.
    const aheadMsMax = Math.max(0, ...ledger.limits.rateSegments(`rate ${domain} *`).map((rate) => aheadMs(rate, 1)))
    const slackS = exact ? 0 : WALL_MS + aheadMsMax / 1_000
    const ofBrand = [...ledger.arrivals.values()].filter((one) => brand === '*' || one.brand === brand)
    for (const { perSecond, burst, fromMono, toMono, hosts } of stretches(key, domain ?? '', ledger)) {
      const inside = ofBrand.filter(({ domain: host, admittedMono: [low, high] }) => {
        return low > fromMono && high < toMono && hosts.has(host)
      })
      if (inside.some(({ admittedMono: [low, high] }) => high - low > 3)) continue
      const starts = inside.map(({ mono, admittedMono: [low] }) => (exact ? mono : low)).sort((a, b) => a - b)
      const broken = rateBroken(starts, perSecond, burst, slackS)
      if (broken !== null) ledger.fail('I6', `${key}: ${perSecond}/s, burst ${burst}: ${broken}`)
    }
  }
}
/**
 * Where one rate was certainly in force, and which hosts were certainly under it all the while: also over changes of the groups,
 * for the hosts that stayed. The rate of a host rests while it is in a group.
 */
const stretches = (key: string, domain: string, { limits, groups, arrivals }: Ledger) => {
  const all = [...new Set([...arrivals.values()].map((one) => one.domain))]
  return limits.rateSegments(key).flatMap((segment) => {
    const inside = groups.changes.filter((mono) => mono > segment.fromMono && mono < segment.toMono)
    const bounds = [...new Set([segment.fromMono, ...inside, segment.toMono])].sort((a, b) => a - b)
    // What was on its way at a change is of before.
    const hostsIn = (from: number, to: number): readonly string[] => {
      const [fromMono, toMono] = [bounds[from], bounds[to]]
      if (fromMono === undefined || toMono === undefined) return []
      return all.filter((host) => groups.keyOf(host, fromMono + 1, toMono - 1) === domain)
    }
    return bounds.flatMap((fromMono, from) =>
      bounds.slice(from + 1).flatMap((toMono, index) => {
        const to = from + 1 + index
        const hosts = hostsIn(from, to)
        // A longer stretch with the same hosts says more.
        const isLess = [hostsIn(from - 1, to), hostsIn(from, to + 1)].some(({ length }) => length === hosts.length)
        return hosts.length === 0 || isLess ? [] : [{ ...segment, fromMono, toMono, hosts: new Set(hosts) }]
      }),
    )
  })
}
const rateBroken = (monos: readonly number[], perSecond: number, burst: number, slackS: number): string | null => {
  const extra = (perSecond > 50 ? 0.002 : 0) + slackS
  for (const [from, first] of monos.entries())
    for (let to = from + burst; to < monos.length; to += 1) {
      const seconds = ((monos[to] ?? 0) - first) / 1_000
      const allowed = Math.floor(perSecond * (seconds + extra) + 1e-6) + burst
      if (to - from + 1 > allowed) return `${to - from + 1} starts in ${seconds} s from ${first}`
    }
  return null
}

/** A domain with one brand that is told when to come again is called by nobody before; nor is any host that comes under its guard meanwhile. */
export const judgeClosures = (ledger: Ledger): void => {
  for (const [attemptId, { domain, answer, mono, endedMono }] of ledger.arrivals) {
    if (answer.status !== 429 || answer.retryAfterMs === undefined || endedMono === null) continue
    // It never came to the status line, or its thread died with it: nobody was told anything.
    if (answer.never === true || answer.error !== undefined || ledger.doubted.has(attemptId)) continue
    const untilMono = endedMono + answer.retryAfterMs
    // Who dies in it may forget what was just said, or a short closure.
    if (ledger.troubles.some((at) => at > mono && at < untilMono)) continue
    for (const one of ledger.arrivals.values())
      if (
        one.admittedMono[1] < untilMono - 1 &&
        one.admittedMono[0] > ledger.groups.togetherFrom(domain, one.domain, endedMono) + 1
      )
        return ledger.fail('closed', `${one.id}.${one.attempt} starts at ${domain}, closed until ${untilMono}`)
  }
}

const HOUSE = [
  'delivery',
  'dispatch-pool',
  'executions',
  'executor',
  'guards',
  'limits',
  'retries',
  'retry-manager',
  'root',
  'scheduler',
  'store-keeper',
]
/** The wheel's entries of a daemon at rest: audits, sweeps, wake-ups. */
const TIMERS_AT_REST = 13

/** No process, row or timer is left over. */
export const judgeRest = (
  daemon: SimDaemon,
  figures: Awaited<ReturnType<SimDaemon['figures']>>,
  options: SimOptions,
  ledger: Ledger,
): void => {
  const census = daemon.census().filter((kind) => kind !== 'overload')
  if (census.join(' ') !== HOUSE.join(' ')) ledger.fail('leak', `processes: ${census.join(' ')}`)
  for (const name of ['executions', 'retries', 'guard-figures'])
    if (daemon.tableSize(name) > 0) ledger.fail('leak', `${daemon.tableSize(name)} rows in ${name}`)
  const { horizon, guards, carriers, held } = figures
  if (horizon + guards + held > 0) ledger.fail('leak', JSON.stringify(figures))
  if (carriers !== options.carriers) ledger.fail('leak', `${carriers} carriers instead of ${options.carriers}`)
  const waits = daemon.storeWaits
  if (waits > 0) ledger.fail('leak', `${waits} webhooks count as waiting for the store`)
  const timers = daemon.runtime.kernel.wheel.size
  if (timers > TIMERS_AT_REST) ledger.fail('leak', `${timers} timers`)
}
