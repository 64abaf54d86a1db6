/** A receiver as there are many: it takes its time, and falls over when too many requests are open at once. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { World } from '#world/world.ts'

export interface FragileOptions {
  /** Above so many open requests it falls over. */
  readonly capacity: number
  /** A request takes this long. */
  readonly workMs: number
  /** After a fall nobody is served for this long. */
  readonly downMs: number
}
/** What it has seen so far. */
export interface FragileFigures {
  readonly open: number
  readonly openMost: number
  readonly requests: number
  readonly served: number
  readonly falls: number
}

export class FragileReceiver {
  readonly #world: World
  readonly #options: FragileOptions
  readonly #server: Server
  #open = 0
  #openMost = 0
  #requests = 0
  #served = 0
  #falls = 0
  #downUntilMono = 0

  constructor(world: World, options: FragileOptions) {
    this.#world = world
    this.#options = options
    this.#server = createServer((request, response) => this.#take(request, response))
  }

  /** Resolves with its `host:port`. */
  listen(): Promise<string> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen(0, '127.0.0.1', () => {
        const address = this.#server.address()
        resolve(`127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`)
      })
    })
  }

  figures(): FragileFigures {
    return {
      open: this.#open,
      openMost: this.#openMost,
      requests: this.#requests,
      served: this.#served,
      falls: this.#falls,
    }
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve())
      this.#server.closeAllConnections()
    })
  }

  #take(request: IncomingMessage, response: ServerResponse): void {
    this.#requests += 1
    this.#open += 1
    this.#openMost = Math.max(this.#openMost, this.#open)
    const work = this.#world.setTimer(this.#options.workMs, () => response.end('ok'))
    response.once('finish', () => {
      this.#served += 1
    })
    response.once('close', () => {
      this.#open -= 1
      this.#world.clearTimer(work)
    })
    request.resume()
    if (this.#world.monoNow() < this.#downUntilMono) request.socket.destroy()
    else if (this.#open > this.#options.capacity) this.#fall()
  }

  #fall(): void {
    this.#falls += 1
    this.#downUntilMono = this.#world.monoNow() + this.#options.downMs
    this.#server.closeAllConnections()
  }
}
