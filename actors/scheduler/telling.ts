/** Tells guards what is due, and starts those that do not live. */
import { guardKeyIn, guardOf, guards, startGuard } from '#actors/guard.ts'
import { WAKE_MAX_MS } from '#config/limits.ts'
import type { DynamicChildStarted } from '#runtime/dynamic-supervisor.ts'
import type { Pid } from '#runtime/pid.ts'
import type { Answer } from '#runtime/protocol.ts'
import { admitRow } from '#schedule/horizon.ts'
import type { Domain, Due, LaneKey } from '#webhook/webhook.ts'
import { scanLater } from './scan.ts'
import type { Ctx, State } from './state.ts'

/** Tells the guard of a host, or of a group. */
export const tell = (of: Domain, entries: readonly Due[], more: readonly LaneKey[], state: State, ctx: Ctx): void => {
  const domain = guardKeyIn(ctx, of)
  if (state.crashes.get(domain)?.parked === true) return
  const told = state.told.get(domain)
  if (told === undefined) {
    state.told.set(domain, { pid: null, entries: [...entries], more: [...more] })
    ctx.request(guards, startGuard({ domain, events: state.events }), 'guard-started', domain, Number.POSITIVE_INFINITY)
  } else if (told.pid === null) {
    told.entries.push(...entries)
    told.more.push(...more)
  } else ctx.cast(guardOf(domain), { type: 'due', entries, more })
}

export const onGuardStarted = (
  message: Answer<'guard-started', DynamicChildStarted, Domain>,
  state: State,
  ctx: Ctx,
): void => {
  const told = state.told.get(message.data)
  if (told === undefined || told.pid !== null) return
  const pid = startedPid(message)
  if (pid === null) {
    state.told.delete(message.data)
    for (const due of told.entries) admitRow(state.horizon, due, ctx.world.wallNow())
    scanLater(WAKE_MAX_MS, false, state, ctx)
    return
  }
  told.pid = pid
  state.watched.set(ctx.monitor(pid), message.data)
  if (told.entries.length > 0 || told.more.length > 0)
    ctx.cast(guardOf(message.data), { type: 'due', entries: told.entries, more: told.more })
  told.entries = []
  told.more = []
}
const startedPid = (message: Answer<'guard-started', DynamicChildStarted, Domain>): Pid | null => {
  if (!message.ok) return null
  if (message.value.ok) return message.value.pid
  return message.value.error.type === 'already_started' ? message.value.error.pid : null
}
