/** From whatever Node, OpenSSL, c-ares, undici or llhttp throws to the closed list of error classes (H11). */
import type { ErrorClass } from '#webhook/webhook.ts'

/** Why a connection was not even tried, or was dropped before its first byte. */
export class TargetError extends Error {
  override readonly name = 'TargetError'
  readonly error: 'blocked_target' | 'dns_nxdomain' | 'dns_error' | 'in_doubt'
  /** undici fails a request at once for any code that is not one of its own. */
  readonly code: string
  constructor(error: TargetError['error'], detail: string) {
    super(detail)
    this.error = error
    this.code = error
  }
}

export interface Failure {
  readonly error: ErrorClass
  readonly detail: string
}

/** `sent`: a byte of the request was written before it happened. */
export const failureOf = (thrown: unknown, sent: boolean): Failure => {
  if (thrown instanceof TargetError) return { error: thrown.error, detail: thrown.message }
  if (thrown instanceof AggregateError && thrown.errors.length > 0) return failureOf(thrown.errors[0], sent)
  if (!(thrown instanceof Error)) return { error: sent ? 'bad_response' : 'connect_reset', detail: String(thrown) }
  const code = 'code' in thrown && typeof thrown.code === 'string' ? thrown.code : ''
  const detail = code === '' ? thrown.message : `${code}: ${thrown.message}`
  return { error: isTls(code, thrown.message) ?? (sent ? afterSend(code, thrown.message) : beforeSend(code)), detail }
}

const isTls = (code: string, message: string): ErrorClass | null => {
  if (
    /^(?:CERT_|ERR_TLS_CERT|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|HOSTNAME_MISMATCH|INVALID_CA|INVALID_PURPOSE|PATH_LENGTH_EXCEEDED|CRL_|ERROR_IN_CERT)/.test(
      code,
    )
  )
    return 'tls_cert'
  if (/^(?:ERR_TLS_|ERR_SSL_|EPROTO$)/.test(code) || message.includes('before secure TLS connection'))
    return 'tls_handshake'
  return null
}

const beforeSend = (code: string): ErrorClass => {
  switch (code) {
    case 'UND_ERR_CONNECT_TIMEOUT':
    case 'ETIMEDOUT':
      return 'connect_timeout'
    case 'ECONNRESET':
    case 'EPIPE':
    case 'UND_ERR_SOCKET':
      return 'connect_reset'
    case 'UND_ERR_INVALID_ARG':
    case 'UND_ERR_NOT_SUPPORTED':
      // A stored request that cannot be sent by anybody: never retried.
      return 'poison'
    case 'EMFILE':
    case 'ENFILE':
    case 'ENOBUFS':
    case 'ENOMEM':
    case 'EADDRNOTAVAIL':
      // No descriptor, memory or local port is left: the lack is ours. The one class that is never the receiver's; as nothing was
      // sent, the attempt is not in doubt (`isInDoubt`), and is retried whatever the policy says of doubt.
      return 'in_doubt'
    default:
      // Refused, unreachable: no connection came to be; the detail says which.
      return 'connect_refused'
  }
}

const afterSend = (code: string, message: string): ErrorClass => {
  switch (code) {
    case 'UND_ERR_HEADERS_OVERFLOW':
    case 'HPE_HEADER_OVERFLOW':
      return 'too_large_headers'
    case 'UND_ERR_SOCKET':
      return message.startsWith('bad ') ? 'bad_response' : 'reset_after_send'
    case 'ECONNRESET':
    case 'EPIPE':
    case 'ETIMEDOUT':
    case 'ECONNABORTED':
      return 'reset_after_send'
    default:
      return 'bad_response'
  }
}
