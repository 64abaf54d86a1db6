/** What a process may do to the world around it. After its death every method does nothing (OTP-J2). */
import type { World } from '#world/world.ts'
import type { Behaviour } from './behaviour.ts'
import type { ExitReason } from './exit.ts'
import type { From } from './from.ts'
import type { Pid } from './pid.ts'
import type {
  Answer,
  Message,
  MonitorRef,
  OpenProtocol,
  Protocol,
  Ref,
  ReplyOf,
  RequestOf,
  TimerRef,
} from './protocol.ts'
import type { StartOptions, StartResult } from './start.ts'
import type { Table } from './table.ts'

export interface Context<P extends Protocol = Protocol> {
  readonly self: Pid
  /** The registered name, or null. */
  readonly name: string | null
  readonly world: World
  /** Aborted at death: hand it to whatever outlives a callback. */
  readonly signal: AbortSignal
  /** Free-form, shown in reports and process info. */
  setLabel(label: unknown): void
  /** A fresh integer, ascending, never given twice while the runtime lives (erlang:unique_integer([monotonic])). */
  uniqueInteger(): number

  /** Never fails, whatever the target (OTP-G5). */
  cast<Q extends Protocol = OpenProtocol>(to: Ref<Q>, message: Q['cast']): void
  /** A plain message: arrives in `info`. To an unregistered name it throws (OTP-N3). */
  send<Q extends Protocol = OpenProtocol>(to: Ref<Q>, message: Q['info']): void
  /** For async callbacks only. Rejects with Exit (OTP-G1). Default timeout 5,000 ms; Infinity allowed. */
  call<Q extends Protocol = OpenProtocol, T extends RequestOf<Q>['type'] = RequestOf<Q>['type']>(
    to: Ref<Q>,
    message: RequestOf<Q> & { readonly type: T },
    timeoutMs?: number,
  ): Promise<ReplyOf<Q, { readonly type: T }>>
  /**
   * Asks, and goes on: the answer comes as the info message `{ type: label, data, ok, value | reason }`, always exactly one
   * (the target's death and the timeout are answers too). The label must be an Answer of this actor's info union.
   */
  request<Q extends Protocol, T extends RequestOf<Q>['type'], L extends string, D = null>(
    to: Ref<Q>,
    message: RequestOf<Q> & { readonly type: T },
    label: Answer<L, ReplyOf<Q, { readonly type: T }>, D> extends P['info'] ? L : never,
    ...data: D extends null ? [data?: null, timeoutMs?: number] : [data: D, timeoutMs?: number]
  ): void
  /** The promise's end comes as an info message, like an answer. A rejection becomes `ok: false` (OTP-J3). */
  pipe<V, L extends string, D = null>(
    promise: Promise<V>,
    label: Answer<L, V, D> extends P['info'] ? L : never,
    ...data: D extends null ? [data?: null] : [data: D]
  ): void
  /** For async callbacks: ends a process through its `terminate`; rejects with CallExit if it ended otherwise (OTP-G19). */
  stop(ref: Pid | string, reason?: ExitReason, timeoutMs?: number): Promise<void>
  reply<R>(from: From<R>, value: R): void

  monitor(target: Pid | string): MonitorRef
  demonitor(ref: MonitorRef, options?: { readonly flush?: boolean }): boolean
  link(pid: Pid): void
  unlink(pid: Pid): void
  trapExit(on: boolean): void
  exit(pid: Pid, reason: ExitReason): void
  whereis(name: string): Pid | null
  /** Gives up the registered name; true if it had one. With an empty mailbox in the same callback: a stop that loses nothing (D-2). */
  unregister(): boolean
  /** Messages waiting in this process's mailbox. */
  mailboxLength(): number
  /** Starts a process linked to this one; rejects never, except that the caller may die with it (OTP-I10). */
  startLink<Q extends Protocol, Args, S>(
    behaviour: Behaviour<Q, Args, S>,
    args: Args,
    options?: StartOptions,
  ): Promise<StartResult>

  /** As startLink, but answers at once where the child's `init` is synchronous: what child specs use. */
  startLinked<Q extends Protocol, Args, S>(
    behaviour: Behaviour<Q, Args, S>,
    args: Args,
    options?: StartOptions,
  ): StartResult | Promise<StartResult>

  /** `message` arrives in `info` after at least `delayMs`. Outlives nothing: it goes with the destination (OTP-T4). */
  sendAfter(delayMs: number, message: P['info']): TimerRef
  /** As sendAfter, for what may come some milliseconds later still: a look from time to time costs no wake-up of the alarm. */
  sendAfterCoarse(delayMs: number, message: P['info']): TimerRef
  sendAfterTo<Q extends Protocol = OpenProtocol>(delayMs: number, to: Ref<Q>, message: Q['info']): TimerRef
  /** For async callbacks: resolves after at least `delayMs`, but never after this process's death (OTP-J4). */
  sleep(delayMs: number): Promise<void>
  /** Remaining ms, or false if it fired, was cancelled, or never was. */
  cancelTimer(ref: TimerRef): number | false

  /**
   * Runs at this process's death, kill included, before its EXIT and DOWN go out; an async close delays them and keeps the
   * name, at most 5 s, then the process ends with exit 70 (D-9). Returns a function that forgets it.
   */
  own(close: () => void | Promise<void>): () => void

  /** The node-local table of that name (the counterpart of ETS); made by `createTable`. Throws if there is none. */
  table<K, V>(name: string): Table<K, V>
  /** Makes a table owned by this process; it goes with it, unless an heir (a registered name) takes it over. */
  createTable<K, V>(name: string, options?: { readonly heir?: string }): Table<K, V>
}
export type { Message }
