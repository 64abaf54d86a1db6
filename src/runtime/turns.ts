/** Whose turn it is: the run queue, its budgets, and what counts as work (OTP-J1, J5). The kernel is built on it. */
import type { World } from '#world/world.ts'
import { describeReason } from './exit.ts'
import { NOTHING, type Process, RUNNING } from './process.ts'
import { ReadyQueue } from './ready-queue.ts'
import type { Report } from './reports.ts'

/** Messages that one process may take before the next one has its turn (OTP-J5). */
const SLICE_MESSAGES = 128
/** Messages taken before I/O and timers have their turn, over all microtask flushes. */
const FLUSH_MESSAGES = 4_096
/** And never longer than this at a stretch. */
const FLUSH_MS = 4
const RAN_LONG_MS = 10

export interface KernelOptions {
  readonly report: (report: Report) => void
  /** Something is wrong outside every actor: the host must end. */
  readonly crashed: (error: Error) => void
  /** Copy every message at the send (OTP-R6). For tests. */
  readonly safeMessages: boolean
  /** Takes the next process of the run queue at random from this (OTP-S2); null: in order. */
  readonly permute: ((bound: number) => number) | null
}

export abstract class Turns {
  readonly world: World
  readonly options: KernelOptions
  /** Takes one message, or the continuation, of the process. Set by the runtime. */
  step: (process: Process, message: unknown, meta: unknown) => void = () => {}
  /** Gives a plain process its start or its message (plain.ts). */
  stepPlain: (process: Process) => void = () => {}
  /** The process whose callback runs now. */
  current: Process | null = null

  private readonly ready = new ReadyQueue()
  private flushArmed = false
  private flushing = false
  private sinceIo = 0
  private working = 0
  private readonly idleWaiters: (() => void)[] = []
  private readonly onFlush = (): void => this.flush()
  private readonly onTurn = (): void => {
    this.sinceIo = 0
    this.flush()
  }

  constructor(world: World, options: KernelOptions) {
    this.world = world
    this.options = options
  }

  report(report: Report): void {
    try {
      this.options.report(report)
    } catch (error) {
      this.options.crashed(asError(error))
    }
  }

  /** It has something to do: a message, a continuation, or it has just become free. */
  wake(process: Process): void {
    if (process.phase !== RUNNING || process.busy || process.queued) return
    if (process.hasWork) this.enqueue(process)
  }
  protected enqueue(process: Process): void {
    process.queued = true
    this.ready.push(process)
    if (this.flushing || this.flushArmed) return
    this.flushArmed = true
    this.world.soon(this.onFlush)
  }

  private flush(): void {
    this.flushArmed = false
    if (this.flushing) return
    this.flushing = true
    const started = this.world.monoNow()
    let now = started
    try {
      while (this.ready.length > 0) {
        if (this.sinceIo >= FLUSH_MESSAGES || now - started > FLUSH_MS) {
          this.flushArmed = true
          this.world.yieldToIo(this.onTurn)
          return
        }
        now = this.runNext(now)
      }
    } catch (error) {
      this.options.crashed(asError(error))
    } finally {
      this.flushing = false
      this.current = null
    }
    this.checkIdle()
  }
  private runNext(startedAt: number): number {
    const { permute } = this.options
    if (permute !== null && this.ready.length > 1) this.ready.swapToHead(permute(this.ready.length))
    const process = this.ready.shift()
    if (process === undefined) return startedAt
    process.queued = false
    const reductions = process.reductions
    this.slice(process)
    this.wake(process)
    const now = this.world.monoNow()
    if (now - startedAt > RAN_LONG_MS) this.reportLong(process, now - startedAt, process.reductions - reductions)
    return now
  }
  private slice(process: Process): void {
    const { mailbox } = process
    this.current = process
    for (let taken = 0; taken < SLICE_MESSAGES; taken++) {
      if (process.phase !== RUNNING || process.busy) break
      if (process.plain || process.suspended) return this.takeSpecially(process)
      if (process.continuation === NOTHING && (mailbox === null || mailbox.length === 0)) break
      this.sinceIo += 1
      process.reductions += 1
      if (process.continuation !== NOTHING || mailbox === null) {
        this.step(process, null, null)
        continue
      }
      const meta = mailbox.headMeta()
      this.step(process, mailbox.shift(), meta)
    }
  }
  private takeSpecially(process: Process): void {
    const { mailbox } = process
    this.sinceIo += 1
    if (!process.suspended) return this.stepPlain(process)
    const index = process.urgentIndex()
    if (index < 0 || mailbox === null) return
    const meta = mailbox.metaAt(index)
    this.step(process, mailbox.removeAt(index), meta)
  }
  private reportLong(process: Process, ms: number, callbacks: number): void {
    const { pid, name } = process
    this.report({ type: 'process-ran-long', pid, name, behaviour: process.slot.current.name, ms, callbacks })
  }

  /** A callback has returned a promise: nothing more is dispatched until it settles (OTP-J1). */
  setBusy(process: Process, busy: boolean): void {
    if (process.busy === busy) return
    process.busy = busy
    process.runningCode = busy ? process.slot.current : null
    if (busy) this.workStarts()
    else this.workEnds()
  }
  /** Work that is not in a queue: a busy callback, a closing process. */
  workStarts(): void {
    this.working += 1
  }
  workEnds(): void {
    this.working -= 1
    this.checkIdle()
  }
  /** Calls back, once, when no process has anything to do (those that wait for something outside do). */
  onIdle(callback: () => void): void {
    this.idleWaiters.push(callback)
    this.world.soon(() => this.checkIdle())
  }
  private checkIdle(): void {
    if (this.idleWaiters.length === 0 || this.ready.length > 0 || this.working > 0 || this.flushing) return
    for (const callback of this.idleWaiters.splice(0)) callback()
  }
}

export const asError = (thrown: unknown): Error =>
  thrown instanceof Error ? thrown : new Error(`thrown: ${typeof thrown === 'string' ? thrown : describe(thrown)}`)
const describe = (thrown: unknown): string => describeReason({ type: 'nocatch', value: thrown })
