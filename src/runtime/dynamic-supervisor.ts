/**
 * A supervisor for children that come and go by the thousand (Elixir's DynamicSupervisor, section D): one_for_one, children without order,
 * found by pid. A temporary child costs one Map entry.
 */
import { type Behaviour, type CallResult, type CastResult, keep, noreply, reply } from './behaviour.ts'
import {
  flagsProblem,
  insideOf,
  isRunning,
  mayRestart,
  nameOf,
  offender,
  problemReason,
  reportChild,
  reportEnd,
  reportStarted,
  runStart,
  type SpecProblem,
  specProblem,
  stopChild,
} from './children.ts'
import type { Context } from './context.ts'
import { Exit, type ExitReason, isBenign } from './exit.ts'
import type { Pid } from './pid.ts'
import type { Call, Exited, Name } from './protocol.ts'
import { after, type Maybe } from './sequence.ts'
import { type ChildCounts, type ChildDone, type ChildInfo, startError } from './supervisor.ts'
import type { ChildSpec, SupervisorFlags } from './supervisor-spec.ts'

export type StartDynamicError =
  /** Its registered name is taken. */
  | { readonly type: 'already_started'; readonly pid: Pid }
  | { readonly type: 'ignore' | 'max_children' }
  | { readonly type: 'bad_spec'; readonly problem: SpecProblem }
  | { readonly type: 'failed'; readonly reason: ExitReason }
export type DynamicChildStarted =
  | { readonly ok: true; readonly pid: Pid; readonly info?: unknown }
  | { readonly ok: false; readonly error: StartDynamicError }

export type DynamicSupervisorProtocol = {
  readonly call:
    | Call<{ readonly type: 'start-child'; readonly spec: ChildSpec }, DynamicChildStarted>
    /** Several in one message, in order; each has its own answer. */
    | Call<{ readonly type: 'start-children'; readonly specs: readonly ChildSpec[] }, readonly DynamicChildStarted[]>
    | Call<{ readonly type: 'terminate-child'; readonly pid: Pid }, ChildDone<'not_found'>>
    | Call<{ readonly type: 'which-children' }, readonly ChildInfo[]>
    | Call<{ readonly type: 'count-children' }, ChildCounts>
  readonly cast: never
  readonly info: { readonly type: 'try-again'; readonly pid: Pid }
  readonly continue: never
}

export interface DynamicSupervisorArgs {
  readonly flags: Omit<SupervisorFlags, 'strategy' | 'autoShutdown'>
  /** Running and restarting ones together. Default: no bound. */
  readonly maxChildren?: number
  readonly tables?: readonly string[]
}
export interface DynamicChild {
  readonly spec: ChildSpec
  restarting: boolean
  restarts: number
}
export interface DynamicSupervisorState {
  flags: DynamicSupervisorArgs['flags']
  maxChildren: number
  /** By pid; a restarting child by its old one (D5). */
  readonly dynamicChildren: Map<Pid, DynamicChild>
  restarts: number[]
}
type P = DynamicSupervisorProtocol
type State = DynamicSupervisorState
/** Any supervisor that holds its children this way and tries again by this message. */
type Ctx = Context
type Result = Maybe<CastResult<P, State>>

export const addChild = (spec: ChildSpec, state: State, ctx: Ctx): Maybe<DynamicChildStarted> => {
  const problem = specProblem(spec) ?? (spec.significant ? { type: 'bad_combination', value: 'significant' } : null)
  if (problem !== null) return { ok: false, error: { type: 'bad_spec', problem } }
  if (state.dynamicChildren.size >= state.maxChildren) return { ok: false, error: { type: 'max_children' } }
  return after(runStart(ctx, spec, 'nocatch'), (started): DynamicChildStarted => {
    if (started.ok) {
      state.dynamicChildren.set(started.pid, { spec, restarting: false, restarts: 0 })
      if (spec.restart !== 'temporary') reportStarted(ctx, spec, started.pid)
      return started
    }
    return { ok: false, error: started.ignore ? { type: 'ignore' } : startError(started.reason) }
  })
}

/** One after the other, as if each had been asked for by itself. */
const addChildren = (specs: readonly ChildSpec[], state: State, ctx: Ctx): Maybe<readonly DynamicChildStarted[]> => {
  const started: DynamicChildStarted[] = []
  for (const [at, spec] of specs.entries()) {
    const one = addChild(spec, state, ctx)
    if (one instanceof Promise) return addRest(one, started, specs.slice(at + 1), state, ctx)
    started.push(one)
  }
  return started
}
const addRest = async (
  pending: Promise<DynamicChildStarted>,
  started: DynamicChildStarted[],
  rest: readonly ChildSpec[],
  state: State,
  ctx: Ctx,
): Promise<readonly DynamicChildStarted[]> => {
  started.push(await pending)
  for (const spec of rest) started.push(await addChild(spec, state, ctx))
  return started
}

export const exited = ({ pid, reason }: Exited, state: State, ctx: Ctx): Result => {
  const child = state.dynamicChildren.get(pid)
  if (child === undefined || child.restarting) return keep
  const benign = isBenign(reason)
  reportEnd(ctx, child.spec, pid, reason, benign)
  if (child.spec.restart === 'permanent' || (child.spec.restart === 'transient' && !benign)) {
    return restart(pid, child, reason, state, ctx)
  }
  state.dynamicChildren.delete(pid)
  return keep
}
/** D6: each try counts; one that fails is tried again behind what is queued. */
export const restart = (pid: Pid, child: DynamicChild, reason: ExitReason, state: State, ctx: Ctx): Result => {
  const { kernel, process } = insideOf(ctx)
  const supervisor = nameOf(process)
  if (!mayRestart(ctx, { ...state.flags, strategy: 'one_for_one' }, state.restarts)) {
    state.dynamicChildren.delete(pid)
    const who = offender(child.spec, pid)
    kernel.report({ type: 'supervisor-gave-up', pid: ctx.self, supervisor, reason, offender: who })
    return { kind: 'stop', reason: 'shutdown', state }
  }
  return after(runStart(ctx, child.spec, 'nocatch'), (started) => {
    child.restarting = !started.ok && !started.ignore
    if (!started.ok && !started.ignore) {
      reportChild(ctx, 'child-start-failed', failedReason(started.reason), offender(child.spec, pid))
      ctx.send(ctx.self, { type: 'try-again', pid })
      return keep
    }
    state.dynamicChildren.delete(pid)
    if (!started.ok) return keep
    child.restarts += 1
    state.dynamicChildren.set(started.pid, child)
    const name = kernel.resolve(started.pid)?.name ?? null
    const { restarts, spec } = child
    kernel.report({ type: 'process-restarted', supervisor, reason, pid: started.pid, name, id: spec.id, restarts })
    return keep
  })
}
const failedReason = (reason: Parameters<typeof startError>[0]): ExitReason => {
  const error = startError(reason)
  return error.type === 'failed' ? error.reason : { type: 'term', term: error }
}

const endChild = (pid: Pid, state: State, ctx: Ctx): Maybe<ChildDone<'not_found'>> => {
  const child = state.dynamicChildren.get(pid)
  if (child === undefined) return { ok: false, error: { type: 'not_found' } }
  state.dynamicChildren.delete(pid)
  return after(stopChild(ctx, child.spec, pid), () => ({ ok: true }) as const)
}
/** D8: all at once, each by its own rule. */
export const stopAll = async (state: State, ctx: Ctx): Promise<void> => {
  const stopping: Promise<null>[] = []
  for (const [pid, child] of state.dynamicChildren) {
    const stopped = stopChild(ctx, child.spec, pid)
    if (stopped instanceof Promise) stopping.push(stopped)
  }
  state.dynamicChildren.clear()
  await Promise.all(stopping)
}

const which = ([pid, child]: readonly [Pid, DynamicChild]): ChildInfo => ({
  id: child.spec.id,
  pid: child.restarting ? 'restarting' : pid,
  type: child.spec.type,
  restarts: child.restarts,
})
const count = (state: State, ctx: Ctx): ChildCounts => {
  const children = [...state.dynamicChildren]
  const supervisors = children.filter(([, child]) => child.spec.type === 'supervisor').length
  return {
    specs: children.length,
    active: children.filter(([pid, child]) => !child.restarting && isRunning(ctx, pid)).length,
    supervisors,
    workers: children.length - supervisors,
  }
}
const answered = <R>(value: Maybe<R>, state: State): Maybe<CallResult<P, State, R>> =>
  after(value, (result) => reply(result, state))

export const dynamicSupervisor: Behaviour<DynamicSupervisorProtocol, DynamicSupervisorArgs, DynamicSupervisorState> = {
  name: 'dynamic-supervisor',
  version: 1,
  init(args, ctx) {
    ctx.trapExit(true)
    const problem = flagsProblem(args.flags)
    if (problem !== null) return { kind: 'error', reason: problemReason('supervisor_data', problem) }
    for (const table of args.tables ?? []) ctx.createTable(table)
    const maxChildren = args.maxChildren ?? Number.POSITIVE_INFINITY
    const state: State = { flags: args.flags, maxChildren, dynamicChildren: new Map(), restarts: [] }
    return { kind: 'ok', state, next: null }
  },
  call: {
    'start-child': ({ spec }, _from, state, ctx) => answered(addChild(spec, state, ctx), state),
    'start-children': ({ specs }, _from, state, ctx) => answered(addChildren(specs, state, ctx), state),
    'terminate-child': ({ pid }, _from, state, ctx) => answered(endChild(pid, state, ctx), state),
    'which-children': (_request, _from, state) => reply([...state.dynamicChildren].map(which), state),
    'count-children': (_request, _from, state, ctx) => reply(count(state, ctx), state),
  },
  info(message, state, ctx) {
    if (message.type === 'EXIT') return exited(message, state, ctx)
    if (message.type !== 'try-again') return noreply(state)
    const child = state.dynamicChildren.get(message.pid)
    return child?.restarting === true ? restart(message.pid, child, 'shutdown', state, ctx) : keep
  },
  terminate: (_reason, state, ctx) => stopAll(state, ctx),
  /** D9: `extra` is the new DynamicSupervisorArgs; children stay, a lowered bound holds for new ones. */
  codeChange(_from, state, extra) {
    const args = extra as DynamicSupervisorArgs
    const problem = flagsProblem(args.flags)
    if (problem !== null) throw new Exit(problemReason('supervisor_data', problem))
    const maxChildren = args.maxChildren ?? Number.POSITIVE_INFINITY
    return { ...(state as State), flags: args.flags, maxChildren }
  },
}

/** The requests, for `ctx.request(executions, startChild(spec), 'label', data)`. */
export const startChild = (spec: ChildSpec) => ({ type: 'start-child', spec }) as const
export const startChildren = (specs: readonly ChildSpec[]) => ({ type: 'start-children', specs }) as const
export const terminateChild = (pid: Pid) => ({ type: 'terminate-child', pid }) as const
export const whichChildren = { type: 'which-children' } as const

export interface DynamicSupervisorOptions extends DynamicSupervisorArgs {
  /** Default: the name. */
  readonly id?: string
  readonly name: Name<DynamicSupervisorProtocol>
  readonly restart?: ChildSpec['restart']
}
/** A child spec for a dynamic supervisor; it may take its time to stop (shutdown: infinity). */
export const dynamicSupervisorSpec = (options: DynamicSupervisorOptions): ChildSpec => ({
  id: options.id ?? options.name,
  start: (parent) => parent.startLinked(dynamicSupervisor, options, { name: options.name }),
  restart: options.restart ?? 'permanent',
  shutdownMs: Number.POSITIVE_INFINITY,
  type: 'supervisor',
  significant: false,
})
