/** Where attempts lie: the last one of a finished webhook in its row of `done`, every other one in a row of `attempts`. */
import type { AttemptRecord } from '#webhook/webhook.ts'
import { unpackAttempt } from './attempt-codec.ts'
import type { Connection } from './connection.ts'

export class AttemptRows {
  readonly #add
  readonly #find
  readonly #findLast

  constructor(db: Connection) {
    this.#add = db.prepare<unknown[]>('INSERT INTO attempts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)')
    this.#find = db.prepare<[number, number], string>('SELECT token FROM attempts WHERE seq = ? AND number = ?').pluck()
    this.#findLast = db.prepare<[number], Buffer | null>('SELECT attempt FROM done WHERE seq = ?').pluck()
  }

  /** Within a transaction. */
  add(seq: number, token: string, attempt: AttemptRecord): void {
    const { number, startedAt, endedAt, status, error, excerpt, timerMs, guardMs, networkMs } = attempt
    const inDoubt = attempt.inDoubt ? 1 : 0
    this.#add.run(
      ...[seq, number, token, startedAt, endedAt, status, error, excerpt, timerMs, guardMs, networkMs, inDoubt],
    )
  }
  /** Before its row of `done` goes: the webhook begins anew. Within a transaction. */
  moveLast(seq: number): void {
    const bytes = this.#findLast.get(seq) ?? null
    const last = bytes === null ? null : unpackAttempt(bytes)
    if (last !== null) this.add(seq, last.token, last.attempt)
  }
  /** This attempt of this start is kept. */
  has(seq: number, token: string, number: number): boolean {
    if (this.#find.get(seq, number) === token) return true
    const bytes = this.#findLast.get(seq) ?? null
    const last = bytes === null ? null : unpackAttempt(bytes)
    return last?.token === token && last.attempt.number === number
  }
}
