/** The runtime's own record of a process. Nothing outside src/runtime sees it; everything rare is null until it is needed. */
import type { Code, CodeSlot } from './code.ts'
import type { Debug } from './debug.ts'
import type { ExitReason } from './exit.ts'
import { INFO, type Mailbox, SYSTEM } from './mailbox.ts'
import type { Pid } from './pid.ts'
import { WheelEntry } from './wheel.ts'

/** In its `init`: messages wait (OTP-I14). */
export const STARTING = 0
export const RUNNING = 1
/** In its `terminate`; effects still count, no message is taken any more. */
export const TERMINATING = 2
/** Exiting (OTP-P7): fenced (J2), its owned things are being closed, EXIT and DOWN are not out yet (D-9). */
export const CLOSING = 3
export const DEAD = 4
export type Phase = 0 | 1 | 2 | 3 | 4

/** Nothing to continue with. */
export const NOTHING: unique symbol = Symbol('nothing')

/** One monitor, in the list of its target; the watcher holds it by ref. */
export class Monitor {
  readonly ref: number
  readonly target: Process
  /** Null for a monitor from outside every process. */
  readonly watcher: Process | null
  /** The name it was set by, for the DOWN message (OTP-M2). */
  readonly name: string | null
  /** Instead of a message: supervisors, start, the host. */
  readonly callback: ((reason: ExitReason) => void) | null
  /** What the message is called (OTP-M11). */
  tag = 'DOWN'
  previous: Monitor | null = null
  next: Monitor | null = null
  constructor(
    ref: number,
    target: Process,
    watcher: Process | null,
    name: string | null,
    callback: Monitor['callback'],
  ) {
    this.ref = ref
    this.target = target
    this.watcher = watcher
    this.name = name
    this.callback = callback
  }
}

/** How a request ends: exactly once. */
export type Settled =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly reason: ExitReason }

/**
 * One question, from the asking to its one answer; it is the `From` that the server sees, and its own deadline in the wheel.
 * In two lists: the target's (answered when the target dies) and the asker's (forgotten when the asker dies, OTP-J4).
 */
export class Request extends WheelEntry {
  readonly target: Process
  readonly caller: Process | null
  readonly settle: (request: Request, answer: Settled) => void
  /** What the kernel does at the deadline. */
  readonly expire: (request: Request) => void
  done = false
  openPrevious: Request | null = null
  openNext: Request | null = null
  askedPrevious: Request | null = null
  askedNext: Request | null = null

  constructor(target: Process, caller: Process | null, settle: Request['settle'], expire: Request['expire']) {
    super()
    this.target = target
    this.caller = caller
    this.settle = settle
    this.expire = expire
    this.enlist()
  }
  override fire(): void {
    this.expire(this)
  }
  private enlist(): void {
    const { target, caller } = this
    this.openNext = target.open
    if (target.open !== null) target.open.openPrevious = this
    target.open = this
    if (caller === null) return
    this.askedNext = caller.asked
    if (caller.asked !== null) caller.asked.askedPrevious = this
    caller.asked = this
  }
  delist(): void {
    const { target, caller } = this
    if (this.openPrevious !== null) this.openPrevious.openNext = this.openNext
    else target.open = this.openNext
    if (this.openNext !== null) this.openNext.openPrevious = this.openPrevious
    if (caller === null) return
    if (this.askedPrevious !== null) this.askedPrevious.askedNext = this.askedNext
    else caller.asked = this.askedNext
    if (this.askedNext !== null) this.askedNext.askedPrevious = this.askedPrevious
  }
}

/** A timer that goes with the process it is aimed at, if it is aimed at a pid (OTP-T4). */
export abstract class TargetTimer extends WheelEntry {
  readonly ref: number
  readonly target: Process | null
  constructor(ref: number, target: Process | null) {
    super()
    this.ref = ref
    this.target = target
  }
}

/** A plain process waits for a message (OTP-R2). */
export interface Receiver {
  readonly match: ((message: unknown) => boolean) | null
  readonly resolve: (message: unknown) => void
  readonly reject: (error: unknown) => void
  /** Messages looked at and skipped so far. */
  scanned: number
  timer: WheelEntry | null
}

/** A mailbox of this length is reported (long_mailbox). */
export const MAILBOX_LONG = 10_000

const NO_ANCESTORS: readonly Pid[] = []

export class Process {
  readonly pid: Pid
  readonly slot: CodeSlot
  readonly startedAt: number
  name: string | null = null
  phase: Phase = STARTING
  reason: ExitReason | null = null
  state: unknown = undefined
  /** Its context; typed where it is made. */
  ctx: unknown = null
  mailbox: Mailbox | null = null
  /** Beyond this many messages the kernel looks twice: a report, or the policy that its behaviour declares. */
  mailboxLimit = MAILBOX_LONG
  /** In the ready queue. */
  queued = false
  /** A callback has returned a promise that has not settled (OTP-J1). */
  busy = false
  trapping = false
  suspended = false
  /** Of a linked start only (OTP-I13). */
  parent: Pid | null = null
  ancestors: readonly Pid[] = NO_ANCESTORS
  /** Its children's ancestors, one list for all of them. */
  private lineage: readonly Pid[] | null = null
  continuation: unknown = NOTHING
  timeout: WheelEntry | null = null
  timeoutMs = 0
  /** Callbacks run so far. */
  reductions = 0

  /** Not a behaviour: its body takes its messages itself. */
  plain = false
  receiver: Receiver | null = null
  aliases: Set<number> | null = null
  /** What `sys` watches: statistics, log, trace, installed functions; null while nobody does. */
  debug: Debug | null = null
  /** Free-form, for humans (OTP-P11). */
  label: unknown = null
  /** The code of the callback that is under way (OTP-C1). */
  runningCode: Code | null = null

  /** Most processes have one link, to their parent. */
  linkOne: Process | null = null
  linkMany: Set<Process> | null = null
  monitors: Map<number, Monitor> | null = null
  watchers: Monitor | null = null
  /** Requests to this process that are not answered yet. */
  open: Request | null = null
  /** Requests of this process that are not answered yet. */
  asked: Request | null = null
  /** Timers aimed at this pid (OTP-T4). */
  timers: Set<TargetTimer> | null = null
  owned: Set<() => void | Promise<void>> | null = null
  tables: Set<string> | null = null
  abort: AbortController | null = null

  constructor(pid: Pid, slot: CodeSlot, startedAt: number) {
    this.pid = pid
    this.slot = slot
    this.startedAt = startedAt
  }

  descend(): readonly Pid[] {
    this.lineage ??= [this.pid, ...this.ancestors]
    return this.lineage
  }
  /** Whether a turn of its own would do anything. */
  get hasWork(): boolean {
    if (this.suspended) return this.urgentIndex() >= 0
    if (this.plain) return this.continuation !== NOTHING || this.hasNews
    return this.continuation !== NOTHING || this.mailboxLength > 0
  }
  private get hasNews(): boolean {
    return this.receiver !== null && this.receiver.scanned < this.mailboxLength
  }
  /** While suspended only system messages and the parent's EXIT are looked at (OTP-Y3); -1 if there is none. */
  urgentIndex(): number {
    for (let i = 0; i < this.mailboxLength; i++) {
      const meta = this.mailbox?.metaAt(i)
      if (meta === SYSTEM || (meta === INFO && this.isParentExit(this.mailbox?.messageAt(i)))) return i
    }
    return -1
  }
  /** On its way out, whatever comes: ending, or its parent's EXIT is in its mailbox (OTP-G15). */
  isDoomed(): boolean {
    if (this.phase >= TERMINATING) return true
    const waiting = this.mailbox?.length ?? 0
    for (let i = 0; i < waiting; i++) if (this.isParentExit(this.mailbox?.messageAt(i))) return true
    return false
  }
  isParentExit(message: unknown): boolean {
    if (this.parent === null || typeof message !== 'object' || message === null) return false
    return 'type' in message && message.type === 'EXIT' && 'pid' in message && message.pid === this.parent
  }
  get mailboxLength(): number {
    return this.mailbox === null ? 0 : this.mailbox.length
  }
  isLinkedTo(peer: Process): boolean {
    return this.linkOne === peer || (this.linkMany?.has(peer) ?? false)
  }
  addLink(peer: Process): void {
    if (this.isLinkedTo(peer)) return
    if (this.linkOne === null) {
      this.linkOne = peer
      return
    }
    this.linkMany ??= new Set()
    this.linkMany.add(peer)
  }
  /** False if there was none. */
  removeLink(peer: Process): boolean {
    if (this.linkOne !== peer) return this.linkMany?.delete(peer) ?? false
    this.linkOne = null
    return true
  }
  links(): Process[] {
    const many = this.linkMany === null ? [] : [...this.linkMany]
    return this.linkOne === null ? many : [this.linkOne, ...many]
  }
  addWatcher(monitor: Monitor): void {
    monitor.next = this.watchers
    if (this.watchers !== null) this.watchers.previous = monitor
    this.watchers = monitor
  }
  removeWatcher(monitor: Monitor): void {
    if (monitor.previous === null) this.watchers = monitor.next
    else monitor.previous.next = monitor.next
    if (monitor.next !== null) monitor.next.previous = monitor.previous
    monitor.previous = null
    monitor.next = null
  }
}
