/**
 * Attempts over HTTP/1.1, in a dispatch thread. Each is our own handler on undici's `dispatch`, one level below `request()`: no
 * stream, promise or abort signal per attempt (measured: about a fifth of the thread's time), and `sent` is exact.
 *
 * The status line decides the outcome (S7). The body is read on for the excerpt and so that the connection can be used again,
 * within BODY_WAIT_MS and RESPONSE_BYTES_MAX; after that its socket is destroyed. An attempt is reported when its request is
 * finished or its socket destroyed, exactly once.
 */
import type { Dispatcher } from 'undici'
import {
  BODY_WAIT_MS,
  EXCERPT_BYTES_MAX,
  RESPONSE_BYTES_MAX,
  RESPONSE_INFOS_MAX,
  SOCKET_CLOSE_SETTLE_MS,
} from '#config/limits.ts'
import type { AddressPolicy } from '#webhook/address.ts'
import { parseRetryAfter } from '#webhook/outcome.ts'
import { type UnpackedRequest, unpackRequest } from '#webhook/request.ts'
import type { ErrorClass, Outcome } from '#webhook/webhook.ts'
import type { World } from '#world/world.ts'
import { Deadlines, Expiring } from './deadlines.ts'
import { failureOf } from './failure.ts'
import type { ThreadOrder, ThreadReport } from './frames.ts'
import { type Origin, Origins } from './origins.ts'
import { JudgedResolver, type Query } from './resolver.ts'
import type { DispatchSettings, LiveSettings } from './settings.ts'

/** What undici is given when we end an exchange ourselves; it comes back to us and is ignored. */
const ENDED_BY_US = new Error('ended by the dispatcher')

export class HttpAttempts {
  readonly world: World
  readonly userAgent: string
  readonly deadlines: Deadlines
  readonly #report: (report: ThreadReport) => void
  readonly #settings: LiveSettings
  readonly #resolver: JudgedResolver
  readonly #origins: Origins
  readonly #open = new Map<number, HttpAttempt>()

  constructor(world: World, settings: DispatchSettings, report: (report: ThreadReport) => void, query?: Query) {
    this.world = world
    this.userAgent = settings.userAgent
    this.deadlines = new Deadlines(world)
    this.#report = report
    this.#settings = { ...settings }
    this.#resolver = new JudgedResolver(world, this.#settings, query)
    this.#origins = new Origins(this.#settings, this.#resolver)
  }

  /** Attempts whose report is still owed, kept origins, cached names. */
  get sizes(): { readonly attempts: number; readonly origins: number; readonly names: number } {
    return { attempts: this.#open.size, origins: this.#origins.size, names: this.#resolver.size }
  }

  start(order: ThreadOrder): void {
    const attempt = new HttpAttempt(this, order)
    this.#open.set(order.handle, attempt)
    attempt.start(order, this.#origins)
  }

  /** Every connection from now on is judged by this one. */
  setPolicy(policy: AddressPolicy): void {
    this.#settings.policy = policy
    this.#origins.forgetIdle()
  }

  /** Destroys its socket; it is reported as in doubt. An unknown handle is ignored. */
  abort(handle: number): void {
    this.#open.get(handle)?.abort()
  }

  ended(attempt: HttpAttempt, report: ThreadReport, origin: Origin | null): void {
    this.#open.delete(attempt.handle)
    if (origin !== null) this.#origins.giveBack(origin)
    this.#report(report)
  }

  /** Destroys every socket. */
  async close(): Promise<void> {
    await this.#origins.close()
  }
}

class HttpAttempt extends Expiring implements Dispatcher.DispatchHandler {
  readonly handle: number
  readonly #attempts: HttpAttempts
  readonly #startedAt: number
  readonly #startedMono: number
  readonly #timeoutMs: number
  #origin: Origin | null = null
  #controller: Dispatcher.DispatchController | null = null
  #sent = false
  #over = false
  #infos = 0
  /** 0 until the status line has come. */
  #status = 0
  #networkMs = 0
  #retryAfterMs: number | null = null
  #excerpt: Uint8Array | null = null
  #bodyBytes = 0

  constructor(attempts: HttpAttempts, order: ThreadOrder) {
    super()
    this.handle = order.handle
    this.#attempts = attempts
    this.#startedAt = attempts.world.wallNow()
    this.#startedMono = attempts.world.monoNow()
    this.#timeoutMs = order.timeoutMs
    attempts.deadlines.set(this, order.timeoutMs, this.#startedMono)
  }

  start(order: ThreadOrder, origins: Origins): void {
    let request: UnpackedRequest
    try {
      request = unpackRequest(order.request)
    } catch (error) {
      return this.#fail('poison', `the stored request cannot be read: ${String(error)}`)
    }
    try {
      this.#origin = origins.take(order.brand, request.origin)
    } catch (error) {
      const failure = failureOf(error, false)
      return this.#fail(failure.error, failure.detail)
    }
    this.#origin.pool.dispatch(
      {
        path: request.path,
        method: request.method,
        headers: this.#headers(request.headers, order.webhookId),
        body: request.body.length === 0 ? null : request.body,
      },
      this,
    )
  }

  /** The client's, then ours, which no client can set (H8). */
  #headers(given: readonly string[], webhookId: string): string[] {
    const headers = [...given]
    headers.push('webhook-id', webhookId, 'webhook-timestamp', String(Math.floor(this.#startedAt / 1_000)))
    headers.push('user-agent', this.#attempts.userAgent, 'accept-encoding', 'identity')
    return headers
  }

  abort(): void {
    if (this.#over) return
    this.#destroy(this.#answered() ?? { kind: 'error', error: 'in_doubt', detail: 'aborted' })
  }

  /** The attempt's deadline before its status line, the wait for its body after it. */
  override expired(): void {
    const error: ErrorClass = this.#sent ? 'timeout' : 'connect_timeout'
    const detail = `no ${this.#sent ? 'answer' : 'connection'} within ${this.#timeoutMs} ms`
    this.#destroy(this.#answered() ?? { kind: 'error', error, detail })
  }

  // What undici says, in this order: start of the request, 1xx, status line, body, end; or an error at any point.

  onRequestStart(controller: Dispatcher.DispatchController): void {
    if (this.#over) return controller.abort(ENDED_BY_US)
    this.#controller = controller
    this.#sent = true
    this.#attempts.world.failpoint('dispatch.send')
  }

  onResponseStart(_: Dispatcher.DispatchController, status: number, headers: Readonly<Record<string, unknown>>): void {
    if (this.#over) return
    if (status < 200 || status > 599) return this.#odd(status)
    this.#status = status
    this.#networkMs = this.#elapsedMs()
    const retryAfter = headers['retry-after']
    if (typeof retryAfter === 'string') this.#retryAfterMs = parseRetryAfter(retryAfter, this.#attempts.world.wallNow())
    this.#attempts.world.failpoint('dispatch.status')
    this.#attempts.deadlines.set(this, BODY_WAIT_MS, this.#startedMono + this.#networkMs)
  }

  #odd(status: number): void {
    this.#attempts.world.failpoint('dispatch.info')
    this.#infos += 1
    if (status >= 100 && status < 200 && this.#infos <= RESPONSE_INFOS_MAX) return
    const detail =
      status >= 100 && status < 200 ? `more than ${RESPONSE_INFOS_MAX} informational answers` : `status ${status}`
    this.#destroy({ kind: 'error', error: 'bad_response', detail })
  }

  onResponseData(_: Dispatcher.DispatchController, chunk: Uint8Array): void {
    if (this.#over) return
    this.#bodyBytes += chunk.length
    if (this.#status < 300 || this.#status >= 400) this.#keep(chunk)
    if (this.#bodyBytes > RESPONSE_BYTES_MAX) this.#destroyAnswered()
  }

  onResponseEnd(): void {
    if (!this.#over) this.#finish(this.#answered() ?? { kind: 'error', error: 'bad_response', detail: 'no status' })
  }

  onResponseError(_: Dispatcher.DispatchController, error: Error): void {
    if (this.#over) return
    const answered = this.#answered()
    if (answered !== null) return this.#finish(answered)
    const failure = failureOf(error, this.#sent)
    this.#fail(failure.error, failure.detail)
  }

  /** A redirect's body is never kept: it may say what an internal target answered. */
  #keep(chunk: Uint8Array): void {
    const have = this.#excerpt?.length ?? 0
    if (have >= EXCERPT_BYTES_MAX) return
    const more = have + chunk.length > EXCERPT_BYTES_MAX ? chunk.subarray(0, EXCERPT_BYTES_MAX - have) : chunk
    this.#excerpt = this.#excerpt === null ? more : Buffer.concat([this.#excerpt, more])
  }

  #answered(): Outcome | null {
    if (this.#status === 0) return null
    return { kind: 'response', status: this.#status, retryAfterMs: this.#retryAfterMs, excerpt: this.#excerpt }
  }

  #destroyAnswered(): void {
    const answered = this.#answered()
    if (!this.#over && answered !== null) this.#destroy(answered)
  }

  #fail(error: ErrorClass, detail: string): void {
    this.#finish({ kind: 'error', error, detail })
  }

  /** Ends the exchange by our own hand; what was sent is reported once the receiver can have seen the close. */
  #destroy(outcome: Outcome): void {
    this.#close()
    this.#controller?.abort(ENDED_BY_US)
    if (this.#sent) this.#attempts.world.setTimer(SOCKET_CLOSE_SETTLE_MS, () => this.#say(outcome))
    else this.#say(outcome)
  }

  #finish(outcome: Outcome): void {
    this.#close()
    this.#say(outcome)
  }

  #close(): void {
    this.#over = true
    if (this.#status === 0) this.#networkMs = this.#elapsedMs()
    this.#attempts.deadlines.lift(this)
  }

  #say(outcome: Outcome): void {
    const endedAt = this.#attempts.world.wallNow()
    this.#attempts.ended(
      this,
      {
        handle: this.handle,
        outcome,
        startedAt: this.#startedAt,
        endedAt,
        networkMs: this.#networkMs,
        sent: this.#sent,
      },
      this.#origin,
    )
  }

  #elapsedMs(): number {
    return this.#attempts.world.monoNow() - this.#startedMono
  }
}
