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
  problemReason,
  reportChild,
  reportEnd,
  reportStarted,
  runStart,
  type SpecProblem,
  type StartedChild,
  specProblem,
  stopChild,
} from './children.ts'
import type { Context } from './context.ts'
import { Exit, type ExitReason, isBenign } from './exit.ts'
import type { Pid } from './pid.ts'
import type { Call, Exited, Name } from './protocol.ts'
import { after, firstOf, type Maybe } from './sequence.ts'
import type { ChildSpec, SupervisorFlags } from './supervisor-spec.ts'

export type StartChildError =
  | { readonly type: 'already_started'; readonly pid: Pid }
  /** The id is known, its process is down or restarting. */
  | { readonly type: 'already_present' }
  | { readonly type: 'bad_spec'; readonly problem: SpecProblem }
  | { readonly type: 'failed'; readonly reason: ExitReason }
export type RestartChildError =
  | { readonly type: 'running' | 'restarting' | 'not_found' }
  | { readonly type: 'already_started'; readonly pid: Pid }
  | { readonly type: 'failed'; readonly reason: ExitReason }
/** `pid` null: its `init` said ignore. */
export type ChildStarted<E> =
  | { readonly ok: true; readonly pid: Pid | null; readonly info?: unknown }
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
  /** By id, in start order. */
  readonly children: Map<string, Child>
  readonly byPid: Map<Pid, Child>
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
  if (problem !== null) return { kind: 'error' as const, reason: problem }
  for (const table of args.tables ?? []) ctx.createTable(table)
  const children = new Map(args.children.map((spec) => [spec.id, childOf(spec)]))
  const state: State = { flags: args.flags, children, byPid: new Map(), restarts: [] }
  return after(startAll(ctx, state, [...children.values()]), (failed) =>
    failed === null ? begun(state) : failedStart(ctx, state, failed),
  )
}
const childOf = (spec: ChildSpec): Child => ({ spec, pid: null, restarting: false, restarts: 0 })
/** The one place where a child's pid changes. */
const place = (state: State, child: Child, pid: Pid | null): void => {
  if (child.pid !== null) state.byPid.delete(child.pid)
  child.pid = pid
  if (pid !== null) state.byPid.set(pid, child)
}
const forget = (state: State, child: Child): void => {
  place(state, child, null)
  state.children.delete(child.spec.id)
}
const begun = (state: State) => {
  for (const child of state.children.values()) {
    if (child.pid === null && child.spec.restart === 'temporary') state.children.delete(child.spec.id)
  }
  return { kind: 'ok' as const, state, next: null }
}
interface FailedStart {
  readonly child: Child
  readonly reason: ExitReason
}
/** OTP-U8. */
const failedStart = (ctx: Ctx, state: State, { child, reason }: FailedStart) => {
  const detail = { type: 'failed_to_start_child', id: child.spec.id, reason }
  return after(stopAll(ctx, state, [...state.children.values()]), () => ({
    kind: 'stop' as const,
    reason: { type: 'shutdown' as const, detail },
  }))
}
const configurationProblem = ({ flags, children }: SupervisorArgs): ExitReason | null => {
  const wrongFlags = flagsProblem(flags)
  if (wrongFlags !== null) return problemReason('supervisor_data', wrongFlags)
  const wrongSpec = checkChildSpecs(children, flags.autoShutdown)
  return wrongSpec === null ? null : problemReason('start_spec', wrongSpec)
}
/** The first thing wrong with a list of specs, or null (supervisor:check_childspecs). */
export const checkChildSpecs = (
  specs: readonly ChildSpec[],
  autoShutdown: SupervisorFlags['autoShutdown'] = 'never',
): SpecProblem | null => {
  const ids = new Set<string>()
  for (const spec of specs) {
    const wrong = specProblem(spec) ?? significanceProblem(spec, autoShutdown)
    if (wrong !== null) return wrong
    if (ids.has(spec.id)) return { type: 'duplicate_child_name', value: spec.id }
    ids.add(spec.id)
  }
  return null
}

/** Starts one child into its place. Null: it runs, or ignored. */
const startOne = (ctx: Ctx, state: State, child: Child): Maybe<FailedStart | null> =>
  after(runStart(ctx, child.spec, 'itself'), (started) => {
    child.restarting = false
    place(state, child, started.ok ? started.pid : null)
    if (started.ok) reportStarted(ctx, child.spec, started.pid)
    if (started.ok || started.ignore) return null
    const reason = plainReason(started.reason)
    reportChild(ctx, 'child-start-failed', reason, offender(child.spec, null))
    return { child, reason }
  })
const plainReason = (reason: (StartedChild & { ok: false; ignore: false })['reason']): ExitReason =>
  typeof reason === 'object' && reason.type === 'already_started' ? { type: 'term', term: reason } : reason
const startAll = (ctx: Ctx, state: State, children: readonly Child[]): Maybe<FailedStart | null> =>
  firstOf(children, (child) => startOne(ctx, state, child))

const stopOne = (ctx: Ctx, state: State, child: Child): Maybe<null> => {
  const { pid } = child
  place(state, child, null)
  if (child.restarting) child.restarting = false
  return pid === null ? null : stopChild(ctx, child.spec, pid)
}
/** In reverse start order, each when the one after it is dead (OTP-U10). */
const stopAll = (ctx: Ctx, state: State, children: readonly Child[]): Maybe<null> =>
  firstOf([...children].reverse(), (child) => stopOne(ctx, state, child))

// -------------------------------------------------------------------- restarts

const exited = (message: Exited, state: State, ctx: Ctx): Result => {
  const child = state.byPid.get(message.pid)
  if (child === undefined || child.restarting) return keep
  const { spec } = child
  const benign = isBenign(message.reason)
  reportEnd(ctx, spec, message.pid, message.reason, benign)
  if (spec.restart === 'permanent' || (spec.restart === 'transient' && !benign)) {
    return restart(child, message.reason, state, ctx)
  }
  place(state, child, null)
  if (spec.restart === 'temporary') forget(state, child)
  return afterEnd(child, state)
}
/** OTP-U34: a significant child that ended by itself and is not restarted. */
const afterEnd = (child: Child, state: State): Result => {
  const mode = state.flags.autoShutdown ?? 'never'
  if (!child.spec.significant || mode === 'never') return keep
  const others = [...state.children.values()].some(
    (other) => other.spec.significant && (other.pid !== null || other.restarting),
  )
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
  place(state, child, null)
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
  place(state, child, null)
  child.restarting = false
  if (state.flags.strategy === 'one_for_one') return startAgain(ctx, state, [child])
  const all = [...state.children.values()]
  const group = all.slice(state.flags.strategy === 'rest_for_one' ? all.indexOf(child) : 0)
  return after(stopAll(ctx, state, group), () => {
    for (const member of group) if (member.spec.restart === 'temporary') forget(state, member)
    const stay = group.filter((member) => member.spec.restart !== 'temporary')
    return startAgain(ctx, state, stay)
  })
}
const startAgain = (ctx: Ctx, state: State, children: readonly Child[]): Maybe<FailedStart | null> =>
  firstOf(children, (child) => {
    child.restarts += 1
    return startOne(ctx, state, child)
  })

// -------------------------------------------------------------------- operations

const find = (state: State, id: string): Child | undefined => state.children.get(id)

const addChild = (spec: ChildSpec, state: State, ctx: Ctx): Maybe<ChildStarted<StartChildError>> => {
  const problem = specProblem(spec) ?? significanceProblem(spec, state.flags.autoShutdown)
  if (problem !== null) return { ok: false, error: { type: 'bad_spec', problem } }
  const existing = find(state, spec.id)
  if (existing?.restarting === true || existing?.pid === null) return { ok: false, error: { type: 'already_present' } }
  if (existing !== undefined && existing.pid !== null) {
    return { ok: false, error: { type: 'already_started', pid: existing.pid } }
  }
  return after(runStart(ctx, spec, 'itself'), (started): ChildStarted<StartChildError> => {
    if (!started.ok && !started.ignore) return { ok: false, error: startError(started.reason) }
    const pid = started.ok ? started.pid : null
    if (pid !== null) reportStarted(ctx, spec, pid)
    if (pid === null && spec.restart === 'temporary') return { ok: true, pid }
    const child = childOf(spec)
    state.children.set(spec.id, child)
    place(state, child, pid)
    return { ok: true, pid, ...(started.ok && 'info' in started && { info: started.info }) }
  })
}
const significanceProblem = (spec: ChildSpec, autoShutdown: SupervisorFlags['autoShutdown']): SpecProblem | null =>
  spec.significant && (autoShutdown ?? 'never') === 'never'
    ? { type: 'bad_combination', value: 'significant and never' }
    : null
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
  return after(runStart(ctx, child.spec, 'itself'), (started): ChildStarted<RestartChildError> => {
    if (!started.ok && !started.ignore) return { ok: false, error: startError(started.reason) }
    place(state, child, started.ok ? started.pid : null)
    if (child.pid !== null) reportStarted(ctx, child.spec, child.pid)
    return { ok: true, pid: child.pid, ...(started.ok && 'info' in started && { info: started.info }) }
  })
}
const terminateChild = (id: string, state: State, ctx: Ctx): Maybe<ChildDone<'not_found'>> => {
  const child = find(state, id)
  if (child === undefined) return NOT_FOUND
  return after(stopOne(ctx, state, child), () => {
    if (child.spec.restart === 'temporary') forget(state, child)
    return DONE
  })
}
const deleteChild = (id: string, state: State): ChildDone<'running' | 'restarting' | 'not_found'> => {
  const child = find(state, id)
  if (child === undefined) return NOT_FOUND
  if (child.restarting) return { ok: false, error: { type: 'restarting' } }
  if (child.pid !== null) return { ok: false, error: { type: 'running' } }
  forget(state, child)
  return DONE
}
const which = (child: Child): ChildInfo => ({
  id: child.spec.id,
  pid: child.restarting ? 'restarting' : child.pid,
  type: child.spec.type,
  restarts: child.restarts,
})
const count = (state: State, ctx: Ctx): ChildCounts => {
  const counts = { specs: state.children.size, active: 0, supervisors: 0, workers: 0 }
  for (const child of state.children.values()) {
    if (!child.restarting && isRunning(ctx, child.pid)) counts.active += 1
    counts[child.spec.type === 'supervisor' ? 'supervisors' : 'workers'] += 1
  }
  return counts
}

/**
 * OTP-C6, with data where OTP runs `init` again: `extra` is the new SupervisorArgs, null changes nothing. A known id gets the new spec and
 * keeps its pid, a new id is added and not started, an id that is no longer listed stays, at the end.
 */
const changed = (state: State, extra: SupervisorArgs | null): State => {
  if (extra === null) return state
  const problem = configurationProblem(extra)
  if (problem !== null) throw new Exit(problem)
  const listed = extra.children.map((spec): Child => {
    const known = find(state, spec.id)
    return known === undefined ? childOf(spec) : { ...known, spec }
  })
  const listedIds = new Set(listed.map((child) => child.spec.id))
  const unlisted = [...state.children.values()].filter((child) => !listedIds.has(child.spec.id))
  const children = new Map([...listed, ...unlisted].map((child) => [child.spec.id, child]))
  const byPid = new Map<Pid, Child>()
  for (const child of children.values()) if (child.pid !== null) byPid.set(child.pid, child)
  return { flags: extra.flags, children, byPid, restarts: state.restarts }
}

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
    'which-children': (_request, _from, state) => reply([...state.children.values()].map(which).reverse(), state),
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
    await stopAll(ctx, state, [...state.children.values()])
  },
  codeChange(_from, state, extra) {
    return changed(state as SupervisorState, extra as SupervisorArgs | null)
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
