/** The Context of a behaviour process. Each effect looks first whether the process still lives (OTP-J2). */
import type { World } from '#world/world.ts'
import type { Code } from './code.ts'
import { CallExit, type ExitReason, isSameReason, reasonOf } from './exit.ts'
import type { From } from './from.ts'
import type { Kernel } from './kernel.ts'
import { CAST, INFO } from './mailbox.ts'
import type { Pid } from './pid.ts'
import { CLOSING, type Process, Request } from './process.ts'
import type { Message, MonitorRef, TimerRef } from './protocol.ts'
import { terminate } from './server.ts'
import type { StartOptions, StartResult } from './start.ts'
import { start } from './starting.ts'
import type { Table } from './table.ts'

const CALL_TIMEOUT_MS = 5_000
/** A fresh one each time: what waits for it must be collected with its process, not be held by a promise of everybody's. */
const never = (): Promise<never> => new Promise(() => {})

export class ProcessContext {
  readonly kernel: Kernel
  readonly process: Process

  constructor(kernel: Kernel, process: Process) {
    this.kernel = kernel
    this.process = process
  }

  get self(): Pid {
    return this.process.pid
  }
  get name(): string | null {
    return this.process.name
  }
  get world(): World {
    return this.kernel.world
  }
  get signal(): AbortSignal {
    const { process } = this
    if (process.abort === null) {
      process.abort = new AbortController()
      if (this.fenced) process.abort.abort(process.reason)
    }
    return process.abort.signal
  }
  private get fenced(): boolean {
    return this.process.phase >= CLOSING
  }
  /** Free-form, shown in reports and process info (OTP-P11). */
  setLabel(label: unknown): void {
    this.process.label = label
  }
  uniqueInteger(): number {
    return this.kernel.uniqueInteger()
  }

  // ------------------------------------------------------------------ messages

  cast(to: Pid | string, message: Message): void {
    if (this.fenced) return
    const target = this.kernel.addressee(to)
    if (target !== null) this.kernel.send(target, message, CAST)
  }
  send(to: Pid | string, message: Message): void {
    if (this.fenced) return
    const target = this.kernel.addressee(to)
    if (target !== null) return this.kernel.send(target, message, INFO)
    if (typeof to === 'string') throw new Error(`send to the unregistered name ${to}`)
  }
  call(to: Pid | string, message: Message, timeoutMs = CALL_TIMEOUT_MS): Promise<never> {
    if (this.fenced) return never()
    const { kernel, process } = this
    const failed = (reason: ExitReason): CallExit =>
      new CallExit(reason, { target: String(to), request: message.type, timeoutMs })
    if (kernel.resolve(to) === process) return Promise.reject(failed('calling_self'))
    return new Promise((resolve, reject) => {
      kernel.ask(to, process, message, timeoutMs, (_request, answer) => {
        if (answer.ok) resolve(answer.value as never)
        else reject(failed(answer.reason))
      })
    })
  }
  request(to: Pid | string, message: Message, label: string, data: unknown = null, timeoutMs = CALL_TIMEOUT_MS): void {
    if (this.fenced) return
    const { kernel, process } = this
    kernel.ask(to, process, message, timeoutMs, (_request, answer) => {
      kernel.push(process, { type: label, data, ...answer }, INFO)
    })
  }
  pipe(promise: Promise<unknown>, label: string, data: unknown = null): void {
    const { kernel, process } = this
    if (this.fenced) data = null
    kernel.workStarts()
    promise
      .then(
        (value) => kernel.push(process, { type: label, data, ok: true, value }, INFO),
        (error: unknown) => kernel.push(process, { type: label, data, ok: false, reason: reasonOf(error) }, INFO),
      )
      .finally(() => kernel.workEnds())
  }
  reply(from: From<never>, value: unknown): void {
    if (this.fenced) return
    if (!(from instanceof Request)) throw new TypeError('reply to something that is no From')
    this.kernel.reply(from, value)
  }

  // ------------------------------------------------------------------ signals

  monitor(target: Pid | string): MonitorRef {
    const { kernel, process } = this
    const ref = kernel.uniqueInteger()
    if (this.fenced || kernel.resolve(target) === process) return ref
    if (kernel.monitor(target, process, null, ref) === null) {
      const byName = typeof target === 'string'
      const down = { type: 'DOWN', ref, pid: byName ? null : target, name: byName ? target : null, reason: 'noproc' }
      kernel.push(process, down, INFO)
    }
    return ref
  }
  demonitor(ref: MonitorRef, options?: { readonly flush?: boolean }): boolean {
    const monitor = this.process.monitors?.get(ref)
    if (monitor !== undefined) this.kernel.demonitor(monitor)
    if (options?.flush === true && monitor === undefined) this.flushDown(ref)
    return monitor !== undefined
  }
  private flushDown(ref: MonitorRef): void {
    const { mailbox } = this.process
    for (let i = 0; mailbox !== null && i < mailbox.length; i++) {
      const message = mailbox.messageAt(i)
      if (mailbox.metaAt(i) === INFO && isDownOf(message as Message, ref)) {
        mailbox.removeAt(i)
        return
      }
    }
  }
  link(pid: Pid): void {
    if (this.fenced) return
    const { kernel, process } = this
    const peer = kernel.alive(pid)
    if (peer !== null) return kernel.link(process, peer)
    if (!process.trapping) throw new Error(`noproc: link to the dead ${pid}`)
    kernel.push(process, { type: 'EXIT', pid, reason: 'noproc' }, INFO)
  }
  unlink(pid: Pid): void {
    const peer = this.kernel.resolve(pid)
    if (!this.fenced && peer !== null) this.kernel.unlink(this.process, peer)
  }
  trapExit(on: boolean): void {
    if (!this.fenced) this.process.trapping = on
  }
  exit(pid: Pid, reason: ExitReason): void {
    const target = this.kernel.resolve(pid)
    if (!this.fenced && target !== null) this.kernel.signal(target, this.process.pid, reason, false)
  }
  whereis(name: string): Pid | null {
    return this.kernel.alive(name)?.pid ?? null
  }
  unregister(): boolean {
    return !this.fenced && this.kernel.unregister(this.process)
  }
  mailboxLength(): number {
    return this.process.mailboxLength
  }

  // ------------------------------------------------------------------ starting

  startLinked(behaviour: Code, args: unknown, options: StartOptions = {}): StartResult | Promise<StartResult> {
    const { kernel, process } = this
    if (this.fenced) return never()
    return start(kernel, (child) => new ProcessContext(kernel, child), behaviour, args, options, process, true)
  }
  /** Started without a link, and monitored from its first moment (OTP-I12, P8); a failed start leaves no DOWN. */
  async startMonitor(behaviour: Code, args: unknown, options: StartOptions = {}): Promise<MonitoredStart> {
    const { kernel, process } = this
    let ref: MonitorRef = 0
    const born = (child: Process): void => {
      ref = this.monitor(child.pid)
    }
    const maker = (child: Process): ProcessContext => new ProcessContext(kernel, child)
    const started = await start(kernel, maker, behaviour, args, options, process, false, born)
    return started.ok ? { ok: true, pid: started.pid, ref } : started
  }
  async startLink(behaviour: Code, args: unknown, options: StartOptions = {}): Promise<StartResult> {
    const started = await this.startLinked(behaviour, args, options)
    return this.fenced ? never() : started
  }

  /**
   * Ends a process through its `terminate`. Resolves only if it ended with exactly that reason, else rejects with the real one; after a
   * timeout the request stays with the process (OTP-G19).
   */
  stop(ref: Pid | string, reason: ExitReason = 'normal', timeoutMs = Number.POSITIVE_INFINITY): Promise<void> {
    if (!(timeoutMs >= 0)) throw new TypeError(`timeoutMs must be at least 0, got ${timeoutMs}`)
    if (this.fenced) return never()
    const { kernel, process } = this
    const failed = (why: ExitReason): CallExit => new CallExit(why, { target: String(ref), request: 'stop', timeoutMs })
    const target = kernel.resolve(ref)
    if (target === null) return Promise.reject(failed('noproc'))
    if (target === process) return Promise.reject(failed('calling_self'))
    return new Promise((resolve, reject) => {
      const bounded = timeoutMs !== Number.POSITIVE_INFINITY
      const limit = bounded ? kernel.wheel.after(timeoutMs, () => reject(failed('timeout'))) : null
      kernel.monitor(target.pid, process, (why) => {
        if (limit !== null) kernel.wheel.cancel(limit)
        if (isSameReason(why, reason)) resolve()
        else reject(failed(why))
      })
      kernel.systemRequest(target, () => terminate(kernel, target, reason, {}))
    })
  }

  // ------------------------------------------------------------------ timers

  sendAfter(delayMs: number, message: Message): TimerRef {
    return this.sendAfterTo(delayMs, this.process.pid, message)
  }
  sendAfterCoarse(delayMs: number, message: Message): TimerRef {
    const { timers, coarseWheel } = this.kernel
    return timers.sendAfter(delayMs, this.process.pid, message, this.fenced, undefined, coarseWheel)
  }
  sendAfterTo(delayMs: number, to: Pid | string, message: Message): TimerRef {
    return this.kernel.timers.sendAfter(delayMs, to, message, this.fenced)
  }
  sleep(delayMs: number): Promise<void> {
    return this.fenced
      ? never()
      : new Promise((resolve) => this.kernel.timers.wakeAfter(this.process, delayMs, resolve))
  }
  cancelTimer(ref: TimerRef): number | false {
    return this.kernel.timers.cancel(ref)
  }

  // ------------------------------------------------------------------ things

  own(close: () => void | Promise<void>): () => void {
    const { process } = this
    if (this.fenced) {
      void close()
      return () => {}
    }
    process.owned ??= new Set()
    const owned = process.owned
    owned.add(close)
    return () => {
      owned.delete(close)
    }
  }
  table(name: string): Table<never, never> {
    return this.kernel.tables.get(name) as Table<never, never>
  }
  createTable(name: string, options: { readonly heir?: string } = {}): Table<never, never> {
    return this.kernel.tables.create(name, this.process, options.heir ?? null) as Table<never, never>
  }
}

export type MonitoredStart =
  | { readonly ok: true; readonly pid: Pid; readonly ref: MonitorRef }
  | Exclude<StartResult, { readonly ok: true }>

const isDownOf = (message: Message & { readonly ref?: unknown }, ref: MonitorRef): boolean =>
  message.type === 'DOWN' && message.ref === ref
