/** A WebSocket client over a bare socket that writes whatever a test wants, frames that no library would send included. */
import { randomBytes } from 'node:crypto'
import type { Socket } from 'node:net'

export interface RawFrame {
  readonly fin?: boolean
  /** Reserved bits, as a number 0 to 7. */
  readonly rsv?: number
  readonly opcode: number
  readonly payload?: Uint8Array
  /** Default true: a client must. */
  readonly mask?: boolean
  /** A length other than the payload's own. */
  readonly claimedBytes?: bigint
}
export interface Received {
  readonly opcode: number
  readonly payload: Buffer
}

export const TEXT = 1
export const CONTINUATION = 0
export const BINARY = 2
export const CLOSE = 8
export const PING = 9
export const PONG = 10

export const encodeFrame = (frame: RawFrame): Buffer => {
  const payload = Buffer.from(frame.payload ?? [])
  const first = ((frame.fin ?? true) ? 0x80 : 0) | ((frame.rsv ?? 0) << 4) | frame.opcode
  const masked = frame.mask ?? true
  const length = frame.claimedBytes ?? BigInt(payload.length)
  const head =
    length < 126n
      ? Buffer.from([first, Number(length) | (masked ? 0x80 : 0)])
      : length < 65_536n
        ? Buffer.from([first, 126 | (masked ? 0x80 : 0), Number(length >> 8n), Number(length & 255n)])
        : Buffer.concat([Buffer.from([first, 127 | (masked ? 0x80 : 0)]), bigLength(length)])
  if (!masked) return Buffer.concat([head, payload])
  const key = randomBytes(4)
  const body = payload.map((byte, i) => byte ^ (key[i % 4] ?? 0))
  return Buffer.concat([head, key, body])
}
const bigLength = (length: bigint): Buffer => {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64BE(length)
  return bytes
}

export class RawClient {
  readonly socket: Socket
  readonly received: Received[] = []
  /** The response to the upgrade, head and what came with it. */
  head = ''
  /** Code of the close frame that came, or 1006 where none did. */
  readonly closed: Promise<number>
  #buffer: Buffer = Buffer.alloc(0)
  #upgraded = false
  #waiters: (() => void)[] = []

  constructor(socket: Socket) {
    this.socket = socket
    socket.on('data', (chunk: Buffer) => this.#read(chunk))
    this.closed = new Promise((resolve) => {
      socket.once('close', () => {
        const close = this.received.find(({ opcode }) => opcode === CLOSE)
        resolve(close !== undefined && close.payload.length >= 2 ? close.payload.readUInt16BE(0) : 1006)
        this.#wake()
      })
    })
    socket.on('error', () => socket.destroy())
  }

  /** Sends the upgrade and resolves with the status of its answer. */
  async upgrade(headers: Readonly<Record<string, string>> = {}, path = '/rpc'): Promise<number> {
    const all = {
      host: '127.0.0.1',
      connection: 'Upgrade',
      upgrade: 'websocket',
      'sec-websocket-version': '13',
      'sec-websocket-key': randomBytes(16).toString('base64'),
      ...headers,
    }
    const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`)
    this.socket.write(`GET ${path} HTTP/1.1\r\n${lines.join('')}\r\n`)
    await this.until(() => this.head !== '')
    return Number(this.head.split(' ')[1])
  }

  send(frame: RawFrame): void {
    this.socket.write(encodeFrame(frame))
  }
  text(text: string): void {
    this.send({ opcode: TEXT, payload: Buffer.from(text) })
  }
  texts(): readonly string[] {
    return this.received.filter(({ opcode }) => opcode === TEXT).map(({ payload }) => payload.toString())
  }

  /** Resolves when the condition holds; looks again at each arrival. Rejects when the socket has closed before. */
  async until(holds: () => boolean): Promise<void> {
    while (!holds()) {
      if (this.socket.destroyed) throw new Error('closed before')
      await new Promise<void>((resolve) => this.#waiters.push(resolve))
    }
  }

  #read(chunk: Buffer): void {
    this.#buffer = Buffer.concat([this.#buffer, chunk])
    if (!this.#upgraded) this.#readHead()
    if (this.#upgraded) while (this.#readFrame());
    this.#wake()
  }
  #readHead(): void {
    const end = this.#buffer.indexOf('\r\n\r\n')
    if (end < 0) return
    this.head = this.#buffer.toString()
    this.#upgraded = this.head.startsWith('HTTP/1.1 101')
    this.#buffer = this.#buffer.subarray(end + 4)
  }
  #readFrame(): boolean {
    const bytes = this.#buffer
    if (bytes.length < 2) return false
    const short = (bytes[1] ?? 0) & 127
    const headBytes = short === 127 ? 10 : short === 126 ? 4 : 2
    if (bytes.length < headBytes) return false
    const length = short === 127 ? Number(bytes.readBigUInt64BE(2)) : short === 126 ? bytes.readUInt16BE(2) : short
    if (bytes.length < headBytes + length) return false
    this.received.push({ opcode: (bytes[0] ?? 0) & 15, payload: bytes.subarray(headBytes, headBytes + length) })
    this.#buffer = bytes.subarray(headBytes + length)
    if (this.received.at(-1)?.opcode === CLOSE) this.socket.end(encodeFrame({ opcode: CLOSE }))
    return true
  }
  #wake(): void {
    for (const waiter of this.#waiters.splice(0)) waiter()
  }
}
