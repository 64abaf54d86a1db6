/**
 * execution: carries out one attempt. Started by the executor under `executions`, temporary.
 *
 * State: the admitted webhook, the token of its started mark, and how far it is. It lives from the permit until what came
 * of the attempt is durable, or the retry-manager has taken it over. A crash costs nothing but time: the request goes on in
 * its dispatch thread, the executor sees the death, aborts it, and starts an execution that takes up where it ended.
 */

import { suspicionAfter } from '#actors/dispatch-pool/conviction.ts'
import { dispatchPool, type PoolSays } from '#actors/dispatch-pool.ts'
import { type Admitted, guardFor } from '#actors/guard.ts'
import { FEW } from '#actors/mailboxes.ts'
import type { AttemptFailure } from '#actors/retry.ts'
import { retryManager } from '#actors/retry-manager.ts'
import { scheduler } from '#actors/scheduler.ts'
import { storeKeeper } from '#actors/store-keeper.ts'
import type { AttemptReport } from '#dispatch/dispatch.ts'
import { type Behaviour, type CastResult, keep, ok, stop } from '#runtime/behaviour.ts'
import type { Context } from '#runtime/context.ts'
import type { Pid } from '#runtime/pid.ts'
import type { Answer, Down } from '#runtime/protocol.ts'
import { handedBy } from '#schedule/handed.ts'
import type { HandedBack, LonelyDeaths, Marked, OutcomeRecorded, Series } from '#store/store.ts'
import type { Events } from '#telemetry/events.ts'
import { errorClassOf, isDelivered, isInDoubt } from '#webhook/outcome.ts'
import { type AttemptId, type AttemptRecord, attemptIdOf, type Due, type Instant } from '#webhook/webhook.ts'

/** An execution that takes up a lost one's work: what the pool reported, `in-doubt` if nobody can, `unsent` if it never got that far. */
export type TakeUp =
  | { readonly how: 'ended'; readonly report: AttemptReport; readonly lonelyDeaths: LonelyDeaths }
  /** `lonelyDeaths`: what it is suspected of now; absent: what the store says. */
  | { readonly how: 'in-doubt'; readonly reason: string; readonly lonelyDeaths?: LonelyDeaths }
  | { readonly how: 'unsent' }

export interface ExecutionArgs {
  readonly admitted: Admitted
  /** Names this start in the store; the same for whoever takes it up. */
  readonly token: string
  readonly takeUp: TakeUp | null
  readonly events: Events
}

/**
 * A row of the table `executions`, by token: one attempt may be started anew while what was left of its first start is handed
 * back. It is there as long as somebody has to care for that start.
 */
export interface RunningExecution {
  readonly pid: Pid
  readonly admitted: Admitted
  readonly token: string
  /** Given to the dispatch pool: from then on only the pool, or `known`, can say what came of it. */
  sent: boolean
  /** How it ended, once its execution has heard it: the pool says it once, and forgets. */
  known: TakeUp | null
}
export const EXECUTIONS_TABLE = 'executions'

export interface ExecutionProtocol {
  readonly call: never
  readonly cast: never
  readonly info:
    | PoolSays
    | Answer<'marked', Marked>
    | Answer<'recorded', OutcomeRecorded>
    | Answer<'handed-back', HandedBack>
    | Answer<'handed-over', 'accepted'>
    | { readonly type: 'ask-again' }
  readonly continue: never
}

type Phase = 'marking' | 'sent' | 'recording' | 'handing-back' | 'handing-over'
interface State {
  readonly args: ExecutionArgs
  readonly attemptId: AttemptId
  readonly attempt: number
  phase: Phase
  startedAt: number
  /** From the mark on. */
  series: Series | null
  /** As the store said at the mark; from the end on, what is recorded. */
  lonelyDeaths: LonelyDeaths
  record: AttemptRecord | null
  failure: AttemptFailure | null
}
type Ctx = Context<ExecutionProtocol>
type Result = CastResult<ExecutionProtocol, State>

/** The keeper or the retry-manager died before its answer: it is being restarted; ask the new one the same. */
const ASK_AGAIN_MS = 20

export const execution: Behaviour<ExecutionProtocol, ExecutionArgs, State> = {
  name: 'execution',
  version: 1,
  mailbox: FEW,
  init(args, ctx) {
    ctx.trapExit(true)
    const attempt = args.admitted.due.attempts + 1
    const attemptId = attemptIdOf(args.admitted.due.id, attempt)
    const state: State = {
      args,
      attemptId,
      attempt,
      phase: 'marking',
      // Who takes it up tells when it was started, not when that was found.
      startedAt: args.takeUp === null ? markInstant(args.admitted.due, ctx) : args.admitted.permit.admittedAt,
      series: null,
      lonelyDeaths: null,
      record: null,
      failure: null,
    }
    const { admitted, token, takeUp } = args
    rows(ctx).set(token, { pid: ctx.self, admitted, token, sent: false, known: takeUp })
    if (args.takeUp?.how === 'unsent') state.phase = 'handing-back'
    ask(state, ctx)
    return ok(state)
  },
  info(message, state, ctx) {
    switch (message.type) {
      case 'marked':
        return message.ok ? onMarked(message.value, state, ctx) : askLater(ctx)
      case 'attempt-reported':
        return onEnded(message.report, suspicionAfter(message.report, state.lonelyDeaths), state, ctx)
      case 'attempt-refused':
        return handBack(state, ctx)
      case 'attempt-lost':
        return onEnded(inDoubtReport(state, message.reason, ctx), message.lonelyDeaths, state, ctx)
      case 'DOWN':
        return onPoolDown(message, state, ctx)
      case 'recorded':
        return message.ok ? onRecorded(message.value, state, ctx) : askLater(ctx)
      case 'handed-over':
        return message.ok ? end(state, ctx) : askLater(ctx)
      case 'handed-back':
        return message.ok ? onHandedBack(message.value, state, ctx) : askLater(ctx)
      case 'ask-again':
        ask(state, ctx)
        return keep
      case 'EXIT':
        return message.reason === 'normal' ? keep : stop(message.reason, state)
      case 'timeout':
        return keep
      default:
        return message satisfies never
    }
  },

  /**
   * Ended in order while its mark waits for the store: it alone knows that nothing was sent. The mark may be on disk, or be written
   * yet, and the next process would find an attempt in doubt that never was: it is taken back behind it, in the same queue.
   */
  terminate(reason, state, ctx) {
    if (reason !== 'shutdown' || state.phase !== 'marking' || state.args.takeUp !== null) return
    state.phase = 'handing-back'
    ask(state, ctx)
  },
}

/** One that is admitted ahead is marked as of its instant; not one whose instant the clock has gone back from, or that has another one now. */
const markInstant = ({ nextAt }: Due, ctx: Ctx): Instant => {
  const now = ctx.world.wallNow()
  return nextAt > now && nextAt <= handedBy(now) ? nextAt : now
}

const rows = (ctx: Ctx) => ctx.table<string, RunningExecution>(EXECUTIONS_TABLE)
/** Whoever takes it up after a death from here on knows what this execution knew. */
const learn = (known: TakeUp, state: State, ctx: Ctx): void => {
  const row = rows(ctx).get(state.args.token)
  if (row !== undefined) row.known = known
}

/** Asks whatever the phase is about; every question may be asked twice (D-3). */
const ask = (state: State, ctx: Ctx): void => {
  const { token, admitted } = state.args
  const { id, seq, nextAt: dueAt } = admitted.due
  switch (state.phase) {
    case 'marking':
      ctx.world.failpoint('execution.marking')
      return ctx.request(
        storeKeeper,
        { type: 'mark-started', id, seq, attempt: state.attempt, token, startedAt: state.startedAt, dueAt },
        'marked',
        null,
        Number.POSITIVE_INFINITY,
      )
    case 'handing-back':
      return ctx.request(
        storeKeeper,
        { type: 'hand-back', id, seq, token },
        'handed-back',
        null,
        Number.POSITIVE_INFINITY,
      )
    case 'recording':
      if (state.record === null) throw new Error('an execution records only an attempt that has ended')
      return ctx.request(
        storeKeeper,
        {
          type: 'record-outcome',
          id,
          seq,
          token,
          attempt: state.record,
          next: { state: 'delivered', finishedAt: ctx.world.wallNow() },
        },
        'recorded',
        null,
        Number.POSITIVE_INFINITY,
      )
    case 'handing-over':
      if (state.failure === null) throw new Error('an execution hands over only a failed attempt')
      return ctx.request(retryManager, { type: 'attempt-failed', failure: state.failure }, 'handed-over')
    case 'sent':
      return
    default:
      return state.phase satisfies never
  }
}
const askLater = (ctx: Ctx): Result => {
  ctx.sendAfter(ASK_AGAIN_MS, { type: 'ask-again' })
  return keep
}

const onMarked = (marked: Marked, state: State, ctx: Ctx): Result => {
  const { admitted, takeUp, events } = state.args
  if (!marked.ok) {
    if (takeUp === null)
      ctx.cast(guardFor(ctx, admitted.due.domain), {
        type: 'permit-unused',
        attemptId: state.attemptId,
        brand: admitted.due.brand,
        guard: admitted.permit.guard,
      })
    // It has another instant now: whoever gave it, the horizon wakes it then.
    if (marked.why === 'not-due')
      ctx.cast(scheduler, { type: 'handed-back', due: { ...admitted.due, nextAt: marked.nextAt } })
    return end(state, ctx)
  }
  state.series = marked
  state.lonelyDeaths = marked.lonelyDeaths
  if (takeUp?.how === 'ended') return onEnded(takeUp.report, takeUp.lonelyDeaths, state, ctx)
  if (takeUp?.how === 'in-doubt') {
    const { reason, lonelyDeaths = marked.lonelyDeaths } = takeUp
    return onEnded(inDoubtReport(state, reason, ctx), lonelyDeaths, state, ctx)
  }
  ctx.world.failpoint('execution.marked')
  state.phase = 'sent'
  const row = rows(ctx).get(state.args.token)
  if (row !== undefined) row.sent = true
  ctx.monitor(dispatchPool)
  ctx.cast(dispatchPool, {
    type: 'dispatch',
    order: {
      attemptId: state.attemptId,
      webhookId: admitted.due.id,
      attempt: state.attempt,
      brand: admitted.due.brand,
      domain: admitted.due.domain,
      request: marked.request,
      lonelyDeaths: marked.lonelyDeaths,
      timeoutMs: admitted.due.timeoutMs,
    },
    permit: admitted.permit,
    execution: ctx.self,
  })
  events.emit({
    type: 'attempt.started',
    at: Math.max(state.startedAt, ctx.world.wallNow()),
    attemptId: state.attemptId,
    domain: admitted.due.domain,
    brand: admitted.due.brand,
  })
  return keep
}

/** `noproc`: there was no pool to send it to, so nothing was sent. Otherwise its threads have ended with it, and nobody knows. */
const onPoolDown = (down: Down, state: State, ctx: Ctx): Result => {
  if (state.phase !== 'sent') return keep
  if (down.reason === 'noproc') return handBack(state, ctx)
  return onEnded(inDoubtReport(state, 'the dispatch pool has ended', ctx), state.lonelyDeaths, state, ctx)
}

const inDoubtReport = (state: State, detail: string, ctx: Ctx): AttemptReport => {
  const endedAt = ctx.world.wallNow()
  return {
    attemptId: state.attemptId,
    outcome: { kind: 'error', error: 'in_doubt', detail },
    startedAt: state.startedAt,
    endedAt,
    networkMs: Math.max(0, endedAt - state.startedAt),
    sent: true,
  }
}

const onEnded = (report: AttemptReport, lonelyDeaths: LonelyDeaths, state: State, ctx: Ctx): Result => {
  if (state.phase !== 'sent' && state.phase !== 'marking') return keep
  learn({ how: 'ended', report, lonelyDeaths }, state, ctx)
  state.lonelyDeaths = lonelyDeaths
  ctx.world.failpoint('execution.ended')
  const record = recordOf(report, state)
  state.record = record
  tellFailure(report, record, state)
  if (isDelivered(report.outcome)) state.phase = 'recording'
  else {
    if (state.series === null) throw new Error('an attempt ends only after its mark')
    const { retry, firstAt, attemptsBefore } = state.series
    const series = { retry, firstAt, attemptsBefore }
    const { due } = state.args.admitted
    state.phase = 'handing-over'
    const { outcome } = report
    state.failure = { due, token: state.args.token, attempt: record, outcome, lonelyDeaths, series }
  }
  ask(state, ctx)
  return keep
}

/** What only the operator may know of a failure without an answer (H11). */
const tellFailure = ({ outcome, endedAt: at }: AttemptReport, record: AttemptRecord, state: State): void => {
  if (outcome.kind !== 'error') return
  const { attemptId, args } = state
  const { error, detail } = outcome
  if (record.inDoubt) return args.events.emit({ type: 'attempt.in-doubt', at, attemptId, reason: detail })
  const { domain, brand } = args.admitted.due
  args.events.emit({ type: 'attempt.failed', at, attemptId, domain, brand, error, detail })
}

/** Lateness in three parts: ours (timer and hand-over), the guard's hold (policy), the network (theirs). */
const recordOf = (report: AttemptReport, state: State): AttemptRecord => {
  const { due, permit } = state.args.admitted
  return {
    number: state.attempt,
    startedAt: report.startedAt,
    endedAt: report.endedAt,
    status: report.outcome.kind === 'response' ? report.outcome.status : null,
    error: errorClassOf(report.outcome),
    excerpt: report.outcome.kind === 'response' ? report.outcome.excerpt : null,
    timerMs: Math.max(0, permit.enteredAt - due.nextAt) + Math.max(0, report.startedAt - permit.admittedAt),
    guardMs: Math.max(0, permit.admittedAt - permit.enteredAt),
    networkMs: Math.round(report.networkMs * 1_000) / 1_000,
    inDoubt: isInDoubt(report.outcome, report.sent),
  }
}
const handBack = (state: State, ctx: Ctx): Result => {
  if (state.phase !== 'sent') return keep
  learn({ how: 'unsent' }, state, ctx)
  state.phase = 'handing-back'
  ask(state, ctx)
  return keep
}
/** Stale: it never was marked, or somebody has already cared for it. The store decides what a second telling is worth. */
const onHandedBack = (handed: HandedBack, state: State, ctx: Ctx): Result => {
  ctx.cast(scheduler, { type: 'handed-back', due: handed.ok ? handed.due : state.args.admitted.due })
  return end(state, ctx)
}

const onRecorded = (recorded: OutcomeRecorded, state: State, ctx: Ctx): Result => {
  const { events, admitted } = state.args
  if (recorded.ok && state.record !== null) {
    const { due } = admitted
    const at = ctx.world.wallNow()
    const { status, error, timerMs, guardMs, networkMs } = state.record
    events.emit({
      type: 'attempt.finished',
      at,
      attemptId: state.attemptId,
      domain: due.domain,
      brand: due.brand,
      status,
      error,
      timerMs,
      guardMs,
      networkMs,
    })
    events.emit({ type: 'webhook.finished', at, id: due.id, domain: due.domain, brand: due.brand, state: 'delivered' })
  }
  return end(state, ctx)
}

const end = (state: State, ctx: Ctx): Result => {
  rows(ctx).delete(state.args.token)
  return stop('normal', state)
}
