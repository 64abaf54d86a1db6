/**
 * The rows that are due later than the precise indexes need to reach, by hour. A query that reaches into an hour first moves
 * it to `live` (`reach`), so every answer is exact; `nearUntil` follows what is asked for, so that this has normally happened
 * before, in idle moments. There is no clock here: the queries' instants are the time.
 */
import { FAR_AHEAD_MS, FAR_BUCKET_MS, FAR_PAGE_ROWS } from '#config/limits.ts'
import type { Due, Instant } from '#webhook/webhook.ts'
import type { Connection } from './connection.ts'
import { RowInsert, type Value } from './row-insert.ts'

/** `bucket`: the start of the hour of `nextAt`. */
export type Headed = Omit<Due, 'brand' | 'domain' | 'priority' | 'attempts'> & {
  readonly lane: number
  readonly bucket: Instant
}

export const bucketOf = (nextAt: Instant): Instant => Math.floor(nextAt / FAR_BUCKET_MS) * FAR_BUCKET_MS

export class FarRows {
  /** Start of the first hour that holds a row. */
  #firstBucket: Instant
  /** Rows of the hours that start up to here belong into `live`. */
  #nearUntil = Number.NEGATIVE_INFINITY
  readonly #addFar
  readonly #addLive
  readonly #min
  readonly #lastOfPage
  readonly #copy
  readonly #copyOne
  readonly #removePage
  readonly #removeOne

  constructor(db: Connection) {
    const head = 'seq, id, lane, next_at, timeout_ms, expires_at'
    this.#addFar = new RowInsert(db, `far (bucket, ${head})`, 7)
    this.#addLive = new RowInsert(db, `live (${head}, attempts)`, 7)
    this.#min = db.prepare<[], number | null>('SELECT min(bucket) FROM far').pluck()
    this.#lastOfPage = db
      .prepare<[number, number], number>('SELECT seq FROM far WHERE bucket = ? ORDER BY seq LIMIT 1 OFFSET ?')
      .pluck()
    const copy = `INSERT INTO live (${head}, attempts) SELECT ${head}, 0 FROM far WHERE bucket = ? AND seq`
    this.#copy = db.prepare<[number, number]>(`${copy} <= ?`)
    this.#copyOne = db.prepare<[number, number]>(`${copy} = ?`)
    this.#removePage = db.prepare<[number, number]>('DELETE FROM far WHERE bucket = ? AND seq <= ?')
    this.#removeOne = db.prepare<[number, number]>('DELETE FROM far WHERE bucket = ? AND seq = ?')
    this.#firstBucket = this.#readFirst()
  }

  /** Puts new rows on their side; in the order of their hours, so that each page is looked for once. Within a transaction. */
  add(rows: readonly Headed[]): void {
    const far = rows.filter(({ bucket }) => bucket > this.#nearUntil)
    const near = far.length === rows.length ? [] : rows.filter(({ bucket }) => bucket <= this.#nearUntil)
    this.#addFar.insert(far, putFar)
    this.#addLive.insert(near, putLive)
    for (const { bucket } of far) if (bucket < this.#firstBucket) this.#firstBucket = bucket
  }
  /** Moves one row to `live`; false if it is not here. Within a transaction. */
  promote(seq: number, nextAt: Instant): boolean {
    const bucket = bucketOf(nextAt)
    return this.#copyOne.run(bucket, seq).changes === 1 && this.#removeOne.run(bucket, seq).changes === 1
  }
  remove(seq: number, nextAt: Instant): boolean {
    return this.#removeOne.run(bucketOf(nextAt), seq).changes === 1
  }
  /** After a rollback. */
  reload(): void {
    this.#firstBucket = this.#readFirst()
  }

  /** True if some row with nextAt <= until is still here. */
  reaches(until: Instant): boolean {
    return this.#firstBucket <= until
  }
  /** Tells what is being asked for: what is due within FAR_AHEAD_MS of it should be near. */
  aim(until: Instant): void {
    this.#nearUntil = until + FAR_AHEAD_MS
  }
  /** There is something to move in an idle moment. */
  get lags(): boolean {
    return this.#firstBucket <= this.#nearUntil
  }
  /** Moves at most FAR_PAGE_ROWS of the first hour to `live`. Within a transaction. */
  promotePage(): void {
    const bucket = this.#firstBucket
    const last = this.#lastOfPage.get(bucket, FAR_PAGE_ROWS - 1) ?? Number.MAX_SAFE_INTEGER
    this.#copy.run(bucket, last)
    this.#removePage.run(bucket, last)
    this.#firstBucket = this.#readFirst()
  }

  #readFirst(): Instant {
    return this.#min.get() ?? Number.POSITIVE_INFINITY
  }
}

const putFar = ({ bucket, seq, id, lane, nextAt, timeoutMs, expiresAt }: Headed, values: Value[]): void => {
  values.push(bucket, seq, id, lane, nextAt, timeoutMs, expiresAt)
}
const putLive = ({ seq, id, lane, nextAt, timeoutMs, expiresAt }: Headed, values: Value[]): void => {
  values.push(seq, id, lane, nextAt, timeoutMs, expiresAt, 0)
}
