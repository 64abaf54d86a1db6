/** Ends what has waited beyond its `expiresAt`, wherever it lies, by indexes of nothing but rows that may expire (D-28). */
import type { Ended, Expire, Expired } from '#store/store.ts'
import type { Connection } from './connection.ts'
import type { CounterChanges } from './counters.ts'
import { COMMITTED, NOT_STARTED } from './due-reads.ts'
import type { LaneBook } from './lane-book.ts'
import { restingState, stateCode } from './state-code.ts'

/** `bucket` null: it lies in `live`. */
type Row = readonly [
  expiresAt: number,
  seq: number,
  id: string,
  lane: number,
  attempts: number,
  nextAt: number,
  bucket: number | null,
]

export class Expirer {
  readonly #lanes: LaneBook
  readonly #waiting
  readonly #far
  readonly #removeLive
  readonly #removeFar
  readonly #finish

  constructor(db: Connection, lanes: LaneBook) {
    this.#lanes = lanes
    const oldest = `${COMMITTED} ORDER BY expires_at, seq LIMIT ?`
    this.#waiting = db
      .prepare<[number, number], Row>(
        `SELECT expires_at, seq, id, lane, attempts, next_at, NULL FROM live l INDEXED BY live_expiry
         WHERE expires_at <= ? AND ${NOT_STARTED} AND ${oldest}`,
      )
      .raw()
    this.#far = db
      .prepare<[number, number], Row>(
        `SELECT expires_at, seq, id, lane, 0, next_at, bucket FROM far l INDEXED BY far_expiry
         WHERE expires_at <= ? AND ${oldest}`,
      )
      .raw()
    this.#removeLive = db.prepare<[number]>('DELETE FROM live WHERE seq = ?')
    this.#removeFar = db.prepare<[number, number]>('DELETE FROM far WHERE bucket = ? AND seq = ?')
    this.#finish = db.prepare<[number, number, number, number, number]>(
      'INSERT INTO done (seq, state, attempts, finished_at, next_at) VALUES (?, ?, ?, ?, ?)',
    )
  }

  /** Within a transaction. */
  expire(op: Expire, changes: CounterChanges): Expired {
    const found = [...this.#waiting.all(op.now, op.limit + 1), ...this.#far.all(op.now, op.limit + 1)]
    found.sort((a, b) => a[0] - b[0] || a[1] - b[1])
    const expired = found.slice(0, op.limit).map((row) => this.#end(row, op.now, changes))
    return { ok: true, expired, more: found.length > op.limit }
  }

  #end([, seq, id, lane, attempts, nextAt, bucket]: Row, now: number, changes: CounterChanges): Ended {
    if (bucket === null) this.#removeLive.run(seq)
    else this.#removeFar.run(bucket, seq)
    this.#finish.run(seq, stateCode('expired'), attempts, now, nextAt)
    changes.moved(lane, restingState(attempts), 'expired')
    const { brand, domain } = this.#lanes.key(lane)
    return { id, brand, domain, state: 'expired' }
  }
}
