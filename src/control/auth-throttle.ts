/** Wrong keys per address: a few are told at once, then each waits longer (CTRL-01). A right key is never delayed. */
import { AUTH_FAILURES_PER_MINUTE } from '#config/limits.ts'

const WINDOW_MS = 60_000
const DELAY_MS_MAX = 60_000
/** Addresses remembered; the oldest go first. */
const ADDRESSES_MAX = 10_000

interface Failures {
  windowStartMono: number
  count: number
}

export class AuthThrottle {
  readonly #failures = new Map<string, Failures>()

  /** Counts a failure; returns how long to wait before the next try, 0 while there were few. */
  failed(address: string, nowMono: number): number {
    const known = this.#failures.get(address)
    if (known === undefined || nowMono - known.windowStartMono > WINDOW_MS) {
      this.#remember(address, nowMono)
      return 0
    }
    known.count += 1
    const over = known.count - AUTH_FAILURES_PER_MINUTE
    return over <= 0 ? 0 : Math.min(DELAY_MS_MAX, 1_000 * 2 ** Math.min(over - 1, 10))
  }

  #remember(address: string, nowMono: number): void {
    this.#failures.delete(address)
    if (this.#failures.size >= ADDRESSES_MAX) {
      const oldest = this.#failures.keys().next()
      if (oldest.done !== true) this.#failures.delete(oldest.value)
    }
    this.#failures.set(address, { windowStartMono: nowMono, count: 1 })
  }
}
