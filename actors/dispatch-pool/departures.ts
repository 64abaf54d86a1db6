/** From the order to its departure: refused, sent, or kept until its rates allow it. */
import { guardKeyIn, type Permit } from '#actors/guard.ts'
import { departAt, isCalledBack, keepUntil, takeReady } from '#guard/departure.ts'
import { concurrencyOf, isPaused, limitKey } from '#guard/limits.ts'
import {
  CONDITIONS_TABLE,
  type ConditionsRow,
  DEPARTURES_TABLE,
  LIMITS_TABLE,
  type LimitsRow,
  RATES_TABLE,
  type RatesRow,
} from '#guard/tables.ts'
import { handedBy } from '#schedule/handed.ts'
import { place } from '#webhook/placement.ts'
import type { Brand, Domain } from '#webhook/webhook.ts'
import { hand, startLonely } from './carriers.ts'
import { handBack } from './endings.ts'
import { isCurrent, standing } from './incarnations.ts'
import type { Ctx, Held, State } from './state.ts'

/**
 * Its permit is of an older incarnation, the daemon stops, its receiver has said "not now" or somebody has paused it since it was
 * admitted, its brand has a limit by now that has not counted it, or the clock has gone back.
 */
export const isRefused = (permit: Permit, state: State, ctx: Ctx): boolean =>
  state.draining !== null ||
  !isCurrent(permit, state, ctx) ||
  calledBack(permit, ctx) ||
  isUncounted(permit, ctx) ||
  isFarOff(permit, ctx)
/** It was admitted a little ahead of its instant at most: it is the horizon's again. */
const isFarOff = ({ dueAt }: Permit, ctx: Ctx): boolean => dueAt > handedBy(ctx.world.wallNow())
const isUncounted = ({ brand, limiter }: Permit, ctx: Ctx): boolean =>
  limiter === null &&
  concurrencyOf(ctx.table<string, LimitsRow>(LIMITS_TABLE), limitKey('concurrency', null, brand)) !== null
const calledBack = ({ domain: host, brand }: Permit, ctx: Ctx): boolean => {
  const domain = guardKeyIn(ctx, host)
  const conditions = ctx.table<Domain, ConditionsRow>(CONDITIONS_TABLE).get(domain)
  return isStopped(domain, brand, ctx) || isCalledBack(conditions, brand, ctx.world.monoNow())
}
const isStopped = (domain: Domain, brand: Brand, ctx: Ctx): boolean => {
  const limits = ctx.table<string, LimitsRow>(LIMITS_TABLE)
  return isPaused(limits, limitKey('pause', domain, null)) || isPaused(limits, limitKey('pause', null, brand))
}

/** Now, or the instant that its guard gave it; later only where its mark was slow. */
export const departureOf = ({ rates, admittedMono }: Permit, ctx: Ctx): number =>
  rates.length === 0
    ? admittedMono
    : departAt(rates, admittedMono, {
        limits: ctx.table<string, LimitsRow>(LIMITS_TABLE),
        rates: ctx.table<string, RatesRow>(RATES_TABLE),
        departures: ctx.table<string, RatesRow>(DEPARTURES_TABLE),
        nowMono: ctx.world.monoNow(),
      })

const send = ({ order }: Held, state: State, ctx: Ctx): void => {
  hand(place(state.placement, order), state, ctx)
  startLonely(state, ctx)
}
/** Sends it, or keeps it until then. The wall clock has the last word: nothing is sent before it is due, whatever timers say (T1). */
export const sendAt = (atMono: number, held: Held, state: State, ctx: Ctx): void => {
  const { world } = ctx
  const { dueAt } = held.permit
  if (world.wallNow() < dueAt) holdUntil(Math.max(atMono, world.monoAt(dueAt)), held, state, ctx)
  else if (atMono > world.monoNow()) holdUntil(atMono, held, state, ctx)
  else send(held, state, ctx)
}
const holdUntil = (atMono: number, held: Held, state: State, ctx: Ctx): void => {
  keepUntil(state.early, atMono, held)
  if (state.early[0]?.what === held) wakeForEarly(state, ctx)
}
const wakeForEarly = (state: State, ctx: Ctx): void => {
  const first = state.early[0]
  if (state.earlyWake !== null) ctx.cancelTimer(state.earlyWake)
  const inMs = first === undefined ? 0 : Math.max(0, first.atMono - ctx.world.monoNow())
  state.earlyWake = first === undefined ? null : ctx.sendAfter(inMs, { type: 'send-early' })
}
/** What was given back meanwhile, or is called back now, is not sent. */
export const sendEarly = (state: State, ctx: Ctx): void => {
  for (const held of takeReady(state.early, ctx.world.monoNow())) {
    const { order, permit, under } = held
    if (state.held.get(order.attemptId) !== held) continue
    if (calledBack(permit, ctx) || isFarOff(permit, ctx) || under !== standing(permit, ctx))
      handBack(order.attemptId, state, ctx)
    else sendAt(Number.NEGATIVE_INFINITY, held, state, ctx)
  }
  wakeForEarly(state, ctx)
}
