/** Webhook ids: `msg_` + ULID (https://github.com/ulid/spec), time-ordered so that stores append (D-25). */
import type { Instant, WebhookId } from './webhook.ts'

const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'
const HALF = 2 ** 40
const ID = /^msg_[0-7][0-9A-HJKMNP-TV-Z]{25}$/

export const isWebhookId = (text: string): text is WebhookId => ID.test(text)

/**
 * Gives ids that ascend strictly, also within one millisecond and when the clock steps back (it then goes on from the last
 * one). Random bytes are drawn once per millisecond; the 80 bits are then counted up, as the specification says.
 */
export class WebhookIds {
  #ms = -1
  #time = ''
  /** The random part as two halves of 40 bits. */
  #high = 0
  #low = 0
  #prefix = ''

  next(now: Instant, randomBytes: (length: number) => Uint8Array): WebhookId {
    if (now > this.#ms) this.#draw(now, randomBytes(10))
    else this.#count()
    return this.#prefix + encode(this.#low, 8)
  }

  #draw(now: Instant, random: Uint8Array): void {
    this.#ms = now
    this.#time = encode(now, 10)
    this.#high = half(random, 0)
    this.#low = half(random, 5)
    this.#prefix = `msg_${this.#time}${encode(this.#high, 8)}`
  }

  #count(): void {
    this.#low += 1
    if (this.#low < HALF) return
    this.#low = 0
    this.#high = (this.#high + 1) % HALF
    if (this.#high === 0) this.#time = encode(++this.#ms, 10)
    this.#prefix = `msg_${this.#time}${encode(this.#high, 8)}`
  }
}

const half = (bytes: Uint8Array, offset: number): number => {
  let value = 0
  for (let i = 0; i < 5; i++) value = value * 256 + (bytes[offset + i] ?? 0)
  return value
}

const encode = (value: number, digits: number): string => {
  let text = ''
  let rest = value
  for (let i = 0; i < digits; i++) {
    const next = Math.floor(rest / 32)
    text = ALPHABET.charAt(rest - next * 32) + text
    rest = next
  }
  return text
}
