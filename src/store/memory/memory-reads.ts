/** The contract's queries on a memory disk. */
import {
  type Counts,
  type ListFilter,
  type ReadQuery,
  type ReadResult,
  WAITING_COUNT_MAX,
  type WebhookRecord,
} from '#store/store.ts'
import { bookOf, guardKeyOf, isGroupKey } from '#webhook/domain-group.ts'
import {
  type Brand,
  type Domain,
  type Instant,
  LANE_KINDS,
  type LaneKey,
  laneOf,
  PRIORITIES,
  type WebhookState,
} from '#webhook/webhook.ts'
import { laneText, type MemoryDisk, type MemoryRow } from './memory-disk.ts'
import { dueOf, seriesOf } from './memory-writes.ts'

type Asked<T extends ReadQuery['type']> = Extract<ReadQuery, { type: T }>
type Answered<T extends ReadQuery['type']> = ReadResult<Asked<T>>

export const answer = (disk: MemoryDisk, query: ReadQuery): ReadResult<ReadQuery> => {
  switch (query.type) {
    case 'horizon':
      return horizon(disk, query)
    case 'lane':
      return lane(disk, query)
    case 'due-lanes':
      return dueLanes(disk, query)
    case 'started':
      return started(disk, query)
    case 'webhook': {
      const row = visible(disk, query)
      return row === null ? null : recordOf(row, null)
    }
    case 'attempts':
      return visible(disk, query)?.history.map((done) => done.attempt) ?? null
    case 'list':
      return list(disk, query)
    case 'limits':
      return [...disk.limits.values()].filter((limit) => limit.value !== null).sort(byText(limitText))
    case 'groups':
      return [...bookOf(disk.groups.values()).groups.values()].sort(byText((row) => row.group))
    case 'brands':
      return [...disk.brands].map(([brand, createdAt]) => ({ brand, createdAt })).sort(byText((row) => row.brand))
    case 'keys':
      return [...disk.keys.values()].sort(byText((key) => key.keyId))
    case 'counts':
      return counts(disk, query)
    case 'backlog':
      return backlog(disk, query)
    case 'check':
      return { problems: [] }
    case 'backup':
      return { ok: false, why: 'path', detail: 'a store in memory has no backup' }
    default:
      return query satisfies never
  }
}

const horizon = (disk: MemoryDisk, query: Asked<'horizon'>): Answered<'horizon'> => {
  const except = new Set(query.except.map(laneText))
  const rows = disk.due
    .between(query.after, query.until)
    .filter((row) => !except.has(laneText(laneOf(row))))
    .take(query.limit)
    .map(dueOf)
    .toArray()
  const last = rows.length < query.limit ? undefined : rows.at(-1)
  const end = { nextAt: query.until, seq: Number.MAX_SAFE_INTEGER }
  return { rows, edge: last === undefined ? end : { nextAt: last.nextAt, seq: last.seq } }
}

const lane = (disk: MemoryDisk, query: Asked<'lane'>): Answered<'lane'> => {
  const isOf = within(disk, query.lane.domain)
  const orders = isGroupKey(query.lane.domain)
    ? [...disk.lanes.values()].filter(
        ({ key }) => isOf(key) && compareLanes({ ...key, domain: query.lane.domain }, query.lane) === 0,
      )
    : [disk.lanes.get(laneText(query.lane))]
  const rows = orders
    .flatMap(
      (lane) =>
        lane?.due
          .between(query.after, query.until)
          .take(query.limit + 1)
          .toArray() ?? [],
    )
    .sort((a, b) => a.nextAt - b.nextAt || a.seq - b.seq)
    .slice(0, query.limit + 1)
  return { rows: rows.slice(0, query.limit).map(dueOf), more: rows.length > query.limit }
}

const dueLanes = (disk: MemoryDisk, query: Asked<'due-lanes'>): Answered<'due-lanes'> => {
  const { after, domain } = query
  const isOf = within(disk, domain ?? null)
  const found = [...disk.lanes.values()]
    .filter((lane) => isOf(lane.key))
    .filter((lane) => after === null || compareLanes(lane.key, after) > 0)
    .filter((lane) => lane.due.between(null, query.now).next().done === false)
    .map((lane) => lane.key)
    .sort(compareLanes)
  const lanes = found.slice(0, query.limit)
  return { lanes, next: found.length > lanes.length ? (lanes.at(-1) ?? null) : null }
}

/** A group stands for its hosts; null for all. */
const within = (disk: MemoryDisk, domain: Domain | null): ((of: { readonly domain: Domain }) => boolean) => {
  if (domain === null) return () => true
  if (!isGroupKey(domain)) return (of) => of.domain === domain
  const book = bookOf(disk.groups.values())
  return (of) => guardKeyOf(book, of.domain) === domain
}

export const compareLanes = (a: LaneKey, b: LaneKey): number =>
  compareText(a.domain, b.domain) ||
  compareText(a.brand, b.brand) ||
  PRIORITIES.indexOf(a.priority) - PRIORITIES.indexOf(b.priority) ||
  LANE_KINDS.indexOf(a.kind) - LANE_KINDS.indexOf(b.kind)

const started = (disk: MemoryDisk, query: Asked<'started'>): Answered<'started'> => {
  const found = [...disk.started.values()].filter((row) => row.seq > query.after).sort((a, b) => a.seq - b.seq)
  const rows = found.slice(0, query.limit).map((row) => ({
    due: dueOf(row),
    attempt: row.attempts,
    token: row.started?.token ?? '',
    startedAt: row.started?.at ?? 0,
    ...seriesOf(row),
    lonelyDeaths: row.lonelyDeaths,
    alone: row.started?.alone ?? false,
  }))
  return { rows, next: found.length > rows.length ? (rows.at(-1)?.due.seq ?? null) : null }
}

const visible = (disk: MemoryDisk, query: { readonly id: string; readonly brand: Brand | null }): MemoryRow | null => {
  const row = disk.byId.get(query.id)
  return row === undefined || (query.brand !== null && row.brand !== query.brand) ? null : row
}

/** `now` null: `waiting` is left to the caller. */
const stateOf = (row: MemoryRow, now: Instant | null): WebhookState => {
  if (row.state !== 'live') return row.state
  if (row.started !== null) return 'executing'
  if (now !== null && row.nextAt <= now) return 'waiting'
  return row.attempts === 0 ? 'scheduled' : 'retrying'
}

const recordOf = (row: MemoryRow, now: Instant | null): WebhookRecord => {
  const { id, seq, brand, name, url, domain, method, priority, at, createdAt, tags, attempts, finishedAt } = row
  const last = row.history.at(-1)?.attempt ?? null
  return {
    id,
    seq,
    brand,
    name,
    url,
    domain,
    method,
    priority,
    state: stateOf(row, now),
    at,
    createdAt,
    tags,
    attempts,
    nextAt: row.state === 'live' && row.started === null ? row.nextAt : null,
    lastStatus: last?.status ?? null,
    lastError: last?.error ?? null,
    finishedAt,
    lateness: last === null ? null : { timerMs: last.timerMs, guardMs: last.guardMs, networkMs: last.networkMs },
  }
}

const list = (disk: MemoryDisk, query: Asked<'list'>): Answered<'list'> => {
  const before = query.cursor === null ? Number.POSITIVE_INFINITY : Number(query.cursor)
  const isOf = within(disk, query.filter.domain ?? null)
  const found = [...disk.bySeq.values()]
    .filter((row) => row.seq < before && matches(row, query.filter, query.now) && isOf(row))
    .sort((a, b) => b.seq - a.seq)
  const page = found.slice(0, query.limit)
  return {
    webhooks: page.map((row) => recordOf(row, query.now)),
    nextCursor: found.length > page.length ? String(page.at(-1)?.seq ?? '') : null,
  }
}
const matches = (row: MemoryRow, filter: ListFilter, now: Instant): boolean =>
  (filter.brand === null || row.brand === filter.brand) &&
  (filter.state === undefined || stateOf(row, now) === filter.state) &&
  (filter.tag === undefined || row.tags.includes(filter.tag)) &&
  (filter.name === undefined || row.name === filter.name) &&
  (filter.from === undefined || row.at >= filter.from) &&
  (filter.to === undefined || row.at <= filter.to)

const counts = (disk: MemoryDisk, query: Asked<'counts'>): Counts => {
  const figures = { ...NO_COUNTS }
  const isOf = within(disk, query.domain)
  let waiting = 0
  for (const row of disk.bySeq.values()) {
    if (query.brand !== null && row.brand !== query.brand) continue
    if (!isOf(row)) continue
    const capped = waiting >= WAITING_COUNT_MAX
    const state = stateOf(row, capped ? null : query.now)
    if (state === 'waiting') waiting += 1
    if (state !== 'held') figures[state] += 1
  }
  return figures
}
const NO_COUNTS = {
  scheduled: 0,
  waiting: 0,
  executing: 0,
  retrying: 0,
  delivered: 0,
  dead: 0,
  cancelled: 0,
  expired: 0,
  quarantined: 0,
}

const backlog = (disk: MemoryDisk, query: Asked<'backlog'>): Answered<'backlog'> => {
  const rows = disk.due.between(null, query.now).filter(within(disk, query.domain)).take(query.cap).toArray()
  return { count: rows.length, oldestAt: rows[0]?.nextAt ?? null }
}

const limitText = (limit: {
  readonly kind: string
  readonly domain: string | null
  readonly brand: string | null
}): string => `${limit.kind} ${limit.domain ?? ''} ${limit.brand ?? ''}`
const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)
const byText =
  <T>(text: (value: T) => string) =>
  (a: T, b: T): number =>
    compareText(text(a), text(b))
