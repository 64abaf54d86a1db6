/** Random streams of a simulation: one per label, so that a draw more in one shifts no other. */
import { Prng } from '#world/prng.ts'

const hashOf = (text: string): number => {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return (hash >>> 0) & 0xfffff
}

export class Draws {
  readonly #prng: Prng

  constructor(seed: number, label: string) {
    this.#prng = new Prng((seed >>> 0) + hashOf(label) * 2 ** 32)
  }
  /** Uniform in [0, 1). */
  next(): number {
    return this.#prng.next()
  }
  /** Uniform integer, both ends included. */
  between(low: number, high: number): number {
    return low + this.#prng.below(high - low + 1)
  }
  chance(share: number): boolean {
    return this.#prng.next() < share
  }
  oneOf<T>(values: readonly T[]): T {
    const value = values[this.#prng.below(values.length)]
    if (value === undefined) throw new Error('nothing to draw from')
    return value
  }
  /** Small numbers often, large ones sometimes: 10^low to 10^high. */
  spread(low: number, high: number): number {
    return Math.round(10 ** (low + this.#prng.next() * (high - low)))
  }
}
