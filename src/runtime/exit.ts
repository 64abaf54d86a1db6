import { isDeepStrictEqual } from 'node:util'

/**
 * Why a process ends. `normal`, `shutdown` and `{ type: 'shutdown' }` are benign (OTP-P5).
 * An uncaught error is `{ type: 'error', error }`; a term of the user's own is any other tagged object or string.
 */
export type ExitReason =
  | 'normal'
  | 'shutdown'
  | 'kill'
  | 'killed'
  | 'noproc'
  | 'timeout'
  | 'calling_self'
  | { readonly type: 'shutdown'; readonly detail: unknown }
  | { readonly type: 'error'; readonly error: Error }
  /** Something that is no Error was thrown, and nobody caught it (OTP-P4). */
  | { readonly type: 'nocatch'; readonly value: unknown }
  /** A call failed and its caller did not catch it (OTP-G1): `why` is noproc, timeout, calling_self, or the server's reason. */
  | { readonly type: 'call_failed'; readonly why: ExitReason; readonly call: FailedCall }
  | { readonly type: 'bad_return_value'; readonly value: unknown }
  | { readonly type: 'undef'; readonly callback: string }
  | { readonly type: 'term'; readonly term: unknown }

/** What was asked, for reports. */
export interface FailedCall {
  readonly target: string
  readonly request: string
  readonly timeoutMs: number
}

export const isBenign = (reason: ExitReason): boolean =>
  reason === 'normal' || reason === 'shutdown' || (typeof reason === 'object' && reason.type === 'shutdown')

/** Thrown to end the calling process, or its caller, with a reason. A failed call rejects with it. */
export class Exit extends Error {
  readonly reason: ExitReason
  constructor(reason: ExitReason, message = describeReason(reason)) {
    super(message)
    this.name = 'Exit'
    this.reason = reason
  }
}

/** A failed call. `reason` says why; left uncaught it ends the caller with `call_failed`, never with a benign reason. */
export class CallExit extends Exit {
  readonly call: FailedCall
  constructor(why: ExitReason, call: FailedCall) {
    super(why, `call ${call.request} to ${call.target}: ${describeReason(why)}`)
    this.name = 'CallExit'
    this.call = call
  }
}

/** The exit reason of a process that let `thrown` escape (OTP-P4). */
export const reasonOf = (thrown: unknown): ExitReason => {
  if (thrown instanceof CallExit) return { type: 'call_failed', why: thrown.reason, call: thrown.call }
  if (thrown instanceof Exit) return thrown.reason
  if (thrown instanceof Error) return { type: 'error', error: thrown }
  return { type: 'nocatch', value: thrown }
}

/** Equal as Erlang terms are equal: by value. */
export const isSameReason = (a: ExitReason, b: ExitReason): boolean =>
  a === b || (typeof a === 'object' && typeof b === 'object' && a.type === b.type && isDeepStrictEqual(a, b))

/** One line for logs and pages. */
export const describeReason = (reason: ExitReason): string => {
  if (typeof reason === 'string') return reason
  if (reason.type === 'error') return `${reason.error.name}: ${reason.error.message}`
  if (reason.type === 'call_failed') {
    return `call ${reason.call.request} to ${reason.call.target}: ${describeReason(reason.why)}`
  }
  return `${reason.type} ${JSON.stringify(Object.values(reason).slice(1))}`
}
