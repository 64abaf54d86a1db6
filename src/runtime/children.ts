/** What both supervisors do with a child: start it, stop it, watch the intensity (runtime.md section U). */
import type { Context } from './context.ts'
import type { ExitReason } from './exit.ts'
import { reasonOf } from './exit.ts'
import type { Kernel } from './kernel.ts'
import type { Pid } from './pid.ts'
import { CLOSING, type Process } from './process.ts'
import { ProcessContext } from './process-context.ts'
import type { Offender } from './reports.ts'
import { after, type Maybe } from './sequence.ts'
import type { StartResult } from './start.ts'
import type { ChildSpec, SupervisorFlags } from './supervisor-spec.ts'

/** A supervisor stands nearer to the kernel than an actor: it waits for deaths without a message. */
export const insideOf = (ctx: object): { readonly kernel: Kernel; readonly process: Process } => {
  if (!(ctx instanceof ProcessContext)) throw new TypeError('a supervisor runs in a process of the runtime')
  return ctx
}
export const nameOf = (process: Process): string => process.name ?? String(process.pid)

export type StartedChild =
  | { readonly ok: true; readonly pid: Pid; readonly info?: unknown }
  | { readonly ok: false; readonly ignore: true }
  | { readonly ok: false; readonly ignore: false; readonly reason: ExitReason | AlreadyStarted }
export interface AlreadyStarted {
  readonly type: 'already_started'
  readonly pid: Pid
}

/**
 * Runs the start function in the supervisor (OTP-U6). What it throws, and an answer that is none, is a failed start; `thrown`: what a thrown
 * value that is no error stands for, itself (U6) or nocatch (D7).
 */
export const runStart = (ctx: Context, spec: ChildSpec, thrown: 'itself' | 'nocatch'): Maybe<StartedChild> => {
  const failed = (error: unknown): StartedChild => {
    const reason = reasonOf(error)
    const isValue = typeof reason === 'object' && reason.type === 'nocatch' && thrown === 'itself'
    return { ok: false, ignore: false, reason: isValue ? { type: 'term', term: reason.value } : reason }
  }
  try {
    const started: Maybe<StartResult> = spec.start(ctx)
    return started instanceof Promise ? started.then(checked, failed) : checked(started)
  } catch (error) {
    return failed(error)
  }
}
const checked = (started: StartResult): StartedChild => {
  const answer: unknown = started
  const isAnswer = typeof answer === 'object' && answer !== null && 'ok' in answer
  return isAnswer ? started : { ok: false, ignore: false, reason: { type: 'term', term: answer } }
}

export const offender = (spec: ChildSpec, pid: Pid | null): Offender => ({
  id: spec.id,
  pid,
  restart: spec.restart,
  type: spec.type,
})

export const reportStarted = (ctx: Context, spec: ChildSpec, pid: Pid): void => {
  const { kernel, process } = insideOf(ctx)
  const name = kernel.resolve(pid)?.name ?? null
  kernel.report({ type: 'process-started', pid, name, id: spec.id, supervisor: nameOf(process) })
}
export const reportChild = (
  ctx: Context,
  type: 'child-terminated' | 'child-start-failed' | 'child-shutdown-failed',
  reason: ExitReason,
  who: Offender,
): void => {
  const { kernel, process } = insideOf(ctx)
  kernel.report({ type, supervisor: nameOf(process), reason, offender: who })
}
/** OTP-O6: every end of a permanent child, of the others only those that are not benign. */
export const reportEnd = (ctx: Context, spec: ChildSpec, pid: Pid, reason: ExitReason, benign: boolean): void => {
  if (spec.restart === 'permanent' || !benign) reportChild(ctx, 'child-terminated', reason, offender(spec, pid))
}

/**
 * Stops one child as its spec says (OTP-U9): brutal_kill, or `shutdown` and after `shutdownMs` kill. Done when it is dead.
 * It watches by monitor, so a child that unlinked itself does not hang it, and unlinks, so no EXIT comes.
 */
export const stopChild = (ctx: Context, spec: ChildSpec, pid: Pid): Maybe<null> => {
  const { kernel, process } = insideOf(ctx)
  const child = kernel.resolve(pid)
  if (child === null) return null
  kernel.unlink(process, child)
  const brutal = spec.shutdownMs === 'brutal_kill'
  kernel.signal(child, process.pid, brutal ? 'kill' : 'shutdown', false)
  return after(awaitDeath(kernel, child, spec), (reason) => {
    if (!wasExpected(spec, reason)) reportChild(ctx, 'child-shutdown-failed', reason, offender(spec, pid))
    return null
  })
}
const awaitDeath = (kernel: Kernel, child: Process, spec: ChildSpec): Maybe<ExitReason> => {
  if (kernel.resolve(child.pid) === null) return child.reason ?? 'normal'
  const limitMs = spec.shutdownMs
  return new Promise((resolve) => {
    const bounded = limitMs !== 'brutal_kill' && limitMs !== Number.POSITIVE_INFINITY
    const limit = bounded ? kernel.wheel.after(limitMs, () => kernel.signal(child, child.pid, 'kill', false)) : null
    kernel.monitor(child.pid, null, (reason) => {
      if (limit !== null) kernel.wheel.cancel(limit)
      resolve(reason)
    })
  })
}
/** OTP-O7. */
const wasExpected = (spec: ChildSpec, reason: ExitReason): boolean => {
  if (spec.shutdownMs === 'brutal_kill') return reason === 'killed'
  if (reason === 'shutdown') return true
  const isShutdown = typeof reason === 'object' && reason.type === 'shutdown'
  return spec.restart !== 'permanent' && (reason === 'normal' || isShutdown)
}

/** Notes one restart in the sliding window; false when there are more than `intensity` within `periodMs` (OTP-U21). Changes `restarts`. */
export const mayRestart = (ctx: Context, flags: SupervisorFlags, restarts: number[]): boolean => {
  const now = ctx.world.monoNow()
  restarts.push(now)
  while ((restarts[0] ?? now) < now - flags.periodMs) restarts.shift()
  return restarts.length <= flags.intensity
}

export const isRunning = (ctx: Context, pid: Pid | null): boolean =>
  pid !== null && (insideOf(ctx).kernel.resolve(pid)?.phase ?? CLOSING) < CLOSING

/** What is wrong with flags or a spec, in OTP's words (OTP-U1, U2): `invalid_intensity` and the value. */
export interface SpecProblem {
  readonly type: string
  readonly value: unknown
}
const STRATEGIES = ['one_for_one', 'one_for_all', 'rest_for_one']
const AUTO_SHUTDOWNS = [undefined, 'never', 'any_significant', 'all_significant']

export const flagsProblem = (
  flags: Omit<SupervisorFlags, 'strategy'> & { readonly strategy?: string },
): SpecProblem | null => {
  const { intensity, periodMs, strategy, autoShutdown } = flags
  if (strategy !== undefined && !STRATEGIES.includes(strategy)) return { type: 'invalid_strategy', value: strategy }
  if (!Number.isInteger(intensity) || intensity < 0) return { type: 'invalid_intensity', value: intensity }
  if (!Number.isFinite(periodMs) || periodMs <= 0) return { type: 'invalid_period', value: periodMs }
  if (!AUTO_SHUTDOWNS.includes(autoShutdown)) return { type: 'invalid_auto_shutdown', value: autoShutdown }
  return null
}
const RESTARTS = ['permanent', 'transient', 'temporary']
export const specProblem = (spec: Omit<ChildSpec, 'start'> & { readonly start?: unknown }): SpecProblem | null => {
  const { id, start, restart, shutdownMs, type, significant } = spec
  if (id === undefined || id === '') return { type: 'missing_id', value: spec }
  if (start === undefined) return { type: 'missing_start', value: spec }
  if (typeof start !== 'function') return { type: 'invalid_mfa', value: start }
  if (!RESTARTS.includes(restart)) return { type: 'invalid_restart_type', value: restart }
  if (shutdownMs !== 'brutal_kill' && !(shutdownMs >= 0)) return { type: 'invalid_shutdown', value: shutdownMs }
  if (type !== 'worker' && type !== 'supervisor') return { type: 'invalid_child_type', value: type }
  if (typeof significant !== 'boolean') return { type: 'invalid_significant', value: significant }
  if (significant && restart === 'permanent') return { type: 'bad_combination', value: 'significant and permanent' }
  return null
}
/** As the reason of a supervisor's init. */
export const problemReason = (where: 'supervisor_data' | 'start_spec', problem: SpecProblem): ExitReason => ({
  type: 'term',
  term: { type: where, problem },
})
