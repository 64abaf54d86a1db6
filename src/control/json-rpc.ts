/**
 * JSON-RPC 2.0 (https://www.jsonrpc.org/specification): bytes to requests, answers to text. Batches, notifications, the
 * standard codes; every error carries `data`. Nothing here knows a method.
 */
import { BATCH_REQUESTS_MAX, JSON_DEPTH_MAX, RPC_ID_CHARS_MAX } from '#config/limits.ts'
import { nestsDeeperThan } from './json-depth.ts'
import { type ErrorCode, RPC_METHOD, RPC_PARSE, RPC_REQUEST, type RpcError, show } from './refusal.ts'

export type RpcId = string | number | null
export interface RpcRequest {
  readonly kind: 'request'
  /** Undefined: a notification, which gets no answer. */
  readonly id: RpcId | undefined
  readonly method: string
  /** A plain object, or undefined where none was sent; arrays are refused before. */
  readonly params: object | undefined
}
export interface RpcInvalid {
  readonly kind: 'invalid'
  readonly id: RpcId
  readonly error: RpcError
}
export type RpcItem = RpcRequest | RpcInvalid
export interface RpcFrame {
  /** True: the answers of the items belong into one array. */
  readonly batch: boolean
  readonly items: readonly RpcItem[]
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Never throws: what cannot be read is an item of kind `invalid`. */
export const readFrame = (bytes: Uint8Array): RpcFrame => {
  if (nestsDeeperThan(bytes, JSON_DEPTH_MAX))
    return single(invalid(null, RPC_PARSE, `the frame nests deeper than ${JSON_DEPTH_MAX} levels`))
  const value = parse(bytes)
  if (!value.ok) return single(invalid(null, RPC_PARSE, value.why))
  if (!Array.isArray(value.json)) return single(readItem(value.json))
  const items: readonly unknown[] = value.json
  if (items.length === 0) return single(invalid(null, RPC_REQUEST, 'the batch is empty; send at least one request'))
  if (items.length > BATCH_REQUESTS_MAX)
    return single(
      invalid(null, RPC_REQUEST, `the batch holds ${items.length} requests; at most ${BATCH_REQUESTS_MAX} are allowed`),
    )
  return { batch: true, items: items.map(readItem) }
}

const single = (item: RpcItem): RpcFrame => ({ batch: false, items: [item] })

const parse = (
  bytes: Uint8Array,
): { readonly ok: true; readonly json: unknown } | { readonly ok: false; readonly why: string } => {
  try {
    const json: unknown = JSON.parse(decoder.decode(bytes))
    return { ok: true, json }
  } catch (error) {
    const why = error instanceof SyntaxError ? error.message.slice(0, 120) : 'the text is not UTF-8'
    return { ok: false, why: `not JSON: ${why}` }
  }
}

const readItem = (value: unknown): RpcItem => {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return invalid(null, RPC_REQUEST, `a request is an object; got ${show(value)}`)
  const { jsonrpc, id, method, params }: { jsonrpc?: unknown; id?: unknown; method?: unknown; params?: unknown } = value
  if (id !== undefined && !isRpcId(id))
    return invalid(
      null,
      RPC_REQUEST,
      `id must be a whole number, a string of at most ${RPC_ID_CHARS_MAX} characters, or left out for a notification; got ${show(id)}`,
    )
  const known = id ?? null
  if (jsonrpc !== '2.0') return invalid(known, RPC_REQUEST, `jsonrpc must be "2.0"; got ${show(jsonrpc)}`)
  if (typeof method !== 'string') return invalid(known, RPC_REQUEST, `method must be a string; got ${show(method)}`)
  if (params !== undefined && (typeof params !== 'object' || params === null || Array.isArray(params)))
    return invalid(known, RPC_REQUEST, `params must be an object with named parameters; got ${show(params)}`)
  return { kind: 'request', id, method, params }
}

const isRpcId = (id: unknown): id is RpcId =>
  id === null || Number.isSafeInteger(id) || (typeof id === 'string' && id.length <= RPC_ID_CHARS_MAX)

const invalid = (id: RpcId, code: number, message: string): RpcInvalid => ({
  kind: 'invalid',
  id,
  error: protocolError(code, message),
})

/** An error of the protocol itself. */
export const protocolError = (code: number, message: string): RpcError => ({
  code,
  message,
  data: { code: dataCodeOf(code), message },
})
const dataCodeOf = (code: number): ErrorCode => (code === RPC_METHOD ? 'NOT_FOUND' : 'INVALID_PARAMS')

export const unknownMethod = (method: string): RpcError =>
  protocolError(RPC_METHOD, `there is no method ${show(method)}; rpc.discover lists them`)

/** `result` is JSON text already. */
export const resultText = (id: RpcId, result: string): string =>
  `{"jsonrpc":"2.0","id":${JSON.stringify(id)},"result":${result}}`
export const errorText = (id: RpcId, error: RpcError): string =>
  `{"jsonrpc":"2.0","id":${JSON.stringify(id)},"error":${JSON.stringify(error)}}`
/** A notification from here; `params` is JSON text already. */
export const noticeText = (method: string, params: string): string =>
  `{"jsonrpc":"2.0","method":"${method}","params":${params}}`
