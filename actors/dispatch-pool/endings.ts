/** How an attempt ends: its permit goes back first, then whoever cares for it hears why. */
import { brandLimiterOf } from '#actors/brand-limiter.ts'
import { conviction, suspicionAfter } from '#actors/dispatch-pool/conviction.ts'
import { hearForNobody } from '#actors/guard/receiver.ts'
import { guardFor, type Permit } from '#actors/guard.ts'
import { ATTEMPTS_IN_FLIGHT_MAX } from '#config/limits.ts'
import type { AttemptOrder, AttemptReport } from '#dispatch/dispatch.ts'
import type { Pid } from '#runtime/pid.ts'
import { isConvicted, unplace, type Victim } from '#webhook/placement.ts'
import type { AttemptId, Outcome } from '#webhook/webhook.ts'
import { guardHears, guardIsCurrent, limiterIsCurrent, openAt } from './incarnations.ts'
import { type Ctx, type ExecutionHears, executor, type Held, type State } from './state.ts'

/** Unknown ids are ignored. Whoever registered while it was held counts it, so whoever that is now hears its end. */
export const handBack = (attemptId: AttemptId, state: State, ctx: Ctx): void => {
  const held = ended(attemptId, null, state, ctx)
  if (held === null) return
  if (held.execution !== null) ctx.send<ExecutionHears>(held.execution, { type: 'attempt-refused', attemptId })
  else ctx.cast(executor, { type: 'attempt-ended', attemptId, how: { how: 'unsent' } })
}

/** Who gave a part of the permit that still counts gets it back; nobody else remembers it. */
export const refuse = (permit: Permit, execution: Pid, state: State, ctx: Ctx): void => {
  const { attemptId, domain, brand } = permit
  if (guardIsCurrent(permit, state, ctx))
    ctx.cast(guardFor(ctx, domain), { type: 'attempt-ended', attemptId, domain, brand, outcome: null })
  if (permit.limiter !== null && limiterIsCurrent(permit, state))
    ctx.cast(brandLimiterOf(brand), { type: 'attempt-ended', attemptId, guard: permit.guard })
  ctx.send<ExecutionHears>(execution, { type: 'attempt-refused', attemptId })
  state.refused.add(attemptId)
  if (state.refused.size > ATTEMPTS_IN_FLIGHT_MAX)
    for (const oldest of state.refused) return void state.refused.delete(oldest)
}

/** Permits first, then the execution. */
export const reported = (report: AttemptReport, state: State, ctx: Ctx): void => {
  const held = ended(report.attemptId, report.outcome, state, ctx)
  if (held === null) return
  ctx.world.failpoint('dispatch-pool.reported')
  tellReport(report, held, ctx)
}
const tellReport = (report: AttemptReport, held: Held, ctx: Ctx): void => {
  if (held.execution !== null) ctx.send<ExecutionHears>(held.execution, { type: 'attempt-reported', report })
  else
    ctx.cast(executor, {
      type: 'attempt-ended',
      attemptId: report.attemptId,
      how: { how: 'ended', report, lonelyDeaths: suspicionAfter(report, held.order.lonelyDeaths) },
    })
}

export const lost = ({ order, lonelyDeaths }: Victim<AttemptOrder>, reason: string, state: State, ctx: Ctx): void => {
  const { attemptId } = order
  if (state.isolating.has(attemptId)) return handBack(attemptId, state, ctx)
  const held = ended(attemptId, null, state, ctx)
  if (held === null) return
  // Not in doubt any more, but quarantined: nobody else was in that thread.
  if (isConvicted(lonelyDeaths)) tellReport(conviction(attemptId, reason, ctx.world.wallNow()), held, ctx)
  else if (held.execution !== null)
    ctx.send<ExecutionHears>(held.execution, { type: 'attempt-lost', attemptId, reason, lonelyDeaths })
  else ctx.cast(executor, { type: 'attempt-ended', attemptId, how: { how: 'in-doubt', reason, lonelyDeaths } })
}

/** Nothing of it is open any more: its permit goes back. Null if it is not held. */
export const ended = (attemptId: AttemptId, outcome: Outcome | null, state: State, ctx: Ctx): Held | null => {
  const held = state.held.get(attemptId)
  if (held === undefined) return null
  state.held.delete(attemptId)
  unplace(state.placement, attemptId)
  state.isolating.delete(attemptId)
  const { domain, brand, limiter } = held.permit
  const isHeard = outcome === null || guardHears(held, state, ctx)
  ctx.cast(guardFor(ctx, domain), {
    type: 'attempt-ended',
    attemptId,
    domain,
    brand,
    outcome: isHeard ? outcome : null,
  })
  if (!isHeard) hearForNobody(held.permit, outcome, openAt(domain, state, ctx) + 1, state.args.events, ctx)
  // A limiter that registered while it was in flight counts it, whoever admitted it.
  if (limiter !== null || state.limiters.has(brand))
    ctx.cast(brandLimiterOf(brand), { type: 'attempt-ended', attemptId })
  endDrain(state, ctx)
  return held
}
const endDrain = (state: State, ctx: Ctx): void => {
  if (state.draining === null || state.held.size > 0) return
  for (const from of state.draining.splice(0)) ctx.reply(from, 'drained')
}
