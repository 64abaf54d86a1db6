/**
 * What crosses between main and a dispatch thread: groups of orders one way, groups of reports the other, each one transferred
 * buffer (no structured clone, no object per attempt on the way). Attempts travel under a number, the handle, that the
 * carrier gives; ids never come back from a thread.
 */
import { ERROR_CLASSES, type ErrorClass, type Instant, type Outcome, type WebhookId } from '#webhook/webhook.ts'

/** An order as the thread sees it. `request` is a view into the group's buffer. */
export interface ThreadOrder {
  readonly handle: number
  readonly timeoutMs: number
  readonly webhookId: WebhookId
  readonly brand: string
  readonly request: Uint8Array
}
export interface ThreadReport {
  readonly handle: number
  readonly outcome: Outcome
  readonly startedAt: Instant
  readonly endedAt: Instant
  readonly networkMs: number
  readonly sent: boolean
}

/** A frame that breaks its own form: the thread that sent it is not to be trusted any more (WORK-07). */
export class FrameError extends Error {
  override readonly name = 'FrameError'
}

const ORDER_HEAD = 14
const REPORT_HEAD = 44
const SENT = 1
const RETRY_AFTER = 2
const DETAIL_CHARS_MAX = 200
/** A group of large bodies does not keep its memory. */
const KEPT_BYTES_MAX = 1_048_576
const NOTHING = new Uint8Array(0)

/** A buffer that grows; what it holds is copied out exactly, since a group is small and a fresh buffer per group is not. */
class Writer {
  bytes: Buffer<ArrayBuffer>
  view: DataView<ArrayBuffer>
  length = 0

  constructor(initial: number) {
    const buffer = new ArrayBuffer(initial)
    this.bytes = Buffer.from(buffer)
    this.view = new DataView(buffer)
  }

  /** Where the next `more` bytes go. */
  reserve(more: number): number {
    const at = this.length
    if (at + more > this.bytes.length) this.#grow(at + more)
    this.length = at + more
    return at
  }

  /** The frame, to be transferred; the writer starts anew. */
  take(): ArrayBuffer {
    const frame = this.view.buffer.slice(0, this.length)
    this.length = 0
    if (this.bytes.length > KEPT_BYTES_MAX) this.#replace(new ArrayBuffer(KEPT_BYTES_MAX))
    return frame
  }

  #grow(needed: number): void {
    const grown = new ArrayBuffer(Math.max(needed, this.bytes.length * 2))
    this.bytes.copy(Buffer.from(grown), 0, 0, this.length)
    this.#replace(grown)
  }

  #replace(buffer: ArrayBuffer): void {
    this.bytes = Buffer.from(buffer)
    this.view = new DataView(buffer)
  }
}

export class OrderFrame {
  readonly #writer = new Writer(16_384)
  get empty(): boolean {
    return this.#writer.length === 0
  }
  add(order: ThreadOrder): void {
    const { webhookId, brand, request } = order
    const at = this.#writer.reserve(ORDER_HEAD + webhookId.length + brand.length + request.length)
    const { bytes, view } = this.#writer
    view.setUint32(at, order.handle, true)
    view.setUint32(at + 4, order.timeoutMs, true)
    view.setUint8(at + 8, webhookId.length)
    view.setUint8(at + 9, brand.length)
    view.setUint32(at + 10, request.length, true)
    let end = at + ORDER_HEAD
    end += bytes.write(webhookId, end, 'latin1')
    end += bytes.write(brand, end, 'latin1')
    bytes.set(request, end)
  }
  take(): ArrayBuffer {
    return this.#writer.take()
  }
}

export const readOrders = (frame: ArrayBuffer): ThreadOrder[] => {
  const view = new DataView(frame)
  const bytes = Buffer.from(frame)
  const orders: ThreadOrder[] = []
  for (let at = 0; at < bytes.length; ) {
    const idAt = at + ORDER_HEAD
    const brandAt = idAt + view.getUint8(at + 8)
    const requestAt = brandAt + view.getUint8(at + 9)
    const end = requestAt + view.getUint32(at + 10, true)
    orders.push({
      handle: view.getUint32(at, true),
      timeoutMs: view.getUint32(at + 4, true),
      webhookId: bytes.toString('latin1', idAt, brandAt),
      brand: bytes.toString('latin1', brandAt, requestAt),
      request: bytes.subarray(requestAt, end),
    })
    at = end
  }
  return orders
}

export class ReportFrame {
  readonly #writer = new Writer(8_192)
  get empty(): boolean {
    return this.#writer.length === 0
  }
  add(report: ThreadReport): void {
    const { outcome } = report
    const rest =
      outcome.kind === 'response'
        ? (outcome.excerpt ?? NOTHING)
        : Buffer.from(outcome.detail.slice(0, DETAIL_CHARS_MAX), 'utf8')
    const retryAfterMs = outcome.kind === 'response' ? outcome.retryAfterMs : null
    const at = this.#writer.reserve(REPORT_HEAD + rest.length)
    const { bytes, view } = this.#writer
    view.setUint32(at, report.handle, true)
    view.setUint8(at + 4, outcome.kind === 'response' ? 0 : 1)
    view.setUint8(at + 5, (report.sent ? SENT : 0) | (retryAfterMs === null ? 0 : RETRY_AFTER))
    view.setUint16(at + 6, outcome.kind === 'response' ? outcome.status : ERROR_CLASSES.indexOf(outcome.error), true)
    view.setFloat64(at + 8, report.startedAt, true)
    view.setFloat64(at + 16, report.endedAt, true)
    view.setFloat64(at + 24, report.networkMs, true)
    view.setFloat64(at + 32, retryAfterMs ?? 0, true)
    view.setUint32(at + 40, rest.length, true)
    bytes.set(rest, at + REPORT_HEAD)
  }
  take(): ArrayBuffer {
    return this.#writer.take()
  }
}

/** Throws FrameError. */
export const readReports = (frame: unknown): ThreadReport[] => {
  if (!(frame instanceof ArrayBuffer)) throw new FrameError('not a buffer')
  const view = new DataView(frame)
  const reports: ThreadReport[] = []
  for (let at = 0; at < frame.byteLength; ) {
    if (at + REPORT_HEAD > frame.byteLength) throw new FrameError('cut inside a head')
    const end = at + REPORT_HEAD + view.getUint32(at + 40, true)
    if (end > frame.byteLength) throw new FrameError('cut inside a body')
    reports.push(readReport(frame, view, at, end))
    at = end
  }
  return reports
}

const readReport = (frame: ArrayBuffer, view: DataView, at: number, end: number): ThreadReport => ({
  handle: view.getUint32(at, true),
  outcome: readOutcome(frame, view, at, end),
  startedAt: instant(view.getFloat64(at + 8, true)),
  endedAt: instant(view.getFloat64(at + 16, true)),
  networkMs: instant(view.getFloat64(at + 24, true)),
  sent: (view.getUint8(at + 5) & SENT) !== 0,
})

const readOutcome = (frame: ArrayBuffer, view: DataView, at: number, end: number): Outcome => {
  const code = view.getUint16(at + 6, true)
  const start = at + REPORT_HEAD
  switch (view.getUint8(at + 4)) {
    case 0:
      if (code < 100 || code > 599) throw new FrameError(`status ${code}`)
      return {
        kind: 'response',
        status: code,
        retryAfterMs: (view.getUint8(at + 5) & RETRY_AFTER) === 0 ? null : instant(view.getFloat64(at + 32, true)),
        // A copy of its own: a view would keep (and clone on its way to the store) the whole group's buffer.
        excerpt: end === start ? null : new Uint8Array(frame, start, end - start).slice(),
      }
    case 1:
      return {
        kind: 'error',
        error: errorClass(code),
        detail: Buffer.from(frame, start, end - start).toString('utf8'),
      }
    default:
      throw new FrameError(`kind ${view.getUint8(at + 4)}`)
  }
}

const errorClass = (index: number): ErrorClass => {
  const error = ERROR_CLASSES[index]
  if (error === undefined) throw new FrameError(`error class ${index}`)
  return error
}

const instant = (value: number): number => {
  if (!Number.isFinite(value) || value < 0) throw new FrameError(`instant or duration ${value}`)
  return value
}
