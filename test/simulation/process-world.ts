/** The world as one process sees it: with the process everything ends that it had set going, at once and silently (kill -9). */
import type { VirtualWorld } from '#world/virtual-world.ts'
import type { TimerHandle, World } from '#world/world.ts'

export class ProcessWorld implements World {
  alive = true
  readonly #world: VirtualWorld
  readonly #timers = new Set<TimerHandle>()
  readonly #passage: (name: string) => void

  /** `passage` hears of every failpoint that is reached. */
  constructor(world: VirtualWorld, passage: (name: string) => void) {
    this.#world = world
    this.#passage = passage
  }

  wallNow(): number {
    return this.#world.wallNow()
  }
  monoNow(): number {
    return this.#world.monoNow()
  }
  setTimer(delayMs: number, callback: () => void): TimerHandle {
    if (!this.alive) return { dueMono: Number.POSITIVE_INFINITY }
    const timer = this.#world.setTimer(delayMs, () => {
      this.#timers.delete(timer)
      if (this.alive) callback()
    })
    this.#timers.add(timer)
    return timer
  }
  clearTimer(timer: TimerHandle): void {
    this.#timers.delete(timer)
    this.#world.clearTimer(timer)
  }
  soon(callback: () => void): void {
    this.#world.soon(() => {
      if (this.alive) callback()
    })
  }
  yieldToIo(callback: () => void): void {
    this.#world.yieldToIo(() => {
      if (this.alive) callback()
    })
  }
  random(): number {
    return this.#world.random()
  }
  randomBytes(length: number): Uint8Array {
    return this.#world.randomBytes(length)
  }
  failpoint(name: string): void {
    if (this.alive) this.#passage(name)
  }

  get timersPending(): number {
    return this.#timers.size
  }
  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.setTimer(ms, resolve))
  }
  kill(): void {
    this.alive = false
    for (const timer of this.#timers) this.#world.clearTimer(timer)
    this.#timers.clear()
  }
}
