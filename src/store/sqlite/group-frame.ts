/**
 * A group on its way to the store's thread and back, packed: what every webhook costs (its append, its mark, its outcome, and
 * their answers) crosses as bytes in one buffer. Cloned as objects they cost main a fifth of its time: a structured clone writes and
 * reads every key of every object. The rest of the contract is rare and is cloned as it is.
 */
import type {
  Append,
  Appended,
  Marked,
  MarkStarted,
  OutcomeRecorded,
  RecordOutcome,
  WriteOp,
  WriteResult,
} from '#store/store.ts'
import {
  type AttemptRecord,
  ERROR_CLASSES,
  type ErrorClass,
  FINAL_STATES,
  type FinalState,
  type Instant,
  type WebhookId,
} from '#webhook/webhook.ts'

export type Bytes = Uint8Array<ArrayBuffer>
/** `others` in the order of the group: those of its operations (or answers) that are not in `frame`. */
export interface PackedGroup<Other> {
  readonly others: readonly Other[]
  readonly frame: Bytes
}

/** What follows a kind byte. OTHER: nothing; the next of `others` stands here. */
const OTHER = 0
const MARK = 1
const OUTCOME = 2
const APPEND = 3
const MARKED = 4
const RECORDED = 5
const APPENDED = 6

const IN_DOUBT = 1
const HAS_ENDED = 2
const HAS_STATUS = 4
const HAS_ERROR = 8
const HAS_EXCERPT = 16

/** Heads without text and bytes. */
const HEAD_MAX = 80
/** UTF-8 of one UTF-16 unit. */
const UNIT_BYTES_MAX = 3

export const packGroup = (ops: readonly WriteOp[]): PackedGroup<WriteOp> => {
  let room = 0
  for (const op of ops) room += roomOf(op)
  const to = new Writer(room)
  const others: WriteOp[] = []
  for (const op of ops) {
    if (op.type === 'mark-started' && op.seq !== undefined && op.dueAt !== undefined) packMark(op, op.seq, op.dueAt, to)
    else if (op.type === 'record-outcome' && op.seq !== undefined && op.lonelyDeaths === undefined)
      packOutcome(op, op.seq, to)
    else if (isCopied(op)) packAppend(op, to)
    else {
      to.u8(OTHER)
      others.push(op)
    }
  }
  return { others, frame: to.written() }
}

export const unpackGroup = ({ others, frame }: PackedGroup<WriteOp>): WriteOp[] => {
  const from = new Reader(frame)
  const rest = others.values()
  const ops: WriteOp[] = []
  while (!from.atEnd) {
    const kind = from.u8()
    if (kind === MARK) ops.push(unpackMark(from))
    else if (kind === OUTCOME) ops.push(unpackOutcome(from))
    else if (kind === APPEND) ops.push({ type: 'append', count: from.u32(), rows: from.bytes() })
    else ops.push(nextOf(rest))
  }
  return ops
}

export const packResults = (results: readonly WriteResult<WriteOp>[]): PackedGroup<WriteResult<WriteOp>> => {
  let room = 0
  for (const result of results) room += roomOfResult(result)
  const to = new Writer(room)
  const others: WriteResult<WriteOp>[] = []
  for (const result of results) {
    if ('request' in result && isPlain(result)) {
      to.u8(MARKED)
      to.f64(result.firstAt)
      to.bytes(result.request)
    } else if ('seq' in result) {
      to.u8(RECORDED)
      to.f64(result.seq)
    } else if ('seqs' in result && isEven(result.ids)) packAppended(result, to)
    else {
      to.u8(OTHER)
      others.push(result)
    }
  }
  return { others, frame: to.written() }
}

/** Requests are views into the frame. */
export const unpackResults = ({ others, frame }: PackedGroup<WriteResult<WriteOp>>): unknown[] => {
  const from = new Reader(frame)
  const rest = others.values()
  const results: unknown[] = []
  while (!from.atEnd) {
    const kind = from.u8()
    if (kind === MARKED) results.push(unpackMarked(from))
    else if (kind === RECORDED) results.push({ ok: true, seq: from.f64() } satisfies OutcomeRecorded)
    else if (kind === APPENDED) results.push(unpackAppended(from))
    else results.push(nextOf(rest))
  }
  return results
}

type Stored = Extract<Appended, { ok: true }>
/** All ids of a batch as one text: as a thousand texts in a list they cost 1.6 microseconds each to clone. */
const packAppended = ({ seqs, ids, duplicates }: Stored, to: Writer): void => {
  to.u8(APPENDED)
  to.u32(ids.length)
  to.u32(ids[0]?.length ?? 0)
  to.text(ids.join(''))
  for (const seq of seqs) to.f64(seq)
  for (const duplicate of duplicates) to.u8(Number(duplicate))
}
const unpackAppended = (from: Reader): Stored => {
  const count = from.u32()
  const chars = from.u32()
  const text = from.text()
  const ids = Array.from({ length: count }, (_, i) => text.slice(i * chars, (i + 1) * chars))
  const seqs = Array.from({ length: count }, () => from.f64())
  return { ok: true, seqs, ids, duplicates: Array.from({ length: count }, () => from.u8() === 1) }
}
/** One text can be cut into them again. */
const isEven = (ids: readonly WebhookId[]): boolean => ids.every((id) => id.length === ids[0]?.length)

const unpackMarked = (from: Reader): Marked => {
  const firstAt = from.f64()
  return { ok: true, request: from.bytes(), retry: null, firstAt, attemptsBefore: 0, lonelyDeaths: null }
}
/** The default policy, never replayed, and nobody suspects it. */
const isPlain = ({ retry, attemptsBefore, lonelyDeaths }: Extract<Marked, { ok: true }>): boolean =>
  retry === null && attemptsBefore === 0 && lonelyDeaths === null

const nextOf = <Other>(rest: IterableIterator<Other>): Other => {
  const next = rest.next()
  if (next.done === true) throw new Error('a frame that names more than came beside it')
  return next.value
}

/** A batch in shared memory is not copied; a smaller one is copied, so the caller's stays whole. */
const isCopied = (op: WriteOp): op is Append => op.type === 'append' && !(op.rows.buffer instanceof SharedArrayBuffer)
const roomOf = (op: WriteOp): number => {
  switch (op.type) {
    case 'mark-started':
      return HEAD_MAX + UNIT_BYTES_MAX * (op.id.length + op.token.length)
    case 'record-outcome':
      return HEAD_MAX + UNIT_BYTES_MAX * (op.id.length + op.token.length) + (op.attempt.excerpt?.length ?? 0)
    default:
      return HEAD_MAX + (isCopied(op) ? op.rows.length : 0)
  }
}

const roomOfResult = (result: WriteResult<WriteOp>): number => {
  if ('request' in result) return HEAD_MAX + result.request.length
  if (!('seqs' in result)) return HEAD_MAX
  return HEAD_MAX + result.ids.length * (9 + UNIT_BYTES_MAX * (result.ids[0]?.length ?? 0))
}

const packAppend = ({ count, rows }: Append, to: Writer): void => {
  to.u8(APPEND)
  to.u32(count)
  to.bytes(rows)
}

const packMark = ({ id, attempt, token, startedAt }: MarkStarted, seq: number, dueAt: Instant, to: Writer): void => {
  to.u8(MARK)
  to.f64(seq)
  to.u32(attempt)
  to.f64(startedAt)
  to.f64(dueAt)
  to.text(id)
  to.text(token)
}
/** `Required`: a field that is added and not packed does not compile. */
const unpackMark = (from: Reader): Required<MarkStarted> => {
  const seq = from.f64()
  const attempt = from.u32()
  const startedAt = from.f64()
  const dueAt = from.f64()
  return { type: 'mark-started', id: from.text(), seq, attempt, token: from.text(), startedAt, dueAt }
}

const packOutcome = ({ id, token, attempt, next }: RecordOutcome, seq: number, to: Writer): void => {
  to.u8(OUTCOME)
  to.f64(seq)
  to.text(id)
  to.text(token)
  if (next.state === 'retrying') to.next(FINAL_STATES.length, next.nextAt)
  else to.next(FINAL_STATES.indexOf(next.state), next.finishedAt)
  packAttempt(attempt, to)
}
const unpackOutcome = (from: Reader): Required<Omit<RecordOutcome, 'lonelyDeaths'>> => {
  const seq = from.f64()
  const id = from.text()
  const token = from.text()
  const state = from.u8()
  const at = from.f64()
  const next: RecordOutcome['next'] =
    state === FINAL_STATES.length ? { state: 'retrying', nextAt: at } : { state: finalState(state), finishedAt: at }
  return { type: 'record-outcome', id, seq, token, attempt: unpackAttempt(from), next }
}
const finalState = (index: number): FinalState => FINAL_STATES[index] ?? odd('final state', index)

const packAttempt = (attempt: AttemptRecord, to: Writer): void => {
  const { endedAt, status, error, excerpt } = attempt
  to.u8(
    (attempt.inDoubt ? IN_DOUBT : 0) |
      (endedAt === null ? 0 : HAS_ENDED) |
      (status === null ? 0 : HAS_STATUS) |
      (error === null ? 0 : HAS_ERROR) |
      (excerpt === null ? 0 : HAS_EXCERPT),
  )
  to.u32(attempt.number)
  to.f64(attempt.startedAt)
  to.f64(attempt.timerMs)
  to.f64(attempt.guardMs)
  to.f64(attempt.networkMs)
  if (endedAt !== null) to.f64(endedAt)
  if (status !== null) to.u32(status)
  if (error !== null) to.u8(ERROR_CLASSES.indexOf(error))
  if (excerpt !== null) to.bytes(excerpt)
}
const unpackAttempt = (from: Reader): Required<AttemptRecord> => {
  const flags = from.u8()
  const number = from.u32()
  const startedAt: Instant = from.f64()
  const timerMs = from.f64()
  const guardMs = from.f64()
  const networkMs = from.f64()
  const endedAt: Instant | null = (flags & HAS_ENDED) === 0 ? null : from.f64()
  const status = (flags & HAS_STATUS) === 0 ? null : from.u32()
  const error = (flags & HAS_ERROR) === 0 ? null : errorClass(from.u8())
  const excerpt = (flags & HAS_EXCERPT) === 0 ? null : from.bytes()
  const inDoubt = (flags & IN_DOUBT) !== 0
  return { number, startedAt, endedAt, status, error, excerpt, timerMs, guardMs, networkMs, inDoubt }
}
const errorClass = (index: number): ErrorClass => ERROR_CLASSES[index] ?? odd('error class', index)
const odd = (what: string, value: number): never => {
  throw new Error(`a frame with ${what} ${value}`)
}

/** Writes into one buffer of known size, which is then transferred. */
class Writer {
  readonly #buffer: Buffer<ArrayBuffer>
  readonly #view: DataView
  #at = 0

  constructor(size: number) {
    this.#buffer = Buffer.allocUnsafeSlow(size)
    this.#view = new DataView(this.#buffer.buffer)
  }
  u8(value: number): void {
    this.#buffer[this.#at] = value
    this.#at += 1
  }
  u32(value: number): void {
    this.#view.setUint32(this.#at, value, true)
    this.#at += 4
  }
  f64(value: number): void {
    this.#view.setFloat64(this.#at, value, true)
    this.#at += 8
  }
  next(state: number, at: Instant): void {
    this.u8(state)
    this.f64(at)
  }
  text(text: string): void {
    const length = this.#buffer.write(text, this.#at + 4, 'utf8')
    this.u32(length)
    this.#at += length
  }
  bytes(bytes: Uint8Array): void {
    this.u32(bytes.length)
    this.#buffer.set(bytes, this.#at)
    this.#at += bytes.length
  }
  written(): Bytes {
    return new Uint8Array(this.#buffer.buffer, 0, this.#at)
  }
}

class Reader {
  readonly #buffer: Buffer
  readonly #view: DataView
  #at = 0

  constructor(frame: Uint8Array) {
    this.#buffer = Buffer.from(frame.buffer, frame.byteOffset, frame.length)
    this.#view = new DataView(frame.buffer, frame.byteOffset, frame.length)
  }
  get atEnd(): boolean {
    return this.#at >= this.#buffer.length
  }
  u8(): number {
    const value = this.#view.getUint8(this.#at)
    this.#at += 1
    return value
  }
  u32(): number {
    const value = this.#view.getUint32(this.#at, true)
    this.#at += 4
    return value
  }
  f64(): number {
    const value = this.#view.getFloat64(this.#at, true)
    this.#at += 8
    return value
  }
  text(): string {
    const length = this.u32()
    const from = this.#at
    this.#at += length
    return this.#buffer.toString('utf8', from, this.#at)
  }
  bytes(): Uint8Array {
    const length = this.u32()
    const from = this.#at
    this.#at += length
    return this.#buffer.subarray(from, this.#at)
  }
}
