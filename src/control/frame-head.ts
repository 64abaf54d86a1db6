/**
 * The id and the method of a large request without reading the rest: so that what is refused under overload costs nothing. Only what stands
 * before the first nested value is looked at, as every usual client writes it; for all else the answer is null, and the frame is read.
 */
import { RPC_ID_CHARS_MAX } from '#config/limits.ts'
import type { RpcId } from './json-rpc.ts'

export interface FrameHead {
  /** Undefined: not seen, so it may come later, or never. */
  readonly id: RpcId
  readonly method: string
}

/** The members that are looked at lie within so many bytes. */
const HEAD_BYTES = 512
/** One member with a plain value: a text without escapes, a number, or null. */
const MEMBER = /\s*"(?<name>[a-z]{1,16})"\s*:\s*(?:"(?<text>[^"\\]*)"|(?<number>-?\d{1,16})|(?<none>null))\s*,/y

/** Null: it cannot be told from the head alone. */
export const frameHead = (bytes: Uint8Array): FrameHead | null => {
  const text = new TextDecoder('latin1').decode(bytes.subarray(0, HEAD_BYTES))
  const start = /^\s*\{/.exec(text)
  if (start === null) return null
  const said = new Map<string, string | number | null>()
  MEMBER.lastIndex = start[0].length
  for (let found = MEMBER.exec(text); found !== null; found = MEMBER.exec(text)) {
    const { name = '', text: value, number } = found.groups ?? {}
    said.set(name, value ?? (number === undefined ? null : Number(number)))
  }
  const [id, method, version] = [said.get('id'), said.get('method'), said.get('jsonrpc')]
  if (id === undefined || typeof method !== 'string' || version !== '2.0' || !isId(id)) return null
  return { id, method }
}

const ASCII = /^[\x20-\x7e]*$/
const isId = (id: RpcId): boolean =>
  typeof id === 'string' ? id.length <= RPC_ID_CHARS_MAX && ASCII.test(id) : id === null || Number.isSafeInteger(id)
