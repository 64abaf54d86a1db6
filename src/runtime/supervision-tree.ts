/** The supervision tree as data, for `getSupervisionTree` (control.md). Read from the side: a busy supervisor answers too. */
import type { DynamicSupervisorState } from './dynamic-supervisor.ts'
import type { Kernel } from './kernel.ts'
import type { Pid } from './pid.ts'
import { infoOf, type ProcessState, type Runtime } from './runtime.ts'
import type { SupervisorState } from './supervisor.ts'

export interface ProcessNode {
  /** The registered name, else the child's id, else the pid. */
  readonly name: string
  readonly pid: number | null
  readonly kind: 'supervisor' | 'worker'
  readonly behaviour: string
  readonly state: ProcessState | 'restarting' | 'down'
  /** How often its supervisor started it again. */
  readonly restarts: number
  /** Messages waiting. */
  readonly mailbox: number
  /** Wall clock, epoch ms. */
  readonly startedAt: number
  readonly children: readonly ProcessNode[]
}

interface Place {
  readonly id: string
  readonly pid: Pid | null
  readonly restarting: boolean
  readonly restarts: number
  readonly type: 'supervisor' | 'worker'
}

/** Null if `root` is not running. */
export const supervisionTree = (runtime: Runtime, root: Pid | string): ProcessNode | null => {
  const process = runtime.kernel.alive(root)
  if (process === null) return null
  const id = process.name ?? String(process.pid)
  return nodeOf(runtime.kernel, { id, pid: process.pid, restarting: false, restarts: 0, type: 'supervisor' })
}

const nodeOf = (kernel: Kernel, place: Place): ProcessNode => {
  const process = place.pid === null ? null : kernel.alive(place.pid)
  const { id, restarts, type: kind } = place
  if (process === null) {
    const state = place.restarting ? 'restarting' : 'down'
    return { name: id, pid: null, kind, behaviour: '', state, restarts, mailbox: 0, startedAt: 0, children: [] }
  }
  const { name, behaviour, state, mailbox, startedAt } = infoOf(process)
  const children = childrenOf(process.state).map((child) => nodeOf(kernel, child))
  return { name: name ?? id, pid: process.pid.id, kind, behaviour, state, restarts, mailbox, startedAt, children }
}

const isSupervisorState = (state: object): state is SupervisorState => 'children' in state && 'flags' in state
const isDynamicState = (state: object): state is DynamicSupervisorState =>
  'dynamicChildren' in state && 'flags' in state

const childrenOf = (state: unknown): Place[] => {
  if (typeof state !== 'object' || state === null) return []
  if (isDynamicState(state)) {
    return [...state.dynamicChildren].map(([pid, { spec, restarting, restarts }]) => ({
      id: spec.id,
      pid,
      restarting,
      restarts,
      type: spec.type,
    }))
  }
  if (!isSupervisorState(state)) return []
  return [...state.children.values()].map(({ spec, pid, restarting, restarts }) => ({
    id: spec.id,
    pid,
    restarting,
    restarts,
    type: spec.type,
  }))
}
