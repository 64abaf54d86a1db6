/** The guard's side of the talk with brand-limiters (D-11). */
import {
  type BrandGranted,
  type BrandLimiterProtocol,
  brandLimiterOf,
  brandLimiterSpec,
} from '#actors/brand-limiter.ts'
import { answered, releaseReserved, startGranted } from '#guard/admission.ts'
import type { BrandQueue } from '#guard/brand-queue.ts'
import { concurrencyOf } from '#guard/limits.ts'
import { queueOf } from '#guard/queues.ts'
import { LIMITS_TABLE, type LimitsRow } from '#guard/tables.ts'
import type { DynamicChildStarted } from '#runtime/dynamic-supervisor.ts'
import type { Pid } from '#runtime/pid.ts'
import type { Answer } from '#runtime/protocol.ts'
import type { AttemptId, Brand } from '#webhook/webhook.ts'
import { groundOf } from './ground.ts'
import { takeOff } from './permits.ts'
import { AGAIN_MS, type Ctx, executor, guards, type State } from './state.ts'

export const askLimiter = (queue: BrandQueue, state: State, ctx: Ctx): void => {
  queue.asking = true
  const pid = limiterFor(queue.brand, state, ctx)
  if (pid !== null) ctx.cast<BrandLimiterProtocol>(pid, { type: 'ask', guard: ctx.self, count: queue.reserved })
}

/** The brand's limiter, monitored; null: it is being started, and what is asked waits for it. */
const limiterFor = (brand: Brand, state: State, ctx: Ctx): Pid | null => {
  const known = state.limiters.get(brand)
  if (known === 'starting') return null
  if (known !== undefined) return known.pid
  const pid = ctx.whereis(brandLimiterOf(brand))
  if (pid !== null) {
    meetLimiter(brand, pid, state, ctx)
    return pid
  }
  state.limiters.set(brand, 'starting')
  ctx.request(guards, { type: 'start-child', spec: brandLimiterSpec(brand) }, 'limiter-started', brand)
  return null
}

/** It learns what was admitted before the brand had a limit. */
const meetLimiter = (brand: Brand, pid: Pid, state: State, ctx: Ctx): void => {
  state.limiters.set(brand, { pid, ref: ctx.monitor(pid) })
  const attempts = unlimitedFlights(brand, state)
  if (attempts.length > 0) ctx.cast<BrandLimiterProtocol>(pid, { type: 'holding', guard: ctx.self, attempts })
}

/** Holds of a dead process are not this guard's to tell: the limiter has them from their table, and keeps them when a guard dies. */
const unlimitedFlights = (brand: Brand, state: State): readonly AttemptId[] => {
  const attempts: AttemptId[] = []
  // Of a dead process's the limiter knows by itself; told by a guard they would end with the guard.
  for (const [attemptId, flight] of state.flights)
    if (flight.brand === brand && flight.limiter === null && flight.heldUntilMono === null) attempts.push(attemptId)
  return attempts
}

export const tellHolding = (brand: Brand, state: State, ctx: Ctx): void => {
  const limits = ctx.table<string, LimitsRow>(LIMITS_TABLE)
  if (concurrencyOf(limits, queueOf(state.queues, brand).keys.overall) === null) return
  const attempts = unlimitedFlights(brand, state)
  if (attempts.length === 0) return
  const isKnown = state.limiters.has(brand)
  const pid = limiterFor(brand, state, ctx)
  // Who met it while the brand had a limit may have admitted without one since.
  if (isKnown && pid !== null) ctx.cast<BrandLimiterProtocol>(pid, { type: 'holding', guard: ctx.self, attempts })
}

export const onLimiterStarted = (
  message: Answer<'limiter-started', DynamicChildStarted, Brand>,
  state: State,
  ctx: Ctx,
): void => {
  const brand = message.data
  if (state.limiters.get(brand) !== 'starting') return
  state.limiters.delete(brand)
  const pid = startedPid(message)
  const queue = queueOf(state.queues, brand)
  if (pid !== null) meetLimiter(brand, pid, state, ctx)
  if (!queue.asking) return
  if (pid !== null) ctx.cast<BrandLimiterProtocol>(pid, { type: 'ask', guard: ctx.self, count: queue.reserved })
  else {
    releaseReserved(state.queues, queue)
    state.againMono = ctx.world.monoNow() + AGAIN_MS
  }
}

const startedPid = (message: Answer<'limiter-started', DynamicChildStarted, Brand>): Pid | null => {
  if (!message.ok) return null
  if (message.value.ok) return message.value.pid
  return message.value.error.type === 'already_started' ? message.value.error.pid : null
}

/** A grant is used or returned in this turn (D-11). */
export const onGranted = (granted: BrandGranted, state: State, ctx: Ctx): void => {
  const queue = queueOf(state.queues, granted.brand)
  const ground = groundOf(state, ctx)
  if (granted.answer) answered(state.queues, queue, { granted: granted.count, asked: granted.asked }, ground.nowMono)
  else queue.parked = false
  const started = state.phase === 'open' ? startGranted(state.queues, queue, granted.count, ground) : []
  const admitted = started.map((start) => takeOff(start, granted.limiter, ground, state, ctx))
  if (granted.count > 0)
    ctx.cast(brandLimiterOf(granted.brand), {
      type: 'used',
      guard: ctx.self,
      limiter: granted.limiter,
      permits: state.incarnation,
      attempts: admitted.map(({ permit }) => permit.attemptId),
      returned: granted.count - admitted.length,
    })
  if (admitted.length > 0) ctx.cast(executor, { type: 'start', admitted })
}
