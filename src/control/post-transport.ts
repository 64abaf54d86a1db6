/** One `POST /rpc` as a transport: its body is the frame, its response the answer. */
import type { ServerResponse } from 'node:http'
import type { Transport, TransportEvents } from './transport.ts'

export class PostTransport implements Transport {
  readonly address: string
  readonly oneShot = true
  readonly #response: ServerResponse
  #frame: Uint8Array | undefined
  #done = false

  constructor(frame: Uint8Array, response: ServerResponse, address: string) {
    this.#frame = frame
    this.#response = response
    this.address = address
  }

  attach(events: TransportEvents): void {
    this.#response.once('close', events.closed)
    events.frames()
  }
  take(): Uint8Array | undefined {
    const frame = this.#frame
    this.#frame = undefined
    return frame
  }
  pause(): void {}
  resume(): void {}
  send(texts: readonly string[]): void {
    const text = texts[0]
    if (text === undefined || this.#done) return
    this.#done = true
    answerJson(this.#response, 200, text)
  }
  buffered(): number {
    return 0
  }
  ping(): boolean {
    return true
  }
  /** Nothing was to be said: only notifications came. */
  close(): void {
    if (this.#done) return
    this.#done = true
    this.#response.writeHead(204).end()
  }
  terminate(): void {
    if (!this.#done) this.#response.destroy()
    this.#done = true
  }
}

export const answerJson = (
  response: ServerResponse,
  status: number,
  text: string,
  headers: Readonly<Record<string, string>> = {},
): void => {
  response.writeHead(status, {
    'content-type': 'application/json; charset=utf-8',
    'content-length': Buffer.byteLength(text),
    'cache-control': 'no-store',
    ...headers,
  })
  response.end(text)
}
