/** Everything that time brings: what is due is told, the next is read ahead, and one wake-up is armed. The wall clock decides (T1, T3, T4). */
import { storeKeeper } from '#actors/store-keeper.ts'
import {
  HANDED_AHEAD_MS,
  HANDED_TOGETHER_MS,
  HORIZON_AHEAD_MS,
  HORIZON_BEHIND_MS_MAX,
  PAGE_ROWS_MAX,
  WAKE_MAX_MS,
} from '#config/limits.ts'
import { handedBy } from '#schedule/handed.ts'
import { firstOf, handOver, nextHandOver, skipTo, stepBack, takeDue, wishLanes, wishPage } from '#schedule/horizon.ts'
import { leaveOutOthers } from '#schedule/waitlist.ts'
import type { Domain, Due, Instant } from '#webhook/webhook.ts'
import { isCrowded } from './crowd.ts'
import { requestLane } from './handed-lanes.ts'
import type { Ctx, State } from './state.ts'
import { tell } from './telling.ts'

/** The wall clock and the monotonic clock may drift this far apart between two wake-ups before it is called a step (T4). */
const STEP_MS = 250
/** Two clocks that count in other units differ by one or two; from here on it has gone back. */
const STEP_BACK_MS = 3

/** Everything that time brings: tell what is due, read ahead, arm the one wake-up. `read` false after a failed read: not again at once. */
export const tick = (state: State, ctx: Ctx, read = true): void => {
  const now = ctx.world.wallNow()
  const by = handedBy(now)
  noticeStep(now, state, ctx)
  if (state.recovered && !state.quiesced) {
    tellDue(takeDue(state.horizon, toldBy(now, ctx)), now, state, ctx)
    for (const lane of handOver(state.horizon, now)) tell(lane.domain, [], [lane], 'due', state, ctx)
    catchUp(by, state)
    if (read) readAhead(by, state, ctx)
  }
  arm(now, state, ctx)
}

const tellDue = (due: readonly Due[], now: Instant, state: State, ctx: Ctx): void => {
  if (due.length === 0) return
  const byDomain = new Map<Domain, Due[]>()
  for (const one of due) {
    const sameDomain = byDomain.get(one.domain)
    if (sameDomain === undefined) byDomain.set(one.domain, [one])
    else sameDomain.push(one)
  }
  for (const [domain, entries] of byDomain) {
    tell(domain, entries, [], 'due', state, ctx)
    state.events.emit({ type: 'webhook.due', at: now, domain, count: entries.length })
  }
}

/**
 * While so many domains are due that some are left out, what is due need not be read here: the circle over all lanes finds it, and
 * tells the guards that live. So those who come due later are on time (D-15: nobody eats the horizon).
 */
const catchUp = (by: Instant, { horizon, list }: State): void => {
  if (list.areUnlisted && horizon.edge.nextAt < by - HORIZON_BEHIND_MS_MAX && skipTo(horizon, by)) leaveOutOthers(list)
}

const readAhead = (by: Instant, state: State, ctx: Ctx): void => {
  for (const cutLane of wishLanes(state.horizon, by)) requestLane(cutLane, ctx)
  const wish = wishPage(state.horizon, by, HORIZON_AHEAD_MS)
  if (wish !== null) ctx.request(storeKeeper, { type: 'horizon', limit: PAGE_ROWS_MAX, ...wish }, 'page')
}

/** In a crowd a place is not held for what is not due yet. */
const toldBy = (now: Instant, ctx: Ctx): Instant => (isCrowded(ctx) ? now : handedBy(now))

/** Somewhat ahead, so that those that are due soon after one another are told together. */
const nextTelling = ({ horizon }: State, ctx: Ctx): Instant => {
  const first = firstOf(horizon)?.nextAt ?? NEVER
  const told = isCrowded(ctx) ? first : first - HANDED_AHEAD_MS + HANDED_TOGETHER_MS
  return Math.min(told, nextHandOver(horizon))
}
const NEVER = Number.POSITIVE_INFINITY

const arm = (now: Instant, state: State, ctx: Ctx): void => {
  const at = Math.min(state.recovered && !state.quiesced ? nextTelling(state, ctx) : NEVER, now + WAKE_MAX_MS)
  if (state.wake !== null) {
    if (state.wake.at <= at && state.wake.at >= now) return
    ctx.cancelTimer(state.wake.ref)
  }
  const inMs = ctx.world.monoAt(at) - ctx.world.monoNow()
  state.wake = { ref: ctx.sendAfter(Math.max(0, inMs), { type: 'wake' }), at }
}

const noticeStep = (now: Instant, state: State, ctx: Ctx): void => {
  const mono = ctx.world.monoNow()
  const stepMs = now - state.wallSeen - (mono - state.monoSeen)
  // The earliest that it can have shown since it was looked at last.
  const lowest = state.wallSeen + stepMs
  state.wallSeen = now
  state.monoSeen = mono
  // Whoever asked meanwhile for what is due, as for a guard that has died, did not see what has become due since.
  if (stepMs < -STEP_BACK_MS) stepBack(state.horizon, handedBy(lowest))
  if (Math.abs(stepMs) <= STEP_MS) return
  state.events.emit({ type: 'clock.stepped', at: now, stepMs })
  if (state.wake !== null) ctx.cancelTimer(state.wake.ref)
  state.wake = null
}
