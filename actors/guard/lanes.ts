/** Windows and the store: which lanes have due rows, and their heads again and again, without a cursor (D-1, D-18). */
import type { GuardProtocol } from '#actors/guard.ts'
import { storeKeeper } from '#actors/store-keeper.ts'
import { LANE_WINDOW_LOW_SHARE, PAGE_ROWS_MAX } from '#config/limits.ts'
import { hasExpired } from '#guard/admission.ts'
import { dropEarly, keepEarly, takeDue } from '#guard/early.ts'
import { laneSize } from '#guard/lane.ts'
import {
  caughtUp,
  dropWaiting,
  fillWindow,
  type HeadPage,
  offerDue,
  queueOf,
  wantMore,
  windowAt,
  windowMaxOf,
} from '#guard/queues.ts'
import type { Window } from '#guard/window.ts'
import type { Answer } from '#runtime/protocol.ts'
import { handedBy } from '#schedule/handed.ts'
import { type AttemptId, attemptIdOf, type Brand, type Due, type Instant, type LaneKey } from '#webhook/webhook.ts'
import { AGAIN_MS, type Ctx, type LanePage, type Read, type State, scheduler } from './state.ts'
import { suspicion } from './suspects.ts'

/** One that is not due yet waits beside the lanes: it must not stand before one that is. */
export const takeIn = (due: Due, now: Instant, { queues, early }: State): void => {
  if (due.nextAt > now) {
    dropWaiting(queues, due.id)
    return keepEarly(early, due)
  }
  dropEarly(early, due.id)
  offerDue(queues, due, now)
}

/** Those that have become due stand with the others from now on. */
export const takeEarlyIn = (now: Instant, { early, queues }: State): void => {
  for (let due = takeDue(early, now); due !== undefined; due = takeDue(early, now)) offerDue(queues, due, due.nextAt)
}

/** Reads which lanes have due rows, then the head of each. */
export const load = (state: State, ctx: Ctx): void => {
  state.phase = 'loading'
  state.loading = 0
  state.lanesRead = false
  state.round += 1
  requestLanes(null, state, ctx)
}

const loadLater = (state: State, ctx: Ctx): void => {
  state.round += 1
  state.againMono = ctx.world.monoNow() + AGAIN_MS
}

const requestLanes = (after: LaneKey | null, state: State, ctx: Ctx): void => {
  const now = handedBy(ctx.world.wallNow())
  const query = { type: 'due-lanes', now, domain: state.domain, after, limit: PAGE_ROWS_MAX } as const
  ctx.request(storeKeeper, query, 'lanes', state.round)
}

export const onLanes = (message: Answer<'lanes', Read<LanePage>, number>, state: State, ctx: Ctx): void => {
  if (message.data !== state.round) return
  if (!message.ok || !message.value.ok) return loadLater(state, ctx)
  const { lanes, next } = message.value.value
  for (const lane of lanes) loadLane(lane, state, ctx)
  if (next !== null) requestLanes(next, state, ctx)
  else state.lanesRead = true
  openIfLoaded(state, ctx)
}

const loadLane = (lane: LaneKey, state: State, ctx: Ctx): void => {
  try {
    const window = windowAt(state.queues, lane)
    const reading = window.refilling
    wantMore(state.queues, window)
    if (reading) return
    state.loading += 1
    requestHead(window, true, state, ctx)
  } catch (error) {
    throw suspicion({ of: 'lane', lane }, error)
  }
}

const openIfLoaded = (state: State, ctx: Ctx): void => {
  if (state.phase !== 'loading' || !state.lanesRead || state.loading > 0) return
  state.phase = 'open'
  ctx.cast(scheduler, { type: 'guard-opened', domain: state.domain })
}

const laneKeyOf = ({ brand, priority, kind }: Window, { domain }: State): LaneKey => ({ domain, brand, priority, kind })

/** The head of the lane, without a cursor: what was put before the tail meanwhile is found as well (D-1). */
const requestHead = (window: Window, loads: boolean, state: State, ctx: Ctx): void => {
  window.refilling = true
  state.refilling += 1
  const until = handedBy(ctx.world.wallNow())
  const lane = laneKeyOf(window, state)
  const data = { lane, until, round: state.round, loads }
  const limit = Math.min(PAGE_ROWS_MAX, windowMaxOf(state.queues, window) + state.flights.size)
  ctx.request(storeKeeper, { type: 'lane', lane, after: null, until, limit }, 'head', data)
}
export const refill = (state: State, ctx: Ctx): void => {
  for (const window of state.queues.hungry) {
    const low = windowMaxOf(state.queues, window) * LANE_WINDOW_LOW_SHARE
    if (!window.refilling && laneSize(window.lane) < low) requestHead(window, false, state, ctx)
  }
}
/** This attempt's row may be due and told to nobody: look at its brand's lanes of that kind again. */
export const readAgain = (attemptId: AttemptId, brand: Brand, state: State): void => {
  const kind = attemptId.endsWith('.1') ? 'first' : 'retry'
  for (const { priority } of queueOf(state.queues, brand).classes)
    wantMore(state.queues, windowAt(state.queues, { brand, priority, kind }))
}

type HeadAnswer = Extract<GuardProtocol['info'], { readonly type: 'head' }>

export const onHead = (message: HeadAnswer, state: State, ctx: Ctx): void => {
  const { lane, until, round, loads } = message.data
  const window = windowAt(state.queues, lane)
  window.refilling = false
  state.refilling -= 1
  // A refill of the same round is not one of the heads that are counted.
  const awaited = loads && round === state.round && state.phase === 'loading'
  if (!message.ok || !message.value.ok) return loadLater(state, ctx)
  mergeHead(window, message.value.value, until, state, ctx)
  if (state.refilling === 0) state.gone.clear()
  if (awaited) state.loading -= 1
  openIfLoaded(state, ctx)
}

const mergeHead = (window: Window, page: HeadPage, until: Instant, state: State, ctx: Ctx): void => {
  const now = ctx.world.wallNow()
  const { taken, left } = takePage(window, page, now, state, ctx)
  const all = !page.more && !left && !window.stale
  if (!all && !window.stale && taken === 0) state.againMono = headAgainMono(page, now, ctx)
  window.stale = false
  if (!all) return
  caughtUp(state.queues, window)
  const lane = laneKeyOf(window, state)
  ctx.cast(scheduler, { type: 'lane-caught-up', lane, upTo: Math.min(until, handedBy(now)) })
}

/** Where the rest of the head is not due yet, there is nothing new to read before it is. */
const headAgainMono = ({ rows }: HeadPage, now: Instant, ctx: Ctx): number => {
  const soon = rows.find(({ nextAt }) => nextAt > now)
  return soon === undefined ? ctx.world.monoNow() + AGAIN_MS : ctx.world.monoAt(soon.nextAt)
}

const takePage = (
  window: Window,
  page: HeadPage,
  now: Instant,
  state: State,
  ctx: Ctx,
): ReturnType<typeof fillWindow> => {
  let inHand: Due | undefined
  try {
    return fillWindow(state.queues, window, page, (due) => {
      inHand = due
      ctx.world.failpoint('guard.took')
      const attemptId = attemptIdOf(due.id, due.attempts + 1)
      const isHeld = state.flights.has(attemptId) || state.gone.has(attemptId)
      // Where the clock has stepped back since the head was asked for, it is the horizon's again.
      if (isHeld || due.nextAt > handedBy(now) || hasExpired(due, now)) return true
      if (due.nextAt <= now) dropEarly(state.early, due.id)
      else keepEarly(state.early, due)
      return due.nextAt > now
    })
  } catch (error) {
    throw inHand === undefined ? error : suspicion({ of: 'webhook', due: inHand }, error)
  }
}
