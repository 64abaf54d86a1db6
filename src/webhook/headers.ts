/** Which methods and headers a client may ask for (reliability.md H8): a whitelist, strings only. */
import { quote, type Refused, refuse } from './refusal.ts'

export const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD'] as const
export type Method = (typeof METHODS)[number]

export const HEADERS_MAX = 64
export const HEADERS_BYTES_MAX = 16_384
export const HEADER_VALUE_BYTES_MAX = 4_096
const NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}$/
/** Latin-1 without controls, the tab excepted. */
const VALUE = /^[\t\x20-\x7E\x80-\xFF]*$/
/** Framing, routing and signature are ours. `accept-encoding` too: answers are never decompressed (H4). */
const RESERVED = new Set([
  'host',
  'content-length',
  'transfer-encoding',
  'connection',
  'keep-alive',
  'upgrade',
  'expect',
  'te',
  'trailer',
  'user-agent',
  'accept-encoding',
])
const RESERVED_PREFIXES = ['proxy-', 'webhook-']

export const parseMethod = (
  input: unknown,
  field = 'method',
): { readonly ok: true; readonly method: Method } | Refused => {
  const method = METHODS.find((m) => m === input)
  return method === undefined
    ? refuse('method', field, `${field} ${quote(String(input))} is not one of ${METHODS.join(', ')}`)
    : { ok: true, method }
}

export type HeadersParsed =
  | { readonly ok: true; readonly headers: readonly (readonly [name: string, value: string])[] }
  | Refused

/** Takes a plain object of strings; names come out in lower case, in order. Refusals name the header. */
export const parseHeaders = (input: unknown, field = 'headers'): HeadersParsed => {
  if (typeof input !== 'object' || input === null || Array.isArray(input))
    return refuse('headers_shape', field, `${field} must be an object of strings, such as { "x-api-key": "…" }`)
  const entries = Object.entries(input)
  if (entries.length > HEADERS_MAX)
    return refuse('headers_size', field, `${field} holds ${entries.length} headers; at most ${HEADERS_MAX} are allowed`)
  const headers: (readonly [string, string])[] = []
  const seen = new Set<string>()
  let bytes = 0
  for (const [given, value] of entries) {
    const name = given.toLowerCase()
    const refused = judgeHeader(given, name, value, `${field}.${given.slice(0, 64)}`)
    if (refused !== null) return refused
    if (seen.has(name))
      return refuse(
        'header_name',
        field,
        `${field} holds ${quote(given)} twice; header names are the same in upper and lower case`,
      )
    seen.add(name)
    headers.push([name, String(value)])
    bytes += name.length + String(value).length + 4
  }
  if (bytes > HEADERS_BYTES_MAX)
    return refuse('headers_size', field, `${field} take ${bytes} bytes; at most ${HEADERS_BYTES_MAX} are allowed`)
  return { ok: true, headers }
}

const judgeHeader = (given: string, name: string, value: unknown, field: string): Refused | null => {
  if (!NAME.test(given))
    return refuse(
      'header_name',
      field,
      `header name ${quote(given)} must be 1 to 64 token characters (letters, digits, -)`,
    )
  if (RESERVED.has(name) || RESERVED_PREFIXES.some((prefix) => name.startsWith(prefix)))
    return refuse('header_reserved', field, `header ${quote(given)} is set by the daemon; leave it out`)
  if (typeof value !== 'string') return refuse('header_value', field, `header ${quote(given)} must be a string`)
  if (value.length > HEADER_VALUE_BYTES_MAX)
    return refuse(
      'header_value',
      field,
      `header ${quote(given)} takes ${value.length} bytes; at most ${HEADER_VALUE_BYTES_MAX} are allowed`,
    )
  if (!VALUE.test(value))
    return refuse(
      'header_value',
      field,
      `header ${quote(given)} holds a line break, a control character or a character outside Latin-1; encode it`,
    )
  return null
}
