/**
 * The kernel: processes, names, signals, links, monitors, requests, the run queue. It knows nothing of callbacks; how a process takes
 * one message is handed to it as `step` (server.ts). Rules: runtime.md sections P, L, M, S, N, J.
 */
import { OWN_CLOSE_MS_MAX } from '#config/limits.ts'
import type { World } from '#world/world.ts'
import { CodeTable } from './code.ts'
import { type ExitReason, reasonOf } from './exit.ts'
import { INFO, Mailbox, SYSTEM } from './mailbox.ts'
import { Pid, Via } from './pid.ts'
import {
  CLOSING,
  DEAD,
  MAILBOX_LONG,
  Monitor,
  NOTHING,
  Process,
  Request,
  RUNNING,
  type Settled,
  STARTING,
} from './process.ts'
import { ProcessTimers } from './process-timers.ts'
import { safeCopy } from './safe-copy.ts'
import { Tables } from './tables.ts'
import { asError, type KernelOptions, Turns } from './turns.ts'
import { Wheel } from './wheel.ts'

/** D-9: an owned thing that has not closed by then ends the host. */

/** How an alias ends (OTP-M9). */
export type AliasMode = 'explicit_unalias' | 'reply' | 'demonitor' | 'reply_demonitor'

/** The sender of signals that come from outside every process. */
export const HOST = new Pid(0)

export class Kernel extends Turns {
  readonly wheel: Wheel
  /** For what may be some milliseconds late: nobody is woken for it in time. */
  readonly coarseWheel: Wheel
  readonly timers: ProcessTimers
  readonly code = new CodeTable()
  readonly tables = new Tables()
  readonly processes = new Map<number, Process>()
  readonly names = new Map<string, Process>()
  /** Active aliases, by number; a monitor's alias has the monitor's ref. */
  readonly aliases = new Map<
    number,
    { readonly owner: Process; readonly mode: AliasMode; readonly monitor: Monitor | null }
  >()
  private lastId = 0
  private readonly dying: Process[] = []
  private releasing = false
  constructor(world: World, options: KernelOptions) {
    super(world, options)
    this.wheel = new Wheel(world)
    this.coarseWheel = new Wheel(world, 'coarse')
    this.timers = new ProcessTimers(this)
  }

  uniqueInteger(): number {
    this.lastId += 1
    return this.lastId
  }
  // ------------------------------------------------------------------ addresses

  resolve(to: Pid | string): Process | null {
    const process = typeof to === 'string' ? this.names.get(to) : this.processes.get(to.id)
    return process ?? (to instanceof Via ? this.byVia(to) : null)
  }
  private byVia(via: Via): Process | null {
    const pid = via.whereis()
    return pid === null ? null : this.resolve(pid)
  }
  /** Where a message goes: as `resolve`, and through aliases (OTP-M9). */
  addressee(to: Pid | string): Process | null {
    const process = typeof to === 'string' ? this.names.get(to) : this.processes.get(to.id)
    if (process !== undefined) return process
    if (to instanceof Via) return this.byVia(to)
    return typeof to === 'string' || this.aliases.size === 0 ? null : this.throughAlias(to.id)
  }
  private throughAlias(id: number): Process | null {
    const alias = this.aliases.get(id)
    if (alias === undefined) return null
    if (alias.mode === 'reply' || alias.mode === 'reply_demonitor') {
      this.unalias(id)
      if (alias.monitor !== null && alias.mode === 'reply_demonitor') this.demonitor(alias.monitor)
    }
    return alias.owner
  }
  /** False if it is not active (OTP-M10). */
  unalias(id: number): boolean {
    const alias = this.aliases.get(id)
    alias?.owner.aliases?.delete(id)
    return this.aliases.delete(id)
  }
  alias(owner: Process, mode: AliasMode, monitor: Monitor | null, id = this.uniqueInteger()): Pid {
    if (owner.phase >= CLOSING) return new Pid(id)
    this.aliases.set(id, { owner, mode, monitor })
    owner.aliases ??= new Set()
    owner.aliases.add(id)
    return new Pid(id)
  }

  /** A process that is alive (OTP-P7). */
  alive(to: Pid | string): Process | null {
    const process = this.resolve(to)
    return process === null || process.phase >= CLOSING ? null : process
  }
  register(process: Process, name: string): void {
    process.name = name
    this.names.set(name, process)
  }
  unregister(process: Process): boolean {
    if (process.name === null) return false
    if (this.names.get(process.name) === process) this.names.delete(process.name)
    process.name = null
    return true
  }

  // ------------------------------------------------------------------ messages and the run queue

  /** A dead target swallows it (OTP-P10). */
  push(to: Process, message: unknown, meta: object): void {
    if (to.phase >= CLOSING) return
    to.mailbox ??= new Mailbox()
    if (to.mailbox.length >= to.mailboxLimit && !this.mayGrow(to, message, meta)) return
    to.mailbox.push(message, meta)
    if (to.phase === RUNNING && !to.busy && !to.queued) this.enqueue(to)
  }
  /**
   * A long mailbox: told once each time it has grown so long. A bounded one of a behaviour that declares it: `drop` loses casts and plain
   * sends and answers calls with `mailbox_full`, `crash` ends the process. What the runtime itself sends is never lost.
   */
  private mayGrow(to: Process, message: unknown, meta: object): boolean {
    const { pid, name, mailboxLength } = to
    const { mailbox: bound } = to.slot.current
    const isSystem = meta === SYSTEM || isSignal(message)
    if (mailboxLength === MAILBOX_LONG) this.report({ type: 'mailbox-long', pid, name, length: mailboxLength })
    if (bound === undefined || isSystem || mailboxLength < bound.max) return true
    this.report({ type: 'mailbox-overflowed', pid, name, length: mailboxLength, policy: bound.policy })
    if (bound.policy === 'crash') this.die(to, { type: 'term', term: 'mailbox_full' })
    else if (meta instanceof Request) this.answer(meta, { ok: false, reason: { type: 'term', term: 'mailbox_full' } })
    return false
  }
  send(to: Process, message: unknown, meta: object): void {
    this.push(to, this.options.safeMessages ? safeCopy(message) : message, meta)
  }
  /** Runs between two callbacks of the process (section Y), in its turn. */
  systemRequest(to: Process, run: () => void): void {
    this.push(to, run, SYSTEM)
  }
  /**
   * Tells when the event loop answers a timer more than `lateMs` late, looking every `everyMs`, at whole multiples of it: what else looks around
   * at such instants costs no wake-up of its own. Returns a function that ends it.
   */
  watchLoop(everyMs: number, lateMs: number): () => void {
    const untilNext = (): number => everyMs - (this.world.monoNow() % everyMs)
    let entry = this.coarseWheel.after(untilNext(), () => look())
    const look = (): void => {
      const ms = this.world.monoNow() - entry.due
      if (ms > lateMs) this.report({ type: 'loop-delayed', ms })
      entry = this.coarseWheel.after(untilNext(), look)
    }
    return () => this.coarseWheel.cancel(entry)
  }

  // ------------------------------------------------------------------ requests

  /** `to` dead or unknown: answered `noproc` at once. */
  ask(
    to: Pid | string,
    caller: Process | null,
    message: unknown,
    timeoutMs: number,
    settle: (request: Request | null, answer: Settled) => void,
  ): void {
    if (!(timeoutMs >= 0)) throw new TypeError(`timeoutMs must be at least 0, got ${timeoutMs}`)
    const target = this.addressee(to)
    if (target === null) return settle(null, { ok: false, reason: 'noproc' })
    const request = new Request(target, caller, settle, this.expire)
    if (timeoutMs !== Number.POSITIVE_INFINITY) this.wheel.set(request, timeoutMs)
    this.send(target, message, request)
  }
  /** Asks the process itself, between two callbacks, not its behaviour (section Y). */
  askSystem(
    to: Pid | string,
    caller: Process | null,
    timeoutMs: number,
    run: (target: Process) => Settled,
    settle: (answer: Settled) => void,
  ): void {
    const target = this.resolve(to)
    if (target === null) return settle({ ok: false, reason: 'noproc' })
    const request = new Request(target, caller, (_request, answer) => settle(answer), this.expire)
    if (timeoutMs !== Number.POSITIVE_INFINITY) this.wheel.set(request, timeoutMs)
    this.systemRequest(target, () => {
      if (!request.done) this.answer(request, run(target))
    })
  }
  private readonly expire = (request: Request): void => this.answer(request, { ok: false, reason: 'timeout' })

  /** The first answer counts; later ones, and those to a dead caller, vanish (OTP-G3, G4, J4). */
  answer(request: Request, answer: Settled): void {
    if (request.done) return
    this.forget(request)
    if (request.caller === null || request.caller.phase < CLOSING) request.settle(request, answer)
  }
  reply(request: Request, value: unknown): void {
    if (request.done) return
    this.answer(request, { ok: true, value: this.options.safeMessages ? safeCopy(value) : value })
  }
  private forget(request: Request): void {
    request.done = true
    request.delist()
    this.wheel.cancel(request)
  }

  // ------------------------------------------------------------------ links and monitors

  link(a: Process, b: Process): void {
    if (a === b) return
    a.addLink(b)
    b.addLink(a)
  }
  unlink(a: Process, b: Process): void {
    a.removeLink(b)
    b.removeLink(a)
  }
  /** Null if there is nothing to monitor: the asker then gets `noproc` (OTP-M3). */
  monitor(
    target: Pid | string,
    watcher: Process | null,
    callback: ((reason: ExitReason) => void) | null,
    ref = this.uniqueInteger(),
  ): Monitor | null {
    const process = this.resolve(target)
    if (process === null) return null
    const monitor = new Monitor(ref, process, watcher, typeof target === 'string' ? target : null, callback)
    process.addWatcher(monitor)
    if (watcher !== null && callback === null) {
      watcher.monitors ??= new Map()
      watcher.monitors.set(ref, monitor)
    }
    return monitor
  }
  demonitor(monitor: Monitor): void {
    monitor.target.removeWatcher(monitor)
    monitor.watcher?.monitors?.delete(monitor.ref)
    this.endAliasOf(monitor.ref)
  }
  /** Demonitor and DOWN end the monitor's alias, unless that waits for an explicit end. */
  private endAliasOf(ref: number): void {
    if (this.aliases.size === 0) return
    const alias = this.aliases.get(ref)
    if (alias !== undefined && alias.monitor !== null && alias.mode !== 'explicit_unalias') this.unalias(ref)
  }

  // ------------------------------------------------------------------ exit signals and death

  /** An exit signal arrives (OTP-L5). */
  signal(to: Process, from: Pid, reason: ExitReason, isLink: boolean): void {
    if (to.phase >= CLOSING) return
    if (!isLink && reason === 'kill') return this.die(to, 'killed')
    if (to.trapping) return this.push(to, { type: 'EXIT', pid: from, reason }, INFO)
    if (reason === 'normal' && (isLink || from !== to.pid)) return
    this.die(to, reason)
  }

  /** The one way out (OTP-P6, P9). Nothing of the process has an effect after this. */
  die(process: Process, reason: ExitReason): void {
    if (process.phase >= CLOSING) return
    process.phase = CLOSING
    process.reason = reason
    process.mailbox = null
    process.continuation = NOTHING
    if (process.timeout !== null) this.wheel.cancel(process.timeout)
    process.timeout = null
    this.setBusy(process, false)
    process.abort?.abort(reason)
    if (process.owned === null) this.release(process)
    else this.close(process, process.owned)
  }

  private close(process: Process, owned: Set<() => void | Promise<void>>): void {
    const pending: Promise<void>[] = []
    for (const close of [...owned].reverse()) {
      try {
        const closing = close()
        if (closing instanceof Promise) pending.push(closing)
      } catch (error) {
        this.reportClose(process, error)
      }
    }
    process.owned = null
    if (pending.length === 0) return this.release(process)
    const who = process.name ?? String(process.pid)
    const late = this.wheel.after(OWN_CLOSE_MS_MAX, () => {
      this.options.crashed(new Error(`${who} owned something that did not close within ${OWN_CLOSE_MS_MAX} ms`))
    })
    this.workStarts()
    Promise.allSettled(pending).then((closed) => {
      for (const end of closed) if (end.status === 'rejected') this.reportClose(process, end.reason)
      this.wheel.cancel(late)
      this.release(process)
      this.workEnds()
    })
  }
  /** What could not be closed is told; whoever needs it next will see what is the matter. */
  private reportClose({ pid, name }: Process, error: unknown): void {
    this.report({ type: 'close-failed', pid, name, reason: reasonOf(error) })
  }

  /** Deaths caused by deaths are worked off in order, not nested. */
  private release(process: Process): void {
    if (this.releasing) {
      this.dying.push(process)
      return
    }
    this.releasing = true
    try {
      this.releaseOne(process)
      for (let next = this.dying.shift(); next !== undefined; next = this.dying.shift()) this.releaseOne(next)
    } finally {
      this.releasing = false
    }
  }
  private releaseOne(process: Process): void {
    const reason = process.reason ?? 'normal'
    process.phase = DEAD
    this.processes.delete(process.pid.id)
    const { name } = process
    this.unregister(process)
    process.name = name
    if (process.tables !== null) this.tables.release(process, (heir) => this.alive(heir))
    this.releaseHeld(process)
    this.sendExits(process, reason)
    if (process.watchers !== null) this.sendDowns(process, reason)
    if (process.open !== null) this.failOpen(process, reason)
  }
  private sendExits(process: Process, reason: ExitReason): void {
    const { linkOne, linkMany } = process
    process.linkOne = null
    process.linkMany = null
    if (linkOne?.removeLink(process) === true) this.signal(linkOne, process.pid, reason, true)
    if (linkMany === null) return
    for (const peer of linkMany) if (peer.removeLink(process)) this.signal(peer, process.pid, reason, true)
  }
  private releaseHeld(process: Process): void {
    if (process.timers !== null) this.timers.drop(process, process.timers)
    if (process.monitors !== null) {
      for (const monitor of process.monitors.values()) monitor.target.removeWatcher(monitor)
      process.monitors = null
    }
    if (process.aliases !== null) for (const id of process.aliases) this.aliases.delete(id)
    while (process.asked !== null) this.forget(process.asked)
    process.ctx = null
    process.state = undefined
  }
  /** Whoever waits for an answer of the dead has it now (OTP-G2), in the order of asking. */
  private failOpen(process: Process, reason: ExitReason): void {
    const open: Request[] = []
    for (let request = process.open; request !== null; request = request.openNext) open.push(request)
    for (let i = open.length - 1; i >= 0; i--) {
      const request = open[i]
      if (request !== undefined) this.answer(request, { ok: false, reason })
    }
  }
  private sendDowns(process: Process, reason: ExitReason): void {
    const downs: Monitor[] = []
    for (let monitor = process.watchers; monitor !== null; monitor = monitor.next) downs.push(monitor)
    process.watchers = null
    for (let i = downs.length - 1; i >= 0; i--) this.down(downs[i], process.pid, reason)
  }
  private down(monitor: Monitor | undefined, pid: Pid, reason: ExitReason): void {
    if (monitor === undefined) return
    if (monitor.callback !== null) {
      if (monitor.watcher === null || monitor.watcher.phase < CLOSING) this.callBack(monitor.callback, reason)
      return
    }
    if (monitor.watcher === null) return
    monitor.watcher.monitors?.delete(monitor.ref)
    this.endAliasOf(monitor.ref)
    this.push(monitor.watcher, { type: monitor.tag, ref: monitor.ref, pid, name: monitor.name, reason }, INFO)
  }
  private callBack(callback: (reason: ExitReason) => void, reason: ExitReason): void {
    try {
      callback(reason)
    } catch (error) {
      this.options.crashed(asError(error))
    }
  }

  /** A new process, in its `init`. */
  spawn(behaviour: Parameters<CodeTable['slotOf']>[0], name: string | null): Process {
    const process = new Process(new Pid(this.uniqueInteger()), this.code.slotOf(behaviour), this.world.wallNow())
    process.phase = STARTING
    const { mailbox } = process.slot.current
    if (mailbox !== undefined) process.mailboxLimit = Math.min(mailbox.max, MAILBOX_LONG)
    this.processes.set(process.pid.id, process)
    if (name !== null) this.register(process, name)
    return process
  }
}

const isSignal = (message: unknown): boolean =>
  typeof message === 'object' &&
  message !== null &&
  'type' in message &&
  (message.type === 'EXIT' || message.type === 'DOWN')
