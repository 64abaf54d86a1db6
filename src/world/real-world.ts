/** The real World: Node's clocks, timers and randomness. The only place of the house that touches them. */
import { randomFillSync } from 'node:crypto'
import { Alarm } from './alarm.ts'
import { type Failpoint, failpointsFrom } from './failpoints.ts'
import { busyShareOfLoop, RealProbe } from './loop-probe.ts'
import { WallEdge } from './wall-edge.ts'
import type { LoadProbe, Precision, TimerHandle, World } from './world.ts'

/** Node clamps a longer delay to 1 ms (OTP-T7), so longer ones are chained. */
const DELAY_MAX_MS = 2 ** 31 - 1

class RealTimer implements TimerHandle {
  readonly dueMono: number
  readonly callback: () => void
  timeout: NodeJS.Timeout | undefined
  constructor(dueMono: number, callback: () => void) {
    this.dueMono = dueMono
    this.callback = callback
  }
}

export class RealWorld implements World {
  readonly failpoint: Failpoint
  readonly #alarm: Alarm | null
  /** The timer that the alarm is set for: the earliest of those of this thread, as far as it matters. */
  #precise: RealTimer | null = null
  readonly #edge = new WallEdge()

  /**
   * `failpoints`: the text of `HOOKPULSE_FAILPOINTS` (failpoints.ts); off without it. `precise`: timers fire within tenths of a
   * millisecond, which costs a thread.
   */
  constructor(options: { readonly failpoints?: string | undefined; readonly precise?: boolean } = {}) {
    this.failpoint = failpointsFrom(options.failpoints)
    this.#alarm = options.precise === true ? new Alarm(() => this.#rung()) : null
  }

  wallNow(): number {
    return Date.now()
  }
  monoNow(): number {
    return performance.now()
  }
  monoAt(wall: number): number {
    const before = performance.now()
    this.#edge.see(Date.now(), before, performance.now())
    return this.#edge.monoAt(wall)
  }
  setTimer(delayMs: number, callback: () => void, precision: Precision = 'precise'): TimerHandle {
    const timer = this.#setPlain(delayMs, callback)
    if (precision === 'coarse') return timer
    if (this.#precise === null || timer.dueMono < this.#precise.dueMono) this.#setAlarm(timer)
    return timer
  }
  #setPlain(delayMs: number, callback: () => void): RealTimer {
    const timer = new RealTimer(performance.now() + delayMs, callback)
    this.#arm(timer)
    return timer
  }
  clearTimer(timer: TimerHandle): void {
    if (timer instanceof RealTimer) this.#disarm(timer)
  }

  /** Node may fire up to a millisecond early by the monotonic clock: then once more. */
  #arm(timer: RealTimer): void {
    const waitMs = Math.min(DELAY_MAX_MS, Math.ceil(timer.dueMono - performance.now()))
    timer.timeout = setTimeout(() => {
      if (performance.now() < timer.dueMono) this.#arm(timer)
      else this.#fire(timer)
    }, waitMs)
  }
  #disarm(timer: RealTimer): void {
    clearTimeout(timer.timeout)
    if (this.#precise === timer) this.#precise = null
  }
  #fire(timer: RealTimer): void {
    this.#disarm(timer)
    this.failpoint('world.timer')
    timer.callback()
  }
  #setAlarm(timer: RealTimer): void {
    if (this.#alarm === null) return
    this.#precise = timer
    this.#alarm.set(timer.dueMono)
  }
  /** Cleared meanwhile, or set anew for later. */
  #rung(): void {
    const timer = this.#precise
    if (timer === null) return
    if (performance.now() < timer.dueMono) this.#setAlarm(timer)
    else this.#fire(timer)
  }
  soon(callback: () => void): void {
    queueMicrotask(callback)
  }
  yieldToIo(callback: () => void): void {
    setImmediate(callback)
  }
  /** Ends the alarm's thread; timers go on without it. */
  async close(): Promise<void> {
    await this.#alarm?.close()
  }
  watchLoad(): LoadProbe {
    return new RealProbe({
      monoNow: () => this.monoNow(),
      setTimer: (delayMs, callback) => this.#setPlain(delayMs, callback),
      clearTimer: (timer) => this.clearTimer(timer),
      busyShare: busyShareOfLoop(),
    })
  }
  random(): number {
    return Math.random()
  }
  randomBytes(length: number): Uint8Array {
    return randomFillSync(new Uint8Array(length))
  }
}
