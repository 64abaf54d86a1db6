/**
 * A World for tests: time stands still until the test moves it, randomness comes from a seed, failpoints are armed by the test.
 * `soon` and `yieldToIo` run by themselves, in order; only time waits. Between two timers everything settles first, real promises included.
 */
import { Prng } from './prng.ts'
import type { LoadProbe, TimerHandle, World } from './world.ts'

class VirtualTimer implements TimerHandle {
  readonly dueMono: number
  readonly seq: number
  readonly callback: () => void
  constructor(dueMono: number, seq: number, callback: () => void) {
    this.dueMono = dueMono
    this.seq = seq
    this.callback = callback
  }
}

const macrotask = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

export class VirtualWorld implements World {
  private mono = 0
  private wallOffset: number
  private readonly prng: Prng
  private readonly timers = new Set<VirtualTimer>()
  private readonly soonQueue: (() => void)[] = []
  private readonly ioQueue: (() => void)[] = []
  private seq = 0
  /** What every probe shows; set by the test. */
  load = { loopDelayMs: 0, heapShare: 0 }
  private readonly armed = new Map<string, { action: () => void; nth: number }>()

  /** `wallStart`: epoch milliseconds at monotonic 0. Default 2026-01-01T00:00:00Z. */
  constructor(options: { readonly seed?: number; readonly wallStart?: number } = {}) {
    this.prng = new Prng(options.seed ?? 1)
    this.wallOffset = options.wallStart ?? 1_767_225_600_000
  }

  wallNow(): number {
    return Math.floor(this.wallOffset + this.mono)
  }
  monoNow(): number {
    return this.mono
  }
  monoAt(wall: number): number {
    return wall - this.wallOffset
  }
  setTimer(delayMs: number, callback: () => void): TimerHandle {
    const timer = new VirtualTimer(this.mono + Math.max(0, delayMs), this.seq++, callback)
    this.timers.add(timer)
    return timer
  }
  clearTimer(timer: TimerHandle): void {
    if (timer instanceof VirtualTimer) this.timers.delete(timer)
  }
  soon(callback: () => void): void {
    if (this.soonQueue.push(callback) === 1) queueMicrotask(() => this.drain(this.soonQueue))
  }
  yieldToIo(callback: () => void): void {
    if (this.ioQueue.push(callback) === 1) setImmediate(() => this.drain(this.ioQueue))
  }
  watchLoad(): LoadProbe {
    return {
      loopDelayMs: () => this.load.loopDelayMs,
      heapShare: () => this.load.heapShare,
      close: () => undefined,
    }
  }
  random(): number {
    return this.prng.next()
  }
  randomBytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.prng.below(256))
  }
  failpoint(name: string): void {
    const point = this.armed.get(name)
    if (point === undefined) return
    point.nth -= 1
    if (point.nth > 0) return
    this.armed.delete(name)
    point.action()
  }

  /** The `nth` passage of the failpoint runs `action` (throw, kill, advance a step, ...), once. */
  armFailpoint(name: string, action: () => void, nth = 1): void {
    this.armed.set(name, { action, nth })
  }
  /** Steps the wall clock, and only it. */
  stepWall(ms: number): void {
    this.wallOffset += ms
  }
  /** Time passes while the thread is held: nothing fires meanwhile. */
  jump(ms: number): void {
    this.mono += ms
  }
  /** Timers set and not yet fired or cleared. */
  get timersPending(): number {
    return this.timers.size
  }

  /** Resolves when nothing is left to do at this instant: queues empty, promises settled. Real I/O and threads are not waited for. */
  async settle(): Promise<void> {
    do await macrotask()
    while (this.soonQueue.length > 0 || this.ioQueue.length > 0)
  }
  /** Moves time by `ms`, firing what falls due in order, each at its own instant, settling in between. */
  async advance(ms: number): Promise<void> {
    const end = this.mono + ms
    await this.settle()
    while (this.fireNext(end)) await this.settle()
    this.mono = Math.max(this.mono, end)
  }
  /** Moves time to the next timer and fires it and its equals; false if there is none. */
  async runToNextTimer(): Promise<boolean> {
    await this.settle()
    const next = this.nextTimer()
    if (next === null) return false
    await this.advance(next.dueMono - this.mono)
    return true
  }

  private drain(queue: (() => void)[]): void {
    const batch = queue.splice(0)
    for (const callback of batch) callback()
  }
  private fireNext(end: number): boolean {
    const next = this.nextTimer()
    if (next === null || next.dueMono > end) return false
    this.timers.delete(next)
    this.mono = Math.max(this.mono, next.dueMono)
    next.callback()
    return true
  }
  private nextTimer(): VirtualTimer | null {
    let first: VirtualTimer | null = null
    for (const timer of this.timers) {
      if (first === null || timer.dueMono < first.dueMono) first = timer
    }
    return first
  }
}
