/** A WebSocket as a transport, with the guards of reliability.md CTRL-02 and CTRL-04 that ws itself does not have. */
import type { Duplex } from 'node:stream'
import type { RawData, WebSocket } from 'ws'
import { MESSAGE_AGE_MS_MAX, PINGS_PER_SECOND_MAX } from '#config/limits.ts'
import type { World } from '#world/world.ts'
import type { Transport, TransportEvents } from './transport.ts'

export const CLOSE_GOING_AWAY = 1001
export const CLOSE_UNSUPPORTED = 1003
export const CLOSE_POLICY = 1008
export const CLOSE_UNAUTHENTICATED = 4401

export class SocketTransport implements Transport {
  readonly address: string
  readonly oneShot = false
  readonly #ws: WebSocket
  readonly #socket: Duplex
  readonly #world: World
  readonly #inbox: Uint8Array[] = []
  #taken = 0
  #events: TransportEvents | null = null
  #closed = false
  #closing = false
  /** ws found the protocol broken; it says so to the other end and closes by itself. */
  #failed = false
  #paused = false
  /** Monotonic instant since which bytes came without completing a message; null: none. */
  #partialSince: number | null = null
  #whole = false
  #pingSecond = 0
  #pings = 0
  #unanswered = 0

  constructor(ws: WebSocket, socket: Duplex, address: string, world: World) {
    this.#ws = ws
    this.#socket = socket
    this.#world = world
    this.address = address
    ws.on('message', (data: RawData, isBinary: boolean) => this.#received(data, isBinary))
    ws.on('ping', () => this.#pinged())
    ws.on('pong', () => {
      this.#whole = true
      this.#unanswered = 0
    })
    ws.on('error', () => {
      this.#failed = true
    })
    ws.on('close', () => {
      this.#closed = true
      this.#events?.closed()
    })
    socket.on('data', () => this.#watchAge())
  }

  attach(events: TransportEvents): void {
    this.#events = events
    if (this.#inbox.length > 0) events.frames()
    if (this.#closed) events.closed()
  }

  take(): Uint8Array | undefined {
    if (this.#closing) return undefined
    const frame = this.#inbox[this.#taken]
    if (frame === undefined) return undefined
    this.#taken += 1
    if (this.#taken === this.#inbox.length) {
      this.#inbox.length = 0
      this.#taken = 0
    }
    return frame
  }

  pause(): void {
    if (this.#paused) return
    this.#paused = true
    this.#ws.pause()
  }

  resume(): void {
    if (!this.#paused) return
    this.#paused = false
    this.#partialSince = null
    this.#ws.resume()
  }

  send(texts: readonly string[]): void {
    if (this.#closed || this.#closing) return
    this.#socket.cork()
    for (const text of texts) this.#ws.send(text)
    this.#socket.uncork()
  }

  buffered(): number {
    return this.#ws.bufferedAmount
  }

  ping(): boolean {
    if (this.#closed || this.#failed) return false
    if (this.#unanswered >= 2) return false
    this.#unanswered += 1
    this.#ws.ping()
    return true
  }

  /** What still comes in is not looked at. */
  close(code: number, reason: string): void {
    this.#closing = true
    this.#ws.close(code, reason)
    // ws reads on for the farewell of the other end.
    this.resume()
  }

  terminate(): void {
    this.#ws.terminate()
  }

  #received(data: RawData, isBinary: boolean): void {
    this.#whole = true
    this.#partialSince = null
    if (this.#closing) return
    this.#world.failpoint('control.received')
    if (isBinary) return this.close(CLOSE_UNSUPPORTED, 'send text frames')
    if (!(data instanceof Uint8Array)) return this.terminate()
    this.#inbox.push(data)
    if (this.#inbox.length - this.#taken === 1) this.#events?.frames()
  }

  #pinged(): void {
    this.#whole = true
    const second = Math.floor(this.#world.monoNow() / 1_000)
    if (second !== this.#pingSecond) this.#pings = 0
    this.#pingSecond = second
    this.#pings += 1
    if (this.#pings > PINGS_PER_SECOND_MAX) this.close(CLOSE_POLICY, 'too many pings')
  }

  /** Runs after ws has read the same bytes. Frames of one message may be many, but not for ever. */
  #watchAge(): void {
    const whole = this.#whole
    this.#whole = false
    if (whole) return
    const now = this.#world.monoNow()
    this.#partialSince ??= now
    if (now - this.#partialSince > MESSAGE_AGE_MS_MAX) this.close(CLOSE_POLICY, 'a message took too long')
  }
}
