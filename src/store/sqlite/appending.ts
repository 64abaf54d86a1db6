/** Inserts the rows of a batch, one after the other, and takes them out again: shared by small appends and open batches. */
import {
  BadRow,
  checkRow,
  contentHashOf,
  expiresAtOf,
  firstNextAtOf,
  idempotencyKeyOf,
  timeoutMsOf,
} from '#store/row-codec.ts'
import { type Batch, openBatch, readPackedRow } from '#store/rows.ts'
import type { Appended } from '#store/store.ts'
import type { WebhookId } from '#webhook/webhook.ts'
import type { Connection } from './connection.ts'
import type { CounterChanges } from './counters.ts'
import { bucketOf, type FarRows, type Headed } from './far-rows.ts'
import type { LaneBook } from './lane-book.ts'
import { ROWS_AT_ONCE, RowInsert, type Value } from './row-insert.ts'

type Conflict = Extract<Appended, { ok: false }>
interface Known {
  readonly seq: number
  readonly id: WebhookId
  readonly duplicate: boolean
}
/** A row of the batch, under the number that it gets if all before it are new. */
interface Incoming {
  readonly seq: number
  readonly id: WebhookId
  readonly lane: number
  readonly brand: string
  readonly key: string | null
  readonly body: Buffer
}

/** Thrown when a row meets the key of a batch that is still open: whether it is a duplicate is not known yet. */
export class BatchInTheWay extends Error {}

/** One append on its way: where it stands and what it will answer. */
export class Appending {
  readonly batch: Batch
  readonly bytes: Buffer
  readonly firstSeq: number
  nextSeq: number
  index = 0
  at: number
  conflict: Conflict | null = null
  readonly seqs: number[] = []
  readonly ids: WebhookId[] = []
  readonly duplicates: boolean[] = []
  readonly inserted: number[] = []
  /** Of rows that are inserted and lie nowhere yet. */
  #unplaced: Headed[] = []

  /** Throws BadRow if the bytes are no batch. */
  constructor(bytes: Buffer, firstSeq: number) {
    this.bytes = bytes
    this.batch = openBatch(bytes)
    this.at = this.batch.firstAt
    this.firstSeq = firstSeq
    this.nextSeq = firstSeq
  }
  get isDone(): boolean {
    return this.conflict !== null || this.index === this.batch.count
  }
  take(row: Known): void {
    this.seqs.push(row.seq)
    this.ids.push(row.id)
    this.duplicates.push(row.duplicate)
    this.index += 1
  }
  /** `head` waits for its place: by hour, so that a batch over a day touches each page of its hours once, not once a chunk. */
  insert(head: Headed): void {
    this.inserted.push(head.seq)
    this.#unplaced.push(head)
  }
  get unplaced(): number {
    return this.#unplaced.length
  }
  takeUnplaced(limit: number): Headed[] {
    if (this.#unplaced.length <= limit) return this.#unplaced.splice(0).sort(byHour)
    this.#unplaced.sort(byHour)
    return this.#unplaced.splice(0, limit)
  }
  answer(): Appended {
    return this.conflict ?? { ok: true, seqs: this.seqs, ids: this.ids, duplicates: this.duplicates }
  }
}

export class Inserter {
  readonly #lanes: LaneBook
  readonly #far: FarRows
  readonly #isOpen: (seq: number) => boolean
  readonly #webhooks
  readonly #keys
  readonly #seqOfKey
  readonly #seqOfId
  readonly #read
  readonly #removeWebhook
  readonly #removeKey
  readonly #removeLive

  /** `isOpen`: the row belongs to a batch that is still open. */
  constructor(db: Connection, lanes: LaneBook, far: FarRows, isOpen: (seq: number) => boolean) {
    this.#lanes = lanes
    this.#far = far
    this.#isOpen = isOpen
    this.#webhooks = new RowInsert(db, 'webhooks (seq, id, lane, row)', 4, 'ON CONFLICT (id) DO NOTHING')
    this.#keys = new RowInsert(db, 'idempotency (brand, key, seq)', 3, 'ON CONFLICT DO NOTHING')
    this.#seqOfKey = db
      .prepare<[string, string], number>('SELECT seq FROM idempotency WHERE brand = ? AND key = ?')
      .pluck()
    this.#seqOfId = db.prepare<[string], number>('SELECT seq FROM webhooks WHERE id = ?').pluck()
    this.#read = db
      .prepare<[number], readonly [id: string, lane: number, row: Buffer]>(
        'SELECT id, lane, row FROM webhooks WHERE seq = ?',
      )
      .raw()
    this.#removeWebhook = db.prepare<[number]>('DELETE FROM webhooks WHERE seq = ?')
    this.#removeKey = db.prepare<[string, string, number]>(
      'DELETE FROM idempotency WHERE brand = ? AND key = ? AND seq = ?',
    )
    this.#removeLive = db.prepare<[number]>('DELETE FROM live WHERE seq = ?')
  }

  /** Inserts at most `limit` further rows, which have no place yet; stops at a conflict. Within a transaction. Throws BadRow, BatchInTheWay. */
  step(work: Appending, limit: number, changes: CounterChanges): void {
    const end = Math.min(work.batch.count, work.index + limit)
    while (work.index < end && work.conflict === null) {
      const rows = this.#readRows(work, Math.min(ROWS_AT_ONCE, end - work.index))
      if (this.#insertAll(rows)) for (const row of rows) accept(work, row, changes)
      else this.#takeEach(work, rows, changes)
    }
  }

  /** Gives at most `limit` rows their place in `far` or `live`. Within a transaction. */
  place(work: Appending, limit: number): void {
    this.#far.add(work.takeUnplaced(limit))
  }

  /** Takes rows out again, wherever they lie. Their counters are the caller's. Within a transaction. */
  remove(seqs: readonly number[]): void {
    for (const seq of seqs) {
      const found = this.#read.get(seq)
      if (found === undefined) continue
      const [, lane, row] = found
      const key = idempotencyKeyOf(row)
      if (key !== null) this.#removeKey.run(this.#lanes.key(lane).brand, key, seq)
      if (this.#removeLive.run(seq).changes === 0) this.#far.remove(seq, firstNextAtOf(row))
      this.#removeWebhook.run(seq)
    }
  }

  #readRows(work: Appending, count: number): Incoming[] {
    const rows: Incoming[] = []
    for (let i = 0; i < count; i++) {
      const { id, lane, body, next } = readPackedRow(work.bytes, work.at)
      const key = work.batch.lanes[lane]
      if (key === undefined) throw new BadRow('unknown lane')
      checkRow(body)
      const seq = work.nextSeq + i
      rows.push({ seq, id, lane: this.#lanes.findOrAdd(key), brand: key.brand, key: idempotencyKeyOf(body), body })
      work.at = next
    }
    return rows
  }

  /** All of them or none: false if one of them, its id or its key, is there. */
  #insertAll(rows: readonly Incoming[]): boolean {
    const keyed = rows.filter(({ key }) => key !== null)
    const keys = this.#keys.insert(keyed, putKey)
    const webhooks = keys === keyed.length ? this.#webhooks.insert(rows, putWebhook) : 0
    if (webhooks === rows.length) return true
    if (keys > 0) for (const { brand, key, seq } of keyed) this.#removeKey.run(brand, key ?? '', seq)
    if (webhooks > 0) for (const { seq } of rows) this.#removeWebhook.run(seq)
    return false
  }

  #takeEach(work: Appending, rows: readonly Incoming[], changes: CounterChanges): void {
    for (const row of rows) if (work.conflict === null) this.#take(work, { ...row, seq: work.nextSeq }, changes)
  }
  #take(work: Appending, row: Incoming, changes: CounterChanges): void {
    const { seq, brand, key } = row
    if (key !== null && this.#keys.insert([row], putKey) === 0) {
      this.#takeKnown(work, row, brand, key)
      return
    }
    if (this.#webhooks.insert([row], putWebhook) === 0) {
      if (key !== null) this.#removeKey.run(brand, key, seq)
      work.take({ seq: this.#closed(work, this.#seqOfId.get(row.id) ?? 0), id: row.id, duplicate: false })
      return
    }
    accept(work, row, changes)
  }

  /** The key is taken: by the row itself (sent again), by the same content (a duplicate), or by another (a conflict). */
  #takeKnown(work: Appending, row: Incoming, brand: string, key: string): void {
    const seq = this.#closed(work, this.#seqOfKey.get(brand, key) ?? 0)
    const found = this.#read.get(seq)
    if (found === undefined) throw new Error(`idempotency key of row ${seq} outlived it`)
    const [id, , body] = found
    if (id === row.id) work.take({ seq, id, duplicate: false })
    else if (isSame(contentHashOf(body), contentHashOf(row.body))) work.take({ seq, id, duplicate: true })
    else {
      const own = this.#seqOfId.get(row.id)
      if (own === undefined) work.conflict = { ok: false, conflict: { index: work.index, idempotencyKey: key, id } }
      else work.take({ seq: this.#closed(work, own), id: row.id, duplicate: false })
    }
  }

  #closed(work: Appending, seq: number): number {
    if (this.#isOpen(seq) && (seq < work.firstSeq || seq >= work.nextSeq)) throw new BatchInTheWay()
    return seq
  }
}

const putKey = ({ brand, key, seq }: Incoming, values: Value[]): void => {
  values.push(brand, key, seq)
}
const putWebhook = ({ seq, id, lane, body }: Incoming, values: Value[]): void => {
  values.push(seq, id, lane, body)
}
/** It is inserted. */
const accept = (work: Appending, { seq, id, lane, body }: Incoming, changes: CounterChanges): void => {
  const nextAt = firstNextAtOf(body)
  const head = { seq, id, lane, nextAt, timeoutMs: timeoutMsOf(body), expiresAt: expiresAtOf(body) }
  work.insert({ ...head, bucket: bucketOf(nextAt) })
  changes.added(lane, 'scheduled', 1)
  work.nextSeq += 1
  work.take({ seq, id, duplicate: false })
}

const byHour = (a: Headed, b: Headed): number => a.bucket - b.bucket || a.seq - b.seq
const isSame = (a: Uint8Array | null, b: Uint8Array | null): boolean =>
  a === null || b === null ? a === b : Buffer.compare(a, b) === 0
