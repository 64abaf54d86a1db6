/**
 * Which network addresses may be called (reliability.md 5.2). Decided on the binary address, never on its text: prefix
 * tests on text missed `fe81::` and every alternative spelling in real products.
 */
import { type AddressRange, parseAddress, parseRange, rangeHolds } from './address-range.ts'

/** Denied to everybody, lifted by `--allow-private` where `private` says so, or by `--allow-target`. */
const DENIED_V4: readonly (readonly [cidr: string, why: string])[] = [
  ['0.0.0.0/8', 'this network'],
  ['10.0.0.0/8', 'private'],
  ['100.64.0.0/10', 'shared address space'],
  ['127.0.0.0/8', 'loopback'],
  ['168.63.129.16/32', 'cloud host agent'],
  ['169.254.0.0/16', 'link-local'],
  ['172.16.0.0/12', 'private'],
  ['192.0.0.0/24', 'protocol assignments'],
  ['192.0.2.0/24', 'documentation'],
  ['192.31.196.0/24', 'AS112'],
  ['192.52.193.0/24', 'AMT'],
  ['192.88.99.0/24', 'retired 6to4 relays'],
  ['192.168.0.0/16', 'private'],
  ['192.175.48.0/24', 'AS112'],
  ['198.18.0.0/15', 'benchmarking'],
  ['198.51.100.0/24', 'documentation'],
  ['203.0.113.0/24', 'documentation'],
  ['224.0.0.0/4', 'multicast'],
  ['240.0.0.0/4', 'reserved'],
]
const ALLOWED_V6 = '2000::/3'
const DENIED_V6: readonly (readonly [cidr: string, why: string])[] = [
  ['2001::/23', 'protocol assignments'],
  ['2001:db8::/32', 'documentation'],
  ['2002::/16', '6to4'],
  ['2620:4f:8000::/48', 'AS112'],
  ['3fff::/20', 'documentation'],
]
/** What `--allow-private` opens: loopback, RFC 1918, unique local addresses. */
const PRIVATE = ['127.0.0.0/8', '10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '::1/128', 'fc00::/7']
/** What no option opens: metadata services, link-local, "this network", multicast. */
const NEVER = [
  '0.0.0.0/8',
  '100.100.100.200/32',
  '168.63.129.16/32',
  '169.254.0.0/16',
  '192.0.0.192/32',
  '224.0.0.0/4',
  '255.255.255.255/32',
  '::/128',
  'fd00:ec2::254/128',
  'fd20:ce::254/128',
  'fe80::/10',
  'ff00::/8',
]
/** Forms that carry an IPv4 address: byte offset of it. What is never allowed stays so in each of these clothes. */
const EMBEDS_V4: readonly (readonly [cidr: string, offset: number])[] = [
  ['::ffff:0:0/96', 12],
  ['::/96', 12],
  ['64:ff9b::/96', 12],
  ['2002::/16', 2],
]

const range = (cidr: string): AddressRange => {
  const parsed = parseRange(cidr)
  if (parsed === null) throw new Error(`bad range in the table: ${cidr}`)
  return parsed
}
const withWhy = (table: readonly (readonly [string, string])[]) =>
  table.map(([cidr, why]) => ({ range: range(cidr), cidr, why }))

const DENIED = [...withWhy(DENIED_V4), ...withWhy(DENIED_V6)]
const GLOBAL_V6 = range(ALLOWED_V6)
/** Lies inside `::/96`, but carries no IPv4 address. */
const LOOPBACK_V6 = range('::1/128')
const PRIVATE_RANGES = PRIVATE.map(range)
const NEVER_RANGES = NEVER.map(range)
const EMBEDDING_RANGES = EMBEDS_V4.map(([cidr, offset]) => ({ range: range(cidr), offset }))

/** `--allow-target <cidr>[:ports]`, parsed. */
export interface AllowedTarget {
  readonly range: AddressRange
  /** Inclusive port ranges; null: the ports that are allowed by default. */
  readonly ports: readonly (readonly [from: number, to: number])[] | null
}
/** What the operator configured. Plain data, so it can be given to the dispatch threads. */
export interface AddressPolicy {
  readonly allowPrivate: boolean
  readonly allowTargets: readonly AllowedTarget[]
  /** Our own listeners and stores: never called, whatever is allowed. `port` null: every port. */
  readonly denyTargets: readonly DeniedTarget[]
}
export interface DeniedTarget {
  readonly range: AddressRange
  readonly port: number | null
}
export const PUBLIC_ONLY: AddressPolicy = { allowPrivate: false, allowTargets: [], denyTargets: [] }

export type AddressVerdict = { readonly ok: true } | { readonly ok: false; readonly why: string }
const ALLOWED: AddressVerdict = { ok: true }
const denied = (why: string): AddressVerdict => ({ ok: false, why })

/** May this address be called on this port? Text that is no plain address is refused. `why` names the cure where there is one. */
export const judgeAddress = (policy: AddressPolicy, text: string, port: number): AddressVerdict => {
  const address = parseAddress(text)
  if (address === null) return denied('not an IP address')
  const embedded = embeddedV4(address)
  if (isNever(address) || (embedded !== null && isNever(embedded))) return denied('an address that is never called')
  if (isOurs(policy, address, port) || (embedded !== null && isOurs(policy, embedded, port)))
    return denied("the daemon's own address")
  const targets = policy.allowTargets.filter((target) => rangeHolds(target.range, address))
  if (targets.some((target) => portListed(target, port))) return ALLOWED
  if (!isDefaultPort(port)) return denied(`port ${port}: to allow it, start with --allow-target ${text}:${port}`)
  if (targets.some((target) => target.ports === null)) return ALLOWED
  if (policy.allowPrivate && PRIVATE_RANGES.some((r) => rangeHolds(r, address))) return ALLOWED
  return judgeClass(address, text)
}

const judgeClass = (address: Uint8Array, text: string): AddressVerdict => {
  if (address.length === 16 && !rangeHolds(GLOBAL_V6, address))
    return denied(cure('not a global address', address, text))
  if (address.length === 16 && isIsatap(address)) return denied('ISATAP, which carries another address')
  const hit = DENIED.find((entry) => rangeHolds(entry.range, address))
  return hit === undefined ? ALLOWED : denied(cure(`${hit.why} (${hit.cidr})`, address, text))
}

const cure = (why: string, address: Uint8Array, text: string): string =>
  PRIVATE_RANGES.some((r) => rangeHolds(r, address))
    ? `${why}: to call your own network, start with --allow-private or --allow-target ${text}`
    : why

const isNever = (address: Uint8Array): boolean => NEVER_RANGES.some((r) => rangeHolds(r, address))

const isOurs = (policy: AddressPolicy, address: Uint8Array, port: number): boolean =>
  policy.denyTargets.some((ours) => (ours.port === null || ours.port === port) && rangeHolds(ours.range, address))

const embeddedV4 = (address: Uint8Array): Uint8Array | null => {
  if (address.length !== 16 || rangeHolds(LOOPBACK_V6, address)) return null
  const form = EMBEDDING_RANGES.find((entry) => rangeHolds(entry.range, address))
  return form === undefined ? null : address.subarray(form.offset, form.offset + 4)
}

/** Interface id `0000:5efe:…` or `0200:5efe:…`. */
const isIsatap = (a: Uint8Array): boolean =>
  (a[8] === 0 || a[8] === 2) && a[9] === 0 && a[10] === 0x5e && a[11] === 0xfe

/**
 * Ports that speak something other than HTTP. Below 1024 only 80 and 443; above it, the "bad ports" of WHATWG Fetch and
 * well-known databases.
 */
const BAD_PORTS = new Set([
  1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080,
  2375, 3306, 5432, 6379, 9200, 11211, 27017,
])
export const isDefaultPort = (port: number): boolean =>
  port === 80 || port === 443 || (port >= 1024 && port <= 65_535 && !BAD_PORTS.has(port))

const portListed = (target: AllowedTarget, port: number): boolean =>
  target.ports?.some(([from, to]) => port >= from && port <= to) ?? false

/** Can this port be called on any address at all? For names, whose address is not known yet. */
export const mayCallPort = (policy: AddressPolicy, port: number): boolean =>
  port !== 0 && (isDefaultPort(port) || policy.allowTargets.some((target) => portListed(target, port)))

/**
 * Parses `--allow-target`: `10.0.0.0/8`, `10.1.2.3:8080`, `192.168.0.0/16:80,9000-9100`, `fd00::/8:443`, `[::1]:8080`.
 * Without ports the ports allowed by default. Null if it is none of that.
 */
export const parseAllowedTarget = (text: string): AllowedTarget | null => {
  const match =
    /^(?:\[([0-9a-fA-F:.]+)\](\/\d{1,3})?|([0-9.]+(?:\/\d{1,2})?)|([0-9a-fA-F:.]+\/\d{1,3})|([0-9a-fA-F:.]+))(?::([\d,-]+))?$/.exec(
      text,
    )
  if (match === null) return null
  const cidr = match[1] === undefined ? (match[3] ?? match[4] ?? match[5] ?? '') : `${match[1]}${match[2] ?? ''}`
  const parsed = parseRange(cidr) ?? parseRange(text)
  if (parsed === null) return null
  if (match[6] === undefined || parseRange(cidr) === null) return { range: parsed, ports: null }
  const ports = match[6].split(',').map(parsePorts)
  return ports.every((p) => p !== null) ? { range: parsed, ports } : null
}

const parsePorts = (text: string): readonly [number, number] | null => {
  const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text)
  if (match === null) return null
  const from = Number(match[1])
  const to = Number(match[2] ?? match[1])
  return from >= 1 && from <= to && to <= 65_535 ? [from, to] : null
}

/**
 * What a listener of ours on `host` denies. `local`: the addresses of this machine, which a wildcard listens on. A host that is
 * neither an address nor `localhost` denies nothing here: give its addresses.
 */
export const deniedListener = (host: string, port: number, local: readonly string[]): DeniedTarget[] => {
  const all = ['127.0.0.0/8', '::1', ...local]
  const hosts: Readonly<Record<string, readonly string[]>> = {
    localhost: ['127.0.0.1', '::1'],
    '0.0.0.0': all.filter((address) => !address.includes(':')),
    '::': all,
  }
  const texts = Object.hasOwn(hosts, host) ? (hosts[host] ?? []) : [host]
  return texts.flatMap((text) => {
    const parsed = parseRange(text)
    return parsed === null ? [] : [{ range: parsed, port }]
  })
}
