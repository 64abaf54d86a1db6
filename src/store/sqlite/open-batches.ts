/**
 * Appends of more rows than one transaction takes. A batch is open, by its range of numbers in `open_batches`, from its first
 * transaction to its last: its rows are not there for anybody until then. What died or failed in between is taken out again.
 */
import { APPEND_CHUNK_ROWS } from '#config/limits.ts'
import { bufferOf } from '#store/rows.ts'
import type { Append, Appended } from '#store/store.ts'
import { Appending, type Inserter } from './appending.ts'
import type { Connection } from './connection.ts'
import { CounterChanges } from './counters.ts'
import type { Remembered, Transactions } from './transactions.ts'

/** Rows `first..last`. */
export interface OpenBatch {
  readonly first: number
  readonly last: number
}

export class OpenBatches {
  readonly #db: Connection
  readonly #transactions: Transactions
  readonly #remembered: Remembered
  readonly #inserter: Inserter
  readonly #openBatch
  readonly #closeBatch
  #open: OpenBatch[] = []
  /** Batches that failed and could not be taken out yet (disk full). */
  #unfinished: Appending[] = []

  constructor(db: Connection, transactions: Transactions, remembered: Remembered, inserter: Inserter) {
    this.#db = db
    this.#transactions = transactions
    this.#remembered = remembered
    this.#inserter = inserter
    this.#openBatch = db.prepare<[number, number]>('INSERT INTO open_batches VALUES (?, ?)')
    this.#closeBatch = db.prepare<[number]>('DELETE FROM open_batches WHERE first = ?')
  }

  /** Whether the row's batch is still open: the row is not there yet. */
  has(seq: number): boolean {
    return this.#open.some((batch) => seq >= batch.first && seq <= batch.last)
  }
  /** Pauses after each transaction. Throws what its bytes, its keys (BatchInTheWay) or SQLite say; then nothing of it is there. */
  *append(op: Append): Generator<void, Appended> {
    const work = this.#opened(op)
    const changes = new CounterChanges()
    try {
      while (!work.isDone) {
        this.#transactions.run('NORMAL', null, () => this.#inserter.step(work, APPEND_CHUNK_ROWS, changes))
        this.#transactions.written += ROW_BYTES * APPEND_CHUNK_ROWS
        yield
      }
      while (work.conflict === null && work.unplaced > PLACED_AT_ONCE) {
        this.#transactions.run('NORMAL', null, () => this.#inserter.place(work, PLACED_AT_ONCE))
        yield
      }
      if (work.conflict === null) this.#close(work, changes)
      else yield* this.#undo(work)
    } catch (error) {
      yield* this.#undo(work)
      throw error
    }
    this.#transactions.written += op.rows.length
    return work.answer()
  }
  /** Takes out what failed before; before anything else is written. */
  *clear(): Generator<void, void> {
    for (const work of this.#unfinished) yield* this.#undo(work)
  }
  /** Batches that the last life has not committed were never acknowledged. */
  recover(): void {
    const open = this.#db.prepare<[], OpenBatch>('SELECT first, last FROM open_batches').all()
    const rows = this.#db
      .prepare<[number, number, number], number>('SELECT seq FROM webhooks WHERE seq BETWEEN ? AND ? LIMIT ?')
      .pluck()
    for (const { first, last } of open) {
      for (;;) {
        const seqs = rows.all(first, last, APPEND_CHUNK_ROWS)
        if (seqs.length === 0) break
        this.#transactions.run('NORMAL', null, () => this.#inserter.remove(seqs))
      }
      this.#transactions.run('NORMAL', null, () => this.#closeBatch.run(first))
    }
  }

  #opened(op: Append): Appending {
    const work = new Appending(bufferOf(op.rows), this.#remembered.nextSeq)
    const range = { first: work.firstSeq, last: work.firstSeq + work.batch.count - 1 }
    this.#transactions.run('NORMAL', null, () => this.#openBatch.run(range.first, range.last))
    this.#open.push(range)
    this.#remembered.nextSeq = range.last + 1
    return work
  }
  /** The batch's commit. Numbers that duplicates have left over are given back if nobody came after. */
  #close(work: Appending, changes: CounterChanges): void {
    this.#transactions.run('FULL', changes, () => {
      this.#inserter.place(work, work.unplaced)
      this.#closeBatch.run(work.firstSeq)
    })
    this.#forget(work)
  }
  *#undo(work: Appending): Generator<void, void> {
    if (!this.#unfinished.includes(work)) this.#unfinished.push(work)
    const seqs = [...work.inserted]
    while (seqs.length > 0) {
      const some = seqs.splice(-APPEND_CHUNK_ROWS)
      this.#transactions.run('NORMAL', null, () => this.#inserter.remove(some))
      yield
    }
    work.nextSeq = work.firstSeq
    this.#transactions.run('NORMAL', null, () => this.#closeBatch.run(work.firstSeq))
    this.#unfinished = this.#unfinished.filter((other) => other !== work)
    this.#forget(work)
  }
  #forget(work: Appending): void {
    const end = work.firstSeq + work.batch.count
    if (this.#remembered.nextSeq === end) this.#remembered.nextSeq = work.nextSeq
    this.#open = this.#open.filter((batch) => batch.first !== work.firstSeq)
  }
}

/** Estimate of what a row adds to the log. */
const ROW_BYTES = 600
/** Rows of a batch that are given their hour in one transaction: ~3 microseconds each. */
const PLACED_AT_ONCE = 1_000
