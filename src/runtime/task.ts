/** Tasks (Elixir's Task, runtime.md section W): a computation in a process of its own, asked for and awaited by a plain process. */

import { insideOf } from './children.ts'
import { type DynamicChildStarted, startChild } from './dynamic-supervisor.ts'
import { CallExit, type ExitReason } from './exit.ts'
import type { Pid } from './pid.ts'
import { type Body, type PlainContext, spawn, TIMEOUT } from './plain.ts'
import type { Down } from './protocol.ts'
import type { ChildSpec } from './supervisor-spec.ts'

export interface Task {
  readonly pid: Pid
  /** Of the monitor; also the address of the answer, which ends with the monitor. */
  readonly ref: number
  readonly owner: Pid
}
interface TaskDone {
  readonly type: 'task-done'
  readonly ref: number
  readonly value: unknown
}
export type TaskOutcome =
  | { readonly type: 'value'; readonly value: unknown }
  | { readonly type: 'exit'; readonly reason: ExitReason }

const watch = (ctx: PlainContext, pid: Pid, where: { address: Pid | null; ref: number }): Task => {
  const { ref, alias } = ctx.monitorWithAlias(pid, 'demonitor')
  where.address = alias
  where.ref = ref
  return { pid, ref, owner: ctx.self }
}
/** The body of the process; the address is known before it runs (OTP-P1). */
const bodyOf =
  (body: Body, where: { address: Pid | null; ref: number }): Body =>
  async (self) => {
    const value = await body(self)
    const done: TaskDone = { type: 'task-done', ref: where.ref, value }
    if (where.address !== null) self.send(where.address, done)
  }

/** Linked and monitored: its crash is the owner's, unless that traps (W1). */
export const async = (ctx: PlainContext, body: Body): Task => {
  const where = { address: null, ref: 0 }
  return watch(ctx, ctx.spawnLink(bodyOf(body, where)), where)
}
/** Monitored only: a crash shows at `awaitTask` or `yieldTask`. */
export const asyncNolink = (ctx: PlainContext, body: Body): Task => {
  const where = { address: null, ref: 0 }
  return watch(ctx, ctx.spawn(bodyOf(body, where)), where)
}
/** Under a dynamic supervisor, temporary (W4), not linked to the owner. Throws when that takes no more children. */
export const asyncUnder = async (ctx: PlainContext, supervisor: Pid | string, body: Body): Promise<Task> => {
  const where = { address: null, ref: 0 }
  const spec: ChildSpec = {
    id: 'task',
    start: (parent) => {
      const { kernel, process } = insideOf(parent)
      const child = spawn(kernel, bodyOf(body, where), process)
      kernel.link(process, child)
      return { ok: true, pid: child.pid }
    },
    restart: 'temporary',
    shutdownMs: 5_000,
    type: 'worker',
    significant: false,
  }
  const started = await startUnder(ctx, supervisor, spec)
  if (!started.ok) throw new Error(`no task: ${started.error.type}`)
  return watch(ctx, started.pid, where)
}

const startUnder = (ctx: PlainContext, supervisor: Pid | string, spec: ChildSpec): Promise<DynamicChildStarted> =>
  ctx.call(supervisor, startChild(spec), Number.POSITIVE_INFINITY)

const mine = (task: Task, message: unknown): message is TaskDone | Down => {
  if (typeof message !== 'object' || message === null || !('type' in message) || !('ref' in message)) return false
  return message.ref === task.ref && (message.type === 'task-done' || message.type === 'DOWN')
}
const mustOwn = (ctx: PlainContext, task: Task): void => {
  if (ctx.self !== task.owner) throw new Error(`task ${task.pid} belongs to ${task.owner}`)
}
/** Null on timeout; the task goes on and may be asked again (W3). */
export const yieldTask = async (ctx: PlainContext, task: Task, timeoutMs = 5_000): Promise<TaskOutcome | null> => {
  mustOwn(ctx, task)
  const message = await ctx.receive((candidate) => mine(task, candidate), timeoutMs)
  if (message === TIMEOUT || !mine(task, message)) return null
  if (message.type === 'DOWN') return { type: 'exit', reason: message.reason }
  ctx.demonitor(task.ref, { flush: true })
  return { type: 'value', value: message.value }
}
/** The caller exits with the task's reason, `normal` included (W2); after a timeout neither the value nor DOWN arrives any more. */
export const awaitTask = async (ctx: PlainContext, task: Task, timeoutMs = 5_000): Promise<unknown> => {
  const outcome = await yieldTask(ctx, task, timeoutMs)
  if (outcome?.type === 'value') return outcome.value
  forget(ctx, task)
  const why = outcome === null ? 'timeout' : outcome.reason
  throw new CallExit(why, { target: String(task.pid), request: 'await', timeoutMs })
}
/** A result that is there already, else null, and the task is stopped (W3). */
export const shutdownTask = async (
  ctx: PlainContext,
  task: Task,
  shutdown: number | 'brutal_kill' = 5_000,
): Promise<TaskOutcome | null> => {
  const there = await yieldTask(ctx, task, 0)
  if (there !== null) return there
  ctx.unlink(task.pid)
  ctx.exit(task.pid, shutdown === 'brutal_kill' ? 'kill' : 'shutdown')
  const ended = await yieldTask(ctx, task, shutdown === 'brutal_kill' ? Number.POSITIVE_INFINITY : shutdown)
  if (ended === null) {
    ctx.exit(task.pid, 'kill')
    await yieldTask(ctx, task, Number.POSITIVE_INFINITY)
  }
  const expected =
    ended === null || (ended.type === 'exit' && (ended.reason === 'shutdown' || ended.reason === 'killed'))
  return expected ? null : ended
}
const forget = (ctx: PlainContext, task: Task): void => {
  ctx.demonitor(task.ref, { flush: true })
}
