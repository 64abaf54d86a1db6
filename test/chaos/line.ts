/** A client's line to whichever daemon answers now; and what becomes of a question on it. */
import { type ControlClient, RpcError } from '#test/support/control-client.ts'
import type { Watch } from './watch.ts'

const AGAIN_MS = 50
/** Beyond the daemon's own REQUEST_MS_MAX, and what it was stopped for. */
const SILENT_MS = 30_000
/** The words of a refusal after which nothing of it is stored. */
const NOTHING_DONE = 'nothing was done'

export type Told<Value> =
  | { readonly kind: 'yes'; readonly value: Value }
  /** `forSure`: the daemon says that nothing was done. */
  | { readonly kind: 'no'; readonly code: string; readonly forSure: boolean; readonly retryAfterMs: number }
  /** The line was cut, or the daemon does not know. */
  | { readonly kind: 'unsure'; readonly why: string }

export class Line {
  readonly #watch: Watch
  #client: Promise<ControlClient> | null = null
  /** Questions that got no answer on a line that stayed open. */
  silent = 0

  constructor(watch: Watch) {
    this.#watch = watch
  }

  /** Asks once. */
  async ask<Value>(question: (client: ControlClient) => Promise<Value>): Promise<Told<Value>> {
    const client = await this.#connected()
    try {
      return { kind: 'yes', value: await this.#within(question(client), client) }
    } catch (error) {
      if (error instanceof RpcError && error.data !== undefined) return refusal(error.data)
      return { kind: 'unsure', why: error instanceof Error ? error.name : String(error) }
    }
  }
  /** Asks in the same words until it is answered. */
  async patiently<Value>(question: (client: ControlClient) => Promise<Value>): Promise<Value> {
    for (;;) {
      const told = await this.ask(question)
      if (told.kind === 'yes') return told.value
      await pause(told.kind === 'no' ? told.retryAfterMs : AGAIN_MS)
    }
  }

  #connected(): Promise<ControlClient> {
    this.#client ??= this.#connect()
    return this.#client
  }
  async #connect(): Promise<ControlClient> {
    for (;;) {
      const daemon = await this.#watch.daemon()
      const tried = await daemon.connect().catch((error: unknown) => error)
      if (tried instanceof Error) await pause(AGAIN_MS)
      else {
        const client = tried as ControlClient
        void client.closed.then(() => {
          this.#client = null
        })
        return client
      }
    }
  }
  async #within<Value>(answer: Promise<Value>, client: ControlClient): Promise<Value> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => {
        this.silent += 1
        void client.close()
        reject(new Error(`no answer within ${SILENT_MS} ms`))
      }, SILENT_MS)
    })
    try {
      return await Promise.race([answer, late])
    } finally {
      clearTimeout(timer)
    }
  }
}

const refusal = ({ code, message, retryAfterMs = AGAIN_MS }: NonNullable<RpcError['data']>): Told<never> =>
  code === 'TIMEOUT'
    ? { kind: 'unsure', why: code }
    : { kind: 'no', code, forSure: message.includes(NOTHING_DONE), retryAfterMs }

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, Math.max(0, ms)))
