/** The oracle: three books must say the same (I11): what was acknowledged, what has arrived, and what lies in the store. */
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { unpackAttempt } from '#store/sqlite/attempt-codec.ts'
import { STORED_STATES } from '#store/sqlite/state-code.ts'
import type { Arrivals } from '#test/support/counting-receiver.ts'
import { type Blow, type Try, tellDoubts } from './doubts.ts'
import type { Books } from './offering.ts'

interface Row {
  readonly id: string
  /** Null: it is not finished. */
  readonly state: number | null
  readonly attempts: number
  /** Attempts of which nobody knows whether they arrived. */
  readonly doubts: number
  /** Attempts that are said to have been answered. */
  readonly answers: number
  /** What the last attempt of a finished webhook is said to have been answered with. */
  readonly status: number | null
  /** All attempts in their order. */
  readonly tries: readonly Try[]
}
interface Stored extends Omit<Row, 'status' | 'tries'> {
  /** The last attempt of what is finished. */
  readonly last: Buffer | null
}
const ROWS = `
  SELECT w.id, d.state, d.attempt AS last,
    (SELECT count(*) FROM attempts a WHERE a.seq = w.seq) AS attempts,
    (SELECT count(*) FROM attempts a WHERE a.seq = w.seq AND a.in_doubt = 1) AS doubts,
    (SELECT count(a.status) FROM attempts a WHERE a.seq = w.seq) AS answers
  FROM webhooks w LEFT JOIN done d ON d.seq = w.seq`

const TRIES = `
  SELECT w.id, a.started_at AS startedAt, a.in_doubt AS inDoubt FROM attempts a JOIN webhooks w ON w.seq = a.seq ORDER BY a.seq, a.number`
interface StoredTry {
  readonly id: string
  readonly startedAt: number
  readonly inDoubt: number
}

const withLast = ({ last, ...row }: Stored, before: readonly Try[]): Row => {
  if (last === null) return { ...row, status: null, tries: before }
  const { status = null, inDoubt = false, startedAt = 0 } = unpackAttempt(last)?.attempt ?? {}
  return {
    ...row,
    status,
    tries: [...before, { startedAt, inDoubt }],
    attempts: row.attempts + 1,
    doubts: row.doubts + Number(inDoubt),
    answers: row.answers + Number(status !== null),
  }
}
/** Of a store that nobody has open. */
export const rowsOf = (data: string): readonly Row[] => {
  const db = new Database(join(data, 'hookpulse.db'), { readonly: true })
  try {
    const tries = new Map<string, Try[]>()
    for (const { id, startedAt, inDoubt } of db.prepare<[], StoredTry>(TRIES).all()) {
      const all = tries.get(id) ?? []
      all.push({ startedAt, inDoubt: inDoubt === 1 })
      tries.set(id, all)
    }
    return db
      .prepare<[], Stored>(ROWS)
      .all()
      .map((row) => withLast(row, tries.get(row.id) ?? []))
  } finally {
    db.close()
  }
}

export interface Verdict {
  readonly acknowledged: number
  readonly stored: number
  readonly arrivals: number
  readonly lost: number
  readonly early: number
  readonly cancelled: number
  /** Attempts in doubt: `doubtsArrived`, all of `doubtsUnsent`, and those that a finding names are all of them. */
  readonly doubts: number
  readonly doubtsArrived: number
  /** Never arrived, by what came between the mark and the request. */
  readonly doubtsUnsent: Readonly<Record<string, number>>
  /** The longest that a receiver got nothing after the last fault although something was due for it, milliseconds. */
  readonly stillMs: number
  readonly findings: readonly string[]
}
/** I9. */
const STILL_MS_MAX = 30_000

const isSuccess = (status: number | null): boolean => status !== null && status >= 200 && status <= 299

const SHOWN = 3
/** One sentence with the first of them, where there are any. */
const unless = (what: string, found: readonly unknown[]): string[] =>
  found.length === 0 ? [] : [`${what}: ${found.length}, first ${JSON.stringify(found.slice(0, SHOWN))}`]

/**
 * A receiver that is behind its limit drains for as long as it needs: what I9 forbids is that nothing moves. Each arrival after
 * the last fault is compared with the one before it, or with its own due instant where that came later.
 */
const stillest = ({ ids, at }: Arrivals, acked: Books['acked'], healedAt: number): number => {
  const inOrder = ids
    .map((id, index) => ({ at: at[index] ?? 0, dueAt: acked.get(id)?.at ?? 0 }))
    .filter((one) => one.at > healedAt)
    .sort((a, b) => a.at - b.at)
  return inOrder.reduce((most, one, index) => {
    const before = Math.max(healedAt, one.dueAt, inOrder[index - 1]?.at ?? 0)
    return Math.max(most, one.at - before)
  }, 0)
}

export interface Faults {
  /** The end of the last one, epoch milliseconds. */
  readonly healedAt: number
  readonly blows: readonly Blow[]
}
export const judge = (
  books: Books,
  rows: readonly Row[],
  received: readonly Arrivals[],
  { healedAt, blows }: Faults,
): Verdict => {
  const { acked, cancelled, resigned } = books
  const stillMs = Math.max(0, ...received.map((one) => stillest(one, acked, healedAt)))
  const seen = new Map<string, number[]>()
  const strangers: string[] = []
  const unwanted: string[] = []
  const answersGiven = new Map<string, number>()
  const succeeded = new Set<string>()
  for (const { ids, urls, at, statuses } of received)
    for (const [index, id] of ids.entries()) {
      const number = Number((urls[index] ?? '').split('/').at(-1))
      if (resigned.has(number)) unwanted.push(id)
      else if (acked.get(id)?.number !== number) strangers.push(id)
      seen.set(id, [...(seen.get(id) ?? []), at[index] ?? 0])
      const status = statuses[index] ?? 0
      if (status > 0) answersGiven.set(id, (answersGiven.get(id) ?? 0) + 1)
      if (isSuccess(status)) succeeded.add(id)
    }
  const count = (id: string): number => seen.get(id)?.length ?? 0
  const first = (id: string): number => Math.min(...(seen.get(id) ?? [Number.POSITIVE_INFINITY]))

  const byId = new Map(rows.map((row) => [row.id, row]))
  const stateOf = (id: string): string => {
    const code = byId.get(id)?.state
    return code === undefined ? 'not stored' : code === null ? 'not finished' : (STORED_STATES[code] ?? String(code))
  }
  const owed = [...acked.values()].filter(({ id }) => stateOf(id) !== 'cancelled')
  const lost = owed.filter(({ id }) => count(id) === 0)
  const early = [...acked.values()].filter(({ id, at }) => first(id) < at)
  const doubts = rows.reduce((sum, row) => sum + row.doubts, 0)
  const told = tellDoubts(new Map(rows.map(({ id, tries }) => [id, tries])), seen, blows)
  const findings = [
    ...books.findings,
    ...unless('lost (I1)', lost),
    ...unless(
      'acknowledged and neither delivered nor cancelled (I11)',
      owed.filter(({ id }) => stateOf(id) !== 'delivered').map(({ id }) => [id, stateOf(id)]),
    ),
    ...unless(
      'recorded as delivered, and no receiver answered it with a 2xx (I11)',
      owed.filter(({ id }) => stateOf(id) === 'delivered' && count(id) > 0 && !succeeded.has(id)),
    ),
    ...unless(
      'recorded as delivered by an attempt without a 2xx (I11)',
      rows.filter(({ id, status }) => stateOf(id) === 'delivered' && !isSuccess(status)),
    ),
    ...unless(
      'recorded as answered more often than it was (I11)',
      rows.filter(({ id, answers }) => answers > (answersGiven.get(id) ?? 0)),
    ),
    ...unless(
      'stored and acknowledged to nobody (I11)',
      rows.filter(({ id }) => !acked.has(id)).map(({ id }) => id),
    ),
    ...(stillMs > STILL_MS_MAX ? [`a receiver got nothing for ${stillMs} ms after the last fault (I9)`] : []),
    ...unless('arrived and acknowledged to nobody', strangers),
    ...unless('arrived although the daemon had said that nothing was done', unwanted),
    ...unless('early (I3)', early),
    ...unless(
      'cancelled by the answer, not by the store',
      [...cancelled.keys()].filter((id) => stateOf(id) !== 'cancelled'),
    ),
    ...unless(
      'cancelled, and arrived after that',
      [...cancelled].filter(([id, at]) => Math.max(...(seen.get(id) ?? [0])) > at),
    ),
    ...unless(
      'arrived more often than it was tried (I2)',
      rows.filter(({ id, attempts }) => count(id) > attempts),
    ),
    ...unless('in doubt, never arrived, and nothing had happened (S6)', told.unexplained),
  ]
  const arrivals = received.reduce((sum, { ids }) => sum + ids.length, 0)
  return {
    acknowledged: acked.size,
    stored: rows.length,
    arrivals,
    lost: lost.length,
    early: early.length,
    cancelled: cancelled.size,
    doubts,
    doubtsArrived: told.arrived,
    doubtsUnsent: told.unsent,
    stillMs,
    findings,
  }
}
