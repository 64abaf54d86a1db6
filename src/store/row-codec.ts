/**
 * The immutable part of a webhook as one run of bytes: what `webhooks.row` holds and what an append carries per row.
 * Id, brand, domain and priority stand beside it, not in it. Little-endian:
 *
 * ```
 *  0 u32 crc32 of the rest      8 f64 at             40 u32 timeoutMs
 *  4 u8  version                16 f64 first nextAt   44 u32 offset of the request
 *  5 u8  flags                  24 f64 createdAt      48 idempotency key, retry policy (JSON), content hash,
 *  6 u16 length of the key      32 f64 expiresAt         method, host, url, name, tags: each u16 length and bytes,
 *                                                        u16 attempts before the last replay (if there was one)
 * ```
 */
import { crc32 } from 'node:zlib'
import type { Instant, RetryPolicy } from '#webhook/webhook.ts'
import type { NewWebhook } from './store.ts'

export const ROW_VERSION = 1
const FIXED_BYTES = 48
const HAS_KEY = 1
const HAS_NAME = 2
const HAS_RETRY = 4
const HAS_HASH = 8
const IS_REPLAYED = 16

/** What a row holds beside its id and its lane. */
export type RowBody = Omit<NewWebhook, 'id' | 'brand' | 'domain' | 'priority'>

/** Most bytes that `writeRowBody` may need. */
export const rowBodyBytesMax = (row: RowBody): number => {
  let chars = row.url.length + row.host.length + row.method.length + (row.name?.length ?? 0)
  chars += row.idempotencyKey?.length ?? 0
  for (const tag of row.tags) chars += tag.length
  const retry = row.retry === null ? 0 : retryText(row.retry).length
  return (
    FIXED_BYTES + 16 + 2 * row.tags.length + 3 * (chars + retry) + (row.contentHash?.length ?? 0) + row.request.length
  )
}

/** Writes one row at `offset` and returns where it ends. Throws RangeError on what cannot be kept byte-exact. */
export const writeRowBody = (row: RowBody, into: Buffer, offset: number): number => {
  const retry = row.retry === null ? null : retryText(row.retry)
  let end = offset + FIXED_BYTES
  if (row.idempotencyKey !== null) end = writeBare(row.idempotencyKey, into, end)
  const keyLength = end - offset - FIXED_BYTES
  if (retry !== null) end = writeText(retry, into, end)
  if (row.contentHash !== null) end = writeBytes(row.contentHash, into, end)
  end = writeText(row.method, into, end)
  end = writeText(row.host, into, end)
  end = writeText(row.url, into, end)
  if (row.name !== null) end = writeText(row.name, into, end)
  end = into.writeUInt16LE(row.tags.length, end)
  for (const tag of row.tags) end = writeText(tag, into, end)
  const requestAt = end - offset
  into.set(row.request, end)
  end += row.request.length
  into[offset + 4] = ROW_VERSION
  into[offset + 5] =
    (row.idempotencyKey === null ? 0 : HAS_KEY) |
    (row.name === null ? 0 : HAS_NAME) |
    (retry === null ? 0 : HAS_RETRY) |
    (row.contentHash === null ? 0 : HAS_HASH)
  into.writeUInt16LE(keyLength, offset + 6)
  into.writeDoubleLE(instant(row.at), offset + 8)
  into.writeDoubleLE(instant(row.nextAt), offset + 16)
  into.writeDoubleLE(instant(row.createdAt), offset + 24)
  into.writeDoubleLE(row.expiresAt === null ? Number.NaN : instant(row.expiresAt), offset + 32)
  into.writeUInt32LE(row.timeoutMs, offset + 40)
  into.writeUInt32LE(requestAt, offset + 44)
  into.writeUInt32LE(crc32(into.subarray(offset + 4, end)), offset)
  return end
}

/**
 * A copy with other instants, of a whole row. `attemptsBefore` null: it goes on with the series it has; otherwise a new series
 * begins there.
 */
export const retimedRow = (
  row: Buffer,
  { at, expiresAt, attemptsBefore }: { at: Instant; expiresAt: Instant | null; attemptsBefore: number | null },
): Buffer => {
  const requestAt = row.readUInt32LE(44)
  const grows = attemptsBefore !== null && !isReplayed(row)
  const gap = Buffer.alloc(grows ? 2 : 0)
  const copy = Buffer.concat([row.subarray(0, requestAt), gap, row.subarray(requestAt)])
  copy.writeDoubleLE(instant(at), 8)
  copy.writeDoubleLE(at, 16)
  copy.writeDoubleLE(expiresAt === null ? Number.NaN : instant(expiresAt), 32)
  if (attemptsBefore !== null) {
    copy.writeUInt8((row[5] ?? 0) | IS_REPLAYED, 5)
    copy.writeUInt32LE(requestAt + gap.length, 44)
    copy.writeUInt16LE(attemptsBefore, requestAt + gap.length - 2)
  }
  copy.writeUInt32LE(crc32(copy.subarray(4)), 0)
  return copy
}

/** A row that does not carry what was written: a flipped bit, a foreign version, a cut. */
export class BadRow extends Error {
  constructor(what: string) {
    super(`row is damaged: ${what}`)
    this.name = 'BadRow'
  }
}

/** Throws BadRow unless the bytes are as they were written. */
export const checkRow = (row: Buffer): void => {
  if (row.length < FIXED_BYTES) throw new BadRow(`${row.length} bytes`)
  if (row[4] !== ROW_VERSION) throw new BadRow(`version ${row[4]}`)
  if (crc32(row.subarray(4)) !== row.readUInt32LE(0)) throw new BadRow('checksum')
}

export const isWhole = (row: Buffer): boolean => {
  try {
    checkRow(row)
    return true
  } catch (error) {
    if (error instanceof BadRow) return false
    throw error
  }
}

export const isReplayed = (row: Buffer): boolean => flag(row, IS_REPLAYED)
/** Attempts of the series before the last replay. */
export const attemptsBeforeOf = (row: Buffer): number =>
  isReplayed(row) ? row.readUInt16LE(row.readUInt32LE(44) - 2) : 0
export const firstNextAtOf = (row: Buffer): Instant => row.readDoubleLE(16)
export const createdAtOf = (row: Buffer): Instant => row.readDoubleLE(24)
export const expiresAtOf = (row: Buffer): Instant | null => orNull(row.readDoubleLE(32))
export const timeoutMsOf = (row: Buffer): number => row.readUInt32LE(40)
export const idempotencyKeyOf = (row: Buffer): string | null =>
  flag(row, HAS_KEY) ? row.toString('utf8', FIXED_BYTES, FIXED_BYTES + row.readUInt16LE(6)) : null
/** A view, not a copy. */
export const requestOf = (row: Buffer): Buffer => row.subarray(row.readUInt32LE(44))

export const retryOf = (row: Buffer): RetryPolicy | null => {
  if (!flag(row, HAS_RETRY)) return null
  return asRetry(JSON.parse(new RowCursor(row, FIXED_BYTES + row.readUInt16LE(6)).text()))
}

export const contentHashOf = (row: Buffer): Uint8Array | null => {
  if (!flag(row, HAS_HASH)) return null
  const cursor = new RowCursor(row, FIXED_BYTES + row.readUInt16LE(6))
  if (flag(row, HAS_RETRY)) cursor.text()
  return cursor.bytes()
}

export const readRowBody = (row: Buffer): RowBody => {
  const cursor = new RowCursor(row, FIXED_BYTES + row.readUInt16LE(6))
  const retry = flag(row, HAS_RETRY) ? asRetry(JSON.parse(cursor.text())) : null
  const contentHash = flag(row, HAS_HASH) ? cursor.bytes() : null
  const method = cursor.text()
  const host = cursor.text()
  const url = cursor.text()
  const name = flag(row, HAS_NAME) ? cursor.text() : null
  const tags = Array.from({ length: cursor.u16() }, () => cursor.text())
  return {
    name,
    url,
    host,
    method,
    at: row.readDoubleLE(8),
    nextAt: firstNextAtOf(row),
    createdAt: createdAtOf(row),
    timeoutMs: timeoutMsOf(row),
    expiresAt: expiresAtOf(row),
    retry,
    tags,
    idempotencyKey: idempotencyKeyOf(row),
    contentHash,
    request: Uint8Array.from(requestOf(row)),
  }
}

/** Reads length-prefixed fields one after the other. */
class RowCursor {
  readonly #row: Buffer
  #at: number
  constructor(row: Buffer, at: number) {
    this.#row = row
    this.#at = at
  }
  u16(): number {
    const value = this.#row.readUInt16LE(this.#at)
    this.#at += 2
    return value
  }
  text(): string {
    const length = this.u16()
    this.#at += length
    return this.#row.toString('utf8', this.#at - length, this.#at)
  }
  bytes(): Uint8Array {
    const length = this.u16()
    this.#at += length
    return Uint8Array.from(this.#row.subarray(this.#at - length, this.#at))
  }
}

const flag = (row: Buffer, bit: number): boolean => ((row[5] ?? 0) & bit) !== 0
const orNull = (value: number): number | null => (Number.isNaN(value) ? null : value)

const instant = (value: Instant): Instant => {
  if (!Number.isSafeInteger(value)) throw new RangeError(`an instant is an integer of milliseconds, got ${value}`)
  return value
}

const writeBare = (text: string, into: Buffer, offset: number): number => {
  if (!text.isWellFormed()) throw new RangeError('text holds a lone surrogate')
  const length = into.write(text, offset)
  if (length > 0xffff) throw new RangeError(`text of ${length} bytes, at most 65535`)
  return offset + length
}
const writeText = (text: string, into: Buffer, offset: number): number => {
  const end = writeBare(text, into, offset + 2)
  into.writeUInt16LE(end - offset - 2, offset)
  return end
}
const writeBytes = (bytes: Uint8Array, into: Buffer, offset: number): number => {
  into.writeUInt16LE(bytes.length, offset)
  into.set(bytes, offset + 2)
  return offset + 2 + bytes.length
}

/** Policies repeat: one object is usually shared by a whole batch. */
let lastRetry: RetryPolicy | null = null
let lastRetryText = ''
const retryText = (retry: RetryPolicy): string => {
  if (retry !== lastRetry) {
    lastRetry = retry
    lastRetryText = JSON.stringify(retry)
  }
  return lastRetryText
}

/** The border of stored rows: the checksum vouches that it is what `writeRowBody` was given. */
const asRetry = (value: unknown): RetryPolicy => {
  if (typeof value !== 'object' || value === null || !('maxAttempts' in value)) throw new BadRow('retry policy')
  return value as RetryPolicy
}
