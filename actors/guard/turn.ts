/** A turn: what every message to a guard ends with. And time: one wake-up for everything. */

import type { Admitted, GuardProtocol } from '#actors/guard.ts'
import { FIGURES_MS, GUARD_IDLE_MS, GUARD_WAKE_MIN_MS } from '#config/limits.ts'
import { type Ground, nextVerdict } from '#guard/admission.ts'
import { isAtEase, startAhead } from '#guard/ahead.ts'
import { endDueMono } from '#guard/backpressure.ts'
import type { BrandQueue } from '#guard/brand-queue.ts'
import { passTime, saysNothing } from '#guard/conditions.ts'
import { firstEarly, isNoneEarly, takeEarly } from '#guard/early.ts'
import { endedHolds, nextHoldEnd } from '#guard/flights.ts'
import { keepPace } from '#guard/node-load.ts'
import { restMs as restMsOf } from '#guard/resting.ts'
import { brandsIn } from '#guard/ring.ts'
import {
  CONDITIONS_TABLE,
  type ConditionsRow,
  CROWD,
  CROWD_TABLE,
  type CrowdRow,
  QUICK_TABLE,
  type QuickRow,
  RESTING_TABLE,
  type RestingRow,
} from '#guard/tables.ts'
import { keep, stop } from '#runtime/behaviour.ts'
import type { Domain } from '#webhook/webhook.ts'
import { endPressure, tellPressure, writeFigures } from './figures.ts'
import { forgetIfMany } from './forgetting.ts'
import { groundOf, roomOf } from './ground.ts'
import { load, refill, takeEarlyIn } from './lanes.ts'
import { askLimiter } from './limiters.ts'
import { endFlight, takeOff } from './permits.ts'
import { tellChange } from './receiver.ts'
import { register } from './registration.ts'
import { isReplaced, retire } from './standing.ts'
import { AGAIN_MS, type Ctx, dispatchPool, executor, NEVER, type Result, type State, scheduler } from './state.ts'

/**
 * What every message ends with: admit what may start, read what runs low, tell what changed, arm the one wake-up. Once for all
 * that waits in the mailbox: the ends of attempts come in groups, and what they free is given away together.
 */
export const turn = (state: State, ctx: Ctx): Result => {
  if (isReplaced(state, ctx)) return retire(state, ctx)
  state.figuresStale = true
  if (ctx.mailboxLength() === 0) return stepOrEnd(state, ctx)
  if (!state.turnOwed) {
    state.turnOwed = true
    ctx.send<GuardProtocol>(ctx.self, { type: 'turn' })
  }
  return keep
}
/** What waited when it was owed has been heard. What came since waits for its own: mail that never ends must not starve a lane. */
export const owedTurn = (state: State, ctx: Ctx): Result => {
  state.turnOwed = false
  if (isReplaced(state, ctx)) return retire(state, ctx)
  return stepOrEnd(state, ctx)
}
/** Where others wait for a place, a guard with nothing to do ends at once; what it would have soon is told to the next one. */
const stepOrEnd = (state: State, ctx: Ctx): Result => {
  step(state, ctx)
  return isAtRest(state) && !hasWork(state) && isCrowded(ctx) && ctx.mailboxLength() === 0 ? end(state, ctx) : keep
}

const step = (state: State, ctx: Ctx): void => {
  const { flights, queues } = state
  if (flights.size !== queues.inFlight || queues.reserved < 0)
    throw new Error(`${flights.size} attempts hold permits, ${queues.inFlight} and ${queues.reserved} are counted`)
  const ground = groundOf(state, ctx)
  for (const change of passTime(ground.conditions, ground.nowMono)) tellChange(change, state.domain, state, ctx)
  const admitted: Admitted[] = []
  state.block = null
  takeEarlyIn(ground.nowAt, state)
  if (state.phase === 'open') {
    admit(admitted, ground, state, ctx)
    if (!isCrowded(ctx)) admitAhead(admitted, ground, state, ctx)
  }
  if (admitted.length > 0 || waitsForNode(state)) roomOf(state, ctx)
  if (admitted.length > 0) {
    ctx.cast(executor, { type: 'start', admitted })
  }
  if (state.phase !== 'registering' && state.againMono === NEVER) refill(state, ctx)
  tellPressure(ground.nowMono, state, ctx)
  noticeIdle(ground.nowMono, state)
  noticeRest(state, ctx)
  writeFigures(ground.nowMono, state, ctx)
  arm(ground.nowMono, state, ctx)
}

/** Whether it is, changes what the node tells the others. */
const waitsForNode = ({ block }: State): boolean => block?.by === 'node-capacity'

const admit = (admitted: Admitted[], ground: Ground, state: State, ctx: Ctx): void => {
  const asking = new Set<BrandQueue>()
  for (;;) {
    const verdict = nextVerdict(state.queues, ground)
    if (verdict.kind === 'start') admitted.push(takeOff(verdict.start, null, ground, state, ctx))
    else if (verdict.kind === 'ask') asking.add(verdict.queue)
    else {
      if (verdict.kind === 'blocked') state.block = verdict
      break
    }
  }
  for (const queue of asking) askLimiter(queue, state, ctx)
}

/** Those that are not due yet, in order, up to the first that has to wait. */
const admitAhead = (admitted: Admitted[], ground: Ground, state: State, ctx: Ctx): void => {
  const { early, queues } = state
  for (let due = firstEarly(early); due !== undefined && isAtEase(queues, ground); due = firstEarly(early)) {
    const start = startAhead(queues, due, ctx.world.monoAt(due.nextAt), ground)
    if (start === null) return
    takeEarly(early)
    admitted.push(takeOff(start, null, ground, state, ctx))
  }
}

export const onWake = (state: State, ctx: Ctx): Result => {
  if (isReplaced(state, ctx)) return retire(state, ctx)
  const now = ctx.world.monoNow()
  if (state.holds > 0) for (const attemptId of endedHolds(state.flights, now)) endFlight(attemptId, state, ctx)
  if (state.againMono <= now) again(state, ctx)
  return mayStop(now, state, ctx) ? end(state, ctx) : stepOrEnd(state, ctx)
}

/** What was not answered is asked again. */
const again = (state: State, ctx: Ctx): void => {
  state.againMono = NEVER
  if (state.phase === 'loading') load(state, ctx)
  if (state.phase !== 'registering') return
  if (ctx.whereis(dispatchPool) !== null && ctx.whereis(executor) !== null) register(state, ctx)
  else state.againMono = ctx.world.monoNow() + AGAIN_MS
}

/** Nothing in flight, nothing being asked: what may wait here lies in the store as well. */
const isAtRest = (state: State): boolean =>
  state.phase === 'open' && state.flights.size === 0 && state.refilling === 0 && state.queues.reserved === 0
const isCrowded = (ctx: Ctx): boolean => ctx.table<string, CrowdRow>(CROWD_TABLE).has(CROWD)
const hasWork = ({ queues, early }: State): boolean =>
  queues.waiting.size > 0 || queues.hungry.size > 0 || !isNoneEarly(early)
const hasNothing = (state: State): boolean => isAtRest(state) && !hasWork(state)
const isIdle = (state: State): boolean => hasNothing(state) && state.pressure.limit === null

const noticeIdle = (now: number, state: State): void => {
  if (!isIdle(state)) state.idleSinceMono = now
}

/** Stopping loses nothing: no message waits, and none can come after the name is given up (D-2). */
const mayStop = (now: number, state: State, ctx: Ctx): boolean =>
  isIdle(state) && now >= state.idleSinceMono + GUARD_IDLE_MS && ctx.mailboxLength() === 0

const end = (state: State, ctx: Ctx): Result => {
  endPressure(state, ctx)
  ctx.unregister()
  keepPace(ctx.table<Domain, QuickRow>(QUICK_TABLE), state.domain, state.wasQuick, ctx.world.monoNow())
  const table = ctx.table<Domain, ConditionsRow>(CONDITIONS_TABLE)
  const conditions = table.get(state.domain)
  if (conditions !== undefined && saysNothing(conditions, ctx.world.monoNow())) table.delete(state.domain)
  forgetIfMany(ctx)
  state.events.emit({ type: 'guard.stopped', at: ctx.world.wallNow(), domain: state.domain })
  return stop('normal', state)
}

/** It says in a table whether it could make room for others: nothing is in flight, and nothing can start. */
const noticeRest = (state: State, ctx: Ctx): void => {
  const row = isAtRest(state) ? (parkedOf(state) ?? RESTING) : null
  if (row?.parkedBrand === state.resting?.parkedBrand) return
  const table = ctx.table<Domain, RestingRow>(RESTING_TABLE)
  state.resting = row
  if (row === null) table.delete(state.domain)
  else table.set(state.domain, row)
}
const RESTING: RestingRow = { parkedBrand: null }
const parkedOf = ({ block, queues }: State): RestingRow | null => {
  const only = queues.ring.size === 1 ? [...brandsIn(queues.ring)][0] : undefined
  return block?.by === 'brand-concurrency' && only !== undefined ? { parkedBrand: only.brand } : null
}

/** Others wait for a place. What waits here is read again when its turn has come; the scheduler knows that there is some. */
export const standDown = (state: State, ctx: Ctx): Result => {
  if (isReplaced(state, ctx)) return retire(state, ctx)
  state.resting = null
  if (!isAtRest(state) || ctx.mailboxLength() > 0) return turn(state, ctx)
  if (hasWork(state)) {
    const { brands } = state.queues
    const only = brands.size === 1 ? [...brands.keys()][0] : undefined
    const restMs = state.block === null ? 0 : restMsOf(state.block, ctx.world.monoNow())
    ctx.cast(scheduler, { type: 'stood-down', domain: state.domain, brand: only ?? null, restMs })
  }
  return end(state, ctx)
}

/** One wake-up for everything: the earliest instant at which anything changes by itself. */
const arm = (now: number, state: State, ctx: Ctx): void => {
  let at = Math.min(state.againMono, endDueMono(state.pressure))
  if (state.block !== null) at = Math.min(at, state.block.untilMono)
  if (state.holds > 0) at = Math.min(at, nextHoldEnd(state.flights))
  const early = firstEarly(state.early)
  if (early !== undefined) at = Math.min(at, ctx.world.monoAt(early.nextAt))
  if (state.figuresStale) at = Math.min(at, state.figuresMono + FIGURES_MS)
  if (isIdle(state)) at = Math.min(at, state.idleSinceMono + GUARD_IDLE_MS)
  if (at === NEVER || (state.wake !== null && state.wake.atMono <= at)) return
  if (state.wake !== null) ctx.cancelTimer(state.wake.ref)
  state.wake = { ref: ctx.sendAfter(Math.max(GUARD_WAKE_MIN_MS, at - now), { type: 'wake' }), atMono: at }
}
