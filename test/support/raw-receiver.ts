/**
 * A hostile receiver on a bare TCP socket (node:http refuses to misbehave): it sends exactly the bytes that a test scripts,
 * when the test says.
 */
import { type AddressInfo, createServer, type Socket } from 'node:net'

/** What to do with a connection once its request's head has come. */
export type Behaviour = (connection: RawConnection) => void | Promise<void>

export class RawConnection {
  readonly socket: Socket
  /** Everything received so far. */
  received = Buffer.alloc(0)
  closed = false
  constructor(socket: Socket) {
    this.socket = socket
  }
  write(bytes: string | Buffer): void {
    if (!this.closed) this.socket.write(bytes, 'latin1')
  }
  reset(): void {
    this.socket.resetAndDestroy()
  }
  end(): void {
    this.socket.end()
  }
  /** One piece each `everyMs` until the connection ends. */
  drip(pieces: Iterable<string>, everyMs: number): void {
    const rest = pieces[Symbol.iterator]()
    const timer = setInterval(() => {
      const next = rest.next()
      if (next.done === true || this.closed) clearInterval(timer)
      else this.write(next.value)
    }, everyMs)
    this.socket.on('close', () => clearInterval(timer))
  }
}

export class RawReceiver {
  readonly connections: RawConnection[] = []
  readonly #server
  #changed: (() => void)[] = []

  private constructor(behave: Behaviour, onConnect: Behaviour | null) {
    this.#server = createServer((socket) => {
      const connection = new RawConnection(socket)
      this.connections.push(connection)
      let begun = false
      socket.on('error', () => {
        connection.closed = true
      })
      socket.on('close', () => {
        connection.closed = true
        this.#tell()
      })
      socket.on('data', (chunk) => {
        connection.received = Buffer.concat([connection.received, chunk])
        this.#tell()
        if (begun || onConnect !== null || !connection.received.includes('\r\n\r\n')) return
        begun = true
        void behave(connection)
      })
      if (onConnect !== null) void onConnect(connection)
      this.#tell()
    })
  }

  static async start(
    behave: Behaviour,
    options: { readonly at?: 'head' | 'connect'; readonly host?: string } = {},
  ): Promise<RawReceiver> {
    const receiver = new RawReceiver(behave, options.at === 'connect' ? behave : null)
    await new Promise<void>((resolve) => receiver.#server.listen(0, options.host ?? '127.0.0.1', resolve))
    return receiver
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }
  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }
  get received(): Buffer {
    return Buffer.concat(this.connections.map((connection) => connection.received))
  }
  get open(): number {
    return this.connections.filter((connection) => !connection.closed).length
  }

  until(reached: () => boolean): Promise<void> {
    if (reached()) return Promise.resolve()
    return new Promise((resolve) => {
      const look = (): void => {
        if (reached()) resolve()
        else this.#changed.push(look)
      }
      this.#changed.push(look)
    })
  }

  async stop(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve))
    for (const { socket } of this.connections) socket.destroy()
    await closed
  }

  #tell(): void {
    const changed = this.#changed
    this.#changed = []
    for (const look of changed) look()
  }
}
