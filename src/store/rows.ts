/**
 * Batches of webhooks as bytes: what `append` carries from the session or the ingest thread through the main thread to the
 * store's thread, without an object per webhook on the way. Little-endian:
 * `u32 magic, u32 count, u32 offset of the lanes`, then per row `u32 length of the body, u32 lane, u16 length of the id, id, body`
 * (`./row-codec.ts`), then the lanes: `u32 count`, each `u8 priority, u16 length, brand, u16 length, domain`.
 */

import { type LanePair, PRIORITIES, type Priority, type WebhookId } from '#webhook/webhook.ts'
import { BadRow, checkRow, readRowBody, rowBodyBytesMax, writeRowBody } from './row-codec.ts'
import type { NewWebhook } from './store.ts'

const MAGIC = 0x31525048
const HEADER_BYTES = 12
const ROW_HEAD_BYTES = 10
/** From this size on the batch is made in shared memory, so that handing it to the store's thread copies nothing. */
export const SHARED_BATCH_BYTES = 65_536

/**
 * Packs webhooks for `append`. The result is not detached by a write: the same bytes can be sent again.
 * Throws RangeError on an instant that is no integer, a lone surrogate, or a text above 65,535 bytes.
 */
export const encodeRows = (rows: readonly NewWebhook[]): Uint8Array => {
  let scratch = reserve(HEADER_BYTES)
  const lanes = new LaneTable()
  let at = HEADER_BYTES
  for (const row of rows) {
    scratch = reserve(at + ROW_HEAD_BYTES + 3 * row.id.length + rowBodyBytesMax(row), at)
    const idLength = scratch.write(row.id, at + ROW_HEAD_BYTES)
    const bodyAt = at + ROW_HEAD_BYTES + idLength
    const end = writeRowBody(row, scratch, bodyAt)
    scratch.writeUInt32LE(end - bodyAt, at)
    scratch.writeUInt32LE(lanes.indexOf(row), at + 4)
    scratch.writeUInt16LE(idLength, at + 8)
    at = end
  }
  scratch.writeUInt32LE(MAGIC, 0)
  scratch.writeUInt32LE(rows.length, 4)
  scratch.writeUInt32LE(at, 8)
  scratch = reserve(at + lanes.bytesMax, at)
  return copyOf(scratch, lanes.write(scratch, at))
}

/** One row of a batch; `body` is a view into the batch. */
export interface PackedRow {
  readonly id: WebhookId
  /** Index into `lanes`. */
  readonly lane: number
  readonly body: Buffer
}
export interface Batch {
  readonly count: number
  readonly lanes: readonly LanePair[]
  /** Where the first row stands; `readPackedRow` tells where the next one does. */
  readonly firstAt: number
}

/** Reads a batch's frame. Throws BadRow if it is not one. */
export const openBatch = (bytes: Buffer): Batch => {
  if (bytes.length < HEADER_BYTES || bytes.readUInt32LE(0) !== MAGIC) throw new BadRow('not a batch')
  const count = bytes.readUInt32LE(4)
  let at = bytes.readUInt32LE(8)
  if (at + 4 > bytes.length) throw new BadRow('cut short')
  const laneCount = bytes.readUInt32LE(at)
  at += 4
  const lanes: LanePair[] = []
  for (let i = 0; i < laneCount; i++) {
    const brandEnd = at + 3 + bytes.readUInt16LE(at + 1)
    const domainEnd = brandEnd + 2 + bytes.readUInt16LE(brandEnd)
    lanes.push({
      priority: priorityOf(bytes[at] ?? -1),
      brand: bytes.toString('utf8', at + 3, brandEnd),
      domain: bytes.toString('utf8', brandEnd + 2, domainEnd),
    })
    at = domainEnd
  }
  return { count, lanes, firstAt: HEADER_BYTES }
}

/** The row at `at`, unchecked; `next` is where the following one stands. Throws BadRow if it runs over the batch. */
export const readPackedRow = (bytes: Buffer, at: number): PackedRow & { readonly next: number } => {
  const bodyAt = at + ROW_HEAD_BYTES + bytes.readUInt16LE(at + 8)
  const next = bodyAt + bytes.readUInt32LE(at)
  if (next > bytes.length) throw new BadRow('cut short')
  return {
    id: bytes.toString('latin1', at + ROW_HEAD_BYTES, bodyAt),
    lane: bytes.readUInt32LE(at + 4),
    body: bytes.subarray(bodyAt, next),
    next,
  }
}

/** Unpacks a batch, checksums compared. Throws BadRow. */
export const decodeRows = (rows: Uint8Array): NewWebhook[] => {
  const bytes = bufferOf(rows)
  const batch = openBatch(bytes)
  const webhooks: NewWebhook[] = []
  let at = batch.firstAt
  for (let i = 0; i < batch.count; i++) {
    const row = readPackedRow(bytes, at)
    const lane = batch.lanes[row.lane]
    if (lane === undefined) throw new BadRow('unknown lane')
    checkRow(row.body)
    webhooks.push({ id: row.id, ...lane, ...readRowBody(row.body) })
    at = row.next
  }
  return webhooks
}

export const bufferOf = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
export const priorityIndex = (priority: Priority): number => PRIORITIES.indexOf(priority)
export const priorityOf = (index: number): Priority => {
  const priority = PRIORITIES[index]
  if (priority === undefined) throw new BadRow(`priority ${index}`)
  return priority
}

/** Numbers the lanes of one batch in the order of their first row. */
class LaneTable {
  readonly #indexes = new Map<string, number>()
  readonly #lanes: LanePair[] = []
  /** The last lane of each domain: most often the next one too, and found without making a key. */
  readonly #latest = new Map<string, number>()
  bytesMax = 4

  indexOf(row: LanePair): number {
    const latest = this.#latest.get(row.domain) ?? -1
    const lane = this.#lanes[latest]
    if (lane !== undefined && lane.brand === row.brand && lane.priority === row.priority) return latest
    const key = `${row.priority} ${row.brand} ${row.domain}`
    const index = this.#indexes.get(key) ?? this.#add(key, row)
    this.#latest.set(row.domain, index)
    return index
  }
  #add(key: string, row: LanePair): number {
    this.bytesMax += 5 + 3 * (row.brand.length + row.domain.length)
    this.#indexes.set(key, this.#lanes.length)
    return this.#lanes.push(row) - 1
  }
  write(into: Buffer, offset: number): number {
    let at = into.writeUInt32LE(this.#lanes.length, offset)
    for (const lane of this.#lanes) {
      at = into.writeUInt8(priorityIndex(lane.priority), at)
      for (const text of [lane.brand, lane.domain]) {
        const length = into.write(text, at + 2)
        into.writeUInt16LE(length, at)
        at += 2 + length
      }
    }
    return at
  }
}

/** Kept between batches so that encoding allocates only its result; given back when a giant batch has blown it up. */
let scratchpad = Buffer.allocUnsafeSlow(65_536)
const SCRATCH_KEPT_MAX = 8 * 1_048_576
const reserve = (bytes: number, used = 0): Buffer => {
  if (scratchpad.length >= bytes) return scratchpad
  const grown = Buffer.allocUnsafeSlow(Math.max(bytes, scratchpad.length * 2))
  scratchpad.copy(grown, 0, 0, used)
  scratchpad = grown
  return grown
}
const copyOf = (scratch: Buffer, length: number): Uint8Array => {
  const shared = length >= SHARED_BATCH_BYTES
  const copy = shared ? new Uint8Array(new SharedArrayBuffer(length)) : new Uint8Array(length)
  copy.set(scratch.subarray(0, length))
  if (scratchpad.length > SCRATCH_KEPT_MAX) scratchpad = Buffer.allocUnsafeSlow(65_536)
  return copy
}
