/** The supervisors' part of the adapter: sup (with simple_one_for_one) and dyn, in Erlang's spelling. */
import type { DynamicSupervisorProtocol } from '#runtime/dynamic-supervisor.ts'
import { dynamicSupervisor } from '#runtime/dynamic-supervisor.ts'
import type { Pid } from '#runtime/pid.ts'
import { ProcessContext } from '#runtime/process-context.ts'
import {
  type SimpleSupervisorArgs,
  type SimpleSupervisorProtocol,
  simpleSupervisor,
} from '#runtime/simple-supervisor.ts'
import type { StartResult } from '#runtime/start.ts'
import { checkChildSpecs, type SupervisorProtocol, supervisor } from '#runtime/supervisor.ts'
import type { ChildSpec, SupervisorFlags } from '#runtime/supervisor-spec.ts'
import {
  behaviourOf,
  type Env,
  fromReason,
  type Module,
  type Proc,
  startTerm,
  sys,
  type Term,
  type Tuple,
} from './adapter.ts'

/** What is done in the supervisor to start a child: a term, `['ok', pid]`, `['ok', pid, info]`, `'ignore'`, `['error', r]` or junk. */
export type StartFunction = (sup: SupervisorSelf, extra: Tuple) => Term
export interface SupervisorSelf {
  readonly ctx: ProcessContext
  /** Starts a linked server in the supervisor. */
  startLink(module: Module, arg?: Term, name?: string): Term
}
export interface Spec {
  readonly id?: string
  readonly start?: StartFunction | string
  readonly restart?: string
  readonly shutdown?: number | 'brutal_kill' | 'infinity'
  readonly type?: string
  readonly significant?: boolean
}
export interface Flags {
  readonly strategy?: string
  readonly intensity?: number
  /** Seconds. */
  readonly period?: number
  readonly autoShutdown?: string
}

const started = (term: Term): StartResult => {
  if (term === 'ignore') return { ok: false, ignore: true }
  if (!Array.isArray(term)) return term as StartResult
  const [tag, value, info] = term
  if (tag === 'ok') return { ok: true, pid: value, ...(term.length === 3 && { info }) }
  // What no start function should answer goes through as it is: the supervisor has to bear it.
  const wrong: unknown = term
  if (tag !== 'error') return wrong as StartResult
  if (Array.isArray(value) && value[0] === 'already_started') {
    return { ok: false, ignore: false, reason: { type: 'already_started', pid: value[1] } }
  }
  return { ok: false, ignore: false, reason: { type: 'term', term: value } }
}
const selfOf = (ctx: unknown): SupervisorSelf => {
  if (!(ctx instanceof ProcessContext)) throw new TypeError('no context')
  return {
    ctx,
    startLink: (module, arg = null, name) => {
      const result = ctx.startLinked(behaviourOf(module), arg, name === undefined ? {} : { name })
      return result instanceof Promise ? result.then(startTerm) : startTerm(result)
    },
  }
}
const startOf = (start: StartFunction, ctx: unknown, extra: Tuple): StartResult | Promise<StartResult> => {
  const term = start(selfOf(ctx), extra)
  return term instanceof Promise ? term.then(started) : started(term)
}
/** OTP's defaults (U2). */
const specOf = (spec: Spec): ChildSpec => {
  const { id, start, restart, shutdown, type, significant } = spec
  const shutdownMs = shutdown === 'infinity' ? Number.POSITIVE_INFINITY : shutdown
  const byType = type === 'supervisor' ? Number.POSITIVE_INFINITY : 5_000
  const run = typeof start === 'function' ? (ctx: unknown) => startOf(start, ctx, []) : start
  return {
    id,
    start: run,
    restart: restart ?? 'permanent',
    shutdownMs: shutdownMs ?? byType,
    type: type ?? 'worker',
    significant: significant ?? false,
  } as ChildSpec
}
/** OTP's defaults (U1): one_for_one, 1 in 5 s. */
const flagsOf = ({ strategy, intensity, period, autoShutdown }: Flags): SupervisorFlags =>
  ({
    strategy: strategy ?? 'one_for_one',
    intensity: intensity ?? 1,
    periodMs: (period ?? 5) * 1_000,
    ...(autoShutdown !== undefined && { autoShutdown }),
  }) as SupervisorFlags

interface Problem {
  readonly type: string
  readonly value: unknown
}
const problemTerm = ({ type, value }: Problem): Term => (type.startsWith('missing') ? type : [type, value])
interface Refusal {
  readonly type: string
  readonly pid?: Pid
  readonly reason?: Parameters<typeof fromReason>[0]
  readonly problem?: Problem
}
const refusal = (error: Refusal): Term => {
  if (error.problem !== undefined) return ['error', problemTerm(error.problem)]
  if (error.pid !== undefined) return ['error', [error.type, error.pid]]
  return ['error', error.reason === undefined ? error.type : fromReason(error.reason)]
}
type Answer =
  | { readonly ok: true; readonly pid?: Pid | null; readonly info?: unknown }
  | { readonly ok: false; readonly error: Refusal }
const answer = (result: Answer): Term => {
  if (!result.ok) return refusal(result.error)
  if (!('pid' in result)) return 'ok'
  return 'info' in result ? ['ok', result.pid, result.info] : ['ok', result.pid ?? 'undefined']
}
/** A start that supervisor:init refused: `['supervisor_data' | 'start_spec', problem]`, failed_to_start_child as a tuple. */
const initTerm = (term: Term): Term => {
  if (!Array.isArray(term) || term[0] !== 'error') return term
  const reason = term[1]
  if (Array.isArray(reason) && reason[0] === 'shutdown') {
    const { type, id, reason: why } = reason[1]
    return ['error', ['shutdown', [type, id, fromReason(why)]]]
  }
  if (typeof reason === 'object' && reason !== null && 'problem' in reason) {
    return ['error', [reason.type, problemTerm(reason.problem)]]
  }
  return term
}
const FOREVER = Number.POSITIVE_INFINITY

/** Where supervisors are started and spoken to from: T, or a supervisor that starts another. */
export interface Place {
  readonly ctx: ProcessContext
  readonly env: Env
}
export class Sup {
  private readonly p: Place
  constructor(p: Place) {
    this.p = p
  }
  async startLink(flags: Flags, specs: readonly Spec[], name?: string): Promise<Term> {
    const args = { flags: flagsOf(flags), children: specs.map(specOf) }
    return initTerm(startTerm(await this.p.ctx.startLink(supervisor, args, name === undefined ? {} : { name })))
  }
  /** The pid of a supervisor that must start. */
  async pid(flags: Flags, specs: readonly Spec[], name?: string): Promise<Pid> {
    return pidOf(await this.startLink(flags, specs, name))
  }
  private call<R>(sup: Pid | string, request: SupervisorProtocol['call']['request']): Promise<R> {
    return this.p.ctx.call(sup, request, FOREVER)
  }
  async startChild(sup: Pid | string, spec: Spec): Promise<Term> {
    const result = await this.call<Answer>(sup, { type: 'start-child', spec: specOf(spec) })
    return !result.ok && result.error.type === 'failed' ? childError(result.error, spec.id) : answer(result)
  }
  async restartChild(sup: Pid | string, id: string): Promise<Term> {
    return answer(await this.call<Answer>(sup, { type: 'restart-child', id }))
  }
  async terminateChild(sup: Pid | string, id: string): Promise<Term> {
    return answer(await this.call<Answer>(sup, { type: 'terminate-child', id }))
  }
  async deleteChild(sup: Pid | string, id: string): Promise<Term> {
    return answer(await this.call<Answer>(sup, { type: 'delete-child', id }))
  }
  /** `[id, pid | 'undefined' | 'restarting', type]`, last started first. */
  async whichChildren(sup: Pid | string): Promise<Tuple[]> {
    const children = await this.call<readonly { id: string; pid: Pid | null | 'restarting'; type: string }[]>(sup, {
      type: 'which-children',
    })
    return children.map(({ id, pid, type }) => [id ?? 'undefined', pid ?? 'undefined', type])
  }
  /** `[specs, active, supervisors, workers]`. */
  async countChildren(sup: Pid | string): Promise<Tuple> {
    const counts = await this.call<{ specs: number; active: number; supervisors: number; workers: number }>(sup, {
      type: 'count-children',
    })
    return [counts.specs, counts.active, counts.supervisors, counts.workers]
  }
  async getChildspec(sup: Pid | string, id: string): Promise<Term> {
    const spec = await this.call<ChildSpec | null>(sup, { type: 'get-child-spec', id })
    if (spec === null) return ['error', 'not_found']
    const shutdown = spec.shutdownMs === FOREVER ? 'infinity' : spec.shutdownMs
    const { restart, type, significant } = spec
    return ['ok', { id: spec.id, restart, shutdown, type, significant }]
  }
  checkChildspecs(specs: readonly Spec[], autoShutdown?: SupervisorFlags['autoShutdown']): Term {
    const problem = checkChildSpecs(specs.map(specOf), autoShutdown)
    return problem === null ? 'ok' : ['error', problemTerm(problem)]
  }
  /** suspend, change_code with the result that init would give now, resume. */
  async changeCode(sup: Pid, result: 'ignore' | readonly [Flags, readonly Spec[]]): Promise<Term> {
    const { runtime } = this.p.env
    const extra = result === 'ignore' ? null : { flags: flagsOf(result[0]), children: result[1].map(specOf) }
    await sys.suspend(runtime, sup)
    const changed = await sys.changeCode(runtime, sup, { version: 1, down: false }, extra)
    await sys.resume(runtime, sup)
    if (changed.ok) return 'ok'
    const reason = fromReason(changed.error.detail as Parameters<typeof fromReason>[0]) as { problem: Problem }
    return ['error', ['error', problemTerm(reason.problem)]]
  }

  // ---------------------------------------------------------------- simple_one_for_one

  private simpleArgs(flags: Flags, spec: Spec | undefined): SimpleSupervisorArgs {
    const { strategy: _strategy, ...rest } = flagsOf(flags)
    if (spec === undefined) return { flags: rest, child: undefined as never }
    const { start, ...child } = specOf(spec)
    const run = spec.start
    const starts = typeof run === 'function' ? (ctx: unknown, extra: Tuple) => startOf(run, ctx, extra) : start
    return { flags: rest, child: { ...child, start: starts } }
  }
  async startSimple(flags: Flags, spec: Spec): Promise<Term> {
    return initTerm(startTerm(await this.p.ctx.startLink(simpleSupervisor, this.simpleArgs(flags, spec))))
  }
  /** suspend, change_code with what init would give now (exactly one spec is right), resume. */
  async changeSimple(sup: Pid, flags: Flags, specs: readonly Spec[]): Promise<'ok' | 'error'> {
    const { runtime } = this.p.env
    await sys.suspend(runtime, sup)
    const extra = this.simpleArgs(flags, specs.length === 1 ? specs[0] : undefined)
    const changed = await sys.changeCode(runtime, sup, { version: 1, down: false }, extra)
    await sys.resume(runtime, sup)
    return changed.ok ? 'ok' : 'error'
  }
  async simple(flags: Flags, spec: Spec): Promise<Pid> {
    return pidOf(await this.startSimple(flags, spec))
  }
  private callSimple<R>(sup: Pid, request: SimpleSupervisorProtocol['call']['request']): Promise<R> {
    return this.p.ctx.call(sup, request, FOREVER)
  }
  async startSimpleChild(sup: Pid, ...extra: Tuple): Promise<Term> {
    return answer(await this.callSimple<Answer>(sup, { type: 'start-child', extra }))
  }
  async terminateSimpleChild(sup: Pid, pid: Pid | string): Promise<Term> {
    return answer(await this.callSimple<Answer>(sup, { type: 'terminate-child', pid }))
  }
}
const childError = (error: Refusal, id: string | undefined): Term => [
  'error',
  [error.reason === undefined ? error.type : fromReason(error.reason), id],
]
export const pidOf = (term: Term): Pid => {
  if (Array.isArray(term) && term[0] === 'ok') return term[1]
  throw new Error(`did not start: ${JSON.stringify(term)}`)
}

export class Dyn {
  private readonly p: Proc
  constructor(p: Proc) {
    this.p = p
  }
  /** Elixir's defaults (D1): 3 in 5 s, any number of children. */
  async pid(flags: Flags & { readonly maxChildren?: number } = {}): Promise<Pid> {
    const { intensity, periodMs } = flagsOf({ intensity: 3, ...flags })
    const bound = flags.maxChildren === undefined ? {} : { maxChildren: flags.maxChildren }
    return pidOf(startTerm(await this.p.ctx.startLink(dynamicSupervisor, { flags: { intensity, periodMs }, ...bound })))
  }
  private call<R>(sup: Pid, request: DynamicSupervisorProtocol['call']['request']): Promise<R> {
    return this.p.ctx.call(sup, request, FOREVER)
  }
  async startChild(sup: Pid, spec: Spec): Promise<Term> {
    const result = await this.call<Answer>(sup, { type: 'start-child', spec: specOf({ id: 'child', ...spec }) })
    return !result.ok && result.error.type === 'ignore' ? 'ignore' : answer(result)
  }
  async terminateChild(sup: Pid, pid: Pid): Promise<Term> {
    return answer(await this.call<Answer>(sup, { type: 'terminate-child', pid }))
  }
  async whichChildren(sup: Pid): Promise<Tuple[]> {
    const children = await this.call<readonly { pid: Pid | 'restarting'; type: string }[]>(sup, {
      type: 'which-children',
    })
    return children.map(({ pid, type }) => ['undefined', pid, type])
  }
  async countChildren(sup: Pid): Promise<Tuple> {
    const counts = await this.call<{ specs: number; active: number; supervisors: number; workers: number }>(sup, {
      type: 'count-children',
    })
    return [counts.specs, counts.active, counts.supervisors, counts.workers]
  }
}
