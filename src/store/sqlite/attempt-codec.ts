/**
 * The last attempt of a finished webhook, as `done.attempt` holds it: one value to bind and no row of its own costs a third of
 * what a row of `attempts` does, and most webhooks have one attempt. Little-endian:
 *
 * ```
 *  0 u8  version           4 u32 number         24 f64 timerMs    48 u16 status
 *  1 u8  flags             8 f64 startedAt      32 f64 guardMs    50 u16 length of the error class
 *  2 u16 length of token  16 f64 endedAt        40 f64 networkMs  52 token, error class, excerpt
 * ```
 */
import { type AttemptRecord, ERROR_CLASSES, type ErrorClass } from '#webhook/webhook.ts'

export interface KeptAttempt {
  readonly token: string
  readonly attempt: AttemptRecord
}

const VERSION = 1
const FIXED_BYTES = 52
const IN_DOUBT = 1
const HAS_ENDED = 2
const HAS_STATUS = 4
const HAS_ERROR = 8
const HAS_EXCERPT = 16

/** The result shares a pool's memory: bind it or copy it. Throws RangeError on a token above 65,535 bytes. */
export const packAttempt = (token: string, attempt: AttemptRecord): Buffer => {
  const { endedAt, status, error, excerpt } = attempt
  const tokenLength = Buffer.byteLength(token)
  const errorLength = error === null ? 0 : error.length
  const bytes = Buffer.allocUnsafe(FIXED_BYTES + tokenLength + errorLength + (excerpt?.length ?? 0))
  bytes[0] = VERSION
  bytes[1] =
    (attempt.inDoubt ? IN_DOUBT : 0) |
    (endedAt === null ? 0 : HAS_ENDED) |
    (status === null ? 0 : HAS_STATUS) |
    (error === null ? 0 : HAS_ERROR) |
    (excerpt === null ? 0 : HAS_EXCERPT)
  bytes.writeUInt16LE(tokenLength, 2)
  bytes.writeUInt32LE(attempt.number, 4)
  bytes.writeDoubleLE(attempt.startedAt, 8)
  bytes.writeDoubleLE(endedAt ?? 0, 16)
  bytes.writeDoubleLE(attempt.timerMs, 24)
  bytes.writeDoubleLE(attempt.guardMs, 32)
  bytes.writeDoubleLE(attempt.networkMs, 40)
  bytes.writeUInt16LE(status ?? 0, 48)
  bytes.writeUInt16LE(errorLength, 50)
  bytes.write(token, FIXED_BYTES)
  if (error !== null) bytes.write(error, FIXED_BYTES + tokenLength, 'latin1')
  if (excerpt !== null) bytes.set(excerpt, FIXED_BYTES + tokenLength + errorLength)
  return bytes
}

/** Null: the bytes are damaged, or of a later release. */
export const unpackAttempt = (bytes: Buffer): KeptAttempt | null => {
  if (bytes.length < FIXED_BYTES || bytes[0] !== VERSION) return null
  const flags = bytes[1] ?? 0
  const has = (flag: number): boolean => (flags & flag) !== 0
  const tokenEnd = FIXED_BYTES + bytes.readUInt16LE(2)
  const errorEnd = tokenEnd + bytes.readUInt16LE(50)
  const error = errorClassOf(bytes.toString('latin1', tokenEnd, errorEnd))
  if (errorEnd > bytes.length || (has(HAS_ERROR) && error === null)) return null
  const attempt = {
    number: bytes.readUInt32LE(4),
    startedAt: bytes.readDoubleLE(8),
    endedAt: has(HAS_ENDED) ? bytes.readDoubleLE(16) : null,
    status: has(HAS_STATUS) ? bytes.readUInt16LE(48) : null,
    error,
    excerpt: has(HAS_EXCERPT) ? Uint8Array.from(bytes.subarray(errorEnd)) : null,
    timerMs: bytes.readDoubleLE(24),
    guardMs: bytes.readDoubleLE(32),
    networkMs: bytes.readDoubleLE(40),
    inDoubt: has(IN_DOUBT),
  }
  return { token: bytes.toString('utf8', FIXED_BYTES, tokenEnd), attempt }
}

const errorClassOf = (text: string): ErrorClass | null => ERROR_CLASSES.find((name) => name === text) ?? null
