/** Other instants for webhooks that wait or are over: reschedule and replay. Each within a transaction of the writer. */
import {
  expiresAtOf,
  firstNextAtOf,
  isReplayed,
  isWhole,
  readRowBody,
  retimedRow,
  rowBodyBytesMax,
  timeoutMsOf,
  writeRowBody,
} from '#store/row-codec.ts'
import type { Replay, Replayed, Reschedule, Rescheduled } from '#store/store.ts'
import type { Brand, Due, WebhookId } from '#webhook/webhook.ts'
import type { AttemptRows } from './attempt-rows.ts'
import type { Connection } from './connection.ts'
import type { CounterChanges } from './counters.ts'
import type { FarRows } from './far-rows.ts'
import type { LaneBook } from './lane-book.ts'
import type { Starts } from './starts.ts'
import { finalStateOf, restingState } from './state-code.ts'

interface Row {
  readonly id: WebhookId
  readonly seq: number
  readonly lane: number
  readonly body: Buffer
}
interface Standing {
  readonly nextAt: number
  readonly attempts: number
}

export class Retimer {
  readonly #lanes: LaneBook
  readonly #far: FarRows
  readonly #starts: Starts
  readonly #attempts: AttemptRows
  readonly #isOpen: (seq: number) => boolean
  readonly #find
  readonly #findLive
  readonly #findDone
  readonly #setBody
  readonly #setNextAt
  readonly #removeDone
  readonly #addLive
  readonly #insert

  /** `isOpen`: the row belongs to a batch that is still open. */
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
    this.#find = db
      .prepare<[string], readonly [seq: number, lane: number, row: Buffer]>(
        'SELECT seq, lane, row FROM webhooks WHERE id = ?',
      )
      .raw()
    this.#findLive = db
      .prepare<[number], readonly [nextAt: number, attempts: number]>(
        'SELECT next_at, attempts FROM live WHERE seq = ?',
      )
      .raw()
    this.#findDone = db
      .prepare<[number], readonly [state: number, attempts: number, nextAt: number]>(
        'SELECT state, attempts, next_at FROM done WHERE seq = ?',
      )
      .raw()
    this.#setBody = db.prepare<[Buffer, number]>('UPDATE webhooks SET row = ? WHERE seq = ?')
    this.#setNextAt = db.prepare<[number, number]>('UPDATE live SET next_at = ? WHERE seq = ?')
    this.#removeDone = db.prepare<[number]>('DELETE FROM done WHERE seq = ?')
    this.#addLive = db.prepare<[number, string, number, number, number, number]>(
      'INSERT INTO live (seq, id, lane, next_at, attempts, timeout_ms) VALUES (?, ?, ?, ?, ?, ?)',
    )
    this.#insert = db.prepare<[number, string, number, Buffer]>(
      'INSERT INTO webhooks (seq, id, lane, row) VALUES (?, ?, ?, ?)',
    )
  }

  reschedule(op: Reschedule): Rescheduled {
    const row = this.#read(op.id, op.brand)
    if (row === null) return { outcome: 'notFound' }
    if (this.#findDone.get(row.seq) !== undefined) return { outcome: 'alreadyDone' }
    const [nextAt, attempts] = this.#findLive.get(row.seq) ?? [firstNextAtOf(row.body), 0]
    if (this.#starts.get(row.seq) !== null) return { outcome: 'alreadyRunning' }
    if (op.at <= op.now && nextAt <= op.now)
      return { outcome: 'rescheduled', due: this.#due(row, { nextAt, attempts }) }
    if (!isWhole(row.body)) return { outcome: 'damaged' }
    const at = Math.max(op.at, op.now)
    const expiresAt = expiresAtOf(row.body)
    if (expiresAt !== null && expiresAt <= at) return { outcome: 'expiresBefore' }
    this.#far.promote(row.seq, firstNextAtOf(row.body))
    this.#setNextAt.run(at, row.seq)
    const body = retimedRow(row.body, { at, expiresAt, attemptsBefore: null })
    this.#setBody.run(body, row.seq)
    return { outcome: 'rescheduled', due: this.#due({ ...row, body }, { nextAt: at, attempts }) }
  }

  /** `nextSeq`: the number that a new webhook would get; it did if the answer's due has it. */
  replay(op: Replay, nextSeq: number, changes: CounterChanges): Replayed {
    const row = this.#read(op.id, op.brand)
    if (row === null) return { outcome: 'notFound' }
    if (op.newId !== null) return this.#replayAsNew(op, row, op.newId, nextSeq, changes)
    if (isReplayed(row.body) && firstNextAtOf(row.body) === op.at)
      return { outcome: 'replayed', due: this.#due(row, this.#standing(row)) }
    const done = this.#findDone.get(row.seq)
    if (done === undefined) return { outcome: 'notDone' }
    if (!isWhole(row.body)) return { outcome: 'damaged' }
    const [state, attempts] = done
    const body = retimedRow(row.body, { at: op.at, expiresAt: null, attemptsBefore: attempts })
    this.#setBody.run(body, row.seq)
    this.#attempts.moveLast(row.seq)
    this.#removeDone.run(row.seq)
    this.#addLive.run(row.seq, row.id, row.lane, op.at, attempts, timeoutMsOf(body))
    changes.moved(row.lane, finalStateOf(state), restingState(attempts))
    return { outcome: 'replayed', due: this.#due({ ...row, body }, { nextAt: op.at, attempts }) }
  }

  #replayAsNew({ at }: Replay, of: Row, id: WebhookId, nextSeq: number, changes: CounterChanges): Replayed {
    const known = this.#read(id, null)
    if (known !== null) return { outcome: 'replayed', due: this.#due(known, this.#standing(known)) }
    if (this.#findDone.get(of.seq) === undefined) return { outcome: 'notDone' }
    if (!isWhole(of.body)) return { outcome: 'damaged' }
    const body = anew(of.body, at)
    const row = { id, seq: nextSeq, lane: of.lane, body }
    this.#insert.run(row.seq, id, row.lane, body)
    this.#addLive.run(row.seq, id, row.lane, at, 0, timeoutMsOf(body))
    changes.moved(row.lane, null, 'scheduled')
    return { outcome: 'replayed', due: this.#due(row, { nextAt: at, attempts: 0 }) }
  }

  #read(id: WebhookId, brand: Brand | null): Row | null {
    const found = this.#find.get(id)
    if (found === undefined || this.#isOpen(found[0])) return null
    const [seq, lane, body] = found
    return brand !== null && this.#lanes.key(lane).brand !== brand ? null : { id, seq, lane, body }
  }
  #standing(row: Row): Standing {
    const live = this.#findLive.get(row.seq)
    if (live !== undefined) return { nextAt: live[0], attempts: this.#starts.get(row.seq)?.attempt ?? live[1] }
    const done = this.#findDone.get(row.seq)
    return done === undefined
      ? { nextAt: firstNextAtOf(row.body), attempts: 0 }
      : { nextAt: done[2], attempts: done[1] }
  }
  #due({ id, seq, lane, body }: Row, { nextAt, attempts }: Standing): Due {
    const timing = { nextAt, attempts, timeoutMs: timeoutMsOf(body), expiresAt: expiresAtOf(body) }
    return { id, seq, ...this.#lanes.key(lane), ...timing }
  }
}

/** The same content as a webhook of its own, due at `at`: its idempotency key stays with the first one. */
const anew = (row: Buffer, at: number): Buffer => {
  const instants = { at, nextAt: at, createdAt: at, expiresAt: null }
  const body = { ...readRowBody(row), ...instants, idempotencyKey: null, contentHash: null }
  const bytes = Buffer.alloc(rowBodyBytesMax(body))
  return bytes.subarray(0, writeRowBody(body, bytes, 0))
}
