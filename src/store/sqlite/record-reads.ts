/** What people ask: webhooks, attempts, lists, counts, backlogs. Runs on the maintenance connection, one snapshot a query. */
import { LIST_SCAN_MAX } from '#config/limits.ts'
import { isWhole, type RowBody, readRowBody } from '#store/row-codec.ts'
import {
  type Counts,
  type ListFilter,
  type ReadQuery,
  type ReadResult,
  WAITING_COUNT_MAX,
  type WebhookRecord,
} from '#store/store.ts'
import { isGroupKey } from '#webhook/domain-group.ts'
import type { AttemptRecord, Brand, ErrorClass, Instant, WebhookState } from '#webhook/webhook.ts'
import { unpackAttempt } from './attempt-codec.ts'
import type { Connection } from './connection.ts'
import type { DomainGroups } from './domain-groups.ts'
import { COMMITTED, NOT_STARTED } from './due-reads.ts'
import type { LaneBook } from './lane-book.ts'
import { finalStateOf, restingState, STORED_STATES, stateCode } from './state-code.ts'

type Asked<T extends ReadQuery['type']> = Extract<ReadQuery, { type: T }>
type Answered<T extends ReadQuery['type']> = ReadResult<Asked<T>>

interface RecordRow {
  readonly seq: number
  readonly id: string
  readonly lane: number
  readonly row: Buffer
  readonly next_at: number | null
  readonly live_attempts: number | null
  readonly started_at: number | null
  readonly state: number | null
  readonly done_attempts: number | null
  readonly finished_at: number | null
  readonly last_attempt: Buffer | null
}
interface AttemptRow {
  readonly number: number
  readonly started_at: number
  readonly ended_at: number | null
  readonly status: number | null
  readonly error: ErrorClass | null
  readonly excerpt: Buffer | null
  readonly timer_ms: number
  readonly guard_ms: number
  readonly network_ms: number
  readonly in_doubt: number
}

const RECORD = `SELECT l.seq, l.id, l.lane, l.row, live.next_at,
    coalesce(started.attempt, live.attempts) AS live_attempts, started.started_at,
    done.state, done.attempts AS done_attempts, done.finished_at, done.attempt AS last_attempt
  FROM webhooks l LEFT JOIN live ON live.seq = l.seq LEFT JOIN started ON started.seq = l.seq
    LEFT JOIN done ON done.seq = l.seq`
/** Both kinds are named, so that a lane's rows are found by the index up to the instant and not beyond. */
const DUE_NOW = `FROM live l WHERE (l.attempts > 0) IN (0, 1) AND l.next_at <= ? AND ${NOT_STARTED} AND ${COMMITTED}`
const FAR_DUE_NOW = `FROM far l WHERE l.bucket <= ? AND l.next_at <= ? AND ${COMMITTED}`

export class RecordReads {
  readonly #db: Connection
  readonly #lanes: LaneBook
  readonly #groups: DomainGroups
  readonly #byId
  readonly #bounds
  readonly #attempts
  readonly #lastAttempt

  constructor(db: Connection, lanes: LaneBook, groups: DomainGroups) {
    this.#db = db
    this.#groups = groups
    this.#lanes = lanes
    this.#byId = db.prepare<[string], RecordRow>(`${RECORD} WHERE l.id = ? AND ${COMMITTED}`)
    this.#bounds = db
      .prepare<[], readonly [number | null, number | null]>(
        'SELECT (SELECT min(seq) FROM webhooks), (SELECT max(seq) FROM webhooks)',
      )
      .raw()
    this.#attempts = db.prepare<[number], AttemptRow>('SELECT * FROM attempts WHERE seq = ? ORDER BY number')
    this.#lastAttempt = db.prepare<[number], AttemptRow>(
      'SELECT * FROM attempts WHERE seq = ? ORDER BY number DESC LIMIT 1',
    )
  }

  webhook(query: Asked<'webhook'>): Answered<'webhook'> {
    const row = this.#visible(query.id, query.brand)
    return row === null ? null : this.#record(row, null)
  }
  attempts(query: Asked<'attempts'>): Answered<'attempts'> {
    const row = this.#visible(query.id, query.brand)
    if (row === null) return null
    const before = this.#attempts.all(row.seq).map(attemptOf)
    const last = row.last_attempt === null ? null : unpackAttempt(row.last_attempt)
    return last === null ? before : [...before, last.attempt]
  }
  #lastOf(row: RecordRow): AttemptRecord | null {
    if (row.last_attempt !== null) return unpackAttempt(row.last_attempt)?.attempt ?? null
    const last = this.#lastAttempt.get(row.seq)
    return last === undefined ? null : attemptOf(last)
  }
  #visible(id: string, brand: Brand | null): RecordRow | null {
    const row = this.#byId.get(id)
    if (row === undefined || (brand !== null && this.#lanes.key(row.lane).brand !== brand)) return null
    return row
  }

  /** Looks at LIST_SCAN_MAX rows at most, newest first; then the page is short and the cursor leads on. */
  list(query: Asked<'list'>): Answered<'list'> {
    const [lowest, highest] = this.#bounds.get() ?? [null, null]
    if (lowest === null || highest === null) return { webhooks: [], nextCursor: null }
    const before = query.cursor === null ? highest + 1 : Math.min(Number(query.cursor), highest + 1)
    const source = sourceOf(query.filter)
    const from = source.isRare ? lowest : Math.max(lowest, before - LIST_SCAN_MAX)
    const webhooks: WebhookRecord[] = []
    let looked = 0
    let last = before
    for (const row of this.#scan(query.filter, source, before, from)) {
      looked += 1
      last = row.seq
      const record = this.#record(row, query.now)
      if (!matches(record, query.filter)) continue
      if (webhooks.length === query.limit) return { webhooks, nextCursor: String(webhooks.at(-1)?.seq ?? before) }
      webhooks.push(record)
    }
    if (looked === LIST_SCAN_MAX) return { webhooks, nextCursor: String(last) }
    return { webhooks, nextCursor: from > lowest ? String(from) : null }
  }
  #scan(filter: ListFilter, source: Source, before: number, from: number): IterableIterator<RecordRow> {
    const { where, values } = this.#laneFilter(filter.brand, filter.domain ?? null)
    const { select, seq } = source
    const sql = `${select} AND ${seq} < ? AND ${seq} >= ? AND ${where} AND ${COMMITTED}
      ORDER BY ${seq} DESC LIMIT ${LIST_SCAN_MAX}`
    return this.#db.prepare<unknown[], RecordRow>(sql).iterate(before, from, ...values)
  }

  counts(query: Asked<'counts'>): Counts {
    const figures = { scheduled: 0, executing: 0, retrying: 0, delivered: 0 }
    const all = { ...figures, waiting: 0, dead: 0, cancelled: 0, expired: 0, quarantined: 0 }
    const { where, values } = this.#laneFilter(query.brand, query.domain)
    const sums = this.#db
      .prepare<unknown[], readonly [number, number]>(
        `SELECT state, sum(n) FROM counters l WHERE ${where} GROUP BY state`,
      )
      .raw()
      .all(...values)
    for (const [code, n] of sums) all[STORED_STATES[code] ?? 'scheduled'] = n
    for (const attempts of this.#dueNow(query, WAITING_COUNT_MAX)) {
      all.waiting += 1
      all[attempts === 0 ? 'scheduled' : 'retrying'] -= 1
    }
    return all
  }
  /** Attempts of each row that is due, at most `cap`. */
  #dueNow(query: Asked<'counts'>, cap: number): number[] {
    const { where, values } = this.#laneFilter(query.brand, query.domain)
    const sql = `SELECT attempts ${DUE_NOW} AND ${where} UNION ALL SELECT 0 ${FAR_DUE_NOW} AND ${where} LIMIT ?`
    return this.#db
      .prepare<unknown[], number>(sql)
      .pluck()
      .all(query.now, ...values, query.now, query.now, ...values, cap)
  }

  backlog(query: Asked<'backlog'>): Answered<'backlog'> {
    const { where, values } = this.#laneFilter(null, query.domain)
    const sql = `SELECT count(*), min(n) FROM (SELECT l.next_at AS n ${DUE_NOW} AND ${where}
      UNION ALL SELECT l.next_at ${FAR_DUE_NOW} AND ${where} ORDER BY n LIMIT ?)`
    const found = this.#db
      .prepare<unknown[], readonly [number, number | null]>(sql)
      .raw()
      .get(query.now, ...values, query.now, query.now, ...values, query.cap)
    return { count: found?.[0] ?? 0, oldestAt: found?.[1] ?? null }
  }

  /** For a table `l` with a column `lane`; a group stands for its hosts. */
  #laneFilter(brand: Brand | null, domain: string | null): LaneFilter {
    if (domain === null || !isGroupKey(domain)) return laneFilter(brand, domain)
    const pairs = this.#groups.pairsOf(domain).filter((pair) => brand === null || pair[2] === brand)
    const lanes = JSON.stringify(pairs.map(([lane]) => lane))
    return { where: 'l.lane IN (SELECT value FROM json_each(?))', values: [lanes] }
  }

  #record(row: RecordRow, now: Instant | null): WebhookRecord {
    const body = isWhole(row.row) ? readRowBody(row.row) : DAMAGED
    const last = this.#lastOf(row)
    const state = stateOf(row, body.nextAt, now)
    const resting = row.state === null && row.started_at === null
    return {
      id: row.id,
      seq: row.seq,
      ...this.#lanes.key(row.lane),
      name: body.name,
      url: body.url,
      method: body.method,
      state,
      at: body.at,
      createdAt: body.createdAt,
      tags: body.tags,
      attempts: row.live_attempts ?? row.done_attempts ?? 0,
      nextAt: resting ? (row.next_at ?? body.nextAt) : null,
      lastStatus: last?.status ?? null,
      lastError: last?.error ?? null,
      finishedAt: row.finished_at,
      lateness: last === null ? null : { timerMs: last.timerMs, guardMs: last.guardMs, networkMs: last.networkMs },
    }
  }
}

const stateOf = (row: RecordRow, firstNextAt: Instant, now: Instant | null): WebhookState => {
  if (row.state !== null) return finalStateOf(row.state)
  if (row.started_at !== null) return 'executing'
  if (now !== null && (row.next_at ?? firstNextAt) <= now) return 'waiting'
  return restingState(row.live_attempts ?? 0)
}

/** What is shown of a row whose bytes are damaged. */
const DAMAGED: Pick<RowBody, 'name' | 'url' | 'method' | 'at' | 'createdAt' | 'tags' | 'nextAt'> = {
  name: 'damaged row',
  url: '',
  method: '',
  at: 0,
  createdAt: 0,
  nextAt: 0,
  tags: [],
}

/** Where a list looks; `matches` decides. Started and undelivered ones are few and have indexes of their own. */
interface Source {
  readonly select: string
  readonly seq: string
  readonly isRare: boolean
}
const HEAD = 'SELECT l.seq, l.id, l.lane, l.row'
const STARTED = `${HEAD}, live.next_at, started.attempt AS live_attempts, started.started_at,
    NULL AS state, NULL AS done_attempts, NULL AS finished_at, NULL AS last_attempt
  FROM started CROSS JOIN live ON live.seq = started.seq CROSS JOIN webhooks l ON l.seq = started.seq WHERE TRUE`
const UNDELIVERED = `${HEAD}, NULL AS next_at, NULL AS live_attempts, NULL AS started_at,
    done.state, done.attempts AS done_attempts, done.finished_at, done.attempt AS last_attempt
  FROM done INDEXED BY done_undelivered CROSS JOIN webhooks l ON l.seq = done.seq WHERE done.state <> 3`

const sourceOf = ({ state }: ListFilter): Source => {
  const all = (where: string): Source => ({ select: `${RECORD} WHERE ${where}`, seq: 'l.seq', isRare: false })
  switch (state) {
    case undefined:
      return all('TRUE')
    case 'held':
      return all('FALSE')
    case 'scheduled':
    case 'waiting':
    case 'retrying':
      return all('done.seq IS NULL AND started.seq IS NULL')
    case 'delivered':
      return all(`done.state = ${stateCode(state)}`)
    case 'executing':
      return { select: STARTED, seq: 'started.seq', isRare: true }
    default:
      return { select: `${UNDELIVERED} AND done.state = ${stateCode(state)}`, seq: 'done.seq', isRare: true }
  }
}

const matches = (record: WebhookRecord, filter: ListFilter): boolean =>
  (filter.state === undefined || record.state === filter.state) &&
  (filter.tag === undefined || record.tags.includes(filter.tag)) &&
  (filter.name === undefined || record.name === filter.name) &&
  (filter.from === undefined || record.at >= filter.from) &&
  (filter.to === undefined || record.at <= filter.to)

interface LaneFilter {
  readonly where: string
  readonly values: readonly string[]
}
const laneFilter = (brand: Brand | null, domain: string | null): LaneFilter => {
  const named = [
    { column: 'brand', value: brand },
    { column: 'domain', value: domain },
  ].filter((part): part is { column: string; value: string } => part.value !== null)
  if (named.length === 0) return { where: 'TRUE', values: [] }
  const where = named.map((part) => `${part.column} = ?`).join(' AND ')
  return { where: `l.lane IN (SELECT lane FROM lanes WHERE ${where})`, values: named.map((part) => part.value) }
}
export const attemptOf = (row: AttemptRow): AttemptRecord => ({
  number: row.number,
  startedAt: row.started_at,
  endedAt: row.ended_at,
  status: row.status,
  error: row.error,
  excerpt: row.excerpt === null ? null : Uint8Array.from(row.excerpt),
  timerMs: row.timer_ms,
  guardMs: row.guard_ms,
  networkMs: row.network_ms,
  inDoubt: row.in_doubt === 1,
})
