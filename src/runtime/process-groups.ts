/** Process groups (OTP's pg, runtime.md section K). A scope is an actor: every change of its groups is one message in its order. */
import { type Behaviour, type CallResult, keep, ok, reply } from './behaviour.ts'
import { insideOf } from './children.ts'
import type { Context } from './context.ts'
import { INFO } from './mailbox.ts'
import { Pid } from './pid.ts'
import type { Call, MonitorRef } from './protocol.ts'

type Group = string
/** To who monitors the scope or the group. */
export interface GroupChanged {
  readonly type: 'group-changed'
  readonly ref: number
  readonly change: 'join' | 'leave'
  readonly group: Group
  readonly pids: readonly Pid[]
}
export type GroupsProtocol = {
  readonly call: /** Creates the group. Joining n times needs n leaves (K1). Refused whole if one of them is no pid (K4). */
    | Call<{ readonly type: 'join'; readonly group: Group; readonly pids: readonly Pid[] }, 'ok' | 'not_a_pid'>
    | Call<{ readonly type: 'leave'; readonly group: Group; readonly pids: readonly Pid[] }, 'ok' | 'not_joined'>
    | Call<{ readonly type: 'members'; readonly group: Group }, readonly Pid[]>
    | Call<{ readonly type: 'which-groups' }, readonly Group[]>
    /** The groups as they are, and from now on every change (K5). */
    | Call<
        { readonly type: 'monitor-scope'; readonly pid: Pid },
        { readonly ref: number; readonly groups: Readonly<Record<Group, readonly Pid[]>> }
      >
    | Call<
        { readonly type: 'monitor'; readonly pid: Pid; readonly group: Group },
        { readonly ref: number; readonly members: readonly Pid[] }
      >
    | Call<{ readonly type: 'demonitor'; readonly ref: number }, boolean>
  readonly cast: never
  readonly info: never
  readonly continue: never
}
interface Watch {
  readonly pid: Pid
  /** Null: the whole scope. */
  readonly group: Group | null
}
interface State {
  /** Members in the order of joining, once per join. */
  readonly groups: Map<Group, Pid[]>
  readonly watched: Map<Pid, MonitorRef>
  readonly watches: Map<number, Watch>
}
type P = GroupsProtocol
type Ctx = Context<P>

const tell = (ctx: Ctx, state: State, change: 'join' | 'leave', group: Group, pids: readonly Pid[]): void => {
  const { kernel } = insideOf(ctx)
  for (const [ref, watch] of state.watches) {
    const process = watch.group === null || watch.group === group ? kernel.alive(watch.pid) : null
    const message: GroupChanged = { type: 'group-changed', ref, change, group, pids }
    if (process !== null) kernel.send(process, message, INFO)
  }
}
const watch = (ctx: Ctx, state: State, pid: Pid): void => {
  if (!state.watched.has(pid)) state.watched.set(pid, ctx.monitor(pid))
}
const join = (ctx: Ctx, state: State, group: Group, pids: readonly Pid[]): 'ok' | 'not_a_pid' => {
  if (!pids.every((pid) => pid instanceof Pid)) return 'not_a_pid'
  state.groups.set(group, [...(state.groups.get(group) ?? []), ...pids])
  for (const pid of pids) watch(ctx, state, pid)
  tell(ctx, state, 'join', group, pids)
  return 'ok'
}
const leave = (ctx: Ctx, state: State, group: Group, pids: readonly Pid[]): 'ok' | 'not_joined' => {
  const members = [...(state.groups.get(group) ?? [])]
  const left = pids.filter((pid) => {
    const index = members.indexOf(pid)
    if (index >= 0) members.splice(index, 1)
    return index >= 0
  })
  if (left.length === 0) return 'not_joined'
  put(state, group, members)
  tell(ctx, state, 'leave', group, left)
  return 'ok'
}
/** An emptied group is no group (K2). */
const put = (state: State, group: Group, members: Pid[]): void => {
  if (members.length === 0) state.groups.delete(group)
  else state.groups.set(group, members)
}
const died = (ctx: Ctx, state: State, pid: Pid): void => {
  state.watched.delete(pid)
  for (const [group, members] of [...state.groups]) {
    const gone = members.filter((member) => member === pid)
    if (gone.length === 0) continue
    put(
      state,
      group,
      members.filter((member) => member !== pid),
    )
    tell(ctx, state, 'leave', group, gone)
  }
  for (const [ref, { pid: watcher }] of [...state.watches]) if (watcher === pid) state.watches.delete(ref)
}
const observe = (ctx: Ctx, state: State, pid: Pid, group: Group | null): number => {
  const ref = ctx.uniqueInteger()
  state.watches.set(ref, { pid, group })
  watch(ctx, state, pid)
  return ref
}
const answer = <R>(value: R, state: State): CallResult<P, State, R> => reply(value, state)

export const processGroups: Behaviour<P, null, State> = {
  name: 'process-groups',
  version: 1,
  init: () => ok({ groups: new Map(), watched: new Map(), watches: new Map() }),
  call: {
    join: ({ group, pids }, _from, state, ctx) => answer(join(ctx, state, group, pids), state),
    leave: ({ group, pids }, _from, state, ctx) => answer(leave(ctx, state, group, pids), state),
    members: ({ group }, _from, state) => answer([...(state.groups.get(group) ?? [])], state),
    'which-groups': (_request, _from, state) => answer([...state.groups.keys()], state),
    'monitor-scope': ({ pid }, _from, state, ctx) => {
      const ref = observe(ctx, state, pid, null)
      return answer({ ref, groups: Object.fromEntries(state.groups) }, state)
    },
    monitor: ({ pid, group }, _from, state, ctx) => {
      const ref = observe(ctx, state, pid, group)
      return answer({ ref, members: [...(state.groups.get(group) ?? [])] }, state)
    },
    demonitor: ({ ref }, _from, state) => answer(state.watches.delete(ref), state),
  },
  info(message, state, ctx) {
    if (message.type === 'DOWN' && message.pid !== null) died(ctx, state, message.pid)
    return keep
  },
}
