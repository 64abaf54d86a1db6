/**
 * An in-process OTP: the door of the runtime for whoever stands outside every process (main.ts, tests, benches).
 * What a process may do is its Context. Deliveries, orders and ends are those of Erlang/OTP; the rules have numbers (RULES.md).
 */
import type { World } from '#world/world.ts'
import type { Behaviour } from './behaviour.ts'
import { CallExit, type ExitReason } from './exit.ts'
import { HOST, Kernel } from './kernel.ts'
import { CAST, INFO } from './mailbox.ts'
import type { Pid } from './pid.ts'
import { type Body, spawn, stepPlain } from './plain.ts'
import { CLOSING, type Monitor, type Process, RUNNING, STARTING, TERMINATING } from './process.ts'
import { ProcessContext } from './process-context.ts'
import type { Message, OpenProtocol, Protocol, Ref, ReplyOf, RequestOf } from './protocol.ts'
import type { Report } from './reports.ts'
import { step, terminate } from './server.ts'
import type { StartOptions, StartResult } from './start.ts'
import { start } from './starting.ts'
import type { Table } from './table.ts'
import { asError } from './turns.ts'

const CALL_TIMEOUT_MS = 5_000

export interface RuntimeOptions {
  readonly report?: (report: Report) => void
  /** Something is wrong outside every actor; the host must end (exit 70). Default: thrown from a microtask, which ends the process. */
  readonly crashed?: (error: Error) => void
  /** Messages are copied at the send, so that a later mutation is never seen (OTP-R6). Tests: always. Default false: messages are shared. */
  readonly safeMessages?: boolean
  /** The run queue is permuted from the world's randomness (OTP-S2), to find order bugs. Default false. */
  readonly permute?: boolean
}

export type ProcessState = 'starting' | 'running' | 'busy' | 'waiting' | 'suspended' | 'stopping'
export interface ProcessInfo {
  readonly pid: Pid
  readonly name: string | null
  readonly behaviour: string
  readonly version: number
  readonly state: ProcessState
  /** Messages waiting. */
  readonly mailbox: number
  /** Wall clock, epoch ms. */
  readonly startedAt: number
  /** Callbacks run. */
  readonly reductions: number
  readonly links: readonly Pid[]
  readonly monitors: readonly Pid[]
  readonly monitoredBy: readonly Pid[]
  readonly trapExit: boolean
  readonly parent: Pid | null
  readonly ancestors: readonly Pid[]
}

export class Runtime {
  readonly kernel: Kernel

  constructor(world: World, options: RuntimeOptions = {}) {
    this.kernel = new Kernel(world, {
      report: options.report ?? (() => {}),
      crashed: options.crashed ?? ((error) => endHost(world, error)),
      safeMessages: options.safeMessages ?? false,
      permute: options.permute === true ? (bound) => Math.floor(world.random() * bound) : null,
    })
    this.kernel.stepPlain = (process) => stepPlain(this.kernel, process)
    this.kernel.step = (process, message, meta) => step(this.kernel, process, message, meta)
  }

  /** Without link and parent (OTP-I13). Answers when `init` has finished or failed. */
  async start<P extends Protocol, Args, S>(
    behaviour: Behaviour<P, Args, S>,
    args: Args,
    options: StartOptions = {},
  ): Promise<StartResult> {
    const { kernel } = this
    return start(kernel, (child) => new ProcessContext(kernel, child), behaviour, args, options, null, false)
  }
  /** A plain process (plain.ts). Its body runs in its own turn, never in this call (OTP-P1). */
  spawn(body: Body): Pid {
    return spawn(this.kernel, body, null).pid
  }
  /** Rejects with CallExit (OTP-G1). Default timeout 5,000 ms; Infinity allowed. */
  call<P extends Protocol = OpenProtocol, T extends RequestOf<P>['type'] = RequestOf<P>['type']>(
    to: Ref<P>,
    message: RequestOf<P> & { readonly type: T },
    timeoutMs: number = CALL_TIMEOUT_MS,
  ): Promise<ReplyOf<P, { readonly type: T }>> {
    return new Promise((resolve, reject) => {
      this.kernel.ask(to, null, message, timeoutMs, (_request, answer) => {
        if (answer.ok) resolve(answer.value as ReplyOf<P, { readonly type: T }>)
        else reject(new CallExit(answer.reason, { target: String(to), request: message.type, timeoutMs }))
      })
    })
  }
  /** Never fails (OTP-G5). */
  cast<P extends Protocol = OpenProtocol>(to: Ref<P>, message: P['cast']): void {
    this.deliver(to, message, CAST)
  }
  /** A plain message, for `info`. Unlike a process's send it never throws. */
  send<P extends Protocol = OpenProtocol>(to: Ref<P>, message: P['info']): void {
    this.deliver(to, message, INFO)
  }
  private deliver(to: Pid | string, message: Message, meta: object): void {
    const target = this.kernel.addressee(to)
    if (target !== null) this.kernel.send(target, message, meta)
  }

  whereis(name: string): Pid | null {
    return this.kernel.alive(name)?.pid ?? null
  }
  isAlive(ref: Pid | string): boolean {
    return this.kernel.alive(ref) !== null
  }
  /** Sends an exit signal (OTP-L5); true if there was a process. */
  exit(ref: Pid | string, reason: ExitReason): boolean {
    const target = this.kernel.alive(ref)
    if (target !== null) this.kernel.signal(target, HOST, reason, false)
    return target !== null
  }
  /** Calls back once, at the end of the process; at once with `noproc` if there is none. Returns a function that ends the monitor. */
  monitor(ref: Pid | string, ended: (reason: ExitReason) => void): () => void {
    let live: Monitor | null = null
    live = this.kernel.monitor(ref, null, (reason) => {
      live = null
      ended(reason)
    })
    if (live === null) ended('noproc')
    return () => {
      if (live !== null) this.kernel.demonitor(live)
      live = null
    }
  }
  /** Ends a process through its `terminate` (OTP-G19). Resolves with the reason it really ended with; `noproc` if there was none. */
  stop(ref: Pid | string, reason: ExitReason = 'normal'): Promise<ExitReason> {
    return new Promise((resolve) => {
      const target = this.kernel.alive(ref)
      this.monitor(ref, resolve)
      if (target === null) return
      this.kernel.systemRequest(target, () => terminate(this.kernel, target, reason, {}))
    })
  }

  /** Every process that is alive, oldest first. */
  processes(): Pid[] {
    return [...this.kernel.processes.values()].filter((process) => process.phase < CLOSING).map(({ pid }) => pid)
  }
  processInfo(ref: Pid | string | number): ProcessInfo | null {
    const process = typeof ref === 'number' ? this.kernel.processes.get(ref) : this.kernel.alive(ref)
    return process === undefined || process === null || process.phase >= CLOSING ? null : infoOf(process)
  }
  /** process_info (OTP-O10): the asked items in the order asked, null where the runtime has no such figure; undefined for a dead pid. */
  processItems(pid: Pid, items: readonly string[]): [string, unknown][] | undefined {
    const process = this.kernel.alive(pid)
    if (process === null) return undefined
    const known = itemsOf(process)
    return items.map((item) => [item, known[item] ?? null])
  }
  /** The live process with this number. */
  pidOf(id: number): Pid | null {
    return this.processInfo(id)?.pid ?? null
  }
  /** Reports `loop-delayed` when the event loop answers a timer more than `lateMs` late. Returns a function that ends it. */
  watchLoop(everyMs = 250, lateMs = 50): () => void {
    return this.kernel.watchLoop(everyMs, lateMs)
  }
  /** The processes that run this behaviour: those to suspend for its upgrade (OTP-C7). */
  processesOf(behaviour: string): Pid[] {
    const running = [...this.kernel.processes.values()].filter((process) => process.phase < CLOSING)
    return running.filter((process) => process.slot.current.name === behaviour).map(({ pid }) => pid)
  }
  /** A node-local table, to look into from outside. Throws if there is none. */
  table<K, V>(name: string): Table<K, V> {
    return this.kernel.tables.get(name) as Table<K, V>
  }
  /** Resolves when no process has anything to do. With a VirtualWorld use its `settle`. */
  idle(): Promise<void> {
    return new Promise((resolve) => this.kernel.onIdle(resolve))
  }
}

const endHost = (world: World, error: Error): void => {
  world.soon(() => {
    throw asError(error)
  })
}

const stateOf = (process: Process): ProcessState => {
  if (process.phase === STARTING) return 'starting'
  if (process.phase === TERMINATING) return 'stopping'
  if (process.suspended) return 'suspended'
  if (process.busy) return 'busy'
  return process.phase === RUNNING && process.hasWork ? 'running' : 'waiting'
}

const MESSAGES_MAX = 1_000
const queuedIn = ({ mailbox }: Process): unknown[] =>
  Array.from({ length: Math.min(mailbox?.length ?? 0, MESSAGES_MAX) }, (_, index) => mailbox?.messageAt(index))
/** OTP's words for the items. `messages`: the first 1,000. */
const itemsOf = (process: Process): Readonly<Record<string, unknown>> => {
  const info = infoOf(process)
  return {
    registered_name: info.name,
    status: { starting: 'running', busy: 'running', stopping: 'exiting' }[info.state as string] ?? info.state,
    message_queue_len: info.mailbox,
    messages: queuedIn(process),
    links: info.links,
    monitors: info.monitors,
    monitored_by: info.monitoredBy,
    trap_exit: info.trapExit,
    initial_call: info.behaviour,
    current_function: process.runningCode?.name ?? null,
    reductions: info.reductions,
    parent: info.parent,
    ancestors: info.ancestors,
    label: process.label,
  }
}

export const infoOf = (process: Process): ProcessInfo => {
  const { pid, name, startedAt, reductions, trapping, parent, ancestors } = process
  const code = process.slot.current
  const monitoredBy: Pid[] = []
  for (let monitor = process.watchers; monitor !== null; monitor = monitor.next) {
    if (monitor.watcher !== null) monitoredBy.push(monitor.watcher.pid)
  }
  return {
    pid,
    name,
    behaviour: code.name,
    version: code.version,
    state: stateOf(process),
    mailbox: process.mailboxLength,
    startedAt,
    reductions,
    links: process.links().map((peer) => peer.pid),
    monitors: [...(process.monitors?.values() ?? [])].map((monitor) => monitor.target.pid),
    monitoredBy,
    trapExit: trapping,
    parent,
    ancestors,
  }
}
