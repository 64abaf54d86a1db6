/**
 * retry-manager: takes failed attempts over from their executions and has each decided, whether, when and how it is tried again.
 *
 * Started by the supervisor `delivery`. Its state is the table `retries` (owned by the supervisor `delivery`): one row per
 * failed attempt whose decision is not durable yet. On restart it starts a retry process for every row that has none. A
 * crash costs nothing.
 */
import { MANY } from '#actors/mailboxes.ts'
import { type AttemptFailure, type PendingRetry, RETRIES_TABLE, retry } from '#actors/retry.ts'
import { type Behaviour, keep, noreply, ok, reply } from '#runtime/behaviour.ts'
import type { Context } from '#runtime/context.ts'
import { type DynamicChildStarted, type DynamicSupervisorProtocol, startChild } from '#runtime/dynamic-supervisor.ts'
import type { From } from '#runtime/from.ts'
import { type Answer, type Call, type MonitorRef, type Name, name } from '#runtime/protocol.ts'
import { worker } from '#runtime/supervisor-spec.ts'
import type { Events } from '#telemetry/events.ts'
import { type AttemptId, attemptIdOf } from '#webhook/webhook.ts'

export interface RetryManagerProtocol {
  readonly call: /** From an execution. Accepted: somebody will care for it, whatever dies. */
    | Call<{ readonly type: 'attempt-failed'; readonly failure: AttemptFailure }, 'accepted'>
    /** Graceful stop: answered when every decision is durable. */
    | Call<{ readonly type: 'drain' }, 'drained'>
  readonly cast: never
  readonly info:
    | Answer<'retry-started', DynamicChildStarted, AttemptId>
    | { readonly type: 'start-retry'; readonly attemptId: AttemptId }
  readonly continue: never
}
export const retryManager: Name<RetryManagerProtocol> = name('retry-manager')
export const retries: Name<DynamicSupervisorProtocol> = name('retries')
interface State {
  readonly events: Events
  readonly watched: Map<MonitorRef, AttemptId>
  readonly draining: From<'drained'>[]
}
type Ctx = Context<RetryManagerProtocol>

/** A retry process died: an immediate second one would die of the same cause. */
const START_AGAIN_MS = 100

export const retryManagerActor: Behaviour<RetryManagerProtocol, { readonly events: Events }, State> = {
  name: 'retry-manager',
  version: 1,
  mailbox: MANY,
  init({ events }, ctx) {
    const state: State = { events, watched: new Map(), draining: [] }
    for (const [attemptId, row] of pendingRetries(ctx).entries()) {
      if (row.pid === null) start(attemptId, state, ctx)
      else state.watched.set(ctx.monitor(row.pid), attemptId)
    }
    return ok(state)
  },
  call: {
    'attempt-failed': ({ failure }, _from, state, ctx) => {
      const { due, attempt } = failure
      const attemptId = attemptIdOf(due.id, attempt.number)
      if (attempt.number !== due.attempts + 1)
        throw new Error(`${attemptId} has failed, but attempt ${due.attempts + 1} was due`)
      if (!pendingRetries(ctx).has(attemptId)) {
        pendingRetries(ctx).set(attemptId, { failure, pid: null, decision: null })
        start(attemptId, state, ctx)
      }
      return reply('accepted', state)
    },
    drain: (_request, from, state, ctx) => {
      if (pendingRetries(ctx).size === 0) return reply('drained', state)
      state.draining.push(from)
      return keep
    },
  },
  info(message, state, ctx) {
    switch (message.type) {
      case 'retry-started': {
        const row = pendingRetries(ctx).get(message.data)
        if (message.ok && message.value.ok) {
          if (row !== undefined) row.pid = message.value.pid
          state.watched.set(ctx.monitor(message.value.pid), message.data)
        } else startLater(message.data, ctx)
        return keep
      }
      case 'start-retry':
        start(message.attemptId, state, ctx)
        return keep
      case 'DOWN': {
        const attemptId = state.watched.get(message.ref)
        if (attemptId === undefined) return keep
        state.watched.delete(message.ref)
        const row = pendingRetries(ctx).get(attemptId)
        if (row !== undefined) {
          row.pid = null
          startLater(attemptId, ctx)
        }
        if (pendingRetries(ctx).size === 0) for (const from of state.draining.splice(0)) ctx.reply(from, 'drained')
        return keep
      }
      case 'EXIT':
      case 'timeout':
        return noreply(state)
      default:
        return message satisfies never
    }
  },
}

const pendingRetries = (ctx: Ctx) => ctx.table<AttemptId, PendingRetry>(RETRIES_TABLE)

const start = (attemptId: AttemptId, state: State, ctx: Ctx): void => {
  const row = pendingRetries(ctx).get(attemptId)
  if (row === undefined || row.pid !== null) return
  const spec = worker(retry, { failure: row.failure, events: state.events }, { id: attemptId, restart: 'temporary' })
  ctx.request(retries, startChild(spec), 'retry-started', attemptId, Number.POSITIVE_INFINITY)
}
const startLater = (attemptId: AttemptId, ctx: Ctx): void => {
  ctx.sendAfter(START_AGAIN_MS, { type: 'start-retry', attemptId })
}
