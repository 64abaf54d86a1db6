/** How late this thread's event loop answers, and how full the heap is. */
import { getHeapStatistics } from 'node:v8'
import type { LoadProbe, TimerHandle, World } from './world.ts'

/** A timer that asks for this, again and again, shows how late the loop answers. */
const BEAT_MS = 20
/**
 * A loop that had less to do than this since the last look was late for nobody's sake: the beat rests, since it alone is 50 wake-ups a
 * second, four fifths of those of an idle daemon. (`monitorEventLoopDelay` cannot be looked at four times a second: each reset costs an interval.)
 */
export const LOOP_IDLE_SHARE = 0.05

/** What `RealProbe` stands on; a test hands it another. */
export interface LoopWatch extends Pick<World, 'monoNow' | 'setTimer' | 'clearTimer'> {
  /** Share of the time since the last call in which the loop was at work, 0..1. */
  readonly busyShare: () => number
}

/** Measures from the first look on that finds the loop at work: a busy spell is seen at most one look late. */
export class RealProbe implements LoadProbe {
  readonly #watch: LoopWatch
  #beat: TimerHandle | null = null
  #longestMs = 0
  constructor(watch: LoopWatch) {
    this.#watch = watch
  }
  loopDelayMs(): number {
    const lateMs = this.#lateMs()
    const longestMs = Math.max(this.#longestMs, lateMs)
    this.#longestMs = 0
    const isIdle = this.#watch.busyShare() < LOOP_IDLE_SHARE
    // A stall that is told here is not the late beat's to tell once more.
    if (isIdle || lateMs > 0) this.close()
    if (!isIdle) this.#beat ??= this.#nextBeat()
    return longestMs
  }
  heapShare(): number {
    const { used_heap_size: used, heap_size_limit: limit } = getHeapStatistics()
    return used / limit
  }
  close(): void {
    if (this.#beat !== null) this.#watch.clearTimer(this.#beat)
    this.#beat = null
  }
  /** Of the beat that is due: whoever looks may come before it. */
  #lateMs(): number {
    return this.#beat === null ? 0 : Math.max(0, this.#watch.monoNow() - this.#beat.dueMono)
  }
  #nextBeat(): TimerHandle {
    return this.#watch.setTimer(BEAT_MS, () => {
      this.#longestMs = Math.max(this.#longestMs, this.#lateMs())
      this.#beat = this.#nextBeat()
    })
  }
}

/** Of this thread's loop, since the last call. */
export const busyShareOfLoop = (): (() => number) => {
  let last = performance.eventLoopUtilization()
  return () => {
    const now = performance.eventLoopUtilization()
    const { utilization } = performance.eventLoopUtilization(now, last)
    last = now
    return utilization
  }
}
