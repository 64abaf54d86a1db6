/** Ends a webhook without an attempt, durably, as if its attempt had been poison. */
import type { Due } from '#webhook/webhook.ts'
import { lostPermit } from './lost-permit.ts'
import { startExecutions } from './starting.ts'
import type { Ctx, State } from './state.ts'

/** As an attempt that ended as poison before it was sent: mark, record and decision go their usual way. */
export const quarantine = (due: Due, detail: string, state: State, ctx: Ctx): void => {
  const now = ctx.world.wallNow()
  const permit = lostPermit(due, due.attempts + 1, now, ctx)
  const outcome = { kind: 'error', error: 'poison', detail } as const
  const report = { attemptId: permit.attemptId, outcome, startedAt: now, endedAt: now, networkMs: 0, sent: false }
  const token = `${state.runId}.${ctx.uniqueInteger()}`
  startExecutions(
    [{ admitted: { due, permit }, token, takeUp: { how: 'ended', report, lonelyDeaths: null } }],
    state,
    ctx,
  )
}
