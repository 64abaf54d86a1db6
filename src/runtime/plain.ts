/** Plain processes: a body that receives for itself, selectively (runtime.md sections P and R). For tests, tasks and ports of Erlang code. */
import type { Code } from './code.ts'
import { Exit, type ExitReason, reasonOf } from './exit.ts'
import type { AliasMode, Kernel } from './kernel.ts'
import { CAST, INFO, SYSTEM } from './mailbox.ts'
import type { Pid } from './pid.ts'
import { CLOSING, NOTHING, type Process, Request, RUNNING } from './process.ts'
import { ProcessContext } from './process-context.ts'
import type { StartOptions, StartResult } from './start.ts'
import { start } from './starting.ts'

/** What a body may do beside what an actor may. */
export type Body = (self: PlainContext) => unknown
/** A receive that waited in vain. */
export const TIMEOUT: unique symbol = Symbol('timeout')
const BODY = { name: 'plain', version: 1, init: () => null }
const never = (): Promise<never> => new Promise(() => {})

/** A call that reached a plain process. */
export interface CallMessage {
  readonly type: '$call'
  readonly from: object
  readonly request: unknown
}

/** Returns at once; the body runs in the process's own turn (OTP-P1). A link or monitor is there before it (P8). */
export const spawn = (kernel: Kernel, body: Body, parent: Process | null, name: string | null = null): Process => {
  const process = kernel.spawn(BODY, name)
  process.plain = true
  process.phase = RUNNING
  process.continuation = body
  process.ctx = new PlainContext(kernel, process)
  if (parent !== null) process.ancestors = parent.descend()
  kernel.wake(process)
  return process
}

/** The turn of a plain process: its start, or the message it waits for. */
export const stepPlain = (kernel: Kernel, process: Process): void => {
  const { ctx, continuation } = process
  if (!(ctx instanceof PlainContext)) return
  if (continuation !== NOTHING) {
    process.continuation = NOTHING
    return ctx.run(continuation as Body)
  }
  ctx.look(kernel)
}

export class PlainContext extends ProcessContext {
  run(body: Body): void {
    const { kernel, process } = this
    process.reductions += 1
    kernel.setBusy(process, true)
    const ended = (reason: ExitReason, isError: boolean): void => {
      if (isError && process.phase < CLOSING) this.reportError(reason)
      kernel.die(process, reason)
    }
    const failed = (error: unknown): void => ended(reasonOf(error), !(error instanceof Exit))
    let result: unknown
    try {
      result = body(this)
    } catch (error) {
      return failed(error)
    }
    if (result instanceof Promise) result.then(() => ended('normal', false), failed)
    else ended('normal', false)
  }
  /** OTP-O9: only for error-class crashes, not for exit(R). */
  private reportError(reason: ExitReason): void {
    this.kernel.report({ type: 'process-error', pid: this.process.pid, name: this.process.name, reason })
  }

  /** Ends this process; use as `throw self.exitWith(reason)` or let it throw. */
  exitSelf(reason: ExitReason): never {
    throw new Exit(reason)
  }

  /**
   * The first message that matches, the others keep their order (OTP-R2). TIMEOUT after `afterMs`, counted from now, whatever else
   * arrives meanwhile (R3); 0 looks at the whole queue and gives up.
   */
  receive(match: ((message: unknown) => boolean) | null = null, afterMs = Number.POSITIVE_INFINITY): Promise<unknown> {
    const { kernel, process } = this
    if (process.phase >= CLOSING) return never()
    return new Promise((resolve, reject) => {
      process.receiver = { match, resolve, reject, scanned: 0, timer: null }
      this.look(kernel)
      const { receiver } = process
      if (receiver === null) return
      if (afterMs === 0) return this.giveUp()
      kernel.setBusy(process, false)
      if (afterMs !== Number.POSITIVE_INFINITY) receiver.timer = kernel.wheel.after(afterMs, () => this.giveUp())
    })
  }
  /** All queued messages. */
  drain(): unknown[] {
    const { mailbox } = this.process
    const messages: unknown[] = []
    while (mailbox !== null && mailbox.length > 0) {
      const meta = mailbox.headMeta()
      messages.push(asMessage(mailbox.shift(), meta))
    }
    return messages
  }

  /** Looks at the messages that it has not seen; the one that matches goes to the body. */
  look(kernel: Kernel): void {
    const { process } = this
    const { receiver, mailbox } = process
    if (receiver === null || mailbox === null) return
    while (receiver.scanned < mailbox.length) {
      const index = receiver.scanned
      const meta = mailbox.metaAt(index)
      if (meta === SYSTEM) {
        mailbox.removeAt(index)
        continue
      }
      const message = asMessage(mailbox.messageAt(index), meta)
      let found: boolean
      try {
        found = receiver.match === null || receiver.match(message)
      } catch (error) {
        this.wakeBody()
        return receiver.reject(error)
      }
      if (found) {
        mailbox.removeAt(index)
        if (receiver.timer !== null) kernel.wheel.cancel(receiver.timer)
        this.wakeBody()
        return receiver.resolve(message)
      }
      receiver.scanned += 1
    }
  }
  private giveUp(): void {
    const { receiver } = this.process
    if (receiver === null || this.process.phase >= CLOSING) return
    this.wakeBody()
    receiver.resolve(TIMEOUT)
  }
  private wakeBody(): void {
    this.process.receiver = null
    this.process.reductions += 1
    this.kernel.setBusy(this.process, true)
  }

  spawn(body: Body): Pid {
    return this.spawned(body)?.pid ?? this.self
  }
  spawnLink(body: Body): Pid {
    const child = this.spawned(body)
    if (child === null) return this.self
    this.kernel.link(this.process, child)
    return child.pid
  }
  spawnMonitor(body: Body): { readonly pid: Pid; readonly ref: number } {
    const pid = this.spawn(body)
    return { pid, ref: this.monitor(pid) }
  }
  private spawned(body: Body): Process | null {
    return this.process.phase >= CLOSING ? null : spawn(this.kernel, body, this.process)
  }

  /** Throws if the name is taken, the process has one already, or it is dead (OTP-N1). */
  register(name: string, pid: Pid): void {
    if (this.process.phase >= CLOSING) return
    const process = this.kernel.alive(pid)
    if (process === null || process.name !== null || this.kernel.resolve(name) !== null) {
      throw new Error(`badarg: register ${name}`)
    }
    this.kernel.register(process, name)
  }
  /** Frees a name, whoever has it. Throws if nobody has. */
  unregisterName(name: string): void {
    if (this.process.phase >= CLOSING) return
    const process = this.kernel.alive(name)
    if (process === null) throw new Error(`badarg: unregister ${name}`)
    this.kernel.unregister(process)
  }
  start(behaviour: Code, args: unknown, options: StartOptions = {}): Promise<StartResult> {
    const { kernel, process } = this
    const maker = (child: Process): ProcessContext => new ProcessContext(kernel, child)
    return Promise.resolve(start(kernel, maker, behaviour, args, options, process, false))
  }
  /**
   * erlang:start_timer and send_after (OTP-T1): whole milliseconds only (T6); `abs` takes a monotonic instant; the message arrives as
   * `['timeout', ref, term]`, or as it is when `bare`.
   */
  startTimer(
    ms: number,
    to: Pid | string,
    term: unknown,
    options: { readonly abs?: boolean; readonly bare?: boolean } = {},
  ): number {
    if (!Number.isInteger(ms) || (ms < 0 && options.abs !== true)) throw new TypeError(`badarg: time ${ms}`)
    const delayMs = options.abs === true ? Math.max(0, ms - this.world.monoNow()) : ms
    const ref = this.kernel.uniqueInteger()
    const message = options.bare === true ? term : ['timeout', ref, term]
    return this.kernel.timers.sendAfter(delayMs, to, message, this.process.phase >= CLOSING, ref)
  }
  readTimer(ref: number): number | false {
    return this.kernel.timers.read(ref)
  }
  alias(mode: 'explicit_unalias' | 'reply' = 'explicit_unalias'): Pid {
    return this.kernel.alias(this.process, mode, null)
  }
  /** A monitor whose ref is also an address of this process (OTP-M9). */
  monitorWithAlias(target: Pid | string, mode: AliasMode): { readonly ref: number; readonly alias: Pid } {
    const ref = this.monitor(target)
    const monitor = this.process.monitors?.get(ref) ?? null
    return { ref, alias: this.kernel.alias(this.process, mode, monitor, ref) }
  }
  /** A monitor whose message has another tag than DOWN (OTP-M11). */
  monitorAs(target: Pid | string, tag: string): number {
    const ref = this.monitor(target)
    const monitor = this.process.monitors?.get(ref)
    if (monitor !== undefined) monitor.tag = tag
    return ref
  }
  unalias(alias: Pid): boolean {
    if (!(this.process.aliases?.has(alias.id) ?? false)) return false
    return this.kernel.unalias(alias.id)
  }
}

const asMessage = (message: unknown, meta: unknown): unknown => {
  if (meta instanceof Request) return { type: '$call', from: meta, request: message } satisfies CallMessage
  return meta === CAST || meta === INFO ? message : { type: '$system' }
}
