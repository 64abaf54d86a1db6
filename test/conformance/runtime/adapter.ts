/**
 * The only way from the conformance cases to the runtime. Its operations are those that runtime-cases.md lists, in Erlang's spelling: terms
 * are any values, reasons and system messages are tuples (`['EXIT', pid, reason]`, `['DOWN', ref, object, reason]`), callbacks answer with
 * tuples (`['reply', value, state]`). A case is a body that runs in T, a plain process that traps exits, in virtual time: whenever nothing
 * is left to do, time moves to the next timer.
 */
import { expect } from 'vitest'
import { AsyncRequest, RequestCollection } from '#runtime/async-request.ts'
import type { Behaviour } from '#runtime/behaviour.ts'
import { CodeChangeRefused } from '#runtime/code.ts'
import { CallExit, Exit, type ExitReason } from '#runtime/exit.ts'
import type { From } from '#runtime/from.ts'
import type { AliasMode } from '#runtime/kernel.ts'
import { Pid, type Via } from '#runtime/pid.ts'
import { type PlainContext, TIMEOUT } from '#runtime/plain.ts'
import { ProcessContext } from '#runtime/process-context.ts'
import { type GroupsProtocol, processGroups } from '#runtime/process-groups.ts'
import type { Call } from '#runtime/protocol.ts'
import { Registry, registryOwner } from '#runtime/registry.ts'
import type { Report } from '#runtime/reports.ts'
import { Runtime } from '#runtime/runtime.ts'
import * as sys from '#runtime/sys.ts'
import { VirtualWorld } from '#world/virtual-world.ts'

export type Term = unknown
export type Tuple = readonly unknown[]

// ------------------------------------------------------------------ reasons

const KNOWN = new Set(['normal', 'shutdown', 'kill', 'killed', 'noproc', 'timeout', 'calling_self'])

/** `['shutdown', detail]` and Erlang's atoms are reasons of their own, all else is a term. */
export const toReason = (term: Term): ExitReason => {
  if (typeof term === 'string' && KNOWN.has(term)) return term as ExitReason
  if (Array.isArray(term) && term[0] === 'shutdown' && term.length === 2) return { type: 'shutdown', detail: term[1] }
  return { type: 'term', term }
}
/** The other way; an error is `['error', message]`, a failed call `[why, 'call']`. */
export const fromReason = (reason: ExitReason): Term => {
  if (typeof reason === 'string') return reason
  switch (reason.type) {
    case 'shutdown':
      return ['shutdown', reason.detail]
    case 'term':
      return reason.term
    case 'error':
      return ['error', reason.error.message]
    case 'nocatch':
      return ['nocatch', reason.value]
    case 'bad_return_value':
      return ['bad_return_value', reason.value]
    case 'undef':
      return ['undef', reason.callback]
    case 'call_failed':
      return [fromReason(reason.why), 'call']
  }
}
const exitTerm = (error: unknown): Term => {
  if (error instanceof Exit) return ['exit', fromReason(error.reason)]
  throw error
}
/** The value, or `['exit', reason]` where the caller exits. */
export const caught = async (work: () => unknown): Promise<Term> => {
  try {
    return await work()
  } catch (error) {
    return exitTerm(error)
  }
}
/** Whether it throws something that is no exit (badarg). */
export const raises = async (work: () => unknown): Promise<boolean> => {
  try {
    await work()
    return false
  } catch (error) {
    return !(error instanceof Exit)
  }
}

// ------------------------------------------------------------------ messages

interface SystemShape {
  readonly type?: unknown
  readonly pid?: Pid | null
  readonly ref?: unknown
  readonly name?: string | null
  readonly reason?: ExitReason
}
/** What a process finds in its mailbox, as Erlang would show it. */
export const asTerm = (message: unknown): Term => {
  if (message === TIMEOUT) return 'timeout'
  if (typeof message !== 'object' || message === null) return message
  const shape = message as SystemShape
  if (shape.reason !== undefined && shape.type === 'EXIT') return ['EXIT', shape.pid, fromReason(shape.reason)]
  if (shape.reason === undefined || shape.type !== 'DOWN') return message
  return ['DOWN', shape.ref, shape.name ?? shape.pid, fromReason(shape.reason)]
}

// ------------------------------------------------------------------ a process

export type Body = (p: Proc) => unknown
export interface MonitorOptions {
  readonly alias?: AliasMode
}

/** The operations of a process, and of generic servers as seen from a process. */
export class Proc {
  readonly ctx: PlainContext
  readonly env: Env
  readonly gen: Gen
  constructor(ctx: PlainContext, env: Env) {
    this.ctx = ctx
    this.env = env
    this.gen = new Gen(ctx, env)
  }
  get self(): Pid {
    return this.ctx.self
  }
  exitSelf(reason: Term): never {
    throw new Exit(toReason(reason))
  }
  exitSignal(pid: Pid, reason: Term): true {
    this.ctx.exit(pid, toReason(reason))
    return true
  }
  trap(on: boolean): void {
    this.ctx.trapExit(on)
  }
  link(pid: Pid): true {
    this.ctx.link(pid)
    return true
  }
  unlink(pid: Pid): true {
    this.ctx.unlink(pid)
    return true
  }
  monitor(target: Pid | string): number {
    return this.ctx.monitor(target)
  }
  monitorAlias(target: Pid | string, mode: AliasMode): { readonly ref: number; readonly alias: Pid } {
    return this.ctx.monitorWithAlias(target, mode)
  }
  /** True, or with `info` whether there was a live monitor (M4). */
  demonitor(ref: number, options: { readonly flush?: boolean; readonly info?: boolean } = {}): boolean {
    const live = this.ctx.demonitor(ref, { flush: options.flush === true })
    return options.info === true ? live : true
  }
  alias(mode: 'explicit_unalias' | 'reply' = 'explicit_unalias'): Pid {
    return this.ctx.alias(mode)
  }
  unalias(alias: Pid): boolean {
    return this.ctx.unalias(alias)
  }
  send(to: Pid | string, term: Term): Term {
    this.ctx.send(to, term as never)
    return term
  }
  async recv(match: ((term: Term) => boolean) | null = null, afterMs = Number.POSITIVE_INFINITY): Promise<Term> {
    const matches = match === null ? null : (message: unknown) => match(asTerm(message))
    return asTerm(await this.ctx.receive(matches, afterMs))
  }
  /** All queued messages, when nothing is left to do. */
  async drain(): Promise<Term[]> {
    await this.env.settle()
    return this.ctx.drain().map(asTerm)
  }
  register(name: string, pid: Pid): true {
    this.ctx.register(name, pid)
    return true
  }
  unregister(name: string): true {
    this.ctx.unregisterName(name)
    return true
  }
  whereis(name: string): Pid | null {
    return this.ctx.whereis(name)
  }
  alive(pid: Pid): boolean {
    return this.env.runtime.isAlive(pid)
  }
  info(pid: Pid, items: readonly string[]): Tuple[] | undefined {
    return this.env.runtime.processItems(pid, items)?.map(([item, value]) => [item, value])
  }
  sendAfter(ms: number, to: Pid | string, term: Term): number {
    return this.ctx.startTimer(ms, to, term, { bare: true })
  }
  startTimer(ms: number, to: Pid | string, term: Term, options: { readonly abs?: boolean } = {}): number {
    return this.ctx.startTimer(ms, to, term, options)
  }
  cancelTimer(ref: number): number | false {
    return this.ctx.cancelTimer(ref)
  }
  readTimer(ref: number): number | false {
    return this.ctx.readTimer(ref)
  }
  spawn(body: Body): Pid {
    return this.ctx.spawn((ctx) => body(new Proc(ctx, this.env)))
  }
  spawnLink(body: Body): Pid {
    return this.ctx.spawnLink((ctx) => body(new Proc(ctx, this.env)))
  }
  spawnMonitor(body: Body): { readonly pid: Pid; readonly ref: number } {
    return this.ctx.spawnMonitor((ctx) => body(new Proc(ctx, this.env)))
  }
  /** A pid that is dead already. */
  async dead(): Promise<Pid> {
    const { pid, ref } = this.spawnMonitor(() => null)
    await this.recv((term) => Array.isArray(term) && term[1] === ref)
    return pid
  }
  /** The reason a process dies with, by a fresh monitor. */
  async deathOf(pid: Pid | string): Promise<Term> {
    const ref = this.monitor(pid)
    const down = await this.recv((term) => Array.isArray(term) && term[0] === 'DOWN' && term[1] === ref)
    return Array.isArray(down) ? down[3] : down
  }
}

// ------------------------------------------------------------------ generic servers

export interface ServerSelf {
  readonly ctx: ProcessContext
  readonly self: Pid
  send(to: Pid | string, term: Term): void
}
/** A callback module in Erlang's manner. What a callback throws is raised; `exit(r)` throws `new Exit(toReason(r))`. */
export interface Module {
  readonly name?: string
  readonly vsn?: number
  init?(arg: Term, p: ServerSelf): unknown
  handleCall?(message: Term, from: From<unknown>, state: Term, p: ServerSelf): unknown
  handleCast?(message: Term, state: Term, p: ServerSelf): unknown
  handleInfo?(message: Term, state: Term, p: ServerSelf): unknown
  handleContinue?(message: Term, state: Term, p: ServerSelf): unknown
  terminate?(reason: Term, state: Term, p: ServerSelf): unknown
  codeChange?(oldVsn: Term, state: Term, extra: Term): unknown
  formatStatus?(state: Term): unknown
}
export const exit = (reason: Term): never => {
  throw new Exit(toReason(reason))
}

interface Wrapped {
  readonly type: 'm'
  readonly term: Term
}
type ModuleProtocol = {
  readonly call: Call<Wrapped, unknown>
  readonly cast: Wrapped
  readonly info: never
  readonly continue: { readonly type: 'continue'; readonly term: Term }
}

const action = (then: Term): unknown => {
  if (typeof then === 'number') return { timeoutMs: then }
  if (Array.isArray(then) && then[0] === 'continue') return { continue: { type: 'continue', term: then[1] } }
  return null
}
/** `['reply', r, s, action?]` and the like; anything else stays what it is: a bad return. */
const result = (value: Term): unknown => {
  if (value instanceof Promise) return value.then(result)
  if (value === 'ignore') return { kind: 'ignore' }
  if (!Array.isArray(value)) return value
  switch (`${value[0]}/${value.length}`) {
    case 'ok/2':
    case 'ok/3':
      return { kind: 'ok', state: value[1], next: action(value[2]) }
    case 'error/2':
      return { kind: 'error', reason: toReason(value[1]) }
    case 'stop/2':
      return { kind: 'stop', reason: toReason(value[1]) }
    case 'stop/3':
      return { kind: 'stop', reason: toReason(value[1]), state: value[2] }
    case 'stop/4':
      return { kind: 'stop-reply', reason: toReason(value[1]), reply: value[2], state: value[3] }
    case 'noreply/2':
    case 'noreply/3':
      return { kind: 'noreply', state: value[1], next: action(value[2]) }
    case 'reply/3':
    case 'reply/4':
      return { kind: 'reply', reply: value[1], state: value[2], next: action(value[3]) }
    default:
      return value
  }
}
const behaviours = new WeakMap<Module, Behaviour<ModuleProtocol, Term, Term>>()

const selfOf = (ctx: unknown): ServerSelf => {
  if (!(ctx instanceof ProcessContext)) throw new TypeError('no context')
  return { ctx, self: ctx.self, send: (to, term) => ctx.send(to, term as never) }
}
/** The behaviour of a module; the same one each time. */
export const behaviourOf = (module: Module): Behaviour<ModuleProtocol, Term, Term> => {
  const known = behaviours.get(module)
  if (known !== undefined) return known
  const { handleCall, handleCast, handleInfo, handleContinue, terminate, codeChange, formatStatus } = module
  const behaviour = {
    name: module.name ?? 'anonymous',
    version: module.vsn ?? 1,
    init: (arg: Term, ctx: unknown) => result(module.init === undefined ? ['ok', arg] : module.init(arg, selfOf(ctx))),
    ...(handleCall && {
      call: {
        m: (message: Wrapped, from: From<unknown>, state: Term, ctx: unknown) =>
          result(handleCall(message.term, from, state, selfOf(ctx))),
      },
    }),
    ...(handleCast && {
      cast: {
        m: (message: Wrapped, state: Term, ctx: unknown) => result(handleCast(message.term, state, selfOf(ctx))),
      },
    }),
    ...(handleInfo && {
      info: (message: unknown, state: Term, ctx: unknown) => result(handleInfo(infoTerm(message), state, selfOf(ctx))),
    }),
    ...(handleContinue && {
      continue: (message: { readonly term: Term }, state: Term, ctx: unknown) =>
        result(handleContinue(message.term, state, selfOf(ctx))),
    }),
    ...(terminate && {
      terminate: (reason: ExitReason, state: Term, ctx: unknown) => terminate(fromReason(reason), state, selfOf(ctx)),
    }),
    ...(codeChange && {
      codeChange: (from: { readonly version: number; readonly down: boolean }, state: unknown, extra: unknown) => {
        const changed = codeChange(from.down ? ['down', from.version] : from.version, state, extra)
        return Array.isArray(changed) && changed[0] === 'ok' ? changed[1] : new CodeChangeRefused(changed)
      },
    }),
    ...(formatStatus && { formatStatus }),
  } as Behaviour<ModuleProtocol, Term, Term>
  behaviours.set(module, behaviour)
  return behaviour
}
const infoTerm = (message: unknown): Term => {
  const isTimeout = typeof message === 'object' && message !== null && 'type' in message && message.type === 'timeout'
  return isTimeout && Object.keys(message).length === 1 ? 'timeout' : asTerm(message)
}

export interface StartOptions {
  readonly name?: string
  readonly via?: Via
  readonly timeout?: number
}
export class Gen {
  private readonly ctx: PlainContext
  private readonly env: Env
  constructor(ctx: PlainContext, env: Env) {
    this.ctx = ctx
    this.env = env
  }
  /** `['ok', pid]`, `'ignore'` or `['error', reason]`. */
  async start(module: Module, arg: Term = null, options: StartOptions = {}): Promise<Term> {
    return startTerm(await this.ctx.start(behaviourOf(module), arg, startOptions(options)))
  }
  async startLink(module: Module, arg: Term = null, options: StartOptions = {}): Promise<Term> {
    return startTerm(await this.ctx.startLink(behaviourOf(module), arg, startOptions(options)))
  }
  /** `['ok', [pid, ref]]` and the like. */
  async startMonitor(module: Module, arg: Term = null, options: StartOptions = {}): Promise<Term> {
    const started = await this.ctx.startMonitor(behaviourOf(module), arg, startOptions(options))
    return started.ok ? ['ok', [started.pid, started.ref]] : startTerm(started)
  }
  /** The pid of a server that must start. */
  async pid(module: Module, arg: Term = null, options: StartOptions = {}): Promise<Pid> {
    const started = await this.start(module, arg, options)
    if (Array.isArray(started) && started[1] instanceof Pid) return started[1]
    throw new Error(`did not start: ${JSON.stringify(started)}`)
  }
  async linked(module: Module, arg: Term = null, options: StartOptions = {}): Promise<Pid> {
    const started = await this.startLink(module, arg, options)
    if (Array.isArray(started) && started[1] instanceof Pid) return started[1]
    throw new Error(`did not start: ${JSON.stringify(started)}`)
  }
  /** Rejects with Exit where Erlang's caller would exit. */
  call(ref: Pid | string, term: Term, timeoutMs?: number): Promise<Term> {
    return this.ctx.call(ref, wrap(term), timeoutMs)
  }
  cast(ref: Pid | string, term: Term): 'ok' {
    this.ctx.cast(ref, wrap(term))
    return 'ok'
  }
  reply(from: From<unknown>, term: Term): void {
    this.ctx.reply(from, term)
  }
  async stop(ref: Pid | string, reason: Term = 'normal', timeoutMs?: number): Promise<'ok'> {
    await this.ctx.stop(ref, toReason(reason), timeoutMs)
    return 'ok'
  }
  sendRequest(ref: Pid | string, term: Term): AsyncRequest {
    return new AsyncRequest(this.env.runtime.kernel, this.ctx.process, ref, wrap(term))
  }
  async waitResponse(request: AsyncRequest, timeoutMs: number): Promise<Term> {
    return responseTerm(await request.wait(timeoutMs))
  }
  async receiveResponse(request: AsyncRequest, timeoutMs: number): Promise<Term> {
    return responseTerm(await request.receive(timeoutMs))
  }
  checkResponse(request: AsyncRequest): Term {
    const response = request.check()
    return response === null ? 'no_reply' : responseTerm(response)
  }
  collection(): RequestCollection {
    return new RequestCollection(this.env.runtime.kernel)
  }
}
const wrap = (term: Term): Wrapped => ({ type: 'm', term })
const startOptions = ({ name, via, timeout }: StartOptions): { name?: string; via?: Via; timeoutMs?: number } => ({
  ...(via !== undefined && { via }),
  ...(name !== undefined && { name }),
  ...(timeout !== undefined && { timeoutMs: timeout }),
})
export const responseTerm = (response: Awaited<ReturnType<AsyncRequest['wait']>>): Term => {
  if (response === 'timeout') return 'timeout'
  return response.type === 'reply' ? ['reply', response.value] : ['error', fromReason(response.reason)]
}
type Started = Awaited<ReturnType<PlainContext['startLink']>>
export const startTerm = (started: Started): Term => {
  if (started.ok) return ['ok', started.pid]
  if (started.ignore) return 'ignore'
  const { reason } = started
  if (typeof reason === 'object' && reason.type === 'already_started') return ['error', ['already_started', reason.pid]]
  return ['error', fromReason(reason)]
}

// ------------------------------------------------------------------ the world of a case

export class Env {
  readonly world: VirtualWorld
  readonly runtime: Runtime
  readonly logs: Report[] = []
  /** What workers log (`start a`, `stop a shutdown`). */
  readonly ev: string[] = []

  constructor(seed: number) {
    this.world = new VirtualWorld({ seed })
    this.runtime = new Runtime(this.world, {
      safeMessages: true,
      permute: seed > 0,
      report: (report) => this.logs.push(report),
    })
  }
  /** code: makes this the loaded version of its name. */
  loadCode(module: Module, purge: 'hard' | 'soft' = 'hard'): { readonly ok: boolean } {
    return sys.loadCode(this.runtime, behaviourOf(module), purge)
  }
  /** Runs until idle. */
  settle(): Promise<void> {
    return this.sleep(0)
  }
  /** Virtual milliseconds. */
  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.world.setTimer(ms, resolve))
  }
  get now(): number {
    return this.world.monoNow()
  }
  /** An EXIT message as if `from` had just died. */
  forgeExit(to: Pid, from: Pid | null, reason: Term): void {
    this.runtime.send(to, { type: 'EXIT', pid: from, reason: toReason(reason) })
  }
  /** Processes, names, timers and the like that are there now; for leaks. */
  counts(): Record<string, number> {
    const { kernel } = this.runtime
    const { processes, names, timers, aliases, wheel, tables } = kernel
    let links = 0
    let monitors = 0
    let requests = 0
    for (const process of processes.values()) {
      links += process.links().length
      for (let monitor = process.watchers; monitor !== null; monitor = monitor.next) monitors += 1
      for (let request = process.open; request !== null; request = request.openNext) requests += 1
    }
    return {
      processes: processes.size,
      names: names.size,
      timers: timers.size,
      aliases: aliases.size,
      wheel: wheel.size,
      tables: tables.size,
      links,
      monitors,
      requests,
    }
  }
}

/** Runs the body in T until it returns; fails if T dies, or if nothing can happen any more. */
const run = async (seed: number, body: (t: Proc, env: Env) => unknown, trapping: boolean): Promise<void> => {
  const env = new Env(seed)
  const outcome: { error: unknown; done: boolean } = { error: null, done: false }
  const pid = env.runtime.spawn(async (ctx) => {
    ctx.trapExit(trapping)
    try {
      await body(new Proc(ctx, env), env)
    } catch (error) {
      outcome.error = error
    }
    outcome.done = true
  })
  env.runtime.monitor(pid, (reason) => {
    if (!outcome.done) outcome.error = new Error(`T died: ${JSON.stringify(fromReason(reason))}`)
    outcome.done = true
  })
  while (!outcome.done) {
    await env.world.settle()
    if (outcome.done) break
    if (!(await env.world.runToNextTimer())) throw new Error('T waits for something that cannot happen')
  }
  if (outcome.error !== null) throw outcome.error
}
const SEEDS = [0, 1, 2, 3]

/** A case: in order, and with the run queue permuted by some seeds (S2). */
export const inT = (body: (t: Proc, env: Env) => unknown) => async (): Promise<void> => {
  for (const seed of SEEDS) await run(seed, body, true)
}
/** With a T that does not trap exits. */
export const inPlainT = (body: (t: Proc, env: Env) => unknown) => async (): Promise<void> => {
  for (const seed of SEEDS) await run(seed, body, false)
}
export { CallExit, expect, sys }

// ------------------------------------------------------------------ registries, groups, tasks

/** reg: `['ok', owner]` or `['error', ['already_registered', pid]]`, for the calling process. */
export class Reg {
  readonly registry: Registry
  constructor(env: Env, name: string) {
    this.registry = new Registry(env.runtime.kernel, name)
  }
  static async start(
    t: Proc,
    name: string,
    keys: 'unique' | 'duplicate',
    listeners: readonly string[] = [],
  ): Promise<Reg> {
    await t.env.runtime.start(registryOwner, { name, keys, listeners }, { name })
    return new Reg(t.env, name)
  }
  register(p: Proc, key: Term, value: Term = null): Term {
    const result = this.registry.register(p.ctx, key, value)
    return result.ok ? ['ok', result.owner] : ['error', ['already_registered', result.error.pid]]
  }
  unregister(p: Proc, key: Term): 'ok' {
    this.registry.unregister(p.ctx, key)
    return 'ok'
  }
  lookup(key: Term): Term[] {
    return this.registry.lookup(key).map(({ pid, value }) => [pid, value])
  }
  updateValue(p: Proc, key: Term, update: (value: Term) => Term): Term {
    const updated = this.registry.updateValue(p.ctx, key, update)
    return updated === null ? 'error' : [updated.next, updated.previous]
  }
  lock(p: Proc, key: Term, run: () => unknown): Promise<Term> {
    return this.registry.lock(p.ctx, key, run)
  }
}

/** pg, in Erlang's spelling. */
export class Pg {
  private readonly scope: Pid
  constructor(scope: Pid) {
    this.scope = scope
  }
  static async start(t: Proc): Promise<Pg> {
    const started = await t.env.runtime.start(processGroups, null)
    if (!started.ok) throw new Error('no scope')
    return new Pg(started.pid)
  }
  private ask(p: Proc, request: GroupsProtocol['call']['request']): Promise<Term> {
    return p.ctx.call(this.scope, request)
  }
  join(p: Proc, group: string, pids: readonly Pid[]): Promise<Term> {
    return this.ask(p, { type: 'join', group, pids })
  }
  leave(p: Proc, group: string, pids: readonly Pid[]): Promise<Term> {
    return this.ask(p, { type: 'leave', group, pids })
  }
  members(p: Proc, group: string): Promise<Term> {
    return this.ask(p, { type: 'members', group })
  }
  whichGroups(p: Proc): Promise<Term> {
    return this.ask(p, { type: 'which-groups' })
  }
  monitorScope(p: Proc): Promise<Term> {
    return this.ask(p, { type: 'monitor-scope', pid: p.self })
  }
  monitor(p: Proc, group: string): Promise<Term> {
    return this.ask(p, { type: 'monitor', pid: p.self, group })
  }
  demonitor(p: Proc, ref: number): Promise<Term> {
    return this.ask(p, { type: 'demonitor', ref })
  }
}
