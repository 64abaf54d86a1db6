/**
 * retry: one failed attempt, from its failure until the decision is durable (D-4). Started by the retry-manager under
 * `retries`, temporary. The decision is pure and taken before the write; outcome and next instant are one operation; after
 * it only the horizon wakes the webhook. A crash costs nothing: the retry-manager starts another for the same failure.
 */
import { FEW } from '#actors/mailboxes.ts'
import { scheduler } from '#actors/scheduler.ts'
import { storeKeeper } from '#actors/store-keeper.ts'
import { INSTANT_MAX } from '#config/limits.ts'
import { type Behaviour, keep, ok, stop } from '#runtime/behaviour.ts'
import type { Context } from '#runtime/context.ts'
import type { Pid } from '#runtime/pid.ts'
import type { Answer } from '#runtime/protocol.ts'
import type { LonelyDeaths, OutcomeRecorded, RecordOutcome, Series } from '#store/store.ts'
import type { Events } from '#telemetry/events.ts'
import { DEFAULT_RETRY_POLICY, decideNext } from '#webhook/retry.ts'
import { type AttemptId, type AttemptRecord, attemptIdOf, type Due, type Outcome } from '#webhook/webhook.ts'

/** A failed attempt, with everything that the decision needs. */
export interface AttemptFailure {
  readonly due: Due
  readonly token: string
  readonly attempt: AttemptRecord
  readonly outcome: Outcome
  /** What it is suspected of from now on. */
  readonly lonelyDeaths: LonelyDeaths
  readonly series: Series
}

/** A row of the table `retries`, by attempt id: there until the decision is durable. */
export const RETRIES_TABLE = 'retries'
export interface PendingRetry {
  readonly failure: AttemptFailure
  pid: Pid | null
  /** Taken once: whoever takes this retry over writes and tells the same instant (D-4). */
  decision: RecordOutcome['next'] | null
}

export interface RetryProtocol {
  readonly call: never
  readonly cast: never
  readonly info: Answer<'recorded', OutcomeRecorded> | { readonly type: 'ask-again' }
  readonly continue: never
}
export interface RetryArgs {
  readonly failure: AttemptFailure
  readonly events: Events
}
interface State extends RetryArgs {
  readonly next: RecordOutcome['next']
}
type Ctx = Context<RetryProtocol>
const ASK_AGAIN_MS = 20

export const retry: Behaviour<RetryProtocol, RetryArgs, State> = {
  name: 'retry',
  version: 1,
  mailbox: FEW,
  init({ failure, events }, ctx) {
    const state: State = { failure, events, next: decideOnce(failure, ctx) }
    ctx.world.failpoint('retry.decided')
    ask(state, ctx)
    return ok(state)
  },
  info(message, state, ctx) {
    switch (message.type) {
      case 'recorded':
        if (!message.ok) {
          ctx.sendAfter(ASK_AGAIN_MS, { type: 'ask-again' })
          return keep
        }
        if (message.value.ok) tell(state, message.value.seq, ctx)
        pendingOf(ctx).delete(attemptIdOf(state.failure.due.id, state.failure.attempt.number))
        return stop('normal', state)
      case 'ask-again':
        ask(state, ctx)
        return keep
      case 'DOWN':
      case 'EXIT':
      case 'timeout':
        return keep
      default:
        return message satisfies never
    }
  },
}

const decideOnce = (failure: AttemptFailure, ctx: Ctx): RecordOutcome['next'] => {
  const row = pendingOf(ctx).get(attemptIdOf(failure.due.id, failure.attempt.number))
  const decision = row?.decision ?? decide(failure, ctx)
  const at = decision.state === 'retrying' ? decision.nextAt : decision.finishedAt
  const isSane = Number.isSafeInteger(at) && at >= 0 && at <= INSTANT_MAX
  // A bad one is not kept for the next retry process, which would die of it again.
  if (row !== undefined) row.decision = isSane ? decision : null
  if (!isSane) throw new Error(`${failure.due.id} would be ${decision.state} at ${at}`)
  return decision
}
const decide = (failure: AttemptFailure, ctx: Ctx): RecordOutcome['next'] =>
  decideNext({
    attempt: failure.attempt.number - failure.series.attemptsBefore,
    outcome: failure.outcome,
    policy: failure.series.retry ?? DEFAULT_RETRY_POLICY,
    firstAt: failure.series.firstAt,
    expiresAt: failure.due.expiresAt,
    endedAt: failure.attempt.endedAt ?? ctx.world.wallNow(),
    inDoubt: failure.attempt.inDoubt,
    random: ctx.world.random(),
  })
const pendingOf = (ctx: Ctx) => ctx.table<AttemptId, PendingRetry>(RETRIES_TABLE)

const ask = ({ failure, next }: State, ctx: Ctx): void => {
  const { due, token, attempt, lonelyDeaths } = failure
  ctx.request(
    storeKeeper,
    { type: 'record-outcome', id: due.id, seq: due.seq, token, attempt, lonelyDeaths, next },
    'recorded',
    null,
    Number.POSITIVE_INFINITY,
  )
}

const tell = ({ failure, next, events }: State, seq: number, ctx: Ctx): void => {
  const { due, attempt } = failure
  const at = ctx.world.wallNow()
  const { status, error, timerMs, guardMs, networkMs } = attempt
  events.emit({
    type: 'attempt.finished',
    at,
    attemptId: attemptIdOf(due.id, attempt.number),
    domain: due.domain,
    brand: due.brand,
    status,
    error,
    timerMs,
    guardMs,
    networkMs,
  })
  if (next.state === 'retrying') {
    ctx.cast(scheduler, { type: 'retry-due', due: { ...due, seq, nextAt: next.nextAt, attempts: attempt.number } })
    events.emit({
      type: 'webhook.retried',
      at,
      id: due.id,
      domain: due.domain,
      attempt: attempt.number,
      nextAt: next.nextAt,
      error,
    })
  } else
    events.emit({ type: 'webhook.finished', at, id: due.id, domain: due.domain, brand: due.brand, state: next.state })
}
