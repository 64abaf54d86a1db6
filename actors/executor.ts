/**
 * executor: the execution engine. Starts one execution per admitted webhook and knows what is in flight.
 *
 * Started by the supervisor `delivery`. Its state is the table `executions` (owned by the supervisor `delivery`) and the
 * monitors on them. On restart it finds its running executions again in the table, and asks the store for started rows that
 * neither an execution nor a retry process nor the dispatch pool holds: they are in doubt (D-3). A crash costs what was in
 * its mailbox: the guards see the death, register again, and the scheduler tells those webhooks anew.
 */

import { conviction } from '#actors/dispatch-pool/conviction.ts'
import { dispatchPool, type InFlight } from '#actors/dispatch-pool.ts'
import { EXECUTIONS_TABLE, execution, type RunningExecution, type TakeUp } from '#actors/execution.ts'
import { type Admitted, guardFor, holdPermits, type Permit } from '#actors/guard.ts'
import { type PendingRetry, RETRIES_TABLE } from '#actors/retry.ts'
import { scheduler } from '#actors/scheduler.ts'
import { type StoreFailed, storeKeeper } from '#actors/store-keeper.ts'
import { AUDIT_MS, IN_DOUBT_HOLD_MS, PAGE_ROWS_MAX } from '#config/limits.ts'
import { type Behaviour, keep, ok, reply } from '#runtime/behaviour.ts'
import type { Context } from '#runtime/context.ts'
import { type DynamicChildStarted, type DynamicSupervisorProtocol, startChildren } from '#runtime/dynamic-supervisor.ts'
import type { From } from '#runtime/from.ts'
import type { Pid } from '#runtime/pid.ts'
import { type Answer, type Call, type MonitorRef, type Name, name, type TimerRef } from '#runtime/protocol.ts'
import { type ChildSpec, worker } from '#runtime/supervisor-spec.ts'
import type { StartedRow } from '#store/store.ts'
import type { Events } from '#telemetry/events.ts'
import { isConvicted } from '#webhook/placement.ts'
import { type AttemptId, attemptIdOf, type Due, type Instant } from '#webhook/webhook.ts'

/** An execution that is being started; `takeUp`: it takes up a lost one's work. */
interface Starting {
  readonly admitted: Admitted
  readonly token: string
  readonly takeUp: TakeUp | null
}
interface StartedPage {
  readonly rows: readonly StartedRow[]
  readonly next: number | null
}

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
export const executions: Name<DynamicSupervisorProtocol> = name('executions')

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
interface State extends ExecutorArgs {
  /** By monitor: whose, and the token of its start. */
  readonly watched: Map<MonitorRef, { readonly token: string; readonly pid: Pid }>
  /** By token: executions that died; the pool has been asked to end their attempts. */
  readonly orphans: Map<string, RunningExecution>
  /** By token: how often its work was taken up; those that are being started just now are `starting`. */
  readonly takeUps: Map<string, number>
  readonly starting: Set<string>
  readonly recoveryAwaited: From<'recovered'>[]
  readonly draining: From<'drained'>[]
  recovered: boolean
  reconciling: boolean
  audit: TimerRef | null
  poolWatched: boolean
}
type Ctx = Context<ExecutorProtocol>
const ASK_AGAIN_MS = 50
/** Executions started in one callback of their supervisor: well under a millisecond. */
const START_GROUP_MAX = 64
/** What kills an execution may kill its successor: from the third time on it waits, longer each time. */
const TAKE_UPS_AT_ONCE = 2
const TAKE_UP_MS_MAX = 5_000

export const executorActor: Behaviour<ExecutorProtocol, ExecutorArgs, State> = {
  name: 'executor',
  version: 1,
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

const running = (ctx: Ctx) => ctx.table<string, RunningExecution>(EXECUTIONS_TABLE)
const watch = (pid: Pid, token: string, state: State, ctx: Ctx): void => {
  state.watched.set(ctx.monitor(pid), { token, pid })
}

/** What was admitted together starts together: one message to the supervisor, and one back. */
const startExecutions = (startings: readonly Starting[], state: State, ctx: Ctx): void => {
  for (const { token, takeUp } of startings) if (takeUp !== null) state.starting.add(token)
  for (let at = 0; at < startings.length; at += START_GROUP_MAX) {
    const group = startings.slice(at, at + START_GROUP_MAX)
    const specs = group.map((starting) => specOf(starting, state))
    ctx.request(executions, startChildren(specs), 'executions-started', group, Number.POSITIVE_INFINITY)
  }
}
const specOf = ({ admitted, token, takeUp }: Starting, { events }: State): ChildSpec =>
  worker(execution, { admitted, token, takeUp, events }, { restart: 'temporary' })

/**
 * A first start that fails gives the webhook back, or, if its supervisor died after it had begun, its successor does; a
 * take-up is tried until it succeeds, because nobody else would.
 */
const onExecutionStarted = (
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
const onExecutionDown = (ref: MonitorRef, state: State, ctx: Ctx): void => {
  const dead = state.watched.get(ref)
  if (dead === undefined) return
  state.watched.delete(ref)
  const row = running(ctx).get(dead.token)
  if (row?.pid.id === dead.pid.id) return onOrphan(row, state, ctx)
  state.takeUps.delete(dead.token)
  if (running(ctx).size === 0) for (const from of state.draining.splice(0)) ctx.reply(from, 'drained')
}
/** Nobody cares for this start any more: what its execution knew, or else what the pool knows, says how it goes on. */
const onOrphan = (row: RunningExecution, state: State, ctx: Ctx): void => {
  if (row.known !== null) return takeUp(row, row.known, state, ctx)
  if (!row.sent) return takeUp(row, { how: 'unsent' }, state, ctx)
  state.orphans.set(row.token, row)
  if (!state.poolWatched) return onPoolDown(state, ctx)
  const { permit } = row.admitted
  ctx.cast(dispatchPool, { type: 'execution-died', attemptId: permit.attemptId, permit })
}

/** The pool's threads have ended before this: what was handed to it is in doubt; live executions find out by themselves. */
const onPoolDown = (state: State, ctx: Ctx): void => {
  state.poolWatched = false
  if (ctx.whereis(dispatchPool) !== null) watchPool(state, ctx)
  for (const row of state.orphans.values())
    takeUp(row, { how: 'in-doubt', reason: 'the dispatch pool has ended' }, state, ctx)
  state.orphans.clear()
  reconcileLater(ASK_AGAIN_MS, state, ctx)
}

/** The row stays until the new execution puts its own in its place: somebody cares for the attempt all the time. */
const takeUp = (row: RunningExecution, how: TakeUp, state: State, ctx: Ctx): void => {
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

/**
 * An execution that began for a dead executor is known to nobody here; without a monitor its death would leave its webhook
 * executing for ever.
 */
const watchUnwatched = (state: State, ctx: Ctx): void => {
  const watched = new Set([...state.watched.values()].map(({ pid }) => pid.id))
  for (const [token, row] of running(ctx).entries()) {
    if (watched.has(row.pid.id) || state.orphans.has(token) || state.starting.has(token)) continue
    watch(row.pid, token, state, ctx)
  }
}
const watchPool = (state: State, ctx: Ctx): void => {
  state.poolWatched = true
  ctx.monitor(dispatchPool)
}

/** Holders are looked at after the store was read: an attempt that began since then is not in the page. */
const reconcile = (state: State, ctx: Ctx, after = 0): void => {
  if (after === 0 && state.reconciling) return
  state.reconciling = true
  if (!state.poolWatched) watchPool(state, ctx)
  ctx.request(storeKeeper, { type: 'started', after, limit: PAGE_ROWS_MAX }, 'started-page')
}
const reconcileLater = (delayMs: number, state: State, ctx: Ctx): void => {
  state.reconciling = false
  if (state.audit !== null) ctx.cancelTimer(state.audit)
  state.audit = ctx.sendAfter(delayMs, { type: 'reconcile' })
}

const onInFlight = (inFlight: readonly InFlight[], page: StartedPage, state: State, ctx: Ctx): void => {
  if (!state.recovered) ctx.world.failpoint('executor.recovering')
  const held = new Set(inFlight.map((attempt) => attempt.attemptId))
  const nowMono = ctx.world.monoNow()
  const dead = page.rows.filter((row) => isOfDeadProcess(row, state))
  holdPermits(
    ctx,
    dead.map((row) => ({
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

const onHoldOver = (token: string, state: State, ctx: Ctx): void => {
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

/** As an attempt that ended as poison before it was sent: mark, record and decision go their usual way. */
const quarantine = (due: Due, detail: string, state: State, ctx: Ctx): void => {
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

/** What is known of the permit of an attempt that no guard has admitted, or none that is known: it is over. */
const lostPermit = (due: Due, attempt: number, startedAt: Instant, ctx: Ctx): Permit => ({
  attemptId: attemptIdOf(due.id, attempt),
  domain: due.domain,
  brand: due.brand,
  guard: 0,
  limiter: null,
  enteredAt: startedAt,
  admittedAt: startedAt,
  admittedMono: ctx.world.monoNow(),
  rates: [],
})
