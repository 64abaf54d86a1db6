/** What a session speaks through: a WebSocket, or one POST. Frames wait here until the session takes them. */

export interface TransportEvents {
  /** Frames are waiting; said once until all were taken. */
  readonly frames: () => void
  readonly closed: () => void
}

export interface Transport {
  /** Who is at the other end, for counting wrong keys. */
  readonly address: string
  /** True: one frame, one answer, end. */
  readonly oneShot: boolean
  attach(events: TransportEvents): void
  /** The oldest frame that waits. */
  take(): Uint8Array | undefined
  /** Stops reading from the other end; a few frames that were read already may still wait. */
  pause(): void
  resume(): void
  /** One or several answers; they leave together. */
  send(texts: readonly string[]): void
  /** Bytes that the other end has not taken. */
  buffered(): number
  /** Asks for a sign of life; false if the last one was not answered. */
  ping(): boolean
  /** WebSocket close codes (RFC 6455, 7.4). */
  close(code: number, reason: string): void
  /** At once, without a farewell. */
  terminate(): void
}
