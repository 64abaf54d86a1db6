/**
 * The world as one process sees it: with the process everything ends that it had set going, at once and silently (kill -9). It
 * may stand still for a while (SIGSTOP), and its monotonic clock with it (the machine sleeps: CLOCK_MONOTONIC stops then).
 */
import type { VirtualWorld } from '#world/virtual-world.ts'
import type { LoadProbe, TimerHandle, World } from '#world/world.ts'

class ProcessTimer implements TimerHandle {
  readonly dueMono: number
  readonly callback: () => void
  inner: TimerHandle | null = null
  constructor(dueMono: number, callback: () => void) {
    this.dueMono = dueMono
    this.callback = callback
  }
}

const FRACTION_MS = 1e-6

export class ProcessWorld implements World {
  alive = true
  readonly #world: VirtualWorld
  readonly #timers = new Set<ProcessTimer>()
  readonly #passage: (name: string) => void
  /** Standing still until then, on the world's clock. */
  #stillUntil = Number.NEGATIVE_INFINITY
  /** What came meanwhile, in its order. */
  #held: (() => void)[] = []
  /** How far its monotonic clock is behind the world's. */
  #behindMs = 0

  /** `passage` hears of every failpoint that is reached. */
  constructor(world: VirtualWorld, passage: (name: string) => void) {
    this.#world = world
    this.#passage = passage
  }

  wallNow(): number {
    return this.#world.wallNow()
  }
  monoNow(): number {
    return this.#world.monoNow() - this.#behindMs
  }
  monoAt(wall: number): number {
    return this.#world.monoAt(wall) - this.#behindMs
  }
  setTimer(delayMs: number, callback: () => void): TimerHandle {
    if (!this.alive) return { dueMono: Number.POSITIVE_INFINITY }
    const timer = new ProcessTimer(this.monoNow() + Math.max(0, delayMs), callback)
    this.#timers.add(timer)
    this.#set(timer, delayMs)
    return timer
  }
  clearTimer(timer: TimerHandle): void {
    if (!(timer instanceof ProcessTimer)) return
    this.#timers.delete(timer)
    if (timer.inner !== null) this.#world.clearTimer(timer.inner)
  }
  soon(callback: () => void): void {
    this.#world.soon(() => this.run(callback))
  }
  yieldToIo(callback: () => void): void {
    this.#world.yieldToIo(() => this.run(callback))
  }
  watchLoad(): LoadProbe {
    return this.#world.watchLoad()
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
  /** Now, or when it moves again; never in a dead process. */
  run(callback: () => void): void {
    if (!this.alive) return
    if (this.isStill) this.#held.push(callback)
    else callback()
  }
  get isStill(): boolean {
    return this.#stillUntil > this.#world.monoNow()
  }
  /** Nothing of it runs for so long. */
  freeze(ms: number): void {
    this.#stillUntil = Math.max(this.#stillUntil, this.#world.monoNow() + ms)
    this.#world.setTimer(ms, () => this.#thaw())
  }
  /** As `freeze`, and its timers have as far to go afterwards as before. */
  suspend(ms: number): void {
    // It stands still already: only what comes on top of that is slept through.
    const from = Math.max(this.#stillUntil, this.#world.monoNow())
    this.freeze(ms)
    this.#behindMs += this.#stillUntil - from
    for (const timer of this.#timers) {
      if (timer.inner === null) continue
      this.#world.clearTimer(timer.inner)
      this.#set(timer, timer.dueMono - this.monoNow())
    }
  }
  kill(): void {
    this.alive = false
    for (const { inner } of this.#timers) if (inner !== null) this.#world.clearTimer(inner)
    this.#timers.clear()
    this.#held = []
  }

  #set(timer: ProcessTimer, delayMs: number): void {
    let inMs = Math.max(0, delayMs)
    // What fires is due, whatever fractions get lost between two clocks: or it would be set again for ever.
    while (this.#world.monoNow() + inMs - this.#behindMs < timer.dueMono) inMs += FRACTION_MS
    timer.inner = this.#world.setTimer(inMs, () => this.run(() => this.#fire(timer)))
  }
  /** Cleared since it fell due, while the process stood still: it does not fire. */
  #fire(timer: ProcessTimer): void {
    if (this.#timers.delete(timer)) timer.callback()
  }
  #thaw(): void {
    if (this.isStill) return
    for (const callback of this.#held.splice(0)) this.#world.soon(() => this.run(callback))
  }
}
