/**
 * All timers of a runtime on one timer of the world: call deadlines, sendAfter, receive timeouts, shutdown limits.
 * A binary heap by (due, seq) with lazy removal: most entries are call deadlines, set in ascending order and cancelled soon,
 * so an insert is an append, a cancel is a flag, and the heap is swept when more than half of it is cancelled.
 */
import type { Precision, TimerHandle, World } from '#world/world.ts'

export abstract class WheelEntry {
  /** Monotonic instant, ms. */
  due = 0
  seq = 0
  /** In the wheel and not cancelled. */
  armed = false
  /** The wheel that it was last set in. */
  wheel: Wheel | null = null
  abstract fire(): void
}

class CallbackEntry extends WheelEntry {
  private readonly callback: () => void
  constructor(callback: () => void) {
    super()
    this.callback = callback
  }
  override fire(): void {
    this.callback()
  }
}

const before = (a: WheelEntry, b: WheelEntry): boolean => a.due < b.due || (a.due === b.due && a.seq < b.seq)

export class Wheel {
  private readonly world: World
  private readonly precision: Precision
  private heap: WheelEntry[] = []
  private cancelled = 0
  private seq = 0
  private timer: TimerHandle | null = null
  private firing = false
  private readonly onFire: () => void

  constructor(world: World, precision: Precision = 'precise') {
    this.world = world
    this.precision = precision
    this.onFire = () => this.run()
  }

  /** Entries that will still fire. */
  get size(): number {
    return this.heap.length - this.cancelled
  }

  /** Entries held, cancelled ones included. */
  get held(): number {
    return this.heap.length
  }

  set(entry: WheelEntry, delayMs: number): void {
    this.setAt(entry, this.world.monoNow() + delayMs)
  }
  /** The entry must not be armed; one that was cancelled may only be set again through `after`/a new entry. */
  setAt(entry: WheelEntry, due: number): void {
    entry.due = due
    entry.seq = this.seq++
    entry.armed = true
    entry.wheel = this
    this.heap.push(entry)
    this.siftUp(this.heap.length - 1)
    if (!this.firing && (this.timer === null || due < this.timer.dueMono)) this.arm()
  }
  after(delayMs: number, callback: () => void): WheelEntry {
    const entry = new CallbackEntry(callback)
    this.set(entry, delayMs)
    return entry
  }
  /** Idempotent. */
  cancel(entry: WheelEntry): void {
    if (!entry.armed) return
    entry.armed = false
    this.cancelled += 1
    if (this.cancelled > 64 && this.cancelled * 2 > this.heap.length) this.sweep()
  }
  /** Remaining ms, at least 0. */
  remaining(entry: WheelEntry): number {
    return Math.max(0, entry.due - this.world.monoNow())
  }

  private run(): void {
    this.timer = null
    this.firing = true
    try {
      const now = this.world.monoNow()
      for (let first = this.heap[0]; first !== undefined && (!first.armed || first.due <= now); first = this.heap[0]) {
        this.pop()
        if (!first.armed) {
          this.cancelled -= 1
          continue
        }
        first.armed = false
        first.fire()
      }
    } finally {
      this.firing = false
      this.arm()
    }
  }
  private arm(): void {
    const first = this.heap[0]
    if (this.timer !== null) this.world.clearTimer(this.timer)
    if (first === undefined) this.timer = null
    else this.timer = this.world.setTimer(Math.max(0, first.due - this.world.monoNow()), this.onFire, this.precision)
  }
  private sweep(): void {
    this.heap = this.heap.filter((entry) => entry.armed)
    this.cancelled = 0
    for (let i = (this.heap.length >> 1) - 1; i >= 0; i--) this.siftDown(i)
  }
  private pop(): void {
    const last = this.heap.pop()
    if (last === undefined || this.heap.length === 0) return
    this.heap[0] = last
    this.siftDown(0)
  }
  private siftUp(index: number): void {
    const { heap } = this
    const entry = heap[index]
    if (entry === undefined) return
    let at = index
    while (at > 0) {
      const above = heap[(at - 1) >> 1]
      if (above === undefined || !before(entry, above)) break
      heap[at] = above
      at = (at - 1) >> 1
    }
    heap[at] = entry
  }
  private siftDown(index: number): void {
    const { heap } = this
    const entry = heap[index]
    if (entry === undefined) return
    let at = index
    for (;;) {
      const left = heap[at * 2 + 1]
      if (left === undefined) break
      const right = heap[at * 2 + 2]
      const takeRight = right !== undefined && before(right, left)
      const child = takeRight ? right : left
      if (!before(child, entry)) break
      heap[at] = child
      at = at * 2 + (takeRight ? 2 : 1)
    }
    heap[at] = entry
  }
}
