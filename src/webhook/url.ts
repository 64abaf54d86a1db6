/** Which URLs may be called (reliability.md 5.1), and the guard key of each. Asked at scheduling and again at dispatch. */
import { URL_CHARS_MAX } from '#config/limits.ts'
import { type AddressPolicy, judgeAddress, mayCallPort } from './address.ts'
import { parseAddress } from './address-range.ts'
import { quote, type Refused, refuse } from './refusal.ts'
import type { Domain } from './webhook.ts'

/** A URL taken apart once; nothing later parses it again. */
export interface Target {
  /** Normalised, without fragment: what is stored. */
  readonly url: string
  readonly scheme: 'http:' | 'https:'
  /** Lower-case name without its trailing dot, or an address; IPv6 without brackets. */
  readonly host: string
  readonly port: number
  /** Guard key: the host (IPv6 in brackets), with the port unless it is 80 or 443 (D-13). */
  readonly domain: Domain
}
export type TargetParsed = { readonly ok: true; readonly target: Target } | Refused

/** A convenience for people, not the protection: that is the address policy, which judges what a name resolves to. */
const PRIVATE_SUFFIXES = [
  'localhost',
  'local',
  'localdomain',
  'internal',
  'intranet',
  'lan',
  'home',
  'corp',
  'private',
  'home.arpa',
  'in-addr.arpa',
  'ip6.arpa',
  'svc',
  'cluster.local',
  'onion',
  'invalid',
  'test',
  'example',
]
const LABEL = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/

/** Refusals: url_chars, url_syntax, url_scheme, url_userinfo, url_host, url_port, blocked_target; all of field `field`. */
export const parseTarget = (input: unknown, policy: AddressPolicy, field = 'url'): TargetParsed => {
  if (typeof input !== 'string' || input.length === 0 || input.length > URL_CHARS_MAX)
    return refuse(
      'url_chars',
      field,
      `${field} must be a string of 1 to ${URL_CHARS_MAX} characters, such as "https://api.acme.com/hook"`,
    )
  if (!/^[\x21-\x7E\u00A0-\uFFFF]+$/.test(input) || input.includes('\\'))
    return refuse(
      'url_chars',
      field,
      `${field} ${quote(input)} holds a space, a control character or a backslash; percent-encode it`,
    )
  const url = URL.parse(input)
  if (url === null)
    return refuse(
      'url_syntax',
      field,
      `${field} ${quote(input)} is not an absolute URL such as "https://api.acme.com/hook"`,
    )
  if (url.protocol !== 'https:' && url.protocol !== 'http:')
    return refuse('url_scheme', field, `${field} has the scheme ${quote(url.protocol)}; use https: or http:`)
  if (url.username !== '' || url.password !== '')
    return refuse('url_userinfo', field, `${field} carries a user name or password; send it in an authorization header`)
  const port = Number(url.port || (url.protocol === 'https:' ? 443 : 80))
  return judgeHost(url, url.protocol, port, policy, field)
}

const judgeHost = (
  url: URL,
  scheme: Target['scheme'],
  port: number,
  policy: AddressPolicy,
  field: string,
): TargetParsed => {
  const literal = url.hostname.replace(/^\[(.*)\]$/, '$1')
  const isLiteral = parseAddress(literal) !== null
  const host = isLiteral ? literal : literal.replace(/\.$/, '')
  if (!isLiteral) {
    const refused = judgeName(host, policy, field)
    if (refused !== null) return refused
  }
  if (!mayCallPort(policy, port))
    return refuse(
      'url_port',
      field,
      `${field} names port ${port}, which is not for HTTP; allowed are 80, 443 and most from 1024, others by the option --allow-target <cidr>:${port}`,
    )
  if (isLiteral) {
    const verdict = judgeAddress(policy, host, port)
    if (!verdict.ok) return refuse('blocked_target', field, `${field} names ${host}: ${verdict.why}`)
  }
  const shown = host.includes(':') ? `[${host}]` : host
  url.hash = ''
  url.hostname = shown
  return { ok: true, target: { url: url.href, scheme, host, port, domain: domainKey(shown, port) } }
}

const judgeName = (host: string, policy: AddressPolicy, field: string): Refused | null => {
  const labels = host.split('.')
  if (host.length > 253 || !labels.every((label) => LABEL.test(label)) || /^\d+$/.test(labels.at(-1) ?? ''))
    return refuse('url_host', field, `${field} has the host ${quote(host)}, which is not a DNS name or an IP address`)
  if (policy.allowPrivate) return null
  const suffix = PRIVATE_SUFFIXES.find((s) => host === s || host.endsWith(`.${s}`))
  if (suffix !== undefined)
    return refuse(
      'blocked_target',
      field,
      `${field} names ${quote(host)}, a private name (${suffix}); to call your own network, start with --allow-private`,
    )
  if (labels.length < 2)
    return refuse(
      'url_host',
      field,
      `${field} has the host ${quote(host)}; a public name has a dot (names of your own network: start with --allow-private)`,
    )
  return null
}

const domainKey = (host: string, port: number): Domain => (port === 80 || port === 443 ? host : `${host}:${port}`)

/**
 * A guard key as people type it: `API.Acme.com`, `api.acme.com.:443`, `[::1]:8080`, or a whole URL. Says nothing about
 * whether it may be called: a limit may be set before an address is allowed.
 */
export const parseDomain = (
  input: unknown,
  field = 'domain',
): { readonly ok: true; readonly domain: Domain } | Refused => {
  const wrong = refuse(
    'domain',
    field,
    `${field} ${quote(String(input))} is not host[:port] such as "api.acme.com" or "api.acme.com:8080"`,
  )
  if (typeof input !== 'string' || input.length === 0 || input.length > URL_CHARS_MAX) return wrong
  if (!/^[\x21-\x7E\u00A0-\uFFFF]+$/.test(input) || input.includes('\\')) return wrong
  const url = URL.parse(/^https?:\/\//i.test(input) ? input : `http://${input}`)
  if (url === null || url.username !== '' || url.password !== '' || url.port === '0') return wrong
  if (!/^https?:\/\//i.test(input) && /[/?#@]/.test(input)) return wrong
  const literal = url.hostname.replace(/^\[(.*)\]$/, '$1')
  const host = parseAddress(literal) === null ? url.hostname.replace(/\.$/, '') : url.hostname
  if (parseAddress(literal) === null && !host.split('.').every((label) => LABEL.test(label))) return wrong
  return { ok: true, domain: domainKey(host, Number(url.port || 80)) }
}
