/** Which guard and which brand-limiter is the registered one: permits of any other are refused (D-7), and of a guard that stands for other hosts by now (D-13). */
import type { InFlight, Registered } from '#actors/dispatch-pool.ts'
import { guardKeyIn, guardOf, type Permit } from '#actors/guard.ts'
import { bookIn, GROUPS_TABLE } from '#guard/tables.ts'
import type { Pid } from '#runtime/pid.ts'
import type { MonitorRef } from '#runtime/protocol.ts'
import { epochOf, type GroupBook, guardKeyOf } from '#webhook/domain-group.ts'
import type { Domain } from '#webhook/webhook.ts'
import type { Ctx, Held, Incarnation, State } from './state.ts'

export const register = (
  of: Map<string, Incarnation>,
  key: string,
  pid: Pid,
  mine: (held: Held) => boolean,
  state: State,
  ctx: Ctx,
): Registered => {
  const before = of.get(key)
  if (before !== undefined) {
    ctx.demonitor(before.monitor, { flush: true })
    state.monitors.delete(before.monitor)
  }
  const epoch = epochOf(bookOf(ctx), key)
  const incarnation: Incarnation = { number: ctx.uniqueInteger(), monitor: ctx.monitor(pid), epoch }
  of.set(key, incarnation)
  state.monitors.set(incarnation.monitor, { of, key })
  return { incarnation: incarnation.number, inFlight: inFlight(state, mine) }
}

export const registerGuard = (domain: Domain, pid: Pid, state: State, ctx: Ctx): Registered =>
  register(state.guards, domain, pid, (held) => guardKeyIn(ctx, held.permit.domain) === domain, state, ctx)

/** A thread is there: the guards may admit. */
export const answerUnready = (state: State, ctx: Ctx): void => {
  for (const [domain, { from, pid }] of state.unready) ctx.reply(from, registerGuard(domain, pid, state, ctx))
  state.unready.clear()
}

export const inFlight = (state: State, which: (held: Held) => boolean): InFlight[] => {
  const attempts: InFlight[] = []
  for (const [attemptId, held] of state.held)
    if (which(held)) attempts.push({ attemptId, domain: held.permit.domain, brand: held.permit.brand })
  return attempts
}

export const endIncarnation = (monitor: MonitorRef, state: State): void => {
  const registration = state.monitors.get(monitor)
  state.monitors.delete(monitor)
  if (registration?.of.get(registration.key)?.monitor === monitor) registration.of.delete(registration.key)
}

const bookOf = (ctx: Ctx): GroupBook => bookIn(ctx.table<string, GroupBook>(GROUPS_TABLE))
/** It is the guard that its host has now, and was when it gave the permit. */
export const guardIsCurrent = (permit: Permit, state: State, ctx: Ctx): boolean => {
  const book = bookOf(ctx)
  const key = guardKeyOf(book, permit.domain)
  const registered = state.guards.get(key)
  return registered?.number === permit.guard && registered.epoch === epochOf(book, key)
}
/**
 * The guard that its host has now is there and counts it: it gave the permit, or was told of it when it registered. One that
 * stands for other hosts by now, and only hears out its mailbox, counts what was taken before that.
 */
export const guardHears = ({ permit, under }: Held, state: State, ctx: Ctx): boolean => {
  const book = bookOf(ctx)
  const key = guardKeyOf(book, permit.domain)
  const registered = state.guards.get(key)
  if (registered === undefined || ctx.whereis(guardOf(key)) === null) return false
  return registered.epoch === epochOf(book, key) || under === underGuard(key, registered.epoch)
}
/** What is held of the hosts that share its guard. */
export const openAt = (domain: Domain, state: State, ctx: Ctx): number => {
  const key = guardKeyIn(ctx, domain)
  return inFlight(state, (held) => guardKeyIn(ctx, held.permit.domain) === key).length
}
const underGuard = (key: Domain, epoch: number): string => `${key} ${epoch}`
/** Differs when the host has come under another guard, or its guard stands for other hosts. */
export const standing = ({ domain }: Permit, ctx: Ctx): string => {
  const key = guardKeyIn(ctx, domain)
  return underGuard(key, epochOf(bookOf(ctx), key))
}
export const limiterIsCurrent = (permit: Permit, state: State): boolean =>
  permit.limiter === null || state.limiters.get(permit.brand)?.number === permit.limiter
export const isCurrent = (permit: Permit, state: State, ctx: Ctx): boolean =>
  guardIsCurrent(permit, state, ctx) && limiterIsCurrent(permit, state)
