/** Executions that did not start, or ended before their attempt did: the work is given back, or taken up by another one. */
import { dispatchPool } from '#actors/dispatch-pool.ts'
import type { RunningExecution, TakeUp } from '#actors/execution.ts'
import { guardFor } from '#actors/guard.ts'
import { scheduler } from '#actors/scheduler.ts'
import type { DynamicChildStarted } from '#runtime/dynamic-supervisor.ts'
import type { MonitorRef } from '#runtime/protocol.ts'
import { attemptIdOf } from '#webhook/webhook.ts'
import { reconcileLater, watchPool } from './reconciling.ts'
import { startExecutions } from './starting.ts'
import { ASK_AGAIN_MS, type Ctx, running, type Starting, type State, watch } from './state.ts'

/** What kills an execution may kill its successor: from the third time on it waits, longer each time. */
const TAKE_UPS_AT_ONCE = 2
const TAKE_UP_MS_MAX = 5_000

/**
 * A first start that fails gives the webhook back, or, if its supervisor died after it had begun, its successor does; a
 * take-up is tried until it succeeds, because nobody else would.
 */
export const onExecutionStarted = (
  starting: Starting,
  started: DynamicChildStarted | undefined,
  state: State,
  ctx: Ctx,
): void => {
  const { admitted, token, takeUp } = starting
  if (started?.ok === true) {
    state.starting.delete(token)
    return watch(started.pid, token, state, ctx)
  }
  if (takeUp !== null) {
    ctx.sendAfter(ASK_AGAIN_MS, { type: 'start-again', starting })
    return
  }
  const begun = running(ctx).get(token)
  if (begun !== undefined) return onOrphan(begun, state, ctx)
  const attemptId = attemptIdOf(admitted.due.id, admitted.due.attempts + 1)
  const { brand, guard } = admitted.permit
  ctx.cast(guardFor(ctx, admitted.due.domain), { type: 'permit-unused', attemptId, brand, guard })
  ctx.cast(scheduler, { type: 'handed-back', due: admitted.due })
}

/** A row that is still in the table, and still its own, is one that the execution did not finish. */
export const onExecutionDown = (ref: MonitorRef, state: State, ctx: Ctx): void => {
  const dead = state.watched.get(ref)
  if (dead === undefined) return
  state.watched.delete(ref)
  const row = running(ctx).get(dead.token)
  if (row?.pid.id === dead.pid.id) return onOrphan(row, state, ctx)
  state.takeUps.delete(dead.token)
  if (running(ctx).size === 0) for (const from of state.draining.splice(0)) ctx.reply(from, 'drained')
}
/** Nobody cares for this start any more: what its execution knew, or else what the pool knows, says how it goes on. */
export const onOrphan = (row: RunningExecution, state: State, ctx: Ctx): void => {
  if (row.known !== null) return takeUp(row, row.known, state, ctx)
  if (!row.sent) return takeUp(row, { how: 'unsent' }, state, ctx)
  state.orphans.set(row.token, row)
  if (!state.poolWatched) return onPoolDown(state, ctx)
  const { permit } = row.admitted
  ctx.cast(dispatchPool, { type: 'execution-died', attemptId: permit.attemptId, permit })
}

/** The pool's threads have ended before this: what was handed to it is in doubt; live executions find out by themselves. */
export const onPoolDown = (state: State, ctx: Ctx): void => {
  state.poolWatched = false
  if (ctx.whereis(dispatchPool) !== null) watchPool(state, ctx)
  for (const row of state.orphans.values())
    takeUp(row, { how: 'in-doubt', reason: 'the dispatch pool has ended' }, state, ctx)
  state.orphans.clear()
  reconcileLater(ASK_AGAIN_MS, state, ctx)
}

/** The row stays until the new execution puts its own in its place: somebody cares for the attempt all the time. */
export const takeUp = (row: RunningExecution, how: TakeUp, state: State, ctx: Ctx): void => {
  const { admitted, token } = row
  const { attemptId, domain, brand, guard } = admitted.permit
  // Once: by the second time the webhook may have been admitted anew.
  if (how.how === 'unsent' && row.known === null)
    ctx.cast(guardFor(ctx, domain), { type: 'permit-unused', attemptId, brand, guard })
  row.known = how
  const count = (state.takeUps.get(token) ?? 0) + 1
  state.takeUps.set(token, count)
  const starting = { admitted, token, takeUp: how }
  if (count <= TAKE_UPS_AT_ONCE) return startExecutions([starting], state, ctx)
  state.starting.add(token)
  ctx.sendAfter(Math.min(TAKE_UP_MS_MAX, ASK_AGAIN_MS * 2 ** (count - TAKE_UPS_AT_ONCE)), {
    type: 'start-again',
    starting,
  })
}
