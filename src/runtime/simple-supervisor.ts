/**
 * OTP's simple_one_for_one: one template, children that differ only in their arguments, known by pid. New code uses the dynamic supervisor;
 * this one is here because Erlang code has it. Rules: U7, U10, U29, U31, U33.
 */
import { type Behaviour, type CallResult, keep, noreply, reply } from './behaviour.ts'
import { flagsProblem, isRunning, problemReason, specProblem, stopChild } from './children.ts'
import type { Context } from './context.ts'
import { addChild, type DynamicChild, exited, restart, stopAll } from './dynamic-supervisor.ts'
import { Exit, type ExitReason } from './exit.ts'
import { Pid } from './pid.ts'
import type { Call } from './protocol.ts'
import { after, type Maybe } from './sequence.ts'
import type { StartResult } from './start.ts'
import type { ChildCounts, ChildDone, ChildStarted } from './supervisor.ts'
import type { ChildSpec, SupervisorFlags } from './supervisor-spec.ts'

export interface SimpleChildSpec extends Omit<ChildSpec, 'start'> {
  /** `extra`: what its start_child was given. */
  readonly start: (supervisor: Context, extra: readonly unknown[]) => StartResult | Promise<StartResult>
}
export interface SimpleSupervisorArgs {
  readonly flags: Omit<SupervisorFlags, 'strategy'>
  readonly child: SimpleChildSpec
}
export interface SimpleChildInfo {
  readonly id: null
  readonly pid: Pid | 'restarting'
  readonly type: ChildSpec['type']
}
type StartError =
  | { readonly type: 'failed'; readonly reason: ExitReason }
  | { readonly type: 'already_started'; readonly pid: Pid }
type Refused = { readonly ok: false; readonly error: { readonly type: 'simple_one_for_one' } }

export type SimpleSupervisorProtocol = {
  readonly call:
    | Call<{ readonly type: 'start-child'; readonly extra: readonly unknown[] }, ChildStarted<StartError>>
    | Call<
        { readonly type: 'terminate-child'; readonly pid: Pid | string },
        ChildDone<'not_found' | 'simple_one_for_one'>
      >
    | Call<{ readonly type: 'restart-child'; readonly id: string }, Refused>
    | Call<{ readonly type: 'delete-child'; readonly id: string }, Refused>
    | Call<{ readonly type: 'which-children' }, readonly SimpleChildInfo[]>
    | Call<{ readonly type: 'count-children' }, ChildCounts>
  readonly cast: never
  readonly info: { readonly type: 'try-again'; readonly pid: Pid }
  readonly continue: never
}
interface State {
  flags: SimpleSupervisorArgs['flags']
  child: SimpleChildSpec
  maxChildren: number
  readonly dynamicChildren: Map<Pid, DynamicChild>
  restarts: number[]
}
type P = SimpleSupervisorProtocol
type Ctx = Context

const REFUSED = { ok: false, error: { type: 'simple_one_for_one' } } as const

/** The template with these arguments; a temporary child never starts again, so nothing is kept for it (OTP-U33). */
const specOf = (child: SimpleChildSpec, extra: readonly unknown[]): ChildSpec => ({
  ...child,
  start: (supervisor) => child.start(supervisor, extra),
})
const started = (state: State, extra: readonly unknown[], ctx: Ctx): Maybe<ChildStarted<StartError>> =>
  after(addChild(specOf(state.child, extra), state, ctx), (result): ChildStarted<StartError> => {
    if (!result.ok && result.error.type === 'ignore') return { ok: true, pid: null }
    if (!result.ok && (result.error.type === 'failed' || result.error.type === 'already_started')) {
      return { ok: false, error: result.error }
    }
    if (!result.ok) return { ok: false, error: { type: 'failed', reason: { type: 'term', term: result.error } } }
    const added = state.dynamicChildren.get(result.pid)
    if (added !== undefined && state.child.restart === 'temporary') {
      state.dynamicChildren.set(result.pid, { ...added, spec: specOf(state.child, []) })
    }
    return result
  })

const ended = (pid: Pid | string, state: State, ctx: Ctx): Maybe<ChildDone<'not_found' | 'simple_one_for_one'>> => {
  if (!(pid instanceof Pid)) return REFUSED
  const child = state.dynamicChildren.get(pid)
  if (child === undefined) {
    return isRunning(ctx, pid) ? { ok: false, error: { type: 'not_found' } } : { ok: true }
  }
  state.dynamicChildren.delete(pid)
  return after(stopChild(ctx, child.spec, pid), () => ({ ok: true }) as const)
}
const count = (state: State, ctx: Ctx): ChildCounts => {
  const children = [...state.dynamicChildren]
  const isSupervisor = state.child.type === 'supervisor'
  return {
    specs: 1,
    active: children.filter(([pid, child]) => !child.restarting && isRunning(ctx, pid)).length,
    supervisors: isSupervisor ? children.length : 0,
    workers: isSupervisor ? 0 : children.length,
  }
}
const problemOf = ({ flags, child }: SimpleSupervisorArgs): ExitReason | null => {
  if ((flags.autoShutdown ?? 'never') !== 'never') {
    return problemReason('supervisor_data', { type: 'bad_combination', value: 'simple_one_for_one and auto_shutdown' })
  }
  const wrongFlags = flagsProblem(flags)
  if (wrongFlags !== null) return problemReason('supervisor_data', wrongFlags)
  const wrongSpec = specProblem(child)
  return wrongSpec === null ? null : problemReason('start_spec', wrongSpec)
}
const answered = <R>(value: Maybe<R>, state: State): Maybe<CallResult<P, State, R>> =>
  after(value, (result) => reply(result, state))

export const simpleSupervisor: Behaviour<P, SimpleSupervisorArgs, State> = {
  name: 'simple-supervisor',
  version: 1,
  init(args, ctx) {
    ctx.trapExit(true)
    const problem = problemOf(args)
    if (problem !== null) return { kind: 'error', reason: problem }
    const maxChildren = Number.POSITIVE_INFINITY
    const state: State = { flags: args.flags, child: args.child, maxChildren, dynamicChildren: new Map(), restarts: [] }
    return { kind: 'ok', state, next: null }
  },
  call: {
    'start-child': ({ extra }, _from, state, ctx) => answered(started(state, extra, ctx), state),
    'terminate-child': ({ pid }, _from, state, ctx) => answered(ended(pid, state, ctx), state),
    'restart-child': (_request, _from, state) => reply(REFUSED, state),
    'delete-child': (_request, _from, state) => reply(REFUSED, state),
    'which-children': (_request, _from, state) =>
      reply(
        [...state.dynamicChildren].map(
          ([pid, child]): SimpleChildInfo => ({
            id: null,
            pid: child.restarting ? 'restarting' : pid,
            type: child.spec.type,
          }),
        ),
        state,
      ),
    'count-children': (_request, _from, state, ctx) => reply(count(state, ctx), state),
  },
  info(message, state, ctx) {
    if (message.type === 'EXIT') return answer(exited(message, state, ctx), state)
    if (message.type !== 'try-again') return noreply(state)
    const child = state.dynamicChildren.get(message.pid)
    return child?.restarting === true ? answer(restart(message.pid, child, 'shutdown', state, ctx), state) : keep
  },
  terminate: (_reason, state, ctx) => stopAll(state, ctx),
  codeChange(_from, state, extra) {
    const args = extra as SimpleSupervisorArgs
    const problem = problemOf(args)
    if (problem !== null) throw new Exit(problem)
    return { ...(state as State), flags: args.flags, child: args.child }
  },
}
/** The dynamic supervisor's result, with this state: it changed in place. */
const answer = (result: ReturnType<typeof exited>, state: State) =>
  after(result, (value) => (value.kind === 'stop' ? { ...value, state } : keep))
