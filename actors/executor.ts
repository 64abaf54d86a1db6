/**
 * executor: the execution engine. Starts one execution per admitted webhook and knows what is in flight.
 *
 * Started by the supervisor `delivery`. Its state is the table `executions` (owned by the supervisor `delivery`) and the
 * monitors on them. On restart it finds its running executions again in the table, and asks the store for started rows that
 * neither an execution nor a retry process nor the dispatch pool holds: they are in doubt (D-3). A crash costs what was in
 * its mailbox: the guards see the death, register again, and the scheduler tells those webhooks anew.
 */
import { dispatchPool, type InFlight } from '#actors/dispatch-pool.ts'
import type { TakeUp } from '#actors/execution.ts'
import type { Admitted } from '#actors/guard.ts'
import { MANY } from '#actors/mailboxes.ts'
import type { StoreFailed } from '#actors/store-keeper.ts'
import { type Behaviour, keep, ok, reply } from '#runtime/behaviour.ts'
import type { DynamicChildStarted } from '#runtime/dynamic-supervisor.ts'
import { type Answer, type Call, type Name, name } from '#runtime/protocol.ts'
import type { Events } from '#telemetry/events.ts'
import type { AttemptId, Due } from '#webhook/webhook.ts'
import { onHoldOver, onInFlight } from './executor/earlier-runs.ts'
import { onExecutionDown, onExecutionStarted, onPoolDown, takeUp } from './executor/orphans.ts'
import { quarantine } from './executor/quarantine.ts'
import { reconcile, reconcileLater, watchUnwatched } from './executor/reconciling.ts'
import { startExecutions } from './executor/starting.ts'
import { ASK_AGAIN_MS, running, type StartedPage, type Starting, type State, watch } from './executor/state.ts'

export interface ExecutorProtocol {
  readonly call: /** Answered when the attempts that an earlier run left started have been taken up. */
    | Call<{ readonly type: 'await-recovery' }, 'recovered'>
    /** Graceful stop: answered when no execution is left. */
    | Call<{ readonly type: 'drain' }, 'drained'>
  readonly cast: /** From a guard: each of these may start now. */
    | { readonly type: 'start'; readonly admitted: readonly Admitted[] }
    /** From the dispatch pool, after `execution-died`: nothing of it is open any more. */
    | { readonly type: 'attempt-ended'; readonly attemptId: AttemptId; readonly how: TakeUp }
    /** From the scheduler: every guard that comes to this webhook dies of it. It is ended without an attempt, durably. */
    | { readonly type: 'quarantine'; readonly due: Due; readonly detail: string }
    /** Look for started rows that nobody holds. */
    | { readonly type: 'reconcile' }
  readonly info:
    | Answer<'executions-started', readonly DynamicChildStarted[], readonly Starting[]>
    | Answer<'started-page', { readonly ok: true; readonly value: StartedPage } | StoreFailed>
    | Answer<'in-flight', readonly InFlight[], StartedPage>
    | { readonly type: 'start-again'; readonly starting: Starting }
    | { readonly type: 'reconcile' }
    | { readonly type: 'hold-over'; readonly token: string }
  readonly continue: { readonly type: 'recover' }
}
export const executor: Name<ExecutorProtocol> = name('executor')

/** Whose heap it was. */
export type FatalHeap = 'shared' | 'lonely'
export interface ExecutorArgs {
  readonly events: Events
  /** Names this run of the daemon in the tokens of its marks: a token of another run is in doubt. */
  readonly runId: string
  /**
   * Runs that ended with a fatal error, by `runId`: a thread that all share died of it, or the one in which a suspect is alone.
   * Only their attempts are suspects; a run that was killed from outside is not among them (D-17).
   */
  readonly fatalRuns: Readonly<Record<string, FatalHeap>>
}

export const executorActor: Behaviour<ExecutorProtocol, ExecutorArgs, State> = {
  name: 'executor',
  version: 1,
  mailbox: MANY,
  init(args, ctx) {
    const state: State = {
      ...args,
      watched: new Map(),
      orphans: new Map(),
      takeUps: new Map(),
      starting: new Set(),
      recoveryAwaited: [],
      draining: [],
      recovered: false,
      reconciling: false,
      audit: null,
      poolWatched: false,
    }
    for (const [token, row] of running(ctx).entries()) watch(row.pid, token, state, ctx)
    return ok(state, { continue: { type: 'recover' } })
  },
  continue(_message, state, ctx) {
    reconcile(state, ctx)
    return keep
  },
  call: {
    'await-recovery': (_request, from, state) => {
      if (state.recovered) return reply('recovered', state)
      state.recoveryAwaited.push(from)
      return keep
    },
    drain: (_request, from, state, ctx) => {
      if (running(ctx).size === 0) return reply('drained', state)
      watchUnwatched(state, ctx)
      state.draining.push(from)
      return keep
    },
  },
  cast: {
    start: ({ admitted }, state, ctx) => {
      startExecutions(
        admitted.map((one) => ({ admitted: one, token: `${state.runId}.${ctx.uniqueInteger()}`, takeUp: null })),
        state,
        ctx,
      )
      return keep
    },
    'attempt-ended': ({ attemptId, how }, state, ctx) => {
      for (const [token, row] of [...state.orphans]) {
        if (row.admitted.permit.attemptId !== attemptId) continue
        state.orphans.delete(token)
        // The pool has ended the permit already.
        row.known = how
        takeUp(row, how, state, ctx)
      }
      return keep
    },
    quarantine: ({ due, detail }, state, ctx) => {
      quarantine(due, detail, state, ctx)
      return keep
    },
    reconcile: (_message, state, ctx) => {
      reconcile(state, ctx)
      return keep
    },
  },
  info(message, state, ctx) {
    switch (message.type) {
      case 'executions-started':
        for (const [at, starting] of message.data.entries())
          onExecutionStarted(starting, message.ok ? message.value[at] : undefined, state, ctx)
        return keep
      case 'DOWN':
        if (message.name === dispatchPool) onPoolDown(state, ctx)
        else onExecutionDown(message.ref, state, ctx)
        return keep
      case 'started-page':
        if (message.ok && message.value.ok)
          ctx.request(dispatchPool, { type: 'in-flight' }, 'in-flight', message.value.value)
        else reconcileLater(ASK_AGAIN_MS, state, ctx)
        return keep
      case 'in-flight':
        if (message.ok) onInFlight(message.value, message.data, state, ctx)
        else reconcileLater(ASK_AGAIN_MS, state, ctx)
        return keep
      case 'start-again':
        startExecutions([message.starting], state, ctx)
        return keep
      case 'hold-over':
        onHoldOver(message.token, state, ctx)
        return keep
      case 'reconcile':
        state.audit = null
        reconcile(state, ctx)
        return keep
      case 'EXIT':
      case 'timeout':
        return keep
      default:
        return message satisfies never
    }
  },
}
