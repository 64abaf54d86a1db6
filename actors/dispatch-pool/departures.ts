/** From the order to its departure: refused, sent, or kept until its rates allow it. */
import { guardKeyIn, type Permit } from '#actors/guard.ts'
import { departAt, isCalledBack, keepUntil, takeReady } from '#guard/departure.ts'
import { concurrencyOf, limitKey } from '#guard/limits.ts'
import {
  CONDITIONS_TABLE,
  type ConditionsRow,
  DEPARTURES_TABLE,
  LIMITS_TABLE,
  type LimitsRow,
  RATES_TABLE,
  type RatesRow,
} from '#guard/tables.ts'
import { place } from '#webhook/placement.ts'
import type { Domain } from '#webhook/webhook.ts'
import { hand, startLonely } from './carriers.ts'
import { handBack } from './endings.ts'
import { isCurrent, standing } from './incarnations.ts'
import type { Ctx, Held, State } from './state.ts'

/**
 * Its permit is of an older incarnation, the daemon stops, its receiver has said "not now" since it was admitted, or its brand
 * has a limit by now that has not counted it.
 */
export const isRefused = (permit: Permit, state: State, ctx: Ctx): boolean =>
  state.draining !== null || !isCurrent(permit, state, ctx) || calledBack(permit, ctx) || isUncounted(permit, ctx)
const isUncounted = ({ brand, limiter }: Permit, ctx: Ctx): boolean =>
  limiter === null &&
  concurrencyOf(ctx.table<string, LimitsRow>(LIMITS_TABLE), limitKey('concurrency', null, brand)) !== null
const calledBack = ({ domain, brand }: Permit, ctx: Ctx): boolean =>
  isCalledBack(
    ctx.table<Domain, ConditionsRow>(CONDITIONS_TABLE).get(guardKeyIn(ctx, domain)),
    brand,
    ctx.world.monoNow(),
  )

/** Now, or the instant that its domain's rate gave it; later only where its mark was slow. */
export const departureOf = ({ rates, admittedMono }: Permit, ctx: Ctx): number =>
  rates.length === 0
    ? Number.NEGATIVE_INFINITY
    : departAt(rates, admittedMono, {
        limits: ctx.table<string, LimitsRow>(LIMITS_TABLE),
        rates: ctx.table<string, RatesRow>(RATES_TABLE),
        departures: ctx.table<string, RatesRow>(DEPARTURES_TABLE),
        nowMono: ctx.world.monoNow(),
      })

export const send = ({ order }: Held, state: State, ctx: Ctx): void => {
  hand(place(state.placement, order), state, ctx)
  startLonely(state, ctx)
}
export const holdUntil = (atMono: number, held: Held, state: State, ctx: Ctx): void => {
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
    if (state.held.get(held.order.attemptId) !== held) continue
    if (calledBack(held.permit, ctx) || held.under !== standing(held.permit, ctx))
      handBack(held.order.attemptId, state, ctx)
    else send(held, state, ctx)
  }
  wakeForEarly(state, ctx)
}
