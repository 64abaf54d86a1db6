/** What the scheduler and the guards ask: the horizon, the head of a lane, lanes with due work, started rows. Exact. */
import { HORIZON_SCAN_MAX, LANES_SCAN_MAX } from '#config/limits.ts'
import { isWhole } from '#store/row-codec.ts'
import { priorityIndex, priorityOf } from '#store/rows.ts'
import type { LonelyDeaths, ReadQuery, ReadResult, StartedRow } from '#store/store.ts'
import { type GroupKey, isGroupKey } from '#webhook/domain-group.ts'
import { type Due, type Edge, LANE_KINDS, type LaneKey, type LanePair } from '#webhook/webhook.ts'
import type { Connection } from './connection.ts'
import type { LaneBook } from './lane-book.ts'
import { seriesOf } from './live-rows.ts'

type Asked<T extends ReadQuery['type']> = Extract<ReadQuery, { type: T }>
type Answered<T extends ReadQuery['type']> = ReadResult<Asked<T>>
type DueRow = readonly [
  seq: number,
  id: string,
  nextAt: number,
  lane: number,
  attempts: number,
  timeoutMs: number,
  expiresAt: number | null,
]
type PairRow = readonly [domain: string, brand: string, priority: number, firstDue: 0 | 1, retryDue: 0 | 1]
interface PairsAsked {
  readonly domain: string
  readonly brand: string
  readonly priority: number
  readonly now: number
}
type StartedColumns = [
  ...DueRow,
  token: string,
  startedAt: number,
  lonelyDeaths: LonelyDeaths,
  alone: 1 | null,
  row: Buffer,
]

const DUE = 'l.seq, l.id, l.next_at, l.lane, l.attempts, l.timeout_ms, l.expires_at'
/** Rows of a batch that is not committed yet are not there (D-16). */
export const COMMITTED = 'NOT EXISTS (SELECT 1 FROM open_batches b WHERE l.seq BETWEEN b.first AND b.last)'
/** A start leaves the row in its lane: whoever reads what waits passes it over. */
export const NOT_STARTED = 'NOT EXISTS (SELECT 1 FROM started s WHERE s.seq = l.seq)'
const BEFORE_ALL: Edge = { nextAt: Number.MIN_SAFE_INTEGER, seq: 0 }

export class DueReads {
  readonly #lanes: LaneBook
  readonly #horizon
  readonly #passedOver
  readonly #lane
  readonly #pairs
  readonly #pairsOfDomain
  readonly #dueOfPair
  readonly #started

  constructor(db: Connection, lanes: LaneBook) {
    this.#lanes = lanes
    const scan = `SELECT seq AS s, next_at AS n, 2 * lane + (attempts > 0) AS k FROM live INDEXED BY live_due
      WHERE (next_at, seq) > (?, ?) AND next_at <= ? ORDER BY next_at, seq`
    this.#horizon = db
      .prepare<[number, number, number, string, number], DueRow>(
        `SELECT ${DUE} FROM (${scan} LIMIT ${HORIZON_SCAN_MAX}) JOIN live l ON l.seq = s
         WHERE k NOT IN (SELECT value FROM json_each(?)) AND ${NOT_STARTED} AND ${COMMITTED} ORDER BY n, s LIMIT ?`,
      )
      .raw()
    this.#passedOver = db
      .prepare<[number, number, number], readonly [number, number]>(
        `SELECT n, s FROM (${scan} LIMIT 1 OFFSET ${HORIZON_SCAN_MAX - 1})`,
      )
      .raw()
    this.#lane = db
      .prepare<[number, number, number, number, number, number], DueRow>(
        `SELECT ${DUE} FROM live l INDEXED BY live_lane
         WHERE lane = ? AND (attempts > 0) = ? AND (next_at, seq) > (?, ?) AND next_at <= ? AND ${NOT_STARTED} AND ${COMMITTED}
         ORDER BY next_at, seq LIMIT ?`,
      )
      .raw()
    const isDue = (retry: 0 | 1): string =>
      `EXISTS (SELECT 1 FROM live l INDEXED BY live_lane
         WHERE l.lane = k.lane AND (l.attempts > 0) = ${retry} AND l.next_at <= :now AND ${NOT_STARTED} AND ${COMMITTED})`
    const pairs = (where: string): string =>
      `SELECT domain, brand, priority, ${isDue(0)}, ${isDue(1)} FROM lanes k WHERE ${where}
       ORDER BY domain, brand, priority LIMIT ${LANES_SCAN_MAX}`
    this.#pairs = db
      .prepare<[PairsAsked], PairRow>(pairs('(domain, brand, priority) >= (:domain, :brand, :priority)'))
      .raw()
    this.#pairsOfDomain = db
      .prepare<[PairsAsked], PairRow>(pairs('domain = :domain AND (brand, priority) >= (:brand, :priority)'))
      .raw()
    this.#dueOfPair = db
      .prepare<[{ readonly pair: number; readonly now: number }], readonly [0 | 1, 0 | 1]>(
        `SELECT ${isDue(0)}, ${isDue(1)} FROM lanes k WHERE lane = :pair`,
      )
      .raw()
    this.#started = db
      .prepare<[number, number], StartedColumns>(
        `SELECT l.seq, l.id, l.next_at, l.lane, s.attempt, l.timeout_ms, l.expires_at,
           s.token, s.started_at, l.lonely_deaths, s.alone, w.row
         FROM started s CROSS JOIN live l ON l.seq = s.seq CROSS JOIN webhooks w ON w.seq = s.seq
         WHERE s.seq > ? ORDER BY s.seq LIMIT ?`,
      )
      .raw()
  }

  horizon(query: Asked<'horizon'>): Answered<'horizon'> {
    const { nextAt, seq } = query.after
    const except = query.except.map((lane) => this.#numberOf(lane)).filter((lane) => lane !== null)
    const found = this.#horizon.all(nextAt, seq, query.until, JSON.stringify(except), query.limit)
    const rows = found.map((row) => this.#due(row))
    const last = rows.at(-1)
    if (rows.length === query.limit && last !== undefined) return { rows, edge: { nextAt: last.nextAt, seq: last.seq } }
    const passed = this.#passedOver.get(nextAt, seq, query.until)
    if (passed !== undefined) return { rows, edge: { nextAt: passed[0], seq: passed[1] } }
    return { rows, edge: { nextAt: query.until, seq: Number.MAX_SAFE_INTEGER } }
  }

  lane(query: Asked<'lane'>): Answered<'lane'> {
    if (isGroupKey(query.lane.domain)) return this.#laneOfGroup(query)
    const lane = this.#lanes.find(query.lane)
    if (lane === null) return { rows: [], more: false }
    const after = query.after ?? BEFORE_ALL
    const found = this.#lane.all(lane, retryBit(query.lane), after.nextAt, after.seq, query.until, query.limit + 1)
    const rows = found.slice(0, query.limit).map((row) => this.#due(row))
    return { rows, more: found.length > query.limit }
  }

  /** Merges the heads of its hosts' lanes: some rows of each, then more of the one that has given its last first. */
  #laneOfGroup({ lane, after, until, limit }: Asked<'lane'>): Answered<'lane'> {
    const priority = priorityIndex(lane.priority)
    const pairs = this.#lanes.pairsOf(lane.domain).filter((pair) => pair[2] === lane.brand && pair[3] === priority)
    const rowsEach = Math.max(ROWS_EACH_MIN, Math.ceil((2 * limit) / Math.max(1, pairs.length)))
    const sources: Source[] = pairs.map(([pair]) => ({ pair, last: after ?? BEFORE_ALL, isDry: false }))
    let found: DueRow[] = []
    for (let first = sources; first.length > 0; ) {
      for (const source of first) {
        const { nextAt, seq } = source.last
        const rows = this.#lane.all(source.pair, retryBit(lane), nextAt, seq, until, rowsEach)
        const last = rows.at(-1)
        if (last !== undefined) source.last = { nextAt: last[2], seq: last[0] }
        source.isDry = rows.length < rowsEach
        found.push(...rows)
      }
      found = found.sort(inDueOrder)
      const open = sources.filter(({ isDry }) => !isDry)
      const frontier = open.reduce<Edge | null>((a, { last }) => (a === null || isBefore(last, a) ? last : a), null)
      const sure = frontier === null ? found.length : found.findLastIndex((row) => !isBefore(frontier, edgeOf(row))) + 1
      first = sure > limit ? [] : open.filter(({ last }) => last === frontier)
    }
    return { rows: found.slice(0, limit).map((row) => this.#due(row)), more: found.length > limit }
  }

  dueLanes(query: Asked<'due-lanes'>): Answered<'due-lanes'> {
    if (query.domain !== undefined && isGroupKey(query.domain)) return this.#dueLanesOfGroup(query.domain, query)
    const { domain, now, limit } = query
    const order = domain === undefined || query.after === null ? 0 : compare(domain, query.after.domain)
    if (order < 0) return { lanes: [], next: null }
    const after = order === 0 ? query.after : null
    const from = after ?? { domain: domain ?? '', brand: '', priority: 'high' as const }
    const asked = { domain: from.domain, brand: from.brand, priority: priorityIndex(from.priority), now }
    const pairs = domain === undefined ? this.#pairs : this.#pairsOfDomain
    const lanes: LaneKey[] = []
    let looked = 0
    let last: LaneKey | null = null
    for (const row of pairs.iterate(asked)) {
      looked += 1
      last = { ...pairOf(row), kind: 'retry' }
      for (const lane of dueLanesOf(row)) if (after === null || compareLanes(lane, after) > 0) lanes.push(lane)
      if (lanes.length > limit) return { lanes: lanes.slice(0, limit), next: lanes[limit - 1] ?? null }
    }
    return { lanes, next: looked === LANES_SCAN_MAX ? last : null }
  }

  #dueLanesOfGroup(group: GroupKey, { after, now, limit }: Asked<'due-lanes'>): Answered<'due-lanes'> {
    const lanes: LaneKey[] = []
    let looked = 0
    for (const [pair, domain, brand, priority] of this.#lanes.pairsOf(group)) {
      const key = { domain, brand, priority: priorityOf(priority) }
      if (after !== null && compareLanes({ ...key, kind: 'retry' }, after) <= 0) continue
      const due = this.#dueOfPair.get({ pair, now })
      if (due === undefined) continue
      for (const lane of dueLanesOf([domain, brand, priority, ...due]))
        if (after === null || compareLanes(lane, after) > 0) lanes.push(lane)
      if (lanes.length > limit) return { lanes: lanes.slice(0, limit), next: lanes[limit - 1] ?? null }
      looked += 1
      if (looked === LANES_SCAN_MAX) return { lanes, next: { ...key, kind: 'retry' } }
    }
    return { lanes, next: null }
  }

  started(query: Asked<'started'>): Answered<'started'> {
    const found = this.#started.all(query.after, query.limit + 1)
    const rows = found.slice(0, query.limit).map((row) => this.#startedRow(row))
    return { rows, next: found.length > query.limit ? (rows.at(-1)?.due.seq ?? null) : null }
  }
  #startedRow(columns: StartedColumns): StartedRow {
    const [seq, id, nextAt, lane, attempts, timeoutMs, expiresAt, ...rest] = columns
    const [token, startedAt, lonelyDeaths, alone, row] = rest
    const due = this.#due([seq, id, nextAt, lane, attempts, timeoutMs, expiresAt])
    const known = isWhole(row) ? seriesOf(row) : { retry: null, firstAt: startedAt, attemptsBefore: 0 }
    return { due, attempt: attempts, token, startedAt, ...known, lonelyDeaths, alone: alone === 1 }
  }

  /** As the horizon's scan numbers it. */
  #numberOf(lane: LaneKey): number | null {
    const pair = this.#lanes.find(lane)
    return pair === null ? null : 2 * pair + retryBit(lane)
  }

  #due([seq, id, nextAt, lane, attempts, timeoutMs, expiresAt]: DueRow): Due {
    const { brand, domain, priority } = this.#lanes.key(lane)
    return { id, seq, nextAt, brand, domain, priority, attempts, timeoutMs, expiresAt }
  }
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)
const retryBit = (lane: LaneKey): 0 | 1 => (lane.kind === 'retry' ? 1 : 0)
const pairOf = ([domain, brand, priority]: PairRow): LanePair => ({ domain, brand, priority: priorityOf(priority) })
const dueLanesOf = (row: PairRow): LaneKey[] =>
  LANE_KINDS.filter((_, at) => row[3 + at] === 1).map((kind) => ({ ...pairOf(row), kind }))
const compareLanes = (a: LaneKey, b: LaneKey): number =>
  compare(a.domain, b.domain) ||
  compare(a.brand, b.brand) ||
  priorityIndex(a.priority) - priorityIndex(b.priority) ||
  retryBit(a) - retryBit(b)

/** A host's lane that is merged with others: how far it has been read, and whether that was its end. */
interface Source {
  readonly pair: number
  last: Edge
  isDry: boolean
}
const ROWS_EACH_MIN = 8
const edgeOf = ([seq, , nextAt]: DueRow): Edge => ({ nextAt, seq })
const isBefore = (a: Edge, b: Edge): boolean => a.nextAt < b.nextAt || (a.nextAt === b.nextAt && a.seq < b.seq)
const inDueOrder = (a: DueRow, b: DueRow): number => a[2] - b[2] || a[0] - b[0]
