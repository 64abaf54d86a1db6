/** The threads: started, replaced when they end, the spare one for suspects only while there are some; and what each is given (D-17). */
import type { DispatchPoolProtocol } from '#actors/dispatch-pool.ts'
import { guardOf } from '#actors/guard.ts'
import { type StoreFailed, storeKeeper } from '#actors/store-keeper.ts'
import { LONELY_IDLE_MS } from '#config/limits.ts'
import type { AttemptOrder, Carrier } from '#dispatch/dispatch.ts'
import { describeReason } from '#runtime/exit.ts'
import type { Answer } from '#runtime/protocol.ts'
import type { MarkedAlone } from '#store/store.ts'
import { type Given, isReady, join, leave, retire } from '#webhook/placement.ts'
import type { AttemptId } from '#webhook/webhook.ts'
import { handBack, lost } from './endings.ts'
import { answerUnready } from './incarnations.ts'
import type { Ctx, State } from './state.ts'

/** A thread that could not even start is tried again after this; one that has run is replaced at once. */
const START_AGAIN_MS = 200
const ISOLATE_AGAIN_MS = 50

/** The last thread is gone: what waits goes back unsent, and the guards admit nothing until there is another. */
const suspendGuards = (state: State, ctx: Ctx): void => {
  for (const [domain, { monitor }] of state.guards) {
    ctx.demonitor(monitor, { flush: true })
    state.monitors.delete(monitor)
    ctx.cast(guardOf(domain), { type: 'register-again' })
  }
  state.guards.clear()
  for (const attemptId of [...state.placement.queue.keys()]) handBack(attemptId, state, ctx)
  for (const { what } of state.early.splice(0)) handBack(what.order.attemptId, state, ctx)
}

/** What is handed over within one turn travels as one group. */
export const hand = (given: Given<AttemptOrder> | null, state: State, ctx: Ctx): void => {
  if (given === null) return
  if (given.carrier !== state.lonely) return state.carriers.get(given.carrier)?.dispatch([given.order])
  state.isolating.add(given.order.attemptId)
  isolate(given.order.attemptId, state, ctx)
}

/** If it takes the whole process with it, only the store can say who was alone (D-17). */
export const isolate = (attemptId: AttemptId, state: State, ctx: Ctx): void => {
  const held = state.held.get(attemptId)
  if (held === undefined || !state.isolating.has(attemptId)) return
  const { webhookId: id, attempt } = held.order
  ctx.request(storeKeeper, { type: 'mark-alone', id, attempt }, 'isolated', attemptId, Number.POSITIVE_INFINITY)
}
export const onIsolated = (
  message: Answer<'isolated', MarkedAlone | StoreFailed, AttemptId>,
  state: State,
  ctx: Ctx,
): void => {
  const attemptId = message.data
  const held = state.held.get(attemptId)
  const number = state.placement.places.get(attemptId)
  if (held === undefined || number === undefined || !state.isolating.has(attemptId)) return
  // The keeper died before its answer, or its disk is full: it is asked the same again.
  if (!message.ok || 'failed' in message.value)
    return void ctx.sendAfter(ISOLATE_AGAIN_MS, { type: 'isolate-again', attemptId })
  if (!message.value.ok) return handBack(attemptId, state, ctx)
  state.isolating.delete(attemptId)
  state.carriers.get(number)?.dispatch([held.order])
}

export const startCarrier = (state: State, ctx: Ctx, lonely = false): number => {
  const carrier = ctx.uniqueInteger()
  const started = state.dispatch.startCarrier(
    {
      reported: (reports) => ctx.send<DispatchPoolProtocol>(ctx.self, { type: 'carrier-reported', carrier, reports }),
      ended: (reason) => ctx.send<DispatchPoolProtocol>(ctx.self, { type: 'carrier-ended', carrier, reason }),
    },
    lonely,
  )
  ctx.pipe(started, 'carrier-started', carrier)
  return carrier
}

export const onCarrierStarted = (message: Answer<'carrier-started', Carrier, number>, state: State, ctx: Ctx): void => {
  const lonely = message.data === state.lonely
  if (message.ok) {
    state.carriers.set(message.data, message.value)
    for (const given of join(state.placement, message.data, lonely)) hand(given, state, ctx)
    if (!lonely) answerUnready(state, ctx)
    state.args.events.emit({ type: 'carrier.started', at: ctx.world.wallNow(), reason: `carrier ${message.data}` })
    return
  }
  const reason = `could not start: ${describeReason(message.reason)}`
  state.args.events.emit({ type: 'carrier.ended', at: ctx.world.wallNow(), reason })
  if (lonely) state.lonely = null
  ctx.sendAfter(START_AGAIN_MS, { type: lonely ? 'lonely-idle' : 'start-carrier' })
}

/** Its thread has exited: the permits are free, a new thread starts, and what it held is in doubt. */
export const onCarrierEnded = (number: number, reason: string, state: State, ctx: Ctx): void => {
  const victims = leave(state.placement, number)
  state.carriers.delete(number)
  if (number === state.lonely) state.lonely = null
  else startCarrier(state, ctx)
  state.args.events.emit({ type: 'carrier.ended', at: ctx.world.wallNow(), reason })
  for (const victim of victims) lost(victim, reason, state, ctx)
  if (!isReady(state.placement)) suspendGuards(state, ctx)
  startLonely(state, ctx)
}

export const startLonely = (state: State, ctx: Ctx): void => {
  if (state.lonely !== null || state.placement.lonelyQueue.size === 0) return
  state.lonely = startCarrier(state, ctx, true)
  ctx.sendAfter(LONELY_IDLE_MS, { type: 'lonely-idle' })
}
export const endIdleLonely = (state: State, ctx: Ctx): void => {
  if (state.lonely === null) return startLonely(state, ctx)
  if (retire(state.placement, state.lonely)) void state.carriers.get(state.lonely)?.end()
  else ctx.sendAfter(LONELY_IDLE_MS, { type: 'lonely-idle' })
}
