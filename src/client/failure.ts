/** Why a request has no result. `code` is one of the daemon's closed list, or `DISCONNECTED`. */
export class RpcFailure extends Error {
  readonly code: string
  readonly field: string | undefined
  readonly retryAfterMs: number | undefined
  constructor(code: string, message: string, field?: string, retryAfterMs?: number) {
    super(message)
    this.name = 'RpcFailure'
    this.code = code
    this.field = field
    this.retryAfterMs = retryAfterMs
  }
}
