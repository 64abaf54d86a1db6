/** The workers of the cases: W traps exits and logs its start and its stop, Wp does not trap. Each exits with R on `['die', R]`. */
import type { Pid } from '#runtime/pid.ts'
import type { Env, Module, Proc, Term } from './adapter.ts'
import type { Spec } from './adapter-supervisors.ts'

export interface WorkerOptions extends Spec {
  /** How long its stop takes, virtual ms. */
  readonly stopMs?: number
  readonly trapping?: boolean
  readonly module?: Module
}

const DYING: unique symbol = Symbol('dying')
export const workerModule = (env: Env, id: string, { stopMs = 0, trapping = true }: WorkerOptions = {}): Module => ({
  name: id,
  init: (_arg, p) => {
    p.ctx.trapExit(trapping)
    return ['ok', null]
  },
  handleCall: (_m, _f, s) => ['reply', id, s],
  handleInfo: (m, s) => {
    if (Array.isArray(m) && m[0] === 'die') return m[1] === 'normal' ? ['stop', 'normal', DYING] : ['stop', m[1], DYING]
    return ['noreply', s]
  },
  terminate: (reason, state) => {
    if (state === DYING) return null
    env.ev.push(`stop ${id} ${typeof reason === 'string' ? reason : 'other'}`)
    return stopMs === 0 ? null : env.sleep(stopMs)
  },
})
export const W = (env: Env, id: string, options: WorkerOptions = {}): Spec => {
  const { stopMs: _stopMs, trapping: _trapping, module: own, ...spec } = options
  const module = own ?? workerModule(env, id, options)
  return {
    id,
    start: (sup) => {
      env.ev.push(`start ${id}`)
      return sup.startLink(module)
    },
    ...spec,
  }
}
export const Wp = (env: Env, id: string, options: WorkerOptions = {}): Spec =>
  W(env, id, { ...options, trapping: false })

/** The pid of a child, or null. */
export const childOf = (children: readonly (readonly unknown[])[], id: string): Pid | null => {
  const found = children.find(([childId]) => childId === id)
  return found !== undefined && typeof found[1] === 'object' ? (found[1] as Pid | null) : null
}
export const die = (t: Proc, pid: Pid | null, reason: Term): Promise<void> => {
  if (pid === null) throw new Error('no such child')
  t.send(pid, ['die', reason])
  return t.env.settle()
}
