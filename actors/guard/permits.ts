/** The permits of a guard: given, taken up again, come back (D-7, D-12). */
import { brandLimiterOf } from '#actors/brand-limiter.ts'
import { type Admitted, guardKeyIn } from '#actors/guard.ts'
import { GONE_ATTEMPTS_MAX } from '#config/limits.ts'
import { concurrencyNow, type Ground, releasePermit, type Start, takeUpPermit } from '#guard/admission.ts'
import { dropEarly } from '#guard/early.ts'
import { isQuick } from '#guard/node-load.ts'
import { dropWaiting, queueOf } from '#guard/queues.ts'
import { countStart } from '#guard/start-counter.ts'
import { domainHolds, HOLDS_TABLE, type HoldsRow, hostOfHolds } from '#guard/tables.ts'
import { isGroupKey } from '#webhook/domain-group.ts'
import { type AttemptId, attemptIdOf, type Brand, type Domain } from '#webhook/webhook.ts'
import type { Ctx, State } from './state.ts'
import { suspicion } from './suspects.ts'

/** Gives the permit and counts it. */
export const takeOff = (start: Start, limiter: number | null, ground: Ground, state: State, ctx: Ctx): Admitted => {
  try {
    ctx.world.failpoint('guard.admitted')
    return permitFor(start, limiter, ground, state, ctx)
  } catch (error) {
    throw suspicion({ of: 'webhook', due: start.due }, error)
  }
}
const permitFor = (
  { due, enteredAt, rates, atMono }: Start,
  limiter: number | null,
  ground: Ground,
  state: State,
  ctx: Ctx,
): Admitted => {
  const attemptId = attemptIdOf(due.id, due.attempts + 1)
  state.flights.set(attemptId, { brand: due.brand, limiter, admittedMono: atMono, heldUntilMono: null })
  countStart(state.starts, ground.nowMono)
  if (state.flights.size > concurrencyNow(state.queues, ground).permits) state.overshoot += 1
  return {
    due,
    permit: {
      attemptId,
      domain: due.domain,
      brand: due.brand,
      guard: state.incarnation,
      limiter,
      enteredAt,
      dueAt: due.nextAt,
      admittedAt: Math.max(due.nextAt, ctx.world.wallNow() + Math.round(atMono - ground.nowMono)),
      admittedMono: atMono,
      rates,
    },
  }
}

/** Its receiver has answered, or could not be reached: how long that took says whether it holds slots of the node for long. */
export const notePace = (attemptId: AttemptId, state: State, ctx: Ctx): void => {
  const flight = state.flights.get(attemptId)
  if (flight !== undefined && flight.heldUntilMono === null)
    state.wasQuick = isQuick(ctx.world.monoNow() - flight.admittedMono)
}

/**
 * Unknown ids are ignored: the end of an attempt may be told twice. `isAnswered`: its receiver has had it, and how long that took
 * is told; what was handed back unsent says nothing of the receiver.
 */
export const endFlight = (attemptId: AttemptId, state: State, ctx: Ctx, isAnswered = false): void => {
  const flight = state.flights.get(attemptId)
  if (flight === undefined) return
  state.flights.delete(attemptId)
  if (flight.heldUntilMono !== null) state.holds -= 1
  const queue = queueOf(state.queues, flight.brand)
  const now = ctx.world.monoNow()
  const isMeasured = isAnswered && flight.heldUntilMono === null
  releasePermit(state.queues, queue, now, isMeasured ? now - flight.admittedMono : null)
  if (state.gone.size >= GONE_ATTEMPTS_MAX) state.gone.clear()
  if (state.refilling > 0) state.gone.add(attemptId)
  // Whether the brand has a limit now or not: its limiter may have learnt of this one from the pool.
  if (flight.limiter === null && ctx.whereis(brandLimiterOf(flight.brand)) !== null)
    ctx.cast(brandLimiterOf(flight.brand), { type: 'attempt-ended', attemptId })
}

/** Admitted, but not held by the pool, which refuses it from now on; its row is found again by the load that follows. */
export const voidFlight = (attemptId: AttemptId, state: State, ctx: Ctx): void => {
  const flight = state.flights.get(attemptId)
  if (flight === undefined || flight.heldUntilMono !== null) return
  if (flight.limiter !== null) ctx.cast(brandLimiterOf(flight.brand), { type: 'attempt-ended', attemptId })
  endFlight(attemptId, state, ctx)
}

/** It was told as due before this guard knew that it is in flight: started a second time, its permit would be counted twice. */
const dropTold = (attemptId: AttemptId, { queues, early }: State): void => {
  const id = attemptId.slice(0, attemptId.lastIndexOf('.'))
  const told = queues.waiting.get(id)?.due ?? early.byId.get(id)
  if (told === undefined || attemptIdOf(id, told.attempts + 1) !== attemptId) return
  dropWaiting(queues, id)
  dropEarly(early, id)
}

export const takeUp = (
  attemptId: AttemptId,
  brand: Brand,
  admittedMono: number,
  heldUntilMono: number | null,
  state: State,
): void => {
  if (state.flights.has(attemptId)) return
  dropTold(attemptId, state)
  const queue = queueOf(state.queues, brand)
  state.flights.set(attemptId, { brand, limiter: null, admittedMono, heldUntilMono })
  if (heldUntilMono !== null) state.holds += 1
  takeUpPermit(state.queues, queue, admittedMono)
}

export const takeHolds = (state: State, ctx: Ctx): void => {
  const now = ctx.world.monoNow()
  for (const { attemptId, brand, untilMono } of holdsOf(state.domain, ctx))
    if (untilMono > now) takeUp(attemptId, brand, now, untilMono, state)
}
/** Those of a group lie under its hosts. */
const holdsOf = (domain: Domain, ctx: Ctx): HoldsRow => {
  const table = ctx.table<string, HoldsRow>(HOLDS_TABLE)
  if (!isGroupKey(domain)) return table.get(domainHolds(domain)) ?? []
  return [...table.entries()].flatMap(([key, row]) => {
    const host = hostOfHolds(key)
    return host !== null && guardKeyIn(ctx, host) === domain ? row : []
  })
}
