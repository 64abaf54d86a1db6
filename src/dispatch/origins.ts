/**
 * Connections, one undici pool per (brand, origin): never shared between brands (H3), never limited in number (the guard's
 * permits do that, D-27), forgotten least recently used first.
 */
import { isIP } from 'node:net'
import { getCACertificates } from 'node:tls'
import { buildConnector, Pool } from 'undici'
import {
  CONNECT_MS_MAX,
  IDLE_CONNECTION_MS,
  IDLE_CONNECTION_MS_MAX,
  ORIGINS_MAX,
  RESPONSE_HEADER_BYTES_MAX,
} from '#config/limits.ts'
import { judgeAddress } from '#webhook/address.ts'
import { parseTarget } from '#webhook/url.ts'
import { TargetError } from './failure.ts'
import type { JudgedResolver } from './resolver.ts'
import type { LiveSettings } from './settings.ts'

export interface Origin {
  readonly key: string
  readonly pool: Pool
  /** Attempts that use it now. */
  inUse: number
}

export class Origins {
  readonly #settings: LiveSettings
  readonly #resolver: JudgedResolver
  readonly #origins = new Map<string, Origin>()
  /** Those of them that nobody uses, the one first that has rested longest. Only these are forgotten. */
  readonly #idle = new Map<string, Origin>()
  readonly #certificates: string[] | undefined

  constructor(settings: LiveSettings, resolver: JudgedResolver) {
    this.#settings = settings
    this.#resolver = resolver
    const extra = settings.extraCertificates
    this.#certificates = extra.length === 0 ? undefined : [...getCACertificates('default'), ...extra]
  }

  get size(): number {
    return this.#origins.size
  }

  /** Throws TargetError if the policy refuses the origin (it may have changed since the webhook was scheduled). */
  take(brand: string, origin: string): Origin {
    const key = `${brand} ${origin}`
    let entry = this.#origins.get(key)
    if (entry === undefined) {
      entry = { key, pool: this.#open(origin), inUse: 0 }
      this.#origins.set(key, entry)
    } else this.#idle.delete(key)
    entry.inUse += 1
    this.#keepWithinBound()
    return entry
  }

  giveBack(entry: Origin): void {
    entry.inUse -= 1
    if (entry.inUse > 0) return
    this.#idle.set(entry.key, entry)
    this.#keepWithinBound()
  }

  /** Forgets every idle connection: the policy has changed, and an open one was judged by the old. */
  forgetIdle(): void {
    for (const entry of this.#idle.values()) this.#forget(entry)
  }

  async close(): Promise<void> {
    const open = [...this.#origins.values()]
    this.#origins.clear()
    this.#idle.clear()
    await Promise.all(open.map((entry) => entry.pool.destroy()))
  }

  /** More than ORIGINS_MAX only while all of them are in use. */
  #keepWithinBound(): void {
    if (this.#origins.size <= ORIGINS_MAX) return
    for (const entry of this.#idle.values()) return this.#forget(entry)
  }

  #forget(entry: Origin): void {
    this.#origins.delete(entry.key)
    this.#idle.delete(entry.key)
    entry.pool.destroy(null, () => {})
  }

  #open(origin: string): Pool {
    const parsed = parseTarget(`${origin}/`, this.#settings.policy)
    if (!parsed.ok) throw new TargetError('blocked_target', parsed.refusal.message)
    return new Pool(origin, {
      connect: this.#connector(parsed.target.port),
      pipelining: this.#settings.connectionReuse ? 1 : 0,
      allowH2: false,
      // Our deadline covers what these would, and 1xx or a drip would re-arm them (5.4).
      headersTimeout: 0,
      bodyTimeout: 0,
      maxHeaderSize: RESPONSE_HEADER_BYTES_MAX,
      keepAliveTimeout: IDLE_CONNECTION_MS,
      keepAliveMaxTimeout: IDLE_CONNECTION_MS_MAX,
      strictContentLength: true,
    })
  }

  #connector(port: number): buildConnector.connector {
    const connect = buildConnector({
      timeout: CONNECT_MS_MAX,
      allowH2: false,
      maxCachedSessions: 0,
      keepAlive: false,
      rejectUnauthorized: true,
      minVersion: 'TLSv1.2',
      autoSelectFamily: true,
      ...(this.#certificates === undefined ? {} : { ca: this.#certificates }),
      lookup: (name, options, resolved) =>
        this.#resolver.resolve(name, port, (error, addresses) => {
          const first = addresses[0]
          if (error !== null || first === undefined)
            resolved(error ?? new TargetError('dns_error', `${name}: no address`), [])
          else if (options.all === true) resolved(null, [...addresses])
          else resolved(null, first.address, first.family)
        }),
    })
    return (options, connected) => {
      // Node calls no lookup for an address, so addresses are judged here.
      if (isIP(options.hostname) !== 0) {
        const verdict = judgeAddress(this.#settings.policy, options.hostname, port)
        if (!verdict.ok)
          return connected(new TargetError('blocked_target', `${options.hostname}: ${verdict.why}`), null)
      }
      // The peer is checked inside this callback: a listener on the socket would run after undici had written (5.3).
      connect(options, (...result) => {
        const [error, socket] = result
        if (error !== null || socket === null) return connected(...result)
        const { remoteAddress, remotePort } = socket
        if (remoteAddress === undefined || remotePort === undefined) {
          socket.destroy()
          return connected(Object.assign(new Error('closed at once'), { code: 'ECONNRESET' }), null)
        }
        const verdict = judgeAddress(this.#settings.policy, remoteAddress, remotePort)
        if (verdict.ok) return connected(null, socket)
        socket.destroy()
        connected(new TargetError('blocked_target', `${remoteAddress}: ${verdict.why}`), null)
      })
    }
  }
}
