/** Tells guards what is due, and has those started that do not live. */
import { domainOfGuard, guardKeyIn, guardOf } from '#actors/guard.ts'
import { PLACES_TICK_MS } from '#config/limits.ts'
import type { DynamicChildStarted } from '#runtime/dynamic-supervisor.ts'
import type { Pid } from '#runtime/pid.ts'
import type { Answer } from '#runtime/protocol.ts'
import type { ChildInfo } from '#runtime/supervisor.ts'
import { joinLine } from '#schedule/waitlist.ts'
import type { Domain, Due, LaneKey } from '#webhook/webhook.ts'
import { type Arrival, askForPlace } from './places.ts'
import type { Ctx, State, Told } from './state.ts'

/** Tells the guard of a host, or of a group. `how` matters where it does not live and others wait for a place. */
export const tell = (
  of: Domain,
  entries: readonly Due[],
  more: readonly LaneKey[],
  how: Arrival,
  state: State,
  ctx: Ctx,
): void => {
  const domain = guardKeyIn(ctx, of)
  if (state.crashes.get(domain)?.parked === true) return
  const told = state.told.get(domain)
  if (told === undefined) askForPlace(domain, entries, more, how, state, ctx)
  else if (told.pid === null) {
    told.entries.push(...entries)
    told.more.push(...more)
  } else ctx.cast(guardOf(domain), { type: 'due', entries, more })
}

/** From now on its end is seen. */
const watch = (told: Told, domain: Domain, pid: Pid, state: State, ctx: Ctx): void => {
  told.pid = pid
  state.watched.set(ctx.monitor(pid), domain)
}

/** The guards that an earlier scheduler had started: they have their places. */
export const adopt = (children: readonly ChildInfo[], state: State, ctx: Ctx): void => {
  for (const { id, pid } of children) {
    const domain = domainOfGuard(id)
    if (domain === null || pid === 'restarting' || pid === null || state.told.has(domain)) continue
    const told: Told = { pid: null, entries: [], more: [], stoodDown: null }
    state.told.set(domain, told)
    watch(told, domain, pid, state, ctx)
  }
}

export const onGuardStarted = (
  message: Answer<'guard-started', DynamicChildStarted, Domain>,
  state: State,
  ctx: Ctx,
): void => {
  const domain = message.data
  const told = state.told.get(domain)
  if (told === undefined || told.pid !== null) return
  const pid = startedPid(message)
  if (pid === null) return onNotStarted(domain, state, ctx)
  watch(told, domain, pid, state, ctx)
  if (isOld(message)) state.starting.delete(domain)
  if (told.entries.length > 0 || told.more.length > 0)
    ctx.cast(guardOf(domain), { type: 'due', entries: told.entries, more: told.more })
  told.entries = []
  told.more = []
}
/** Its supervisor is being restarted: what is due lies in the store, and it is tried again at the next tick. */
const onNotStarted = (domain: Domain, state: State, ctx: Ctx): void => {
  state.told.delete(domain)
  state.starting.delete(domain)
  joinLine(state.list, domain, null)
  if (state.placesTick !== null) ctx.cancelTimer(state.placesTick)
  state.placesTick = ctx.sendAfter(PLACES_TICK_MS, { type: 'places' })
}
const isOld = (message: Answer<'guard-started', DynamicChildStarted, Domain>): boolean =>
  message.ok && !message.value.ok
const startedPid = (message: Answer<'guard-started', DynamicChildStarted, Domain>): Pid | null => {
  if (!message.ok) return null
  if (message.value.ok) return message.value.pid
  return message.value.error.type === 'already_started' ? message.value.error.pid : null
}
