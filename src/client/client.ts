/**
 * The TypeScript client: one method per method of the channel, typed from the same schemas. It reconnects with backoff and
 * jitter, sends again what is safe to send again (idempotency keys are added for the caller), and takes its subscriptions
 * up where they were.
 */
import type { MethodName, ParamsIn, Results, Topic } from '#control/protocol.ts'
import type { TimerHandle, World } from '#world/world.ts'
import { EventStream } from './event-stream.ts'
import { RpcFailure } from './failure.ts'
import { readIncoming } from './frames.ts'
import type { ClientSocket, OpenSocket } from './socket.ts'

export type { EventNotice, ParamsIn, Results } from '#control/protocol.ts'
export { RpcFailure } from './failure.ts'

/** Methods that the caller uses by name. Subscribing and authenticating are the client's own business. */
const NAMES = [
  'scheduleWebhook',
  'scheduleWebhooks',
  'getWebhook',
  'listWebhooks',
  'getAttempts',
  'explainWebhook',
  'cancelWebhook',
  'cancelWebhooks',
  'rescheduleWebhook',
  'runWebhookNow',
  'replayWebhook',
  'replayWebhooks',
  'configureBrandConcurrencyLimit',
  'configureDomainConcurrencyLimit',
  'configureRateLimit',
  'configureBreaker',
  'configureDomainGroup',
  'configureBrandWeight',
  'configureBrandBacklog',
  'pauseDomain',
  'resumeDomain',
  'pauseBrand',
  'resumeBrand',
  'getLimits',
  'listBrands',
  'createApiKey',
  'listApiKeys',
  'revokeApiKey',
  'getMonitor',
  'getGuard',
  'listGuards',
  'forecast',
  'getSupervisionTree',
  'killProcess',
  'backupStore',
  'getInfo',
] as const satisfies readonly MethodName[]
type Named = (typeof NAMES)[number]
/** Not sent again after a lost connection: it may have been done, and doing it twice is not the same. */
const ONCE: ReadonlySet<string> = new Set([
  'killProcess',
  'createApiKey',
  'replayWebhook',
  'replayWebhooks',
  'backupStore',
])

export type Methods = { readonly [M in Named]: (params: ParamsIn<M>) => Promise<Results[M]> }

export interface Client extends Methods {
  call<M extends MethodName>(method: M, params: ParamsIn<M>): Promise<Results[M]>
  /** Events of these topics until it is closed; survives reconnects. */
  subscribe(
    topics: readonly Topic[],
    options?: { readonly domain?: string; readonly fromSeq?: number },
  ): Promise<EventStream>
  /** Every webhook of a list, page by page. */
  webhooks(filter?: Omit<ParamsIn<'listWebhooks'>, 'cursor'>): AsyncIterable<Results['getWebhook']>
  close(): void
}

export interface ConnectOptions {
  /** `http://127.0.0.1:7411`. */
  readonly url: string
  readonly key: string
  readonly open: OpenSocket
  readonly world: Pick<World, 'setTimer' | 'clearTimer' | 'random' | 'randomBytes' | 'wallNow'>
  /** Gives up after this many tries in a row; the first connection counts too. Default: 10. */
  readonly tries?: number
}

const RECONNECT_MS = 100
const RECONNECT_MS_MAX = 5_000
const TRIES = 10

interface Waiting {
  readonly method: string
  readonly text: string
  readonly resolve: (result: unknown) => void
  readonly reject: (failure: RpcFailure) => void
}

/** Resolves when the daemon has let us in. Rejects with RpcFailure (`UNAUTHENTICATED`, `DISCONNECTED`). */
export const connect = async (options: ConnectOptions): Promise<Client> => {
  const connection = new Connection(options)
  await connection.ready()
  const call = <M extends MethodName>(method: M, params: ParamsIn<M>): Promise<Results[M]> =>
    connection.call(method, params) as Promise<Results[M]>
  const methods = Object.fromEntries(NAMES.map((name) => [name, (params: never) => call(name, params)])) as Methods
  return {
    ...methods,
    call,
    subscribe: (topics, of = {}) => connection.subscribe(topics, of.domain, of.fromSeq),
    webhooks: (filter = {}) => pages(call, filter),
    close: () => connection.close(),
  }
}

async function* pages(
  call: (method: 'listWebhooks', params: ParamsIn<'listWebhooks'>) => Promise<Results['listWebhooks']>,
  filter: Omit<ParamsIn<'listWebhooks'>, 'cursor'>,
): AsyncGenerator<Results['getWebhook']> {
  let cursor: string | undefined
  do {
    const page = await call('listWebhooks', cursor === undefined ? filter : { ...filter, cursor })
    yield* page.webhooks
    cursor = page.nextCursor
  } while (cursor !== undefined)
}

class Connection {
  readonly #options: ConnectOptions
  readonly #waiting = new Map<number, Waiting>()
  readonly #streams = new Set<EventStream>()
  #socket: ClientSocket | null = null
  #open = false
  #closed = false
  #lastId = 0
  #failures = 0
  #timer: TimerHandle | null = null
  #readyWaiters: { resolve: () => void; reject: (failure: RpcFailure) => void }[] = []

  constructor(options: ConnectOptions) {
    this.#options = options
    this.#dial()
  }

  ready(): Promise<void> {
    if (this.#open) return Promise.resolve()
    return new Promise((resolve, reject) => this.#readyWaiters.push({ resolve, reject }))
  }

  call(method: string, params: unknown): Promise<unknown> {
    if (this.#closed) return Promise.reject(disconnected('the client is closed'))
    return this.#ask(method, this.#withKeys(method, params))
  }

  async subscribe(
    topics: readonly Topic[],
    domain: string | undefined,
    fromSeq: number | undefined,
  ): Promise<EventStream> {
    const stream = new EventStream(topics, domain, fromSeq, (one) => this.#unsubscribe(one))
    this.#streams.add(stream)
    try {
      await this.#resume(stream)
    } catch (error) {
      this.#streams.delete(stream)
      throw error
    }
    return stream
  }

  close(): void {
    this.#closed = true
    if (this.#timer !== null) this.#options.world.clearTimer(this.#timer)
    for (const stream of this.#streams) stream.end()
    this.#socket?.close()
    this.#giveUp(disconnected('the client was closed'))
  }

  #dial(): void {
    const { url, key, open } = this.#options
    const socket = open(`${url.replace(/^http/, 'ws').replace(/\/$/, '')}/rpc`, key, {
      open: () => {
        if (socket.sendsKey) this.#opened()
        else this.#authenticate(key)
      },
      text: (text) => this.#received(text),
      closed: (why) => this.#lost(why),
    })
    this.#socket = socket
  }

  #authenticate(key: string): void {
    this.#ask('authenticate', { key }, { early: true }).then(
      () => this.#opened(),
      (failure: unknown) => this.#refused(failure),
    )
  }

  #opened(): void {
    this.#open = true
    this.#failures = 0
    for (const { text } of this.#waiting.values()) this.#socket?.send(text)
    for (const stream of this.#streams) if (stream.id !== null) this.#resumeLater(stream)
    for (const { resolve } of this.#readyWaiters.splice(0)) resolve()
  }

  #refused(failure: unknown): void {
    this.#closed = true
    this.#giveUp(failure instanceof RpcFailure ? failure : disconnected(String(failure)))
    this.#socket?.close()
  }

  #lost(why: string): void {
    this.#open = false
    this.#socket = null
    for (const [id, waiting] of this.#waiting) {
      if (!ONCE.has(waiting.method) && waiting.method !== 'authenticate') continue
      this.#waiting.delete(id)
      waiting.reject(disconnected(why))
    }
    if (this.#closed) return
    this.#failures += 1
    if (why.includes('401') || why.includes('429') || this.#failures >= (this.#options.tries ?? TRIES)) {
      this.#closed = true
      return this.#giveUp(this.#refusal(why))
    }
    const backoff = Math.min(RECONNECT_MS_MAX, RECONNECT_MS * 2 ** this.#failures)
    this.#timer = this.#options.world.setTimer(backoff * (0.5 + this.#options.world.random() / 2), () => this.#dial())
  }

  #giveUp(failure: RpcFailure): void {
    for (const { reject } of this.#waiting.values()) reject(failure)
    this.#waiting.clear()
    for (const { reject } of this.#readyWaiters.splice(0)) reject(failure)
    for (const stream of this.#streams) stream.end()
  }

  /** `heard` runs before anything that comes behind the answer is looked at. */
  #ask(
    method: string,
    params: unknown,
    { early = false, heard }: { readonly early?: boolean; readonly heard?: (result: unknown) => void } = {},
  ): Promise<unknown> {
    this.#lastId += 1
    const id = this.#lastId
    const text = JSON.stringify({ jsonrpc: '2.0', id, method, params })
    return new Promise((resolve, reject) => {
      const answered = (result: unknown): void => {
        heard?.(result)
        resolve(result)
      }
      this.#waiting.set(id, { method, text, resolve: answered, reject })
      if (this.#open || early) this.#socket?.send(text)
    })
  }

  #received(text: string): void {
    const incoming = readIncoming(text)
    if (incoming.kind === 'event') {
      for (const stream of this.#streams) if (stream.id === incoming.notice.subscription) stream.push(incoming.notice)
    }
    if (incoming.kind !== 'answer') return
    const waiting = this.#waiting.get(incoming.id)
    this.#waiting.delete(incoming.id)
    if (incoming.ok) waiting?.resolve(incoming.result)
    else waiting?.reject(incoming.failure)
  }

  /** From the last event that was seen, so that nothing is missed and nothing is told twice. */
  async #resume(stream: EventStream): Promise<void> {
    const params = {
      topics: stream.topics,
      ...(stream.domain === undefined ? {} : { filter: { domain: stream.domain } }),
      ...(stream.seq === undefined ? {} : { fromSeq: stream.seq }),
    }
    const heard = (answer: unknown): void => {
      const known = typeof answer === 'object' && answer !== null && 'subscription' in answer
      stream.id = known ? String(answer.subscription) : null
    }
    await this.#ask('subscribe', params, { heard })
  }

  #resumeLater(stream: EventStream): void {
    stream.id = null
    this.#resume(stream).catch(() => stream.end())
  }

  #unsubscribe(stream: EventStream): void {
    this.#streams.delete(stream)
    if (stream.id === null || this.#closed) return
    this.#ask('unsubscribe', { subscription: stream.id }).catch((failure: unknown) => failure)
  }

  /** Schedule calls without a key get one, so that a repetition after a lost connection is no second webhook. */
  #withKeys(method: string, params: unknown): unknown {
    if (typeof params !== 'object' || params === null) return params
    if (method === 'scheduleWebhook') return { idempotencyKey: this.#newKey(), ...params }
    if (method !== 'scheduleWebhooks' || !('webhooks' in params) || !Array.isArray(params.webhooks)) return params
    const stem = this.#newKey()
    const webhooks = params.webhooks.map((one: unknown, i) =>
      typeof one === 'object' && one !== null ? { idempotencyKey: `${stem}-${i}`, ...one } : one,
    )
    return { ...params, webhooks }
  }

  /** Time-ordered, so that the store appends. */
  #newKey(): string {
    const { world } = this.#options
    return `c-${world.wallNow().toString(36)}-${hex(world.randomBytes(12))}`
  }

  /** Says what its reader can mend. */
  #refusal(why: string): RpcFailure {
    const { url } = this.#options
    if (why.includes('401'))
      return new RpcFailure('UNAUTHENTICATED', `${url} does not take the key (${why}): give another`)
    if (why.includes('429'))
      return new RpcFailure('UNAUTHENTICATED', `too many wrong keys at ${url} (${why}): wait a while`)
    return disconnected(`no daemon answers at ${url} (${why}): start it, or give the url where it listens`)
  }
}

const hex = (bytes: Uint8Array): string => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
const disconnected = (why: string): RpcFailure => new RpcFailure('DISCONNECTED', why)
