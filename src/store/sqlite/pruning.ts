/** Retention: removes finished webhooks, the longest finished first, with everything that hangs on them. */
import { idempotencyKeyOf } from '#store/row-codec.ts'
import type { Prune, Pruned } from '#store/store.ts'
import { FINAL_STATES } from '#webhook/webhook.ts'
import type { Connection } from './connection.ts'
import type { CounterChanges } from './counters.ts'
import type { LaneBook } from './lane-book.ts'
import { type StoredState, stateCode } from './state-code.ts'

export class Pruner {
  readonly #lanes: LaneBook
  readonly #finished
  readonly #read
  readonly #removals
  readonly #removeKey
  readonly #keepLastSeq

  constructor(db: Connection, lanes: LaneBook) {
    this.#lanes = lanes
    this.#finished = db
      .prepare<[number, number, number], number>(
        'SELECT seq FROM done WHERE state = ? AND finished_at < ? ORDER BY finished_at, seq LIMIT ?',
      )
      .pluck()
    this.#read = db
      .prepare<[number], readonly [lane: number, row: Buffer]>('SELECT lane, row FROM webhooks WHERE seq = ?')
      .raw()
    this.#removals = ['attempts', 'done', 'webhooks'].map((table) =>
      db.prepare<[number]>(`DELETE FROM ${table} WHERE seq = ?`),
    )
    this.#removeKey = db.prepare<[string, string, number]>(
      'DELETE FROM idempotency WHERE brand = ? AND key = ? AND seq = ?',
    )
    this.#keepLastSeq = db.prepare<[number]>(
      `INSERT INTO meta VALUES ('last_seq', ?) ON CONFLICT DO UPDATE SET value = excluded.value`,
    )
  }

  /** `lastSeq`: the highest number ever given, kept so that none is given twice. Within a transaction. */
  prune(op: Prune, lastSeq: number, changes: CounterChanges): Pruned {
    let pruned = 0
    for (const state of FINAL_STATES) {
      const before = state === 'dead' || state === 'quarantined' ? op.deadBefore : op.finishedBefore
      const seqs = this.#finished.all(stateCode(state), before, op.limit - pruned)
      for (const seq of seqs) this.#remove(seq, state, changes)
      pruned += seqs.length
    }
    if (pruned > 0) this.#keepLastSeq.run(lastSeq)
    return { ok: true, pruned }
  }

  #remove(seq: number, state: StoredState, changes: CounterChanges): void {
    const found = this.#read.get(seq)
    if (found === undefined) throw new Error(`finished row ${seq} has no webhook`)
    const [lane, row] = found
    const key = idempotencyKeyOf(row)
    if (key !== null) this.#removeKey.run(this.#lanes.key(lane).brand, key, seq)
    for (const removal of this.#removals) removal.run(seq)
    changes.moved(lane, state, null)
  }
}
