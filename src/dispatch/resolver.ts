/**
 * Names to addresses, judged (reliability.md 5.3). Own c-ares channel: neither libuv's four threads (a slow name would delay
 * the others) nor the search domains. Errors never mean "go on".
 */
import { Resolver } from 'node:dns'
import { closeSync, openSync } from 'node:fs'
import { isIP } from 'node:net'
import { devNull } from 'node:os'
import {
  CONNECT_MS_MAX,
  DNS_ADDRESSES_MAX,
  DNS_NAMES_MAX,
  DNS_NEGATIVE_MS,
  DNS_OTHER_FAMILY_MS,
  DNS_QUERY_MS,
  DNS_TTL_MAX_MS,
  DNS_TTL_MIN_MS,
} from '#config/limits.ts'
import { judgeAddress } from '#webhook/address.ts'
import type { World } from '#world/world.ts'
import { TargetError } from './failure.ts'
import type { LiveSettings } from './settings.ts'

export interface ResolvedAddress {
  readonly address: string
  readonly family: 4 | 6
}
interface Answer {
  readonly address: string
  readonly ttlMs: number
}
/** Asks one family; an error has a `code` as c-ares names it. */
export type Query = (
  name: string,
  family: 4 | 6,
  answered: (error: { readonly code?: string | undefined } | null, answers: readonly Answer[]) => void,
) => void

type Found = { readonly addresses: readonly string[] } | { readonly error: TargetError }
interface Entry {
  readonly found: Found
  readonly untilMono: number
}

export class JudgedResolver {
  readonly #world: World
  readonly #settings: LiveSettings
  readonly #query: Query
  readonly #cache = new Map<string, Entry>()
  readonly #waiting = new Map<string, ((found: Found) => void)[]>()

  constructor(world: World, settings: LiveSettings, query: Query = systemQuery(settings.dnsServers)) {
    this.#world = world
    this.#settings = settings
    this.#query = query
  }

  /** Names held in the cache. */
  get size(): number {
    return this.#cache.size
  }

  /** Every address of the name, each of them allowed on this port; one denied refuses them all. Calls back exactly once. */
  resolve(
    name: string,
    port: number,
    resolved: (error: TargetError | null, addresses: readonly ResolvedAddress[]) => void,
  ): void {
    this.#find(name, (found) => {
      if ('error' in found) return resolved(found.error, [])
      for (const address of found.addresses) {
        const verdict = judgeAddress(this.#settings.policy, address, port)
        if (!verdict.ok) return resolved(new TargetError('blocked_target', `${name} is ${address}: ${verdict.why}`), [])
      }
      resolved(
        null,
        found.addresses
          .slice(0, DNS_ADDRESSES_MAX)
          .map((address) => ({ address, family: isIP(address) === 6 ? 6 : 4 })),
      )
    })
  }

  #find(name: string, found: (found: Found) => void): void {
    const local = this.#local(name)
    if (local !== null) return found({ addresses: local })
    const cached = this.#cache.get(name)
    if (cached !== undefined && cached.untilMono > this.#world.monoNow()) {
      // The least recently used name is the first to go.
      this.#cache.delete(name)
      this.#cache.set(name, cached)
      return found(cached.found)
    }
    const waiting = this.#waiting.get(name)
    if (waiting !== undefined) {
      waiting.push(found)
      return
    }
    this.#waiting.set(name, [found])
    this.#ask(name)
  }

  #local(name: string): readonly string[] | null {
    if (!this.#settings.policy.allowPrivate) return null
    if (name === 'localhost' || name.endsWith('.localhost')) return ['127.0.0.1', '::1']
    return Object.hasOwn(this.#settings.hosts, name) ? (this.#settings.hosts[name] ?? null) : null
  }

  #ask(name: string): void {
    const answers: Answer[] = []
    const codes: string[] = []
    let open = 2
    let done = false
    const finish = (found: Found, keepMs: number): void => {
      done = true
      this.#world.clearTimer(timer)
      this.#keep(name, found, keepMs)
      const waiting = this.#waiting.get(name) ?? []
      this.#waiting.delete(name)
      for (const callback of waiting) callback(found)
    }
    let timer = this.#world.setTimer(CONNECT_MS_MAX, () =>
      finish({ error: new TargetError('dns_error', `${name}: no answer within ${CONNECT_MS_MAX} ms`) }, 0),
    )
    const settle = (): void => finish(...settled(name, answers, codes))
    const one = (error: { readonly code?: string | undefined } | null, some: readonly Answer[]): void => {
      if (done) return
      if (error === null) answers.push(...some)
      else codes.push(error.code ?? 'unknown')
      open -= 1
      if (open === 0) return settle()
      // A server that drops the questions of one family must not delay the other (RFC 8305, section 3).
      if (answers.length === 0) return
      this.#world.clearTimer(timer)
      timer = this.#world.setTimer(DNS_OTHER_FAMILY_MS, settle)
    }
    for (const family of [4, 6] as const) this.#askFamily(name, family, one)
  }

  #askFamily(name: string, family: 4 | 6, answered: Parameters<Query>[2]): void {
    try {
      this.#query(`${name}.`, family, answered)
    } catch (error) {
      answered({ code: error instanceof Error ? error.message : 'threw' }, [])
    }
  }

  #keep(name: string, found: Found, keepMs: number): void {
    this.#cache.delete(name)
    if (keepMs <= 0) return
    this.#cache.set(name, { found, untilMono: this.#world.monoNow() + keepMs })
    if (this.#cache.size <= DNS_NAMES_MAX) return
    for (const oldest of this.#cache.keys()) {
      this.#cache.delete(oldest)
      break
    }
  }
}

const settled = (name: string, answers: readonly Answer[], codes: readonly string[]): [Found, number] => {
  if (answers.length > 0) {
    const ttlMs = Math.min(...answers.map((answer) => answer.ttlMs))
    const keepMs = Math.min(Math.max(Number.isFinite(ttlMs) ? ttlMs : 0, DNS_TTL_MIN_MS), DNS_TTL_MAX_MS)
    return [{ addresses: answers.map((answer) => answer.address) }, keepMs]
  }
  const failed = codes.find((code) => code !== 'ENOTFOUND' && code !== 'ENODATA')
  // The one class that is never the receiver's, as where a connection finds no descriptor (failure.ts).
  if (failed === OUT_OF_DESCRIPTORS)
    return [{ error: new TargetError('in_doubt', `${failed}: no descriptor is left to ask for ${name}`) }, 0]
  if (failed !== undefined) return [{ error: new TargetError('dns_error', `${name}: ${failed}`) }, 0]
  const why = codes.includes('ENOTFOUND') ? 'no such name' : 'no address'
  return [{ error: new TargetError('dns_nxdomain', `${name}: ${why}`) }, DNS_NEGATIVE_MS]
}

const OUT_OF_DESCRIPTORS = 'EMFILE'

/** c-ares says ECONNREFUSED where it could open no socket, as where nobody listens at the resolver's port. */
const noDescriptorIsLeft = (): boolean => {
  try {
    closeSync(openSync(devNull, 'r'))
    return false
  } catch (error) {
    if (error instanceof Error && 'code' in error) return error.code === 'EMFILE' || error.code === 'ENFILE'
    throw error
  }
}

/** The system's resolver, with `servers` (`address[:port]`) instead of those of the system. */
export const systemQuery = (servers: readonly string[] | null): Query => {
  // Without `maxTimeout` c-ares waits twice as long in the second try, beyond the connection's deadline.
  const resolver = new Resolver({ timeout: DNS_QUERY_MS, maxTimeout: DNS_QUERY_MS, tries: 2 })
  if (servers !== null) resolver.setServers(servers)
  return (name, family, answered) => {
    const done = (error: NodeJS.ErrnoException | null, records: { address: string; ttl: number }[]): void =>
      error === null
        ? answered(
            null,
            records.map(({ address, ttl }) => ({ address, ttlMs: ttl * 1_000 })),
          )
        : answered(error.code === 'ECONNREFUSED' && noDescriptorIsLeft() ? { code: OUT_OF_DESCRIPTORS } : error, [])
    if (family === 4) resolver.resolve4(name, { ttl: true }, done)
    else resolver.resolve6(name, { ttl: true }, done)
  }
}
