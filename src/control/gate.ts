/** Who may come in: the key, the origin, and how often somebody may be wrong (reliability.md C3, CTRL-01, CTRL-07, CTRL-10). */
import type { IncomingMessage } from 'node:http'
import type { StoredKey } from '#store/store.ts'
import type { World } from '#world/world.ts'
import type { AuthThrottle } from './auth-throttle.ts'
import type { Caller } from './caller.ts'
import { callerOf } from './keys.ts'
import type { ErrorData } from './refusal.ts'

export const RPC_PATH = '/rpc'

export type Admission =
  /** Null: no key was shown; it may still come as the first message. */
  | { readonly ok: true; readonly caller: Caller | null }
  | { readonly ok: false; readonly status: number; readonly data: ErrorData }

export interface GateOptions {
  readonly keys: { get(keyId: string): StoredKey | undefined }
  readonly throttle: AuthThrottle
  /** Exact origins of pages that may speak here. */
  readonly origins: ReadonlySet<string>
  readonly world: World
}

export class Gate {
  readonly #options: GateOptions
  constructor(options: GateOptions) {
    this.#options = options
  }

  admit(request: IncomingMessage): Admission {
    const [path, query] = (request.url ?? '').split('?', 2)
    if (path !== RPC_PATH) return refuse(404, 'NOT_FOUND', `there is nothing at this path; the channel is ${RPC_PATH}`)
    if (query !== undefined)
      return refuse(
        400,
        'INVALID_PARAMS',
        'leave out the query: a key goes into the header authorization: Bearer hp_...',
      )
    const { origin } = request.headers
    if (origin !== undefined && !this.#options.origins.has(origin))
      return refuse(403, 'FORBIDDEN', 'this Origin may not speak here; start the daemon with --allow-origin for it')
    return this.#byHeader(request)
  }

  /** What a wrong key is told; each time with more patience. */
  wrongKey(address: string): { readonly status: number; readonly data: ErrorData } {
    const retryAfterMs = this.#options.throttle.failed(address, this.#options.world.monoNow())
    if (retryAfterMs === 0) return { status: 401, data: { code: 'UNAUTHENTICATED', message: WRONG_KEY } }
    return {
      status: 429,
      data: { code: 'RATE_LIMITED', message: `${WRONG_KEY}; wait before the next try`, retryAfterMs },
    }
  }

  withoutKey(): { readonly status: number; readonly data: ErrorData } {
    return { status: 401, data: { code: 'UNAUTHENTICATED', message: NO_KEY } }
  }

  /** Who holds the key, or null. */
  callerOf(key: string): Caller | null {
    return callerOf(key, this.#options.keys, this.#options.world.wallNow())
  }

  #byHeader(request: IncomingMessage): Admission {
    const shown = headerValues(request, 'authorization')
    if (shown.length === 0) return { ok: true, caller: null }
    const key = shown.length === 1 ? /^Bearer ([^\s,]+)$/i.exec(shown[0] ?? '')?.[1] : undefined
    const caller = key === undefined ? null : this.callerOf(key)
    if (caller !== null) return { ok: true, caller }
    return { ok: false, ...this.wrongKey(request.socket.remoteAddress ?? '') }
  }
}

const WRONG_KEY = 'this key is not known here; give one that is, as authorization: Bearer hp_...'
const NO_KEY =
  'give a key: the header authorization: Bearer hp_..., or on a WebSocket authenticate({ key }) as the first message'
export const noKeyData: ErrorData = { code: 'UNAUTHENTICATED', message: NO_KEY }

/** Node keeps only the first of two authorization headers; two are a trick. */
const headerValues = (request: IncomingMessage, name: string): readonly string[] => {
  const values: string[] = []
  for (let i = 0; i < request.rawHeaders.length; i += 2) {
    if (request.rawHeaders[i]?.toLowerCase() === name) values.push(request.rawHeaders[i + 1] ?? '')
  }
  return values
}

const refuse = (status: number, code: ErrorData['code'], message: string): Admission => ({
  ok: false,
  status,
  data: { code, message },
})

/** The daemon's own pages, by every name of the address that it listens on. */
export const ownOrigins = (host: string, port: number): readonly string[] => {
  const names = ['127.0.0.1', 'localhost', '[::1]', host.includes(':') ? `[${host}]` : host]
  return names.map((name) => `http://${name}:${port}`)
}
