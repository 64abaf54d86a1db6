/** A real HTTP receiver inside the test's process: counts open requests, remembers arrivals by `webhook-id`, answers as scripted. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'

export interface Arrival {
  readonly id: string
  readonly method: string
  readonly path: string
  readonly host: string
  /** Names and values as they came. */
  readonly rawHeaders: readonly string[]
  readonly headers: IncomingMessage['headers']
  readonly body: Buffer
  /** When its head had come, on this process's monotonic clock and on the wall clock. */
  readonly atMono: number
  readonly at: number
  /** Number of the TCP connection that carried it, from 1. */
  readonly connection: number
}
export interface Answer {
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Buffer
  /** Before the answer. `hold`: until `release()`. */
  readonly latencyMs?: number
  readonly hold?: boolean
}
export type Script = (arrival: Arrival) => Answer

export class Receiver {
  script: Script
  readonly arrivals: Arrival[] = []
  /** Open requests: from the head until the answer has been handed over, or the socket closed. */
  open = 0
  openMax = 0
  connections = 0
  readonly openByPath = new Map<string, number>()
  readonly openMaxByPath = new Map<string, number>()
  readonly #server = createServer((request, response) => this.#serve(request, response))
  readonly #sockets = new Map<Socket, number>()
  readonly #waiting: { readonly reached: () => boolean; readonly resolve: () => void }[] = []
  #held: (() => void)[] = []

  private constructor(script: Script) {
    this.script = script
    this.#server.on('connection', (socket) => {
      this.connections += 1
      this.#sockets.set(socket, this.connections)
      socket.on('close', () => this.#sockets.delete(socket))
    })
  }

  static async start(script: Script = () => ({}), host = '127.0.0.1'): Promise<Receiver> {
    const receiver = new Receiver(script)
    await new Promise<void>((resolve) => receiver.#server.listen(0, host, resolve))
    return receiver
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }
  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  /** Resolves as soon as it is true; looked at after every arrival and every end. */
  until(reached: () => boolean): Promise<void> {
    if (reached()) return Promise.resolve()
    return new Promise((resolve) => this.#waiting.push({ reached, resolve }))
  }
  untilArrived(count: number): Promise<void> {
    return this.until(() => this.arrivals.length >= count)
  }

  /** Answers what is held. */
  release(): void {
    const held = this.#held
    this.#held = []
    for (const answer of held) answer()
  }

  /** Closes every connection as it is. */
  async stop(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve))
    this.#server.closeAllConnections()
    await closed
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    const chunks: Buffer[] = []
    const path = request.url ?? ''
    const at = { atMono: performance.now(), at: Date.now() }
    this.#count(path, 1)
    let open = true
    const ended = (): void => {
      if (open) this.#count(path, -1)
      open = false
      this.#look()
    }
    response.on('finish', ended).on('close', ended)
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const arrival: Arrival = {
        id: String(request.headers['webhook-id'] ?? ''),
        method: request.method ?? '',
        path,
        host: request.headers.host ?? '',
        rawHeaders: request.rawHeaders,
        headers: request.headers,
        body: Buffer.concat(chunks),
        ...at,
        connection: this.#sockets.get(request.socket) ?? 0,
      }
      this.arrivals.push(arrival)
      this.#answer(response, this.script(arrival))
      this.#look()
    })
  }

  #answer(response: ServerResponse, answer: Answer): void {
    const now = (): void => {
      response.writeHead(answer.status ?? 200, answer.headers ?? {})
      response.end(answer.body ?? 'ok')
    }
    if (answer.hold === true) this.#held.push(now)
    else if (answer.latencyMs === undefined) now()
    else setTimeout(now, answer.latencyMs)
  }

  #count(path: string, change: 1 | -1): void {
    this.open += change
    this.openMax = Math.max(this.openMax, this.open)
    const byPath = (this.openByPath.get(path) ?? 0) + change
    this.openByPath.set(path, byPath)
    this.openMaxByPath.set(path, Math.max(this.openMaxByPath.get(path) ?? 0, byPath))
  }

  #look(): void {
    for (const [i, { reached, resolve }] of [...this.#waiting.entries()].reverse()) {
      if (!reached()) continue
      this.#waiting.splice(i, 1)
      resolve()
    }
  }
}
