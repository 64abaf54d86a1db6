/** The closed list of what can be wrong, and the one exception that carries it to the answer. */

export const ERROR_CODES = [
  'UNAUTHENTICATED',
  'FORBIDDEN',
  'NOT_FOUND',
  'INVALID_PARAMS',
  'CONFLICT',
  'IDEMPOTENCY_CONFLICT',
  'RESOURCE_EXHAUSTED',
  'RATE_LIMITED',
  'STORAGE_UNAVAILABLE',
  'NOT_OWNER',
  'TIMEOUT',
  'SHUTTING_DOWN',
  'BLOCKED_TARGET',
  'INTERNAL',
] as const
export type ErrorCode = (typeof ERROR_CODES)[number]

/** `data` of every error on the wire. `message` says what was wrong, with which value, and what would be right. */
export interface ErrorData {
  readonly code: ErrorCode
  readonly message: string
  readonly field?: string
  readonly retryAfterMs?: number
}

/** A JSON-RPC error object. */
export interface RpcError {
  readonly code: number
  readonly message: string
  readonly data: ErrorData
}

/** JSON-RPC 2.0, section 5.1, and the one code for everything of ours. */
export const RPC_PARSE = -32_700
export const RPC_REQUEST = -32_600
export const RPC_METHOD = -32_601
export const RPC_PARAMS = -32_602
export const RPC_INTERNAL = -32_603
export const RPC_OURS = -32_000

/** A request that is not done, with what its sender should know. */
export class Refusal extends Error {
  readonly data: ErrorData
  constructor(
    code: ErrorCode,
    message: string,
    more: { readonly field?: string; readonly retryAfterMs?: number } = {},
  ) {
    super(message)
    this.name = 'Refusal'
    this.data = { code, message, ...more }
  }
  static of({ code, message, ...more }: ErrorData): Refusal {
    return new Refusal(code, message, more)
  }
}

export const rpcErrorOf = (data: ErrorData): RpcError => ({ code: rpcCodeOf(data.code), message: data.message, data })

const rpcCodeOf = (code: ErrorCode): number => {
  if (code === 'INVALID_PARAMS') return RPC_PARAMS
  return code === 'INTERNAL' ? RPC_INTERNAL : RPC_OURS
}

/** A value as it may be shown in a message: short, one line. */
export const show = (value: unknown): string => {
  if (typeof value === 'string') return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}...` : value)
  if (Array.isArray(value)) return `a list of ${value.length}`
  if (typeof value === 'object' && value !== null) return 'an object'
  return value === undefined ? 'nothing' : String(value)
}
