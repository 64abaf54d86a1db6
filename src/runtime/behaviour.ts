/**
 * The gen_server-like behaviour (OTP Design Principles, gen_server). A behaviour is a plain object, its state plain data:
 * that is what makes hot code possible. Handlers are synchronous unless the actor is meant to be busy (OTP-J1).
 */
import type { Context } from './context.ts'
import type { ExitReason } from './exit.ts'
import type { From } from './from.ts'
import type { Protocol, ReplyOf, RequestOf, SystemInfo } from './protocol.ts'

export interface Behaviour<P extends Protocol, Args, State> {
  /** Key in the code table; also what the supervision tree shows. */
  readonly name: string
  readonly version: number
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
export type Then<P extends Protocol> = { readonly timeoutMs: number } | { readonly continue: P['continue'] }

export type Init<P extends Protocol, State> =
  | { readonly kind: 'ok'; readonly state: State; readonly then: Then<P> | null }
  | { readonly kind: 'stop'; readonly reason: ExitReason }
  | { readonly kind: 'error'; readonly reason: ExitReason }
  | { readonly kind: 'ignore' }
export type CastResult<P extends Protocol, State> =
  | { readonly kind: 'noreply'; readonly state: State; readonly then: Then<P> | null }
  | { readonly kind: 'stop'; readonly reason: ExitReason; readonly state: State }
  /** The state object is the same (it may have been changed in place): no allocation on the hot path. */
  | { readonly kind: 'keep' }
export type CallResult<P extends Protocol, State, Reply> =
  | CastResult<P, State>
  | { readonly kind: 'reply'; readonly reply: Reply; readonly state: State; readonly then: Then<P> | null }
  | { readonly kind: 'stop-reply'; readonly reason: ExitReason; readonly reply: Reply; readonly state: State }

export const ok = <P extends Protocol, S>(state: S, then: Then<P> | null = null): Init<P, S> => ({
  kind: 'ok',
  state,
  then,
})
export const ignore: { readonly kind: 'ignore' } = { kind: 'ignore' }
export const keep: { readonly kind: 'keep' } = { kind: 'keep' }
export const noreply = <P extends Protocol, S>(state: S, then: Then<P> | null = null): CastResult<P, S> => ({
  kind: 'noreply',
  state,
  then,
})
export const reply = <P extends Protocol, S, R>(
  value: R,
  state: S,
  then: Then<P> | null = null,
): CallResult<P, S, R> => ({ kind: 'reply', reply: value, state, then })
export const stop = <S>(
  reason: ExitReason,
  state: S,
): { readonly kind: 'stop'; readonly reason: ExitReason; readonly state: S } => ({ kind: 'stop', reason, state })
