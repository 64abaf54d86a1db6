/** Requests whose answers are fetched later, alone or as a collection (gen_server:send_request and its kin, OTP-G8). For async code. */
import type { ExitReason } from './exit.ts'
import type { Kernel } from './kernel.ts'
import type { Pid } from './pid.ts'
import type { Process, Settled } from './process.ts'

export type Response =
  | { readonly type: 'reply'; readonly value: unknown }
  | { readonly type: 'error'; readonly reason: ExitReason }

export class AsyncRequest {
  private readonly kernel: Kernel
  private answer: Response | null = null
  private waiting: (() => void)[] = []

  constructor(kernel: Kernel, caller: Process | null, to: Pid | string, message: unknown) {
    this.kernel = kernel
    kernel.ask(to, caller, message, Number.POSITIVE_INFINITY, (_request, answer) => this.settle(answer))
  }
  private settle(answer: Settled): void {
    this.answer ??= answer.ok ? { type: 'reply', value: answer.value } : { type: 'error', reason: answer.reason }
    for (const wake of this.waiting.splice(0)) wake()
  }

  /** The answer if it is there, else null. */
  check(): Response | null {
    return this.answer
  }
  /** After a timeout the request lives on, and may be waited for again. */
  wait(timeoutMs: number): Promise<Response | 'timeout'> {
    if (this.answer !== null) return Promise.resolve(this.answer)
    return new Promise((resolve) => {
      const bounded = timeoutMs !== Number.POSITIVE_INFINITY
      const limit = bounded ? this.kernel.wheel.after(timeoutMs, () => resolve(this.answer ?? 'timeout')) : null
      this.onAnswer(() => {
        if (limit !== null) this.kernel.wheel.cancel(limit)
        resolve(this.answer ?? 'timeout')
      })
    })
  }
  /** After a timeout the request is abandoned: its answer is never seen. */
  async receive(timeoutMs: number): Promise<Response | 'timeout'> {
    const response = await this.wait(timeoutMs)
    if (response === 'timeout') this.answer = { type: 'error', reason: 'timeout' }
    return response
  }
  onAnswer(wake: () => void): void {
    if (this.answer !== null) return wake()
    this.waiting.push(wake)
  }
}

export interface Collected {
  readonly response: Response
  readonly label: unknown
}

/** Answers of many requests, as they arrive, each with its label. */
export class RequestCollection {
  private readonly kernel: Kernel
  private readonly labels = new Map<AsyncRequest, unknown>()
  private readonly arrived: AsyncRequest[] = []
  private waiting: (() => void) | null = null

  constructor(kernel: Kernel) {
    this.kernel = kernel
  }
  get size(): number {
    return this.labels.size
  }
  /** Throws if it is in already. */
  add(request: AsyncRequest, label: unknown): void {
    if (this.labels.has(request)) throw new Error('badarg: the request is in the collection already')
    this.labels.set(request, label)
    request.onAnswer(() => {
      this.arrived.push(request)
      this.waiting?.()
    })
  }
  /** The next answer, taken out of the collection; `no_request` when it is empty. */
  async receive(timeoutMs: number): Promise<Collected | 'timeout' | 'no_request'> {
    if (this.labels.size === 0) return 'no_request'
    if (this.arrived.length === 0) await this.nextArrival(timeoutMs)
    const request = this.arrived.shift()
    const response = request?.check() ?? null
    if (request === undefined || response === null) return 'timeout'
    const label = this.labels.get(request)
    this.labels.delete(request)
    return { response, label }
  }
  private nextArrival(timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.waiting = resolve
      if (timeoutMs !== Number.POSITIVE_INFINITY) this.kernel.wheel.after(timeoutMs, resolve)
    })
  }
}
