/**
 * How actors are spoken to. Messages are plain data with a `type`; a call's reply type follows the message.
 *
 * ```ts
 * export type CounterProtocol = {
 *   call: Call<{ type: 'get' }, number> | Call<{ type: 'add'; n: number }, number>
 *   cast: { type: 'reset' }
 *   info: Answer<'saved', boolean>
 *   continue: { type: 'load' }
 * }
 * ```
 */

import type { ExitReason } from './exit.ts'
import type { Pid } from './pid.ts'

export interface Message {
  readonly type: string
}
export interface Call<Request extends Message, Reply> {
  readonly request: Request
  readonly reply: Reply
}
/** What an actor understands. `never` for a road it does not have. */
export interface Protocol {
  readonly call: Call<Message, unknown>
  readonly cast: Message
  readonly info: Message
  readonly continue: Message
}
/** What anybody may be sent who is known by pid only. Name the protocol, `ctx.cast<GuardProtocol>(pid, ...)`, to have it checked. */
export type OpenMessage = { readonly type: string; readonly [field: string]: unknown }
export interface OpenProtocol {
  readonly call: Call<OpenMessage, unknown>
  readonly cast: OpenMessage
  readonly info: OpenMessage
  readonly continue: never
}
export type RequestOf<P extends Protocol> = P['call']['request']
export type ReplyOf<P extends Protocol, M extends Message> = Extract<
  P['call'],
  { readonly request: { readonly type: M['type'] } }
>['reply']

declare const speaks: unique symbol
/** A registered name that is resolved at each send, so it follows a restart (OTP-N5). Branded string at run time. */
export type Name<P extends Protocol = Protocol> = string & { readonly [speaks]?: (p: P) => void }
export const name = <P extends Protocol>(text: string): Name<P> => text as Name<P>

/** Where a message can go: a pid (dies with the process) or a name (follows restarts). */
export type Ref<P extends Protocol = Protocol> = Pid | Name<P>

/**
 * The answer to `ctx.request` or `ctx.pipe`, as an info message. `data` is what the asker put beside the question.
 * `ok: false` carries the exit reason (`noproc`, `timeout`, the server's own) or, for a pipe, the rejection.
 */
export type Answer<Label extends string, Value, Data = null> = {
  readonly type: Label
  readonly data: Data
} & ({ readonly ok: true; readonly value: Value } | { readonly ok: false; readonly reason: ExitReason })

export interface Down {
  readonly type: 'DOWN'
  readonly ref: MonitorRef
  readonly pid: Pid | null
  readonly name: string | null
  readonly reason: ExitReason
}
/** Only to a process that traps exits. */
export interface Exited {
  readonly type: 'EXIT'
  readonly pid: Pid
  readonly reason: ExitReason
}
export interface TimedOut {
  readonly type: 'timeout'
}
export type SystemInfo = Down | Exited | TimedOut

declare const monitorBrand: unique symbol
export type MonitorRef = number & { readonly [monitorBrand]?: true }
declare const timerBrand: unique symbol
export type TimerRef = number & { readonly [timerBrand]?: true }
