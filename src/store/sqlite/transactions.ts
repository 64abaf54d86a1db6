/** One transaction at a time on the connection that writes: all of its body, or nothing of it on disk and in memory. */
import { type Connection, type Synchronous, setSynchronous, sqliteErrorOf } from './connection.ts'
import { type CounterChanges, counterWriter } from './counters.ts'

/** What the connection's memory knows of the rows; after a rollback it is read again. */
export interface Remembered {
  /** The number of the next new row. */
  nextSeq: number
  /** Anything else that a body may have changed. */
  forget(): void
}

export class Transactions {
  /** Estimated bytes written since they were taken. */
  written = 0
  readonly #db: Connection
  readonly #file: string
  readonly #remembered: Remembered
  readonly #failpoint: (name: string) => void
  readonly #begin
  readonly #commit
  readonly #rollback
  readonly #writeCounters
  #synchronous: Synchronous = 'FULL'

  /** `file` is for messages. After `migrate`. */
  constructor(db: Connection, file: string, remembered: Remembered, failpoint: (name: string) => void) {
    this.#db = db
    this.#file = file
    this.#remembered = remembered
    this.#failpoint = failpoint
    this.#begin = db.prepare('BEGIN IMMEDIATE')
    this.#commit = db.prepare('COMMIT')
    this.#rollback = db.prepare('ROLLBACK')
    this.#writeCounters = counterWriter(db)
  }

  /**
   * `FULL`: synced before it returns. `changes` are written at its end, and empty afterwards. `what` names the failpoints.
   * Throws StoreError for SQLite's errors, others as they are.
   */
  run(synchronous: Synchronous, changes: CounterChanges | null, body: () => void, what = 'upkeep'): void {
    const { nextSeq } = this.#remembered
    try {
      if (synchronous !== this.#synchronous) this.#setSynchronous(synchronous)
      this.#begin.run()
      this.#failpoint(`store.begun/${what}`)
      body()
      if (changes !== null) this.#writeCounters(changes)
      this.#failpoint('store.commit')
      this.#failpoint(`store.commit/${what}`)
      this.#commit.run()
      this.#failpoint('store.committed')
      this.#failpoint(`store.committed/${what}`)
      changes?.clear()
    } catch (error) {
      this.#abandon(changes, nextSeq)
      throw sqliteErrorOf(error, this.#file)
    }
  }
  takeWritten(): number {
    const { written } = this
    this.written = 0
    return written
  }

  /** Some errors roll back on their own (reliability.md D8). */
  #abandon(changes: CounterChanges | null, nextSeq: number): void {
    if (this.#db.inTransaction) this.#rollback.run()
    changes?.clear()
    this.#remembered.nextSeq = nextSeq
    this.#remembered.forget()
  }
  #setSynchronous(level: Synchronous): void {
    setSynchronous(this.#db, level)
    this.#synchronous = level
  }
}
