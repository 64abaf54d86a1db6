/** Started rows that nobody holds: most are of an earlier run of the daemon. What can be said of each (D-12, D-17). */

import { conviction } from '#actors/dispatch-pool/conviction.ts'
import type { InFlight } from '#actors/dispatch-pool.ts'
import type { RunningExecution, TakeUp } from '#actors/execution.ts'
import { type Admitted, holdPermits } from '#actors/guard.ts'
import { type PendingRetry, RETRIES_TABLE } from '#actors/retry.ts'
import { AUDIT_MS, IN_DOUBT_HOLD_MS } from '#config/limits.ts'
import type { StartedRow } from '#store/store.ts'
import { isConvicted } from '#webhook/placement.ts'
import { type AttemptId, attemptIdOf } from '#webhook/webhook.ts'
import { lostPermit } from './lost-permit.ts'
import { onOrphan, takeUp } from './orphans.ts'
import { reconcile, reconcileLater, watchUnwatched } from './reconciling.ts'
import { type Ctx, running, type StartedPage, type State } from './state.ts'

export const onInFlight = (inFlight: readonly InFlight[], page: StartedPage, state: State, ctx: Ctx): void => {
  if (!state.recovered) ctx.world.failpoint('executor.recovering')
  const held = new Set(inFlight.map((attempt) => attempt.attemptId))
  const nowMono = ctx.world.monoNow()
  // Of one that was not sent no receiver is at work, and its next try has the same number.
  const sent = page.rows.filter((row) => isOfDeadProcess(row, state) && howLost(row, state, ctx).how !== 'unsent')
  holdPermits(
    ctx,
    sent.map((row) => ({
      attemptId: attemptIdOf(row.due.id, row.attempt),
      brand: row.due.brand,
      domain: row.due.domain,
      untilMono: nowMono + holdMsOf(row),
    })),
  )
  for (const row of page.rows) takeUpRow(row, held, state, ctx)
  if (page.next !== null) return reconcile(state, ctx, page.next)
  if (!state.recovered) {
    state.recovered = true
    for (const from of state.recoveryAwaited.splice(0)) ctx.reply(from, 'recovered')
  }
  watchUnwatched(state, ctx)
  reconcileLater(AUDIT_MS, state, ctx)
}

/** Its sockets are closed, but their receivers may still be at work: they count for a while (D-12). */
const isOfDeadProcess = (row: StartedRow, state: State): boolean =>
  !state.recovered && !row.token.startsWith(`${state.runId}.`)
/** From now: when it was sent nobody knows, its mark may have waited long for the store. */
const holdMsOf = (row: StartedRow): number => Math.min(IN_DOUBT_HOLD_MS, row.due.timeoutMs)

/** A started row that neither an execution nor a retry process holds; the pool may still have its socket open. */
const takeUpRow = (row: StartedRow, held: ReadonlySet<AttemptId>, state: State, ctx: Ctx): void => {
  const attemptId = attemptIdOf(row.due.id, row.attempt)
  if (running(ctx).has(row.token) || ctx.table<AttemptId, PendingRetry>(RETRIES_TABLE).has(attemptId)) return
  const admitted: Admitted = {
    due: { ...row.due, attempts: row.attempt - 1 },
    permit: lostPermit(row.due, row.attempt, row.startedAt, ctx),
  }
  const lost: RunningExecution = { pid: ctx.self, admitted, token: row.token, sent: true, known: null }
  running(ctx).set(row.token, lost)
  if (held.has(attemptId)) return onOrphan(lost, state, ctx)
  const how = howLost(row, state, ctx)
  // Until its hold is over it stays started in the store: whoever comes after a second death holds its permit again (D-12).
  if (!isOfDeadProcess(row, state) || how.how === 'unsent') return takeUp(lost, how, state, ctx)
  lost.known = how
  ctx.sendAfter(Math.ceil(holdMsOf(row)), { type: 'hold-over', token: row.token })
}

export const onHoldOver = (token: string, state: State, ctx: Ctx): void => {
  const row = running(ctx).get(token)
  if (row?.pid.id === ctx.self.id && row.known !== null) takeUp(row, row.known, state, ctx)
}

/**
 * What can be said of an attempt of an earlier run. Who waited for its turn alone was not sent. If that run died of a fatal
 * error, who was in it is suspect: whoever was alone in the thread that died has one lonely death more (D-17).
 */
const howLost = ({ due, attempt, token, lonelyDeaths, alone }: StartedRow, state: State, ctx: Ctx): TakeUp => {
  const run = token.slice(0, token.lastIndexOf('.'))
  const inDoubt = { how: 'in-doubt', reason: 'nobody knows how it ended' } as const
  if (run === state.runId) return inDoubt
  if (lonelyDeaths !== null && !alone) return { how: 'unsent' }
  const heap = state.fatalRuns[run]
  if (heap === undefined || (heap === 'lonely') !== alone) return inDoubt
  const reason = 'the process died of a fatal error'
  if (heap === 'shared') return { how: 'in-doubt', reason, lonelyDeaths: 0 }
  const deaths = (lonelyDeaths ?? 0) + 1
  if (!isConvicted(deaths)) return { how: 'in-doubt', reason, lonelyDeaths: deaths }
  const report = conviction(attemptIdOf(due.id, attempt), reason, ctx.world.wallNow())
  return { how: 'ended', report, lonelyDeaths: deaths }
}
