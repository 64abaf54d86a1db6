/** The contract's operations on a memory disk: the exact model that the other stores are compared with. */
import { DEAD_LETTERS_ALARM_SHARE } from '#config/limits.ts'
import { decodeRows } from '#store/rows.ts'
import {
  type Append,
  type Appended,
  type Cancel,
  type Cancelled,
  type Ended,
  type Expire,
  type Expired,
  type GroupSet,
  type HandBack,
  type HandedBack,
  type MarkAlone,
  type Marked,
  type MarkedAlone,
  type MarkStarted,
  type NewWebhook,
  type OutcomeRecorded,
  type Prune,
  type Pruned,
  type RecordOutcome,
  type Replay,
  type Replayed,
  type Reschedule,
  type Rescheduled,
  type Series,
  type SetGroup,
  type SetLimit,
  type StoredLimit,
  StoreError,
  type WriteOp,
  type WriteResult,
} from '#store/store.ts'
import { type Brand, type Due, FINAL_STATES, type Instant } from '#webhook/webhook.ts'
import { keyText, type MemoryDisk, type MemoryRow } from './memory-disk.ts'

/** One operation; throws StoreError `invalid` on rows that are no batch. */
export const applyOp = (disk: MemoryDisk, op: WriteOp, index: number): WriteResult<WriteOp> => {
  switch (op.type) {
    case 'append':
      return append(disk, op, index)
    case 'mark-started':
      return markStarted(disk, op)
    case 'mark-alone':
      return markAlone(disk, op)
    case 'record-outcome':
      return recordOutcome(disk, op)
    case 'hand-back':
      return handBack(disk, op)
    case 'cancel':
      return cancel(disk, op)
    case 'reschedule':
      return reschedule(disk, op)
    case 'replay':
      return replay(disk, op)
    case 'set-limit':
      return setLimit(disk, op)
    case 'set-group':
      return setGroup(disk, op)
    case 'put-brand':
      if (!disk.brands.has(op.brand)) disk.put(disk.brands, op.brand, op.createdAt)
      return { ok: true }
    case 'put-key':
      disk.put(disk.keys, op.key.keyId, op.key)
      return { ok: true }
    case 'expire':
      return expire(disk, op)
    case 'prune':
      return prune(disk, op)
    default:
      return op satisfies never
  }
}

export const seriesOf = (row: MemoryRow): Series => ({
  retry: row.retry,
  firstAt: Math.max(row.at, row.createdAt),
  attemptsBefore: row.attemptsBefore ?? 0,
})
export const dueOf = (row: MemoryRow): Due => ({
  id: row.id,
  seq: row.seq,
  nextAt: row.nextAt,
  brand: row.brand,
  domain: row.domain,
  priority: row.priority,
  attempts: row.attempts,
  timeoutMs: row.timeoutMs,
  expiresAt: row.expiresAt,
})

const append = (disk: MemoryDisk, op: Append, index: number): Appended => {
  const webhooks = decoded(op, index)
  const start = disk.mark()
  const rows: MemoryRow[] = []
  const duplicates: boolean[] = []
  for (const [at, webhook] of webhooks.entries()) {
    const known = disk.byId.get(webhook.id) ?? sameKey(disk, webhook)
    if (known !== undefined && known.id !== webhook.id && !sameContent(known, webhook)) {
      disk.rollback(start)
      return { ok: false, conflict: { index: at, idempotencyKey: webhook.idempotencyKey ?? '', id: known.id } }
    }
    rows.push(known ?? insert(disk, webhook))
    duplicates.push(known !== undefined && known.id !== webhook.id)
  }
  return { ok: true, seqs: rows.map((row) => row.seq), ids: rows.map((row) => row.id), duplicates }
}

const decoded = (op: Append, index: number): readonly NewWebhook[] => {
  try {
    return decodeRows(op.rows)
  } catch (error) {
    throw new StoreError('invalid', `append: ${error instanceof Error ? error.message : String(error)}`, index)
  }
}
const sameKey = (disk: MemoryDisk, webhook: NewWebhook): MemoryRow | undefined =>
  webhook.idempotencyKey === null ? undefined : disk.byKey.get(keyText(webhook.brand, webhook.idempotencyKey))

const sameContent = (row: MemoryRow, webhook: NewWebhook): boolean => {
  const [a, b] = [row.contentHash, webhook.contentHash]
  if (a === null || b === null) return a === b
  return Buffer.compare(a, b) === 0
}

const insert = (disk: MemoryDisk, webhook: NewWebhook): MemoryRow => {
  const row: MemoryRow = {
    ...webhook,
    seq: disk.takeSeq(),
    state: 'live',
    attempts: 0,
    started: null,
    lonelyDeaths: null,
    backToken: null,
    history: [],
    finishedAt: null,
    attemptsBefore: null,
  }
  disk.place(null, row)
  return row
}

const markStarted = (disk: MemoryDisk, op: MarkStarted): Marked => {
  const row = disk.byId.get(op.id)
  if (row === undefined) return { ok: false, why: 'not-found' }
  if (row.state !== 'live') return endedBefore(row, op)
  if (row.started !== null && row.started.token !== op.token) return { ok: false, why: 'already-started' }
  if (row.started === null) {
    if (row.attempts !== op.attempt - 1 || row.backToken === op.token) return { ok: false, why: 'other-attempt' }
    if (row.expiresAt !== null && row.expiresAt <= op.startedAt)
      return { ok: false, why: 'not-live', ended: endExpired(disk, row, op.startedAt) }
    if (row.nextAt > op.startedAt || row.nextAt !== (op.dueAt ?? row.nextAt))
      return { ok: false, why: 'not-due', nextAt: row.nextAt }
    disk.place(row, { ...row, attempts: op.attempt, started: { token: op.token, at: op.startedAt, alone: false } })
  }
  return { ok: true, request: Uint8Array.from(row.request), ...seriesOf(row), lonelyDeaths: row.lonelyDeaths }
}

/** This mark has ended it, and is sent again; or it was swept in the same millisecond, which is as well. */
const endedBefore = (row: MemoryRow, op: MarkStarted): Marked => {
  const isMine = row.finishedAt === op.startedAt && row.attempts === op.attempt - 1
  if (!isMine || (row.state !== 'expired' && row.state !== 'quarantined')) return { ok: false, why: 'not-live' }
  const { id, brand, domain, state } = row
  return { ok: false, why: 'not-live', ended: { id, brand, domain, state } }
}

const markAlone = (disk: MemoryDisk, op: MarkAlone): MarkedAlone => {
  const row = disk.byId.get(op.id)
  if (row === undefined) return { ok: false, why: 'not-found' }
  if (row.started === null || row.attempts !== op.attempt) return { ok: false, why: 'stale' }
  disk.place(row, { ...row, started: { ...row.started, alone: true } })
  return { ok: true }
}

const recordOutcome = (disk: MemoryDisk, op: RecordOutcome): OutcomeRecorded => {
  const row = disk.byId.get(op.id)
  if (row === undefined) return { ok: false, why: 'not-found' }
  if (row.state !== 'live' || row.started?.token !== op.token) {
    const isResend = row.history.some((done) => done.token === op.token && done.attempt.number === op.attempt.number)
    return isResend ? { ok: true, seq: row.seq } : { ok: false, why: 'stale' }
  }
  const history = [...row.history, { token: op.token, attempt: op.attempt }]
  const next =
    op.next.state === 'retrying'
      ? { nextAt: op.next.nextAt, state: 'live' as const }
      : { state: op.next.state, finishedAt: op.next.finishedAt }
  disk.place(row, { ...row, ...next, started: null, lonelyDeaths: op.lonelyDeaths ?? null, history })
  return { ok: true, seq: row.seq }
}

const handBack = (disk: MemoryDisk, op: HandBack): HandedBack => {
  const row = disk.byId.get(op.id)
  if (row === undefined) return { ok: false, why: 'not-found' }
  if (row.state !== 'live') return { ok: false, why: 'stale' }
  if (row.backToken === op.token) return { ok: true, due: dueOf(row) }
  if (row.started?.token !== op.token) return { ok: false, why: 'stale' }
  const back = { ...row, attempts: row.attempts - 1, started: null, backToken: op.token }
  disk.place(row, back)
  return { ok: true, due: dueOf(back) }
}

const cancel = (disk: MemoryDisk, op: Cancel): Cancelled => {
  const row = disk.byId.get(op.id)
  if (row === undefined || (op.brand !== null && row.brand !== op.brand)) return { outcome: 'notFound', due: null }
  if (row.state === 'cancelled' && row.finishedAt === op.at) return { outcome: 'cancelled', due: dueOf(row) }
  if (row.state !== 'live') return { outcome: 'alreadyDone', due: null }
  if (row.started !== null) return { outcome: 'alreadyRunning', due: null }
  disk.place(row, { ...row, state: 'cancelled', finishedAt: op.at })
  return { outcome: 'cancelled', due: dueOf(row) }
}

const reschedule = (disk: MemoryDisk, op: Reschedule): Rescheduled => {
  const row = disk.byId.get(op.id)
  if (row === undefined || (op.brand !== null && row.brand !== op.brand)) return { outcome: 'notFound' }
  if (row.state !== 'live') return { outcome: 'alreadyDone' }
  if (row.started !== null) return { outcome: 'alreadyRunning' }
  if (op.at <= op.now && row.nextAt <= op.now) return { outcome: 'rescheduled', due: dueOf(row) }
  const at = Math.max(op.at, op.now)
  if (row.expiresAt !== null && row.expiresAt <= at) return { outcome: 'expiresBefore' }
  const moved = { ...row, at, nextAt: at }
  disk.place(row, moved)
  return { outcome: 'rescheduled', due: dueOf(moved) }
}

const replay = (disk: MemoryDisk, op: Replay): Replayed => {
  const row = disk.byId.get(op.id)
  if (row === undefined || (op.brand !== null && row.brand !== op.brand)) return { outcome: 'notFound' }
  if (op.newId !== null) return replayAsNew(disk, op, row, op.newId)
  if (row.attemptsBefore !== null && row.at === op.at) return { outcome: 'replayed', due: dueOf(row) }
  if (row.state === 'live') return { outcome: 'notDone' }
  const instants = { at: op.at, nextAt: op.at, expiresAt: null, finishedAt: null }
  const again = {
    ...row,
    ...instants,
    state: 'live' as const,
    attemptsBefore: row.attempts,
    backToken: null,
    lonelyDeaths: null,
  }
  disk.place(row, again)
  return { outcome: 'replayed', due: dueOf(again) }
}
const replayAsNew = (disk: MemoryDisk, { at }: Replay, row: MemoryRow, id: string): Replayed => {
  const known = disk.byId.get(id)
  if (known !== undefined) return { outcome: 'replayed', due: dueOf(known) }
  if (row.state === 'live') return { outcome: 'notDone' }
  const instants = { at, nextAt: at, createdAt: at, expiresAt: null }
  const own = { host: row.domain, idempotencyKey: null, contentHash: null }
  return { outcome: 'replayed', due: dueOf(insert(disk, { ...row, ...instants, ...own, id })) }
}

const setLimit = (disk: MemoryDisk, op: SetLimit): StoredLimit => {
  const { type: _type, ...limit } = op
  const key = JSON.stringify([op.kind, op.domain, op.brand])
  const before = disk.limits.get(key)
  if (before !== undefined && isSame(before, op)) return before
  const stored = { ...limit, version: (before?.version ?? 0) + 1 }
  disk.put(disk.limits, key, stored)
  return stored
}

const setGroup = (disk: MemoryDisk, { group, members, setBy, setAt, carried }: SetGroup): GroupSet => {
  for (const member of members)
    for (const other of disk.groups.values())
      if (other.group !== group && other.members.includes(member))
        return { ok: false, why: 'taken', member, by: other.group }
  const before = disk.groups.get(group)
  const isSame = before?.setBy === setBy && before.setAt === setAt && String(before.members) === String(members)
  const next =
    before !== undefined && isSame ? before : { group, members, version: (before?.version ?? 0) + 1, setBy, setAt }
  disk.put(disk.groups, group, next)
  return { ok: true, group: next, carried: carried.map((limit) => setLimit(disk, { type: 'set-limit', ...limit })) }
}

const expire = (disk: MemoryDisk, op: Expire): Expired => {
  const rows = [...disk.expiring.values()]
    .filter((row) => expiryOf(row) <= op.now)
    .sort((a, b) => expiryOf(a) - expiryOf(b) || a.seq - b.seq)
  const expired = rows.slice(0, op.limit).map((row) => endExpired(disk, row, op.now))
  return { ok: true, expired, more: rows.length > op.limit }
}
const expiryOf = (row: MemoryRow): number => row.expiresAt ?? Number.POSITIVE_INFINITY
const endExpired = (disk: MemoryDisk, row: MemoryRow, finishedAt: number): Ended => {
  disk.place(row, { ...row, state: 'expired', finishedAt })
  return { id: row.id, brand: row.brand, domain: row.domain, state: 'expired' }
}

const prune = (disk: MemoryDisk, op: Prune): Pruned => {
  const before = { delivered: op.finishedBefore, cancelled: op.finishedBefore, expired: op.finishedBefore }
  const bounds = { ...before, dead: op.deadBefore, quarantined: op.deadBefore }
  const rows = FINAL_STATES.flatMap((state) =>
    [...disk.bySeq.values()]
      .filter((row) => row.state === state && (row.finishedAt ?? 0) < bounds[state])
      .sort(byFinish),
  ).slice(0, op.limit)
  for (const row of rows) disk.place(row, null)
  const { crowded, excess } = deadLetters(disk, op.deadMax)
  const drops = excess.slice(0, op.limit - rows.length)
  for (const row of drops) disk.place(row, null)
  const pruned = rows.length + drops.length
  const isPartly = forgetPast(disk, op.closedBefore, op.limit) === op.limit
  const more = pruned === op.limit || drops.length < excess.length || isPartly
  return { ok: true, pruned, more, dropped: byBrand(drops), crowded }
}
/** Closures and open breakers that are over, the soonest first: answers how many went. */
const forgetPast = (disk: MemoryDisk, before: Instant, limit: number): number => {
  const past = [...disk.limits]
    .filter(([, { kind, value }]) => (kind === 'closed-until' || kind === 'breaker-until') && (value ?? 0) < before)
    .sort(([, a], [, b]) => (a.value ?? 0) - (b.value ?? 0) || (placeOf(a) < placeOf(b) ? -1 : 1))
    .slice(0, limit)
  for (const [key] of past) disk.remove(disk.limits, key)
  return past.length
}
const placeOf = ({ kind, domain, brand }: StoredLimit): string => [kind, domain ?? '', brand ?? ''].join('\u0000')
/** Brands near or over the bound, and what is too much of each, dead ones first, the longest finished first. */
const deadLetters = (disk: MemoryDisk, max: number): { crowded: readonly Brand[]; excess: readonly MemoryRow[] } => {
  const crowded = new Set<Brand>()
  const excess = (['dead', 'quarantined'] as const).flatMap((state) => {
    const rows = [...disk.bySeq.values()].filter((row) => row.state === state)
    const over = new Map<Brand, number>()
    for (const { brand, count } of byBrand(rows)) {
      over.set(brand, count - max)
      if (count >= max * DEAD_LETTERS_ALARM_SHARE) crowded.add(brand)
    }
    return rows.sort(byFinish).filter(({ brand }) => {
      const left = over.get(brand) ?? 0
      over.set(brand, left - 1)
      return left > 0
    })
  })
  return { crowded: [...crowded].sort(), excess }
}
const byFinish = (a: MemoryRow, b: MemoryRow): number => (a.finishedAt ?? 0) - (b.finishedAt ?? 0) || a.seq - b.seq
const byBrand = (rows: readonly MemoryRow[]): Pruned['dropped'] =>
  [...Map.groupBy(rows, ({ brand }) => brand)].map(([brand, { length }]) => ({ brand, count: length }))

const isSame = (before: StoredLimit, op: SetLimit): boolean =>
  before.value === op.value && before.burst === op.burst && before.setBy === op.setBy && before.setAt === op.setAt
