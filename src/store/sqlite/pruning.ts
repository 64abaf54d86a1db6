/**
 * Retention: removes finished webhooks, the longest finished first, with everything that hangs on them; those that a brand has
 * too many of (`./dead-letters.ts`); what guards have kept that is over; and, some at each call, pairs of lanes that no webhook is of any more.
 */
import { PRUNE_LANES } from '#config/limits.ts'
import { idempotencyKeyOf } from '#store/row-codec.ts'
import type { Prune, Pruned } from '#store/store.ts'
import { type Brand, FINAL_STATES } from '#webhook/webhook.ts'
import type { Connection } from './connection.ts'
import type { CounterChanges } from './counters.ts'
import { DEAD_STATES, DeadLetterBound } from './dead-letters.ts'
import type { LaneBook } from './lane-book.ts'
import type { Settings } from './settings.ts'
import { type StoredState, stateCode } from './state-code.ts'

export class Pruner {
  readonly #lanes: LaneBook
  readonly #settings: Settings
  readonly #bound: DeadLetterBound
  readonly #finished
  readonly #read
  readonly #removals
  readonly #removeKey
  readonly #keepLastSeq
  readonly #emptyPairs
  readonly #removePair
  readonly #removeCounters
  /** Pairs up to this number have been looked at in this round. */
  #lookedTo = 0

  constructor(db: Connection, lanes: LaneBook, settings: Settings) {
    this.#lanes = lanes
    this.#settings = settings
    this.#bound = new DeadLetterBound(db, lanes)
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
    // The highest number stays, so that none is ever given twice. Rows of an open batch are not counted yet.
    this.#emptyPairs = db
      .prepare<[number], readonly [lane: number, isEmpty: 0 | 1]>(
        `SELECT lane, lane <> (SELECT max(lane) FROM lanes) AND NOT EXISTS (SELECT 1 FROM open_batches)
           AND NOT EXISTS (SELECT 1 FROM counters c WHERE c.lane = k.lane AND n <> 0)
         FROM lanes k WHERE lane > ? ORDER BY lane LIMIT ${PRUNE_LANES}`,
      )
      .raw()
    this.#removePair = db.prepare<[number]>('DELETE FROM lanes WHERE lane = ?')
    this.#removeCounters = db.prepare<[number]>('DELETE FROM counters WHERE lane = ?')
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
    const dropped = this.#drop(op.deadMax, op.limit - pruned, changes)
    for (const { count } of dropped) pruned += count
    if (pruned > 0) this.#keepLastSeq.run(lastSeq)
    this.#prunePairs(changes)
    const { isBusy, crowded } = this.#bound
    const isPartly = this.#settings.forgetPast(op.closedBefore, op.limit) === op.limit
    return { ok: true, pruned, more: pruned === op.limit || isBusy || isPartly, dropped, crowded }
  }

  #drop(max: number, limit: number, changes: CounterChanges): Pruned['dropped'] {
    this.#bound.count(max, changes)
    const counts = new Map<Brand, number>()
    let left = limit
    for (const state of DEAD_STATES)
      for (const { seq, brand } of this.#bound.take(state, left)) {
        this.#remove(seq, state, changes)
        counts.set(brand, (counts.get(brand) ?? 0) + 1)
        left -= 1
      }
    return [...counts].map(([brand, count]) => ({ brand, count }))
  }

  #prunePairs(changes: CounterChanges): void {
    const looked = this.#emptyPairs.all(this.#lookedTo)
    this.#lookedTo = looked.length < PRUNE_LANES ? 0 : (looked.at(-1)?.[0] ?? 0)
    const changing = changes.lanes()
    const empty = looked.filter(([lane, isEmpty]) => isEmpty === 1 && !changing.has(lane))
    for (const [lane] of empty) {
      this.#removeCounters.run(lane)
      this.#removePair.run(lane)
    }
    if (empty.length > 0) this.#lanes.forget()
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
