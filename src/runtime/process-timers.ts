/** Timers of processes (runtime.md section T): messages on their way through time, and sleeps, in the kernel's wheels. */
import { INFO } from './mailbox.ts'
import type { Pid } from './pid.ts'
import { type Process, TargetTimer } from './process.ts'
import { safeCopy } from './safe-copy.ts'
import type { Wheel, WheelEntry } from './wheel.ts'

/** What timers need of the kernel. */
interface Host {
  readonly wheel: Wheel
  readonly coarseWheel: Wheel
  readonly options: { readonly safeMessages: boolean }
  uniqueInteger(): number
  alive(to: Pid | string): Process | null
  push(to: Process, message: unknown, meta: object): void
}

export class ProcessTimers {
  readonly kernel: Host
  private readonly byRef = new Map<number, TargetTimer>()

  constructor(kernel: Host) {
    this.kernel = kernel
  }
  get size(): number {
    return this.byRef.size
  }
  /** With the process that they are aimed at. */
  drop(process: Process, timers: ReadonlySet<TargetTimer>): void {
    for (const timer of timers) {
      timer.wheel?.cancel(timer)
      this.byRef.delete(timer.ref)
    }
    process.timers = null
  }

  /** A pid's timer goes with it (OTP-T4); a name is looked up at expiry. `fenced`: its sender is dead, nothing happens. */
  sendAfter(
    delayMs: number,
    to: Pid | string,
    message: unknown,
    fenced: boolean,
    ref = this.kernel.uniqueInteger(),
    wheel = this.kernel.wheel,
  ): number {
    if (!(delayMs >= 0)) throw new TypeError(`delayMs must be at least 0, got ${delayMs}`)
    const target = typeof to === 'string' ? null : this.kernel.alive(to)
    if (fenced || (typeof to !== 'string' && target === null)) return ref
    const copied = this.kernel.options.safeMessages ? safeCopy(message) : message
    const entry = new SendTimer(this, ref, target, to, copied)
    this.byRef.set(ref, entry)
    if (target !== null) {
      target.timers ??= new Set()
      target.timers.add(entry)
    }
    wheel.set(entry, delayMs)
    return ref
  }
  /** Calls back after `delayMs`, unless the process has died by then. */
  wakeAfter(process: Process, delayMs: number, wake: () => void): void {
    const entry = new WakeTimer(this, this.kernel.uniqueInteger(), process, wake)
    this.byRef.set(entry.ref, entry)
    process.timers ??= new Set()
    process.timers.add(entry)
    this.kernel.wheel.set(entry, delayMs)
  }
  /** Remaining ms; false if it fired, was cancelled, went with its target, or never was. */
  cancel(ref: number): number | false {
    const entry = this.byRef.get(ref)
    if (entry === undefined) return false
    const remaining = remainingOf(entry)
    entry.wheel?.cancel(entry)
    this.forget(entry)
    return remaining
  }
  read(ref: number): number | false {
    const entry = this.byRef.get(ref)
    return entry === undefined ? false : remainingOf(entry)
  }
  forget(entry: TargetTimer): void {
    this.byRef.delete(entry.ref)
    entry.target?.timers?.delete(entry)
  }
}

const remainingOf = (entry: WheelEntry): number => entry.wheel?.remaining(entry) ?? 0

/** A message on its way through time. */
class SendTimer extends TargetTimer {
  private readonly timers: ProcessTimers
  private readonly to: Pid | string
  private readonly message: unknown
  constructor(timers: ProcessTimers, ref: number, target: Process | null, to: Pid | string, message: unknown) {
    super(ref, target)
    this.timers = timers
    this.to = to
    this.message = message
  }
  override fire(): void {
    const { timers } = this
    timers.forget(this)
    const target = this.target ?? timers.kernel.alive(this.to)
    if (target !== null) timers.kernel.push(target, this.message, INFO)
  }
}

class WakeTimer extends TargetTimer {
  private readonly timers: ProcessTimers
  private readonly wake: () => void
  constructor(timers: ProcessTimers, ref: number, target: Process, wake: () => void) {
    super(ref, target)
    this.timers = timers
    this.wake = wake
  }
  override fire(): void {
    this.timers.forget(this)
    this.wake()
  }
}
