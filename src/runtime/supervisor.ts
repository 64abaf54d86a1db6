/**
 * The supervisor (OTP Design Principles, Supervisor Behaviour; supervisor.erl): a trapping actor that starts its children in order, starts
 * again what ends, by its strategy, gives up with `shutdown` when that happens too often, and stops them in reverse order.
 */
import { type Behaviour, type CallResult, type CastResult, keep, noreply, reply } from './behaviour.ts'
import {
  flagsProblem,
  insideOf,
  isRunning,
  mayRestart,
  nameOf,
  offender,
  reportChild,
  reportEnd,
  reportStarted,
  runStart,
  type StartedChild,
  specProblem,
  stopChild,
} from './children.ts'
import type { Context } from './context.ts'
import { type ExitReason, isBenign } from './exit.ts'
import type { Pid } from './pid.ts'
import type { Call, Exited, Name } from './protocol.ts'
import { after, firstOf, type Maybe } from './sequence.ts'
import type { ChildSpec, SupervisorFlags } from './supervisor-spec.ts'

export type StartChildError =
  | { readonly type: 'already_started'; readonly pid: Pid }
  /** The id is known, its process is down or restarting. */
  | { readonly type: 'already_present' }
  | { readonly type: 'bad_spec'; readonly problem: string }
  | { readonly type: 'failed'; readonly reason: ExitReason }
export type RestartChildError =
  | { readonly type: 'running' | 'restarting' | 'not_found' }
  | { readonly type: 'already_started'; readonly pid: Pid }
  | { readonly type: 'failed'; readonly reason: ExitReason }
/** `pid` null: its `init` said ignore. */
export type ChildStarted<E> =
  | { readonly ok: true; readonly pid: Pid | null }
  | { readonly ok: false; readonly error: E }
export type ChildDone<E extends string> =
  | { readonly ok: true }
  | { readonly ok: false; readonly error: { readonly type: E } }
export interface ChildInfo {
  readonly id: string
  readonly pid: Pid | null | 'restarting'
  readonly type: ChildSpec['type']
  /** How often it was started again. */
  readonly restarts: number
}
export interface ChildCounts {
  readonly specs: number
  readonly active: number
  readonly supervisors: number
  readonly workers: number
}

export type SupervisorProtocol = {
  readonly call:
    | Call<{ readonly type: 'start-child'; readonly spec: ChildSpec }, ChildStarted<StartChildError>>
    | Call<{ readonly type: 'restart-child'; readonly id: string }, ChildStarted<RestartChildError>>
    | Call<{ readonly type: 'terminate-child'; readonly id: string }, ChildDone<'not_found'>>
    | Call<{ readonly type: 'delete-child'; readonly id: string }, ChildDone<'running' | 'restarting' | 'not_found'>>
    /** Last started first (OTP-U30). */
    | Call<{ readonly type: 'which-children' }, readonly ChildInfo[]>
    | Call<{ readonly type: 'count-children' }, ChildCounts>
    | Call<{ readonly type: 'get-child-spec'; readonly id: string }, ChildSpec | null>
  readonly cast: never
  readonly info: { readonly type: 'try-again'; readonly id: string }
  readonly continue: never
}

export interface SupervisorArgs {
  readonly flags: SupervisorFlags
  /** Started in this order, each when the one before has finished its `init` (OTP-U5). */
  readonly children: readonly ChildSpec[]
  /** Node-local tables made in its `init` and owned by it (D-10). */
  readonly tables?: readonly string[]
}

export interface Child {
  spec: ChildSpec
  pid: Pid | null
  /** Its restart failed and will be tried again (OTP-U24). */
  restarting: boolean
  restarts: number
}
export interface SupervisorState {
  flags: SupervisorFlags
  /** In start order. */
  children: Child[]
  /** Monotonic instants within the period. */
  restarts: number[]
}
type P = SupervisorProtocol
type State = SupervisorState
type Ctx = Context<P>
type Result = Maybe<CastResult<P, State>>

const NOT_FOUND = { ok: false, error: { type: 'not_found' } } as const
const DONE = { ok: true } as const

const init = (args: SupervisorArgs, ctx: Ctx) => {
  ctx.trapExit(true)
  const problem = configurationProblem(args)
  if (problem !== null) return { kind: 'error' as const, reason: { type: 'term' as const, term: problem } }
  for (const table of args.tables ?? []) ctx.createTable(table)
  const children = args.children.map((spec) => ({ spec, pid: null, restarting: false, restarts: 0 }))
  const state: State = { flags: args.flags, children, restarts: [] }
  return after(startAll(ctx, state, children), (failed) =>
    failed === null ? begun(state) : failedStart(ctx, state, failed),
  )
}
const begun = (state: State) => {
  state.children = state.children.filter((child) => child.pid !== null || child.spec.restart !== 'temporary')
  return { kind: 'ok' as const, state, next: null }
}
interface FailedStart {
  readonly child: Child
  readonly reason: ExitReason
}
/** OTP-U8. */
const failedStart = (ctx: Ctx, state: State, { child, reason }: FailedStart) => {
  const detail = { type: 'failed_to_start_child', id: child.spec.id, reason }
  return after(stopAll(ctx, state.children), () => ({
    kind: 'stop' as const,
    reason: { type: 'shutdown' as const, detail },
  }))
}
const configurationProblem = ({ flags, children }: SupervisorArgs): string | null => {
  const wrongFlags = flagsProblem(flags)
  if (wrongFlags !== null) return wrongFlags
  const ids = new Set<string>()
  for (const spec of children) {
    const wrong = specProblem(spec)
    if (wrong !== null) return `start_spec ${spec.id}: ${wrong}`
    if (ids.has(spec.id)) return `start_spec duplicate_child_name ${spec.id}`
    ids.add(spec.id)
  }
  return null
}

/** Starts one child into its place. Null: it runs, or ignored. */
const startOne = (ctx: Ctx, child: Child): Maybe<FailedStart | null> =>
  after(runStart(ctx, child.spec), (started) => {
    child.restarting = false
    child.pid = started.ok ? started.pid : null
    if (started.ok) reportStarted(ctx, child.spec, started.pid)
    if (started.ok || started.ignore) return null
    const reason = plainReason(started.reason)
    reportChild(ctx, 'child-start-failed', reason, offender(child.spec, null))
    return { child, reason }
  })
const plainReason = (reason: (StartedChild & { ok: false; ignore: false })['reason']): ExitReason =>
  typeof reason === 'object' && reason.type === 'already_started' ? { type: 'term', term: reason } : reason
const startAll = (ctx: Ctx, _state: State, children: readonly Child[]): Maybe<FailedStart | null> =>
  firstOf(children, (child) => startOne(ctx, child))

const stopOne = (ctx: Ctx, child: Child): Maybe<null> => {
  const { pid } = child
  child.pid = null
  if (child.restarting) child.restarting = false
  return pid === null ? null : stopChild(ctx, child.spec, pid)
}
/** In reverse start order, each when the one after it is dead (OTP-U10). */
const stopAll = (ctx: Ctx, children: readonly Child[]): Maybe<null> =>
  firstOf([...children].reverse(), (child) => stopOne(ctx, child))

// -------------------------------------------------------------------- restarts

const exited = (message: Exited, state: State, ctx: Ctx): Result => {
  const child = state.children.find((candidate) => candidate.pid === message.pid)
  if (child === undefined || child.restarting) return keep
  const { spec } = child
  const benign = isBenign(message.reason)
  reportEnd(ctx, spec, message.pid, message.reason, benign)
  if (spec.restart === 'permanent' || (spec.restart === 'transient' && !benign)) {
    return restart(child, message.reason, state, ctx)
  }
  child.pid = null
  if (spec.restart === 'temporary') state.children = state.children.filter((other) => other !== child)
  return afterEnd(child, state)
}
/** OTP-U34: a significant child that ended by itself and is not restarted. */
const afterEnd = (child: Child, state: State): Result => {
  const mode = state.flags.autoShutdown ?? 'never'
  if (!child.spec.significant || mode === 'never') return keep
  const others = state.children.some((other) => other.spec.significant && (other.pid !== null || other.restarting))
  if (mode === 'all_significant' && others) return keep
  return { kind: 'stop', reason: 'shutdown', state }
}

const restart = (child: Child, reason: ExitReason, state: State, ctx: Ctx): Result => {
  if (!mayRestart(ctx, state.flags, state.restarts)) return giveUp(child, reason, state, ctx)
  return after(byStrategy(child, state, ctx), (failed) => {
    if (failed === null) return reportRestarted(ctx, child, reason)
    failed.child.restarting = true
    ctx.send(ctx.self, { type: 'try-again', id: failed.child.spec.id })
    return keep
  })
}
const giveUp = (child: Child, reason: ExitReason, state: State, ctx: Ctx): Result => {
  const { process, kernel } = insideOf(ctx)
  const who = offender(child.spec, child.pid)
  kernel.report({ type: 'supervisor-gave-up', pid: ctx.self, supervisor: nameOf(process), reason, offender: who })
  child.pid = null
  child.restarting = false
  return { kind: 'stop', reason: 'shutdown', state }
}
const reportRestarted = (ctx: Ctx, child: Child, reason: ExitReason): Result => {
  const { kernel, process } = insideOf(ctx)
  const { pid, spec, restarts } = child
  if (pid === null) return keep
  const name = kernel.resolve(pid)?.name ?? null
  kernel.report({ type: 'process-restarted', supervisor: nameOf(process), reason, pid, name, id: spec.id, restarts })
  return keep
}

/** OTP-U16, U18, U25: which children stop, and which start again, in order. */
const byStrategy = (child: Child, state: State, ctx: Ctx): Maybe<FailedStart | null> => {
  child.pid = null
  child.restarting = false
  if (state.flags.strategy === 'one_for_one') return startAgain(ctx, [child])
  const from = state.flags.strategy === 'rest_for_one' ? state.children.indexOf(child) : 0
  const group = state.children.slice(from)
  return after(stopAll(ctx, group), () => {
    const forgotten = new Set(group.filter((member) => member.spec.restart === 'temporary'))
    state.children = state.children.filter((member) => !forgotten.has(member))
    return startAgain(
      ctx,
      group.filter((member) => !forgotten.has(member)),
    )
  })
}
const startAgain = (ctx: Ctx, children: readonly Child[]): Maybe<FailedStart | null> =>
  firstOf(children, (child) => {
    child.restarts += 1
    return startOne(ctx, child)
  })

// -------------------------------------------------------------------- operations

const find = (state: State, id: string): Child | undefined => state.children.find((child) => child.spec.id === id)

const addChild = (spec: ChildSpec, state: State, ctx: Ctx): Maybe<ChildStarted<StartChildError>> => {
  const problem = specProblem(spec) ?? significanceProblem(spec, state.flags)
  if (problem !== null) return { ok: false, error: { type: 'bad_spec', problem } }
  const existing = find(state, spec.id)
  if (existing?.restarting === true || existing?.pid === null) return { ok: false, error: { type: 'already_present' } }
  if (existing !== undefined && existing.pid !== null) {
    return { ok: false, error: { type: 'already_started', pid: existing.pid } }
  }
  return after(runStart(ctx, spec), (started): ChildStarted<StartChildError> => {
    if (!started.ok && !started.ignore) return { ok: false, error: startError(started.reason) }
    const pid = started.ok ? started.pid : null
    if (pid !== null) reportStarted(ctx, spec, pid)
    if (pid !== null || spec.restart !== 'temporary') state.children.push({ spec, pid, restarting: false, restarts: 0 })
    return { ok: true, pid }
  })
}
const significanceProblem = (spec: ChildSpec, flags: SupervisorFlags): string | null =>
  spec.significant && (flags.autoShutdown ?? 'never') === 'never' ? 'bad_combination significant and never' : null
export const startError = (
  reason: (StartedChild & { ok: false; ignore: false })['reason'],
):
  | { readonly type: 'already_started'; readonly pid: Pid }
  | { readonly type: 'failed'; readonly reason: ExitReason } =>
  typeof reason === 'object' && reason.type === 'already_started' ? reason : { type: 'failed', reason }

const restartChild = (id: string, state: State, ctx: Ctx): Maybe<ChildStarted<RestartChildError>> => {
  const child = find(state, id)
  if (child === undefined) return NOT_FOUND
  if (child.restarting) return { ok: false, error: { type: 'restarting' } }
  if (child.pid !== null) return { ok: false, error: { type: 'running' } }
  return after(runStart(ctx, child.spec), (started): ChildStarted<RestartChildError> => {
    if (!started.ok && !started.ignore) return { ok: false, error: startError(started.reason) }
    child.pid = started.ok ? started.pid : null
    if (child.pid !== null) reportStarted(ctx, child.spec, child.pid)
    return { ok: true, pid: child.pid }
  })
}
const terminateChild = (id: string, state: State, ctx: Ctx): Maybe<ChildDone<'not_found'>> => {
  const child = find(state, id)
  if (child === undefined) return NOT_FOUND
  return after(stopOne(ctx, child), () => {
    if (child.spec.restart === 'temporary') state.children = state.children.filter((other) => other !== child)
    return DONE
  })
}
const deleteChild = (id: string, state: State): ChildDone<'running' | 'restarting' | 'not_found'> => {
  const child = find(state, id)
  if (child === undefined) return NOT_FOUND
  if (child.restarting) return { ok: false, error: { type: 'restarting' } }
  if (child.pid !== null) return { ok: false, error: { type: 'running' } }
  state.children = state.children.filter((other) => other !== child)
  return DONE
}
const which = (child: Child): ChildInfo => ({
  id: child.spec.id,
  pid: child.restarting ? 'restarting' : child.pid,
  type: child.spec.type,
  restarts: child.restarts,
})
const count = (state: State, ctx: Ctx): ChildCounts => ({
  specs: state.children.length,
  active: state.children.filter((child) => !child.restarting && isRunning(ctx, child.pid)).length,
  supervisors: state.children.filter((child) => child.spec.type === 'supervisor').length,
  workers: state.children.filter((child) => child.spec.type === 'worker').length,
})

const answered = <R>(value: Maybe<R>, state: State): Maybe<CallResult<P, State, R>> =>
  after(value, (result) => reply(result, state))

export const supervisor: Behaviour<SupervisorProtocol, SupervisorArgs, SupervisorState> = {
  name: 'supervisor',
  version: 1,
  init,
  call: {
    'start-child': ({ spec }, _from, state, ctx) => answered(addChild(spec, state, ctx), state),
    'restart-child': ({ id }, _from, state, ctx) => answered(restartChild(id, state, ctx), state),
    'terminate-child': ({ id }, _from, state, ctx) => answered(terminateChild(id, state, ctx), state),
    'delete-child': ({ id }, _from, state) => reply(deleteChild(id, state), state),
    'which-children': (_request, _from, state) => reply(state.children.map(which).reverse(), state),
    'count-children': (_request, _from, state, ctx) => reply(count(state, ctx), state),
    'get-child-spec': ({ id }, _from, state) => reply(find(state, id)?.spec ?? null, state),
  },
  info(message, state, ctx) {
    if (message.type === 'EXIT') return exited(message, state, ctx)
    if (message.type !== 'try-again') return noreply(state)
    const child = find(state, message.id)
    return child?.restarting === true ? restart(child, 'shutdown', state, ctx) : keep
  },
  async terminate(_reason, state, ctx) {
    await stopAll(ctx, state.children)
  },
}

export interface SupervisorOptions extends SupervisorArgs {
  /** Default: the name. */
  readonly id?: string
  readonly name: Name<SupervisorProtocol>
  readonly restart?: ChildSpec['restart']
  readonly significant?: boolean
}
/** A child spec for a supervisor with its children; it may take its time to stop (shutdown: infinity). */
export const supervisorSpec = (options: SupervisorOptions): ChildSpec => ({
  id: options.id ?? options.name,
  start: (parent) => parent.startLinked(supervisor, options, { name: options.name }),
  restart: options.restart ?? 'permanent',
  shutdownMs: Number.POSITIVE_INFINITY,
  type: 'supervisor',
  significant: options.significant ?? false,
})
