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
import type { Due, WebhookId } from '#webhook/webhook.ts'
import { packAttempt } from './attempt-codec.ts'
import type { AttemptRows } from './attempt-rows.ts'
import type { Connection } from './connection.ts'
import type { CounterChanges } from './counters.ts'
import type { FarRows } from './far-rows.ts'
import type { LaneBook } from './lane-book.ts'
import { LIVE, type Live, type LiveColumns, liveOf, type Started, type Starts } from './starts.ts'
import { finalStateOf, restingState, type StoredState, stateCode } from './state-code.ts'

interface Whose {
  readonly id: WebhookId
  readonly seq?: number
}
interface Row {
  readonly seq: number
  readonly lane: number
  /** Null: it lies in `far` or `done`. */
  readonly live: Live | null
  readonly started: Started | null
}
type Done = readonly [state: number, attempts: number, finishedAt: number, nextAt: number]

export class LiveRows {
  readonly #lanes: LaneBook
  readonly #far: FarRows
  readonly #starts: Starts
  readonly #attempts: AttemptRows
  readonly #isOpen: (seq: number) => boolean
  readonly #find
  readonly #findLive
  readonly #bodyOf
  readonly #findDone
  readonly #retry
  readonly #giveBack
  readonly #remove
  readonly #finish

  constructor(
    db: Connection,
    lanes: LaneBook,
    far: FarRows,
    starts: Starts,
    attempts: AttemptRows,
    isOpen: (seq: number) => boolean,
  ) {
    this.#lanes = lanes
    this.#far = far
    this.#starts = starts
    this.#attempts = attempts
    this.#isOpen = isOpen
    // One statement a table: a join of the two costs 6 to 15 microseconds more (measured), whatever its plan.
    this.#find = db
      .prepare<[string], readonly [seq: number, lane: number]>('SELECT seq, lane FROM webhooks WHERE id = ?')
      .raw()
    this.#findLive = db.prepare<[number], LiveColumns>(`SELECT ${LIVE} FROM live l WHERE l.seq = ?`).raw()
    this.#bodyOf = db.prepare<[number], Buffer>('SELECT row FROM webhooks WHERE seq = ?').pluck()
    this.#findDone = db
      .prepare<[number], Done>('SELECT state, attempts, finished_at, next_at FROM done WHERE seq = ?')
      .raw()
    this.#retry = db.prepare<[number, number, LonelyDeaths, number]>(
      'UPDATE live SET next_at = ?, attempts = ?, lonely_deaths = ? WHERE seq = ?',
    )
    this.#giveBack = db.prepare<[string, number]>('UPDATE live SET back = ? WHERE seq = ?')
    this.#remove = db.prepare<[number]>('DELETE FROM live WHERE seq = ?')
    this.#finish = db.prepare<[number, number, number, number, number, Buffer | null]>(
      'INSERT INTO done (seq, state, attempts, finished_at, next_at, attempt) VALUES (?, ?, ?, ?, ?, ?)',
    )
  }

  markStarted(op: MarkStarted, changes: CounterChanges): Marked {
    const row = this.#read(op)
    if (row === null) return { ok: false, why: 'not-found' }
    const live = row.live ?? this.#fetchFromFar(op.id, row)
    if (live === null) return this.#endedBefore(op, row)
    if (row.started !== null && row.started.token !== op.token) return { ok: false, why: 'already-started' }
    const body = this.#body(row.seq)
    if (row.started === null) {
      if (live.attempts !== op.attempt - 1 || live.back === op.token) return { ok: false, why: 'other-attempt' }
      if (live.expiresAt !== null && live.expiresAt <= op.startedAt)
        return this.#endUnsent('expired', op, live, changes)
      if (live.nextAt > op.startedAt || live.nextAt !== (op.dueAt ?? live.nextAt))
        return { ok: false, why: 'not-due', nextAt: live.nextAt }
      // Damaged bytes are never sent, never tried again, and stop nobody (reliability.md D9).
      if (!isWhole(body)) return this.#endUnsent('quarantined', op, live, changes)
      this.#starts.add(live, op.token, op.startedAt)
      changes.moved(row.lane, restingState(live.attempts), 'executing')
    }
    return { ok: true, request: requestOf(body), ...seriesOf(body), lonelyDeaths: live.lonelyDeaths }
  }

  markAlone(op: MarkAlone): MarkedAlone {
    const row = this.#read(op)
    if (row === null) return { ok: false, why: 'not-found' }
    if (row.started?.attempt !== op.attempt) return { ok: false, why: 'stale' }
    this.#starts.isolate(row.seq)
    return { ok: true }
  }

  #endUnsent(state: 'expired' | 'quarantined', op: MarkStarted, live: Live, changes: CounterChanges): Marked {
    this.#end(live.seq, state, live.attempts, op.startedAt, live.nextAt, null)
    changes.moved(live.lane, restingState(live.attempts), state)
    const { brand, domain } = this.#lanes.key(live.lane)
    return { ok: false, why: 'not-live', ended: { id: op.id, brand, domain, state } }
  }

  /** This mark has ended it, and is sent again; or it was swept in the same millisecond, which is as well. */
  #endedBefore(op: MarkStarted, row: Row): Marked {
    const [code, attempts, finishedAt] = this.#findDone.get(row.seq) ?? []
    const isMine = finishedAt === op.startedAt && attempts === op.attempt - 1
    const state = code === undefined ? null : finalStateOf(code)
    if (!isMine || (state !== 'expired' && state !== 'quarantined')) return { ok: false, why: 'not-live' }
    const { brand, domain } = this.#lanes.key(row.lane)
    return { ok: false, why: 'not-live', ended: { id: op.id, brand, domain, state } }
  }

  recordOutcome(op: RecordOutcome, changes: CounterChanges): OutcomeRecorded {
    const row = this.#read(op)
    if (row === null) return { ok: false, why: 'not-found' }
    const { seq, lane, started } = row
    if (started?.token !== op.token) {
      const isResend = this.#attempts.has(seq, op.token, op.attempt.number)
      return isResend ? { ok: true, seq } : { ok: false, why: 'stale' }
    }
    this.#starts.end(seq)
    if (op.next.state === 'retrying') {
      this.#attempts.add(seq, op.token, op.attempt)
      this.#retry.run(op.next.nextAt, started.attempt, op.lonelyDeaths ?? null, seq)
    } else {
      const kept = packAttempt(op.token, op.attempt)
      this.#end(seq, op.next.state, started.attempt, op.next.finishedAt, started.nextAt, kept)
    }
    changes.moved(lane, 'executing', op.next.state)
    return { ok: true, seq }
  }

  handBack(op: HandBack, changes: CounterChanges): HandedBack {
    const row = this.#read(op)
    if (row === null) return { ok: false, why: 'not-found' }
    const { live, started } = row
    if (live === null) return { ok: false, why: 'stale' }
    if (live.back === op.token) return { ok: true, due: this.#due(op.id, row, live.nextAt, attemptsOf(live, started)) }
    if (started?.token !== op.token) return { ok: false, why: 'stale' }
    this.#starts.end(row.seq)
    this.#giveBack.run(op.token, row.seq)
    changes.moved(row.lane, 'executing', restingState(live.attempts))
    return { ok: true, due: this.#due(op.id, row, live.nextAt, live.attempts) }
  }

  cancel(op: Cancel, changes: CounterChanges): Cancelled {
    const row = this.#read(op)
    if (row === null || (op.brand !== null && this.#lanes.key(row.lane).brand !== op.brand))
      return { outcome: 'notFound', due: null }
    const live = row.live ?? this.#fetchFromFar(op.id, row)
    if (live === null) return this.#cancelledBefore(op, row)
    if (row.started !== null) return { outcome: 'alreadyRunning', due: null }
    this.#end(row.seq, 'cancelled', live.attempts, op.at, live.nextAt, null)
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

  #read({ id, seq }: Whose): Row | null {
    if (seq === undefined) return this.#readById(id)
    const live = this.#readLive(seq)
    return live?.id !== id || this.#isOpen(seq) ? this.#readById(id) : this.#rowOf(live)
  }
  #readById(id: WebhookId): Row | null {
    const found = this.#find.get(id)
    if (found === undefined || this.#isOpen(found[0])) return null
    const [seq, lane] = found
    const live = this.#readLive(seq)
    return live === null ? { seq, lane, live, started: null } : this.#rowOf(live)
  }
  #readLive(seq: number): Live | null {
    const started = this.#starts.get(seq)
    if (started !== null) return started
    const columns = this.#findLive.get(seq)
    return columns === undefined ? null : liveOf(columns)
  }
  #rowOf(live: Live): Row {
    return { seq: live.seq, lane: live.lane, live, started: this.#starts.get(live.seq) }
  }
  #body(seq: number): Buffer {
    const body = this.#bodyOf.get(seq)
    if (body === undefined) throw new Error(`row ${seq} is gone within its transaction`)
    return body
  }
  #fetchFromFar(id: WebhookId, { seq, lane }: Row): Live | null {
    const body = this.#body(seq)
    const nextAt = firstNextAtOf(body)
    if (!this.#far.promote(seq, nextAt)) return null
    return { id, seq, lane, nextAt, attempts: 0, back: null, expiresAt: expiresAtOf(body), lonelyDeaths: null }
  }
  #end(
    seq: number,
    state: StoredState,
    attempts: number,
    finishedAt: number,
    nextAt: number,
    lastAttempt: Buffer | null,
  ): void {
    this.#remove.run(seq)
    this.#finish.run(seq, stateCode(state), attempts, finishedAt, nextAt, lastAttempt)
  }
  #due(id: string, row: Row, nextAt: number, attempts: number): Due {
    const body = this.#body(row.seq)
    const timing = { nextAt, attempts, timeoutMs: timeoutMsOf(body), expiresAt: expiresAtOf(body) }
    return { id, seq: row.seq, ...this.#lanes.key(row.lane), ...timing }
  }
}

/** With the one that is under way. */
const attemptsOf = (live: Live, started: Started | null): number => started?.attempt ?? live.attempts

/** Of a whole row. */
export const seriesOf = (row: Buffer): Series => ({
  retry: retryOf(row),
  firstAt: firstNextAtOf(row),
  attemptsBefore: attemptsBeforeOf(row),
})
