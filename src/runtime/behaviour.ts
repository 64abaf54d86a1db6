/**
 * The gen_server-like behaviour (OTP Design Principles, gen_server). A behaviour is a plain object, its state plain data:
 * that is what makes hot code possible. Handlers are synchronous unless the actor is meant to be busy (OTP-J1).
 */
import type { Context } from './context.ts'
import type { ExitReason } from './exit.ts'
import type { From } from './from.ts'
import type { Protocol, ReplyOf, RequestOf, SystemInfo } from './protocol.ts'

/** A behaviour has handlers for every road that its protocol has: leaving one out is an error of the compiler. */
export type Behaviour<P extends Protocol, Args, State> = Callbacks<P, Args, State> & Roads<P>
type Roads<P extends Protocol> = ([P['call']] extends [never] ? unknown : { readonly call: object }) &
  ([P['cast']] extends [never] ? unknown : { readonly cast: object }) &
  ([P['continue']] extends [never] ? unknown : { continue(message: never, state: never, ctx: never): unknown })

interface Callbacks<P extends Protocol, Args, State> {
  /** Key in the code table; also what the supervision tree shows. */
  readonly name: string
  readonly version: number
  /**
   * A bound on its mailbox. Beyond it: `drop` loses casts and plain sends and fails calls with the term `mailbox_full`; `crash` ends the
   * process so. DOWN, EXIT and system messages are never lost. Default: unbounded, reported at 10,000.
   */
  readonly mailbox?: { readonly max: number; readonly policy: 'drop' | 'crash' }
  init(args: Args, ctx: Context<P>): Init<P, State> | Promise<Init<P, State>>
  readonly call?: {
    readonly [T in RequestOf<P>['type']]: (
      request: Extract<RequestOf<P>, { readonly type: T }>,
      from: From<ReplyOf<P, { readonly type: T }>>,
      state: State,
      ctx: Context<P>,
    ) =>
      | CallResult<P, State, ReplyOf<P, { readonly type: T }>>
      | Promise<CallResult<P, State, ReplyOf<P, { readonly type: T }>>>
  }
  readonly cast?: {
    readonly [T in P['cast']['type']]: (
      message: Extract<P['cast'], { readonly type: T }>,
      state: State,
      ctx: Context<P>,
    ) => CastResult<P, State> | Promise<CastResult<P, State>>
  }
  /** DOWN, EXIT (trapping, not from the parent), timeouts, answers, plain sends. */
  info?(
    message: P['info'] | SystemInfo,
    state: State,
    ctx: Context<P>,
  ): CastResult<P, State> | Promise<CastResult<P, State>>
  continue?(message: P['continue'], state: State, ctx: Context<P>): CastResult<P, State> | Promise<CastResult<P, State>>
  /** OTP-G15, G16: not after a kill, nor after an exit signal to a process that does not trap. */
  terminate?(reason: ExitReason, state: State, ctx: Context<P>): void | Promise<void>
  codeChange?(from: { readonly version: number; readonly down: boolean }, state: unknown, extra: unknown): State
  /** For reports and status pages: hide what must not be seen. */
  formatStatus?(state: State): unknown
}

/** What comes after a callback, before the mailbox: a timeout when nothing arrives (OTP-G21), or a continue (G25). */
export type Next<P extends Protocol> = { readonly timeoutMs: number } | { readonly continue: P['continue'] }

export type Init<P extends Protocol, State> =
  | { readonly kind: 'ok'; readonly state: State; readonly next: Next<P> | null }
  | { readonly kind: 'stop'; readonly reason: ExitReason }
  | { readonly kind: 'error'; readonly reason: ExitReason }
  | { readonly kind: 'ignore' }
export type CastResult<P extends Protocol, State> =
  | { readonly kind: 'noreply'; readonly state: State; readonly next: Next<P> | null }
  | { readonly kind: 'stop'; readonly reason: ExitReason; readonly state: State }
  /** The state object is the same (it may have been changed in place): no allocation on the hot path. */
  | { readonly kind: 'keep' }
export type CallResult<P extends Protocol, State, Reply> =
  | CastResult<P, State>
  | { readonly kind: 'reply'; readonly reply: Reply; readonly state: State; readonly next: Next<P> | null }
  | { readonly kind: 'stop-reply'; readonly reason: ExitReason; readonly reply: Reply; readonly state: State }

interface Ok<S, N> {
  readonly kind: 'ok'
  readonly state: S
  readonly next: N
}
interface NoReply<S, N> {
  readonly kind: 'noreply'
  readonly state: S
  readonly next: N
}
interface Reply<R, S, N> {
  readonly kind: 'reply'
  readonly reply: R
  readonly state: S
  readonly next: N
}
interface Stop<S> {
  readonly kind: 'stop'
  readonly reason: ExitReason
  readonly state: S
}

/** `init` has succeeded. `next` as everywhere: `{ continue: message }`, `{ timeoutMs }`, or nothing. */
export function ok<S>(state: S): Ok<S, null>
export function ok<S, const N>(state: S, next: N): Ok<S, N>
export function ok<S, N>(state: S, next: N | null = null): Ok<S, N | null> {
  return { kind: 'ok', state, next }
}
/** `init` has nothing to do here: no process, and no error (OTP-I5). */
export const ignore: { readonly kind: 'ignore' } = { kind: 'ignore' }
/** The state is the same object: what most handlers return. */
export const keep: { readonly kind: 'keep' } = { kind: 'keep' }
export function noreply<S>(state: S): NoReply<S, null>
export function noreply<S, const N>(state: S, next: N): NoReply<S, N>
export function noreply<S, N>(state: S, next: N | null = null): NoReply<S, N | null> {
  return { kind: 'noreply', state, next }
}
/** Answers the call. A handler that answers later returns `keep` and uses `ctx.reply(from, value)` then. */
export function reply<R, S>(value: R, state: S): Reply<R, S, null>
export function reply<R, S, const N>(value: R, state: S, next: N): Reply<R, S, N>
export function reply<R, S, N>(value: R, state: S, next: N | null = null): Reply<R, S, N | null> {
  return { kind: 'reply', reply: value, state, next }
}
/** Ends the process through `terminate`. */
export const stop = <S>(reason: ExitReason, state: S): Stop<S> => ({ kind: 'stop', reason, state })
/** Ends the process through `terminate`, then answers (OTP-G10). */
export const stopReply = <R, S>(reason: ExitReason, value: R, state: S) =>
  ({ kind: 'stop-reply', reason, reply: value, state }) as const
