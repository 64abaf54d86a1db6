/** Start, and start over: an incarnation at the dispatch pool, and what is in flight (D-7). */
import type { Registered } from '#actors/dispatch-pool.ts'
import { releaseReserved } from '#guard/admission.ts'
import { queueOf } from '#guard/queues.ts'
import type { Answer, Down } from '#runtime/protocol.ts'
import { load } from './lanes.ts'
import { takeHolds, takeUp, voidFlight } from './permits.ts'
import { heedPolicy } from './receiver.ts'
import { AGAIN_MS, type Ctx, dispatchPool, executor, NEVER, type State } from './state.ts'

/** First its incarnation and what is in flight, then the lanes; nothing is admitted before (D-7, D-18). */
export const register = (state: State, ctx: Ctx): void => {
  state.phase = 'registering'
  state.againMono = NEVER
  state.round += 1
  for (const ref of state.watched) ctx.demonitor(ref, { flush: true })
  state.watched = [ctx.monitor(dispatchPool), ctx.monitor(executor)]
  ctx.request(dispatchPool, { type: 'register-guard', domain: state.domain, pid: ctx.self }, 'registered', state.round)
}

export const onRegistered = (message: Answer<'registered', Registered, number>, state: State, ctx: Ctx): void => {
  if (message.data !== state.round) return
  if (!message.ok) {
    state.againMono = ctx.world.monoNow() + AGAIN_MS
    return
  }
  state.incarnation = message.value.incarnation
  const inFlight = new Map(message.value.inFlight.map(({ attemptId, brand }) => [attemptId, brand]))
  for (const attemptId of [...state.flights.keys()]) if (!inFlight.has(attemptId)) voidFlight(attemptId, state, ctx)
  const now = ctx.world.monoNow()
  for (const [attemptId, brand] of inFlight) takeUp(attemptId, brand, now, null, state)
  takeHolds(state, ctx)
  heedPolicy(state, ctx)
  load(state, ctx)
}

/**
 * Pool or executor: what they held is void, and a new incarnation begins. A brand-limiter: its next one counts what is in
 * flight; permits of it that have not reached the pool are refused there, and come back.
 */
export const onDown = (down: Down, state: State, ctx: Ctx): void => {
  if (state.watched.includes(down.ref)) {
    suspend(state, ctx)
    return
  }
  for (const [brand, limiter] of state.limiters) {
    if (limiter === 'starting' || limiter.ref !== down.ref) continue
    state.limiters.delete(brand)
    const queue = queueOf(state.queues, brand)
    releaseReserved(state.queues, queue)
    queue.parked = false
  }
}

/** Until both are back nothing is admitted. */
const suspend = (state: State, ctx: Ctx): void => {
  state.phase = 'registering'
  state.round += 1
  state.againMono = ctx.world.monoNow() + AGAIN_MS
}
