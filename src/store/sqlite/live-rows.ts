/** The compare-and-set changes of one webhook: marks, outcome, hand-back, cancel. Each within a transaction of the writer. */
import {
  attemptsBeforeOf,
  expiresAtOf,
  firstNextAtOf,
  isWhole,
  requestOf,
  retryOf,
  timeoutMsOf,
} from '#store/row-codec.ts'
import type {
  Cancel,
  Cancelled,
  HandBack,
  HandedBack,
  LonelyDeaths,
  MarkAlone,
  Marked,
  MarkedAlone,
  MarkStarted,
  OutcomeRecorded,
  RecordOutcome,
  Series,
} from '#store/store.ts'
import type { AttemptRecord, Due } from '#webhook/webhook.ts'
import type { Connection } from './connection.ts'
import type { CounterChanges } from './counters.ts'
import type { FarRows } from './far-rows.ts'
import type { LaneBook } from './lane-book.ts'
import { finalStateOf, restingState, type StoredState, stateCode } from './state-code.ts'

interface Row {
  readonly seq: number
  readonly lane: number
  /** Null: it lies in `far` or `done`. */
  readonly live: Live | null
}
type LiveColumns = readonly [
  id: string,
  lane: number,
  nextAt: number,
  attempts: number,
  startedAt: number | null,
  token: string | null,
  back: string | null,
  expiresAt: number | null,
  lonelyDeaths: LonelyDeaths,
]
interface Live {
  readonly nextAt: number
  readonly attempts: number
  readonly startedAt: number | null
  readonly token: string | null
  readonly back: string | null
  readonly expiresAt: number | null
  readonly lonelyDeaths: LonelyDeaths
}
type Done = readonly [state: number, attempts: number, finishedAt: number, nextAt: number]

export class LiveRows {
  readonly #lanes: LaneBook
  readonly #far: FarRows
  readonly #isOpen: (seq: number) => boolean
  readonly #find
  readonly #findLive
  readonly #bodyOf
  readonly #findDone
  readonly #findAttempt
  readonly #start
  readonly #retry
  readonly #isolate
  readonly #unstart
  readonly #remove
  readonly #finish
  readonly #addAttempt

  constructor(db: Connection, lanes: LaneBook, far: FarRows, isOpen: (seq: number) => boolean) {
    this.#lanes = lanes
    this.#far = far
    this.#isOpen = isOpen
    // One statement a table: a join of the two costs 6 to 15 microseconds more (measured), whatever its plan.
    this.#find = db
      .prepare<[string], readonly [seq: number, lane: number]>('SELECT seq, lane FROM webhooks WHERE id = ?')
      .raw()
    this.#findLive = db
      .prepare<[number], LiveColumns>(
        `SELECT id, lane, next_at, attempts, started_at, token, back, expires_at, lonely_deaths FROM live WHERE seq = ?`,
      )
      .raw()
    this.#bodyOf = db.prepare<[number], Buffer>('SELECT row FROM webhooks WHERE seq = ?').pluck()
    this.#findDone = db
      .prepare<[number], Done>('SELECT state, attempts, finished_at, next_at FROM done WHERE seq = ?')
      .raw()
    this.#findAttempt = db
      .prepare<[number, number], string>('SELECT token FROM attempts WHERE seq = ? AND number = ?')
      .pluck()
    this.#start = db.prepare<[number, number, string, number]>(
      'UPDATE live SET attempts = ?, started_at = ?, token = ? WHERE seq = ?',
    )
    this.#retry = db.prepare<[number, LonelyDeaths, number]>(
      'UPDATE live SET next_at = ?, started_at = NULL, lonely_deaths = ?, alone = NULL WHERE seq = ?',
    )
    this.#isolate = db.prepare<[number]>('UPDATE live SET alone = 1 WHERE seq = ?')
    this.#unstart = db.prepare<[number, string, number]>(
      'UPDATE live SET attempts = ?, started_at = NULL, back = ?, alone = NULL WHERE seq = ?',
    )
    this.#remove = db.prepare<[number]>('DELETE FROM live WHERE seq = ?')
    this.#finish = db.prepare<[number, number, number, number, number]>(
      'INSERT INTO done (seq, state, attempts, finished_at, next_at) VALUES (?, ?, ?, ?, ?)',
    )
    this.#addAttempt = db.prepare<unknown[]>('INSERT INTO attempts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)')
  }

  markStarted(op: MarkStarted, changes: CounterChanges): Marked {
    const row = this.#read(op)
    if (row === null) return { ok: false, why: 'not-found' }
    const live = row.live ?? this.#fetchFromFar(row)
    if (live === null) return { ok: false, why: 'not-live' }
    if (live.startedAt !== null && live.token !== op.token) return { ok: false, why: 'already-started' }
    const body = this.#body(row.seq)
    if (live.startedAt === null) {
      if (live.attempts !== op.attempt - 1 || live.back === op.token) return { ok: false, why: 'other-attempt' }
      if (live.expiresAt !== null && live.expiresAt <= op.startedAt)
        return this.#endUnsent('expired', op, row, live, changes)
      if (live.nextAt > op.startedAt) return { ok: false, why: 'not-due', nextAt: live.nextAt }
      // Damaged bytes are never sent, never tried again, and stop nobody (reliability.md D9).
      if (!isWhole(body)) return this.#endUnsent('quarantined', op, row, live, changes)
      this.#start.run(op.attempt, op.startedAt, op.token, row.seq)
      changes.moved(row.lane, restingState(live.attempts), 'executing')
    }
    return { ok: true, request: requestOf(body), ...seriesOf(body), lonelyDeaths: live.lonelyDeaths }
  }

  markAlone(op: MarkAlone): MarkedAlone {
    const row = this.#read(op)
    if (row === null) return { ok: false, why: 'not-found' }
    if (row.live === null || row.live.startedAt === null || row.live.attempts !== op.attempt)
      return { ok: false, why: 'stale' }
    this.#isolate.run(row.seq)
    return { ok: true }
  }

  #endUnsent(state: 'expired' | 'quarantined', op: MarkStarted, row: Row, live: Live, changes: CounterChanges): Marked {
    this.#end(row.seq, state, live.attempts, op.startedAt, live.nextAt)
    changes.moved(row.lane, restingState(live.attempts), state)
    const { brand, domain } = this.#lanes.key(row.lane)
    return { ok: false, why: 'not-live', ended: { id: op.id, brand, domain, state } }
  }

  recordOutcome(op: RecordOutcome, changes: CounterChanges): OutcomeRecorded {
    const row = this.#read(op)
    if (row === null) return { ok: false, why: 'not-found' }
    const { seq, lane, live } = row
    if (live === null || live.startedAt === null || live.token !== op.token) {
      const isResend = this.#findAttempt.get(seq, op.attempt.number) === op.token
      return isResend ? { ok: true, seq } : { ok: false, why: 'stale' }
    }
    this.#keepAttempt(seq, op.token, op.attempt)
    if (op.next.state === 'retrying') this.#retry.run(op.next.nextAt, op.lonelyDeaths ?? null, seq)
    else this.#end(seq, op.next.state, live.attempts, op.next.finishedAt, live.nextAt)
    changes.moved(lane, 'executing', op.next.state)
    return { ok: true, seq }
  }

  handBack(op: HandBack, changes: CounterChanges): HandedBack {
    const row = this.#read(op)
    if (row === null) return { ok: false, why: 'not-found' }
    const live = row.live
    if (live === null) return { ok: false, why: 'stale' }
    if (live.back === op.token) return { ok: true, due: this.#due(op.id, row, live.nextAt, live.attempts) }
    if (live.startedAt === null || live.token !== op.token) return { ok: false, why: 'stale' }
    const attempts = live.attempts - 1
    this.#unstart.run(attempts, op.token, row.seq)
    changes.moved(row.lane, 'executing', restingState(attempts))
    return { ok: true, due: this.#due(op.id, row, live.nextAt, attempts) }
  }

  cancel(op: Cancel, changes: CounterChanges): Cancelled {
    const row = this.#read(op)
    if (row === null || (op.brand !== null && this.#lanes.key(row.lane).brand !== op.brand))
      return { outcome: 'notFound', due: null }
    const live = row.live ?? this.#fetchFromFar(row)
    if (live === null) return this.#cancelledBefore(op, row)
    if (live.startedAt !== null) return { outcome: 'alreadyRunning', due: null }
    this.#end(row.seq, 'cancelled', live.attempts, op.at, live.nextAt)
    changes.moved(row.lane, restingState(live.attempts), 'cancelled')
    return { outcome: 'cancelled', due: this.#due(op.id, row, live.nextAt, live.attempts) }
  }

  #cancelledBefore(op: Cancel, row: Row): Cancelled {
    const done = this.#findDone.get(row.seq)
    if (done === undefined) throw new Error(`webhook ${op.id} is neither live nor done`)
    const [state, attempts, finishedAt, nextAt] = done
    if (finalStateOf(state) !== 'cancelled' || finishedAt !== op.at) return { outcome: 'alreadyDone', due: null }
    return { outcome: 'cancelled', due: this.#due(op.id, row, nextAt, attempts) }
  }

  #read({ id, seq }: { readonly id: string; readonly seq?: number }): Row | null {
    if (seq === undefined) return this.#readById(id)
    const columns = this.#findLive.get(seq)
    return columns === undefined || columns[0] !== id || this.#isOpen(seq) ? this.#readById(id) : rowOf(seq, columns)
  }
  #readById(id: string): Row | null {
    const found = this.#find.get(id)
    if (found === undefined || this.#isOpen(found[0])) return null
    const [seq, lane] = found
    const columns = this.#findLive.get(seq)
    return columns === undefined ? { seq, lane, live: null } : rowOf(seq, columns)
  }
  #body(seq: number): Buffer {
    const body = this.#bodyOf.get(seq)
    if (body === undefined) throw new Error(`row ${seq} is gone within its transaction`)
    return body
  }
  #fetchFromFar(row: Row): Live | null {
    const body = this.#body(row.seq)
    const nextAt = firstNextAtOf(body)
    if (!this.#far.promote(row.seq, nextAt)) return null
    const unstarted = { attempts: 0, startedAt: null, token: null, back: null, lonelyDeaths: null }
    return { nextAt, ...unstarted, expiresAt: expiresAtOf(body) }
  }
  #end(seq: number, state: StoredState, attempts: number, finishedAt: number, nextAt: number): void {
    this.#remove.run(seq)
    this.#finish.run(seq, stateCode(state), attempts, finishedAt, nextAt)
  }
  #keepAttempt(seq: number, token: string, a: AttemptRecord): void {
    const { number, startedAt, endedAt, status, error, excerpt, timerMs, guardMs, networkMs } = a
    const inDoubt = a.inDoubt ? 1 : 0
    this.#addAttempt.run(
      ...[seq, number, token, startedAt, endedAt, status, error, excerpt, timerMs, guardMs, networkMs, inDoubt],
    )
  }
  #due(id: string, row: Row, nextAt: number, attempts: number): Due {
    const body = this.#body(row.seq)
    const timing = { nextAt, attempts, timeoutMs: timeoutMsOf(body), expiresAt: expiresAtOf(body) }
    return { id, seq: row.seq, ...this.#lanes.key(row.lane), ...timing }
  }
}

const rowOf = (seq: number, columns: LiveColumns): Row => {
  const [, lane, nextAt, attempts, startedAt, token, back, expiresAt, lonelyDeaths] = columns
  return { seq, lane, live: { nextAt, attempts, startedAt, token, back, expiresAt, lonelyDeaths } }
}

/** Of a whole row. */
export const seriesOf = (row: Buffer): Series => ({
  retry: retryOf(row),
  firstAt: firstNextAtOf(row),
  attemptsBefore: attemptsBeforeOf(row),
})
