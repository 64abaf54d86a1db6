/**
 * Which rows are started: the table `started`, and the same in memory, so that neither a mark nor an outcome has to look for it.
 * There is one writer, and in flight is bounded (NODE_CAPACITY), so both are always equal and small.
 */
import type { LonelyDeaths } from '#store/store.ts'
import type { WebhookId } from '#webhook/webhook.ts'
import type { Connection } from './connection.ts'

/** A row of `live`. */
export interface Live {
  readonly id: WebhookId
  readonly seq: number
  readonly lane: number
  readonly nextAt: number
  /** Attempts that are over. */
  readonly attempts: number
  /** The token of the start that was handed back last. */
  readonly back: string | null
  readonly expiresAt: number | null
  readonly lonelyDeaths: LonelyDeaths
}
export interface Started extends Live {
  readonly attempt: number
  readonly token: string
}
export type LiveColumns = readonly [
  id: string,
  seq: number,
  lane: number,
  nextAt: number,
  attempts: number,
  back: string | null,
  expiresAt: number | null,
  lonelyDeaths: LonelyDeaths,
]
type StartedColumns = readonly [...LiveColumns, attempt: number, token: string]

/** Of `live l`, in the order of LiveColumns. */
export const LIVE = 'l.id, l.seq, l.lane, l.next_at, l.attempts, l.back, l.expires_at, l.lonely_deaths'
export const liveOf = ([id, seq, lane, nextAt, attempts, back, expiresAt, lonelyDeaths]: LiveColumns): Live => {
  return { id, seq, lane, nextAt, attempts, back, expiresAt, lonelyDeaths }
}

export class Starts {
  readonly #bySeq = new Map<number, Started>()
  readonly #all
  readonly #insert
  readonly #remove
  readonly #isolate

  constructor(db: Connection) {
    this.#all = db
      .prepare<[], StartedColumns>(
        `SELECT ${LIVE}, s.attempt, s.token FROM started s CROSS JOIN live l ON l.seq = s.seq`,
      )
      .raw()
    this.#insert = db.prepare<[number, number, string, number]>(
      'INSERT INTO started (seq, attempt, token, started_at) VALUES (?, ?, ?, ?)',
    )
    this.#remove = db.prepare<[number]>('DELETE FROM started WHERE seq = ?')
    this.#isolate = db.prepare<[number]>('UPDATE started SET alone = 1 WHERE seq = ?')
    this.reload()
  }

  get(seq: number): Started | null {
    return this.#bySeq.get(seq) ?? null
  }
  /** All three within a transaction. */
  add(
    { id, seq, lane, nextAt, attempts, back, expiresAt, lonelyDeaths }: Live,
    token: string,
    startedAt: number,
  ): void {
    const attempt = attempts + 1
    this.#insert.run(seq, attempt, token, startedAt)
    this.#bySeq.set(seq, { id, seq, lane, nextAt, attempts, back, expiresAt, lonelyDeaths, attempt, token })
  }
  end(seq: number): void {
    this.#remove.run(seq)
    this.#bySeq.delete(seq)
  }
  isolate(seq: number): void {
    this.#isolate.run(seq)
  }
  /** After a rollback. */
  reload(): void {
    this.#bySeq.clear()
    for (const columns of this.#all.iterate()) {
      const [, , , , , , , , attempt, token] = columns
      const [id, seq, lane, nextAt, attempts, back, expiresAt, lonelyDeaths] = columns
      this.#bySeq.set(seq, { id, seq, lane, nextAt, attempts, back, expiresAt, lonelyDeaths, attempt, token })
    }
  }
}
