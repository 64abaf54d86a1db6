/**
 * A webhook's request, packed once at scheduling and sent as it is: head length (u32, little endian), head as JSON, body.
 * The main thread carries it unopened; only the dispatch thread unpacks it.
 */
import type { Method } from './headers.ts'

export interface OutgoingRequest {
  /** As `parseTarget` normalised it. */
  readonly url: string
  readonly method: Method
  /** As `parseHeaders` gave them. */
  readonly headers: readonly (readonly [name: string, value: string])[]
  /** Text is packed as UTF-8. */
  readonly body: Uint8Array | string
}
export interface UnpackedRequest {
  /** `https://host[:port]`. */
  readonly origin: string
  /** Path and query. */
  readonly path: string
  readonly method: Method
  /** Names and values in turn. */
  readonly headers: readonly string[]
  /** A view into the packed bytes. */
  readonly body: Uint8Array
}
type Head = readonly [origin: string, path: string, method: Method, headers: readonly string[]]

const HEAD_LENGTH_BYTES = 4
const decoder = new TextDecoder('utf-8', { fatal: true })

export const packRequest = (request: OutgoingRequest): Uint8Array => withBody(packHead(request), request.body)

/** Length and head; with a body behind it (`withBody`) it is a packed request. */
export const packHead = ({ url, method, headers }: Omit<OutgoingRequest, 'body'>): Uint8Array => {
  const slash = url.indexOf('/', url.indexOf('//') + 2)
  if (slash < 0) throw new Error(`not a normalised URL: ${url}`)
  const head: Head = [url.slice(0, slash), url.slice(slash), method, headers.flat()]
  const text = JSON.stringify(head)
  const packed = Buffer.alloc(HEAD_LENGTH_BYTES + Buffer.byteLength(text))
  packed.writeUInt32LE(packed.length - HEAD_LENGTH_BYTES, 0)
  packed.write(text, HEAD_LENGTH_BYTES)
  return packed
}
export const withBody = (head: Uint8Array, body: Uint8Array | string): Uint8Array => {
  const isText = typeof body === 'string'
  const packed = Buffer.allocUnsafe(head.length + (isText ? Buffer.byteLength(body) : body.length))
  packed.set(head)
  if (isText) packed.write(body, head.length)
  else packed.set(body, head.length)
  return packed
}

/** Throws if the bytes are no packed request (a damaged store): the attempt then ends as `bad_request`. */
export const unpackRequest = (packed: Uint8Array): UnpackedRequest => {
  const length = new DataView(packed.buffer, packed.byteOffset, packed.byteLength).getUint32(0, true)
  const end = HEAD_LENGTH_BYTES + length
  if (end > packed.byteLength) throw new RangeError(`head of ${length} bytes in a request of ${packed.byteLength}`)
  const head: unknown = JSON.parse(decoder.decode(packed.subarray(HEAD_LENGTH_BYTES, end)))
  if (!isHead(head)) throw new TypeError('head is not [origin, path, method, headers]')
  return { origin: head[0], path: head[1], method: head[2], headers: head[3], body: packed.subarray(end) }
}

const isHead = (head: unknown): head is Head =>
  Array.isArray(head) &&
  head.length === 4 &&
  typeof head[0] === 'string' &&
  typeof head[1] === 'string' &&
  typeof head[2] === 'string' &&
  Array.isArray(head[3])
