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
  | { readonly type: 'bad_return_value'; readonly value: unknown }
  | { readonly type: 'undef'; readonly callback: string }
  | { readonly type: 'term'; readonly term: unknown }

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

/** One line for logs and pages. */
export const describeReason = (reason: ExitReason): string => {
  if (typeof reason === 'string') return reason
  if (reason.type === 'error') return `${reason.error.name}: ${reason.error.message}`
  return `${reason.type} ${JSON.stringify(Object.values(reason).slice(1))}`
}
