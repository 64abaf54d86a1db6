/**
 * dispatch-pool: the sole authority on permits. Hands admitted attempts to the carriers (dispatch threads), each report back
 * to who must know, and refuses permits of a guard or brand-limiter that is not the registered one.
 *
 * Started by the supervisor `delivery`. Its state: which attempt is where and under which permit, the registered incarnations,
 * the carriers. A permit ends when this actor says `attempt-ended`: the request is finished, or its socket destroyed, or its
 * thread has exited (D-7, D-8). On restart it knows nothing, and needs nothing: its threads ended before its DOWN went out
 * (D-9), so every attempt of the old one is in doubt, guards and limiters register anew, and new threads start. A crash
 * costs the attempts in flight a retry.
 */
import { brandLimiterOf } from '#actors/brand-limiter.ts'
import { conviction, suspicionAfter } from '#actors/dispatch-pool/conviction.ts'
import type { TakeUp } from '#actors/execution.ts'
import type { ExecutorProtocol } from '#actors/executor.ts'
import { guardFor, guardKeyIn, guardOf, type Permit } from '#actors/guard.ts'
import { type StoreFailed, storeKeeper } from '#actors/store-keeper.ts'
import { ATTEMPTS_IN_FLIGHT_MAX, LONELY_IDLE_MS } from '#config/limits.ts'
import type { AttemptOrder, AttemptReport, Carrier, Dispatch } from '#dispatch/dispatch.ts'
import { departAt, isCalledBack, keepUntil, takeReady, type Waiting } from '#guard/departure.ts'
import {
  bookIn,
  CONDITIONS_TABLE,
  type ConditionsRow,
  DEPARTURES_TABLE,
  GROUPS_TABLE,
  LIMITS_TABLE,
  type LimitsRow,
  RATES_TABLE,
  type RatesRow,
} from '#guard/tables.ts'
import { type Behaviour, keep, ok, reply } from '#runtime/behaviour.ts'
import type { Context } from '#runtime/context.ts'
import { describeReason } from '#runtime/exit.ts'
import type { From } from '#runtime/from.ts'
import type { Pid } from '#runtime/pid.ts'
import { type Answer, type Call, type MonitorRef, type Name, name, type TimerRef } from '#runtime/protocol.ts'
import type { MarkedAlone } from '#store/store.ts'
import type { Events } from '#telemetry/events.ts'
import { epochOf, type GroupBook, guardKeyOf } from '#webhook/domain-group.ts'
import {
  emptyPlacement,
  type Given,
  isConvicted,
  isReady,
  join,
  leave,
  type Placement,
  place,
  placeWaiting,
  retire,
  unplace,
  type Victim,
} from '#webhook/placement.ts'
import type { AttemptId, Brand, Domain, Outcome } from '#webhook/webhook.ts'

export interface InFlight {
  readonly attemptId: AttemptId
  readonly domain: Domain
  readonly brand: Brand
}
export interface Registered {
  /** Names this incarnation in its permits; greater than any before. */
  readonly incarnation: number
  readonly inFlight: readonly InFlight[]
}

export interface DispatchPoolProtocol {
  readonly call: /**
   * A guard's first act, and again when executor or pool died, or when it is told to. From now on older permits of the domain are
   * refused. Monitored: its death ends the incarnation. Answered when there is a thread to send with: a rate counts a start when
   * it is sent, so nothing may be admitted into a queue that is then emptied at once.
   */
    | Call<{ readonly type: 'register-guard'; readonly domain: Domain; readonly pid: Pid }, Registered>
    | Call<{ readonly type: 'register-limiter'; readonly brand: Brand; readonly pid: Pid }, Registered>
    | Call<{ readonly type: 'in-flight' }, readonly InFlight[]>
    /** Graceful stop: from now on orders are refused; answered when nothing is in flight. Ask with a long timeout. */
    | Call<{ readonly type: 'drain' }, 'drained'>
    | Call<{ readonly type: 'figures' }, DispatchFigures>
  readonly cast:
    | { readonly type: 'dispatch'; readonly order: AttemptOrder; readonly permit: Permit; readonly execution: Pid }
    /** From `limits`: some hosts are under another guard now. */
    | { readonly type: 'regrouped' }
    /** From the executor: abort it; answers with `attempt-ended` to the executor, at once if it is not held. */
    | { readonly type: 'execution-died'; readonly attemptId: AttemptId; readonly permit: Permit }
  readonly info:
    | Answer<'carrier-started', Carrier, number>
    | Answer<'isolated', MarkedAlone | StoreFailed, AttemptId>
    | { readonly type: 'isolate-again'; readonly attemptId: AttemptId }
    | { readonly type: 'start-carrier' }
    | { readonly type: 'lonely-idle' }
    | { readonly type: 'send-early' }
    | { readonly type: 'carrier-reported'; readonly carrier: number; readonly reports: readonly AttemptReport[] }
    | { readonly type: 'carrier-ended'; readonly carrier: number; readonly reason: string }
  readonly continue: never
}
export const dispatchPool: Name<DispatchPoolProtocol> = name('dispatch-pool')

/** What an execution hears from the pool, as info messages. */
export type PoolSays =
  | { readonly type: 'attempt-reported'; readonly report: AttemptReport }
  /** Not a byte was sent: its permit is of an older incarnation, or the daemon is stopping. The permit is void: nobody gives it back. */
  | { readonly type: 'attempt-refused'; readonly attemptId: AttemptId }
  /** Its thread has died: in doubt, and suspect from now on (D-17). */
  | {
      readonly type: 'attempt-lost'
      readonly attemptId: AttemptId
      readonly reason: string
      readonly lonelyDeaths: number
    }

export interface DispatchFigures {
  /** Live carriers, attempts that they hold, attempts that wait for a free place in one. */
  readonly carriers: number
  readonly inFlight: number
  readonly queued: number
}

export interface DispatchPoolArgs {
  /** Opened in `init`, so that a restart has threads of its own. */
  readonly openDispatch: () => Dispatch
  readonly events: Events
}

interface Held {
  readonly order: AttemptOrder
  readonly permit: Permit
  /** Under which guard it was taken: where that is another one now, it is not sent any more. */
  readonly under: string
  /** Null when it has died: then the executor is told. */
  execution: Pid | null
}
interface Incarnation {
  readonly number: number
  readonly monitor: MonitorRef
  /** Of a guard: what its key meant when it registered (D-13). */
  readonly epoch: number
}
interface State {
  readonly args: DispatchPoolArgs
  readonly dispatch: Dispatch
  readonly held: Map<AttemptId, Held>
  readonly placement: Placement<AttemptOrder>
  /** The live carriers by number. */
  readonly carriers: Map<number, Carrier>
  /** The spare carrier for suspects, from the start of its thread to the end of it. */
  lonely: number | null
  /** Suspects that have their thread, and are sent once the store knows that. */
  readonly isolating: Set<AttemptId>
  /** Refused as unsent, the latest: their executions may have died before they heard it. */
  readonly refused: Set<AttemptId>
  readonly guards: Map<Domain, Incarnation>
  readonly limiters: Map<Brand, Incarnation>
  /** Guards that wait for the first thread. */
  readonly unready: Map<Domain, { readonly from: From<Registered>; readonly pid: Pid }>
  /** Which registration a monitor is about. */
  readonly monitors: Map<MonitorRef, { readonly of: Map<string, Incarnation>; readonly key: string }>
  draining: From<'drained'>[] | null
  /** What arrived sooner after the one before it than its rates allow: the store had stalled. */
  readonly early: Waiting<Held>
  earlyWake: TimerRef | null
}
type Ctx = Context<DispatchPoolProtocol>

/** Named here: the executor's file imports this one. */
const executor: Name<ExecutorProtocol> = name('executor')
const NEVER = Number.POSITIVE_INFINITY
/** A thread that could not even start is tried again after this; one that has run is replaced at once. */
const START_AGAIN_MS = 200
const ISOLATE_AGAIN_MS = 50

export const dispatchPoolActor: Behaviour<DispatchPoolProtocol, DispatchPoolArgs, State> = {
  name: 'dispatch-pool',
  version: 1,
  init(args, ctx) {
    const dispatch = args.openDispatch()
    ctx.own(() => dispatch.close())
    const state: State = {
      args,
      dispatch,
      held: new Map(),
      placement: emptyPlacement(dispatch.capacity),
      carriers: new Map(),
      lonely: null,
      isolating: new Set(),
      refused: new Set(),
      guards: new Map(),
      limiters: new Map(),
      unready: new Map(),
      monitors: new Map(),
      draining: null,
      early: [],
      earlyWake: null,
    }
    for (let i = 0; i < dispatch.carriers; i++) startCarrier(state, ctx)
    return ok(state)
  },
  call: {
    'register-guard': ({ domain, pid }, from, state, ctx) => {
      if (isReady(state.placement)) return reply(registerGuard(domain, pid, state, ctx), state)
      state.unready.set(domain, { from, pid })
      return keep
    },
    'register-limiter': ({ brand, pid }, _from, state, ctx) =>
      reply(
        register(state.limiters, brand, pid, (held) => held.permit.brand === brand, state, ctx),
        state,
      ),
    'in-flight': (_request, _from, state) =>
      reply(
        inFlight(state, () => true),
        state,
      ),
    drain: (_request, from, state, ctx) => {
      state.draining ??= []
      ctx.world.failpoint('dispatch-pool.draining')
      for (const { what } of state.early.splice(0)) handBack(what.order.attemptId, state, ctx)
      if (state.held.size === 0) return reply('drained', state)
      state.draining.push(from)
      return keep
    },
    figures: (_request, _from, state) => {
      const { carriers, places } = state.placement
      const inFlight = places.size
      return reply({ carriers: carriers.size, inFlight, queued: state.held.size - inFlight }, state)
    },
  },
  cast: {
    dispatch: ({ order, permit, execution }, state, ctx) => {
      if (state.held.has(order.attemptId)) throw new Error(`${order.attemptId} was dispatched twice`)
      const atMono = isRefused(permit, state, ctx) ? NEVER : departureOf(permit, ctx)
      if (atMono === NEVER) {
        refuse(permit, execution, state, ctx)
        return keep
      }
      const held = { order, permit, execution, under: standing(permit, ctx) }
      state.held.set(order.attemptId, held)
      state.refused.delete(order.attemptId)
      if (atMono > ctx.world.monoNow()) holdUntil(atMono, held, state, ctx)
      else send(held, state, ctx)
      return keep
    },
    regrouped: (_message, state, ctx) => {
      for (const [attemptId, held] of [...state.held])
        if (!state.placement.places.has(attemptId) && held.under !== standing(held.permit, ctx))
          handBack(attemptId, state, ctx)
      return keep
    },
    'execution-died': ({ attemptId }, state, ctx) => {
      const held = state.held.get(attemptId)
      const number = state.placement.places.get(attemptId)
      if (held !== undefined && number !== undefined && !state.isolating.has(attemptId)) {
        held.execution = null
        state.carriers.get(number)?.abort([attemptId])
        return keep
      }
      if (held !== undefined) ended(attemptId, null, state, ctx)
      const unsent = state.refused.delete(attemptId) || held !== undefined
      const how: TakeUp = unsent ? { how: 'unsent' } : { how: 'in-doubt', reason: 'its execution died with the report' }
      ctx.cast(executor, { type: 'attempt-ended', attemptId, how })
      return keep
    },
  },
  info(message, state, ctx) {
    switch (message.type) {
      case 'carrier-reported':
        for (const report of message.reports) reported(report, state, ctx)
        for (const given of placeWaiting(state.placement)) hand(given, state, ctx)
        return keep
      case 'isolated':
        onIsolated(message, state, ctx)
        return keep
      case 'isolate-again':
        isolate(message.attemptId, state, ctx)
        return keep
      case 'carrier-started':
        onCarrierStarted(message, state, ctx)
        return keep
      case 'start-carrier':
        startCarrier(state, ctx)
        return keep
      case 'lonely-idle':
        endIdleLonely(state, ctx)
        return keep
      case 'send-early':
        state.earlyWake = null
        sendEarly(state, ctx)
        return keep
      case 'carrier-ended':
        onCarrierEnded(message.carrier, message.reason, state, ctx)
        return keep
      case 'DOWN':
        endIncarnation(message.ref, state)
        return keep
      case 'EXIT':
      case 'timeout':
        return keep
      default:
        return message satisfies never
    }
  },
  formatStatus: (state) => ({
    carriers: state.placement.carriers.size,
    held: state.held.size,
    queued: state.held.size - state.placement.places.size,
    suspects: state.placement.lonelyQueue.size + state.isolating.size,
    guards: state.guards.size,
    limiters: state.limiters.size,
    draining: state.draining !== null,
  }),
}

// ---------------------------------------------------------------- incarnations

const register = (
  of: Map<string, Incarnation>,
  key: string,
  pid: Pid,
  mine: (held: Held) => boolean,
  state: State,
  ctx: Ctx,
): Registered => {
  const before = of.get(key)
  if (before !== undefined) {
    ctx.demonitor(before.monitor, { flush: true })
    state.monitors.delete(before.monitor)
  }
  const epoch = epochOf(bookOf(ctx), key)
  const incarnation: Incarnation = { number: ctx.uniqueInteger(), monitor: ctx.monitor(pid), epoch }
  of.set(key, incarnation)
  state.monitors.set(incarnation.monitor, { of, key })
  return { incarnation: incarnation.number, inFlight: inFlight(state, mine) }
}

const registerGuard = (domain: Domain, pid: Pid, state: State, ctx: Ctx): Registered =>
  register(state.guards, domain, pid, (held) => guardKeyIn(ctx, held.permit.domain) === domain, state, ctx)

/** A thread is there: the guards may admit. */
const answerUnready = (state: State, ctx: Ctx): void => {
  for (const [domain, { from, pid }] of state.unready) ctx.reply(from, registerGuard(domain, pid, state, ctx))
  state.unready.clear()
}

/** The last thread is gone: what waits goes back unsent, and the guards admit nothing until there is another. */
const suspendGuards = (state: State, ctx: Ctx): void => {
  for (const [domain, { monitor }] of state.guards) {
    ctx.demonitor(monitor, { flush: true })
    state.monitors.delete(monitor)
    ctx.cast(guardOf(domain), { type: 'register-again' })
  }
  state.guards.clear()
  for (const attemptId of [...state.placement.queue.keys()]) handBack(attemptId, state, ctx)
  for (const { what } of state.early.splice(0)) handBack(what.order.attemptId, state, ctx)
}
/** Unknown ids are ignored. Whoever registered while it was held counts it, so whoever that is now hears its end. */
const handBack = (attemptId: AttemptId, state: State, ctx: Ctx): void => {
  const held = ended(attemptId, null, state, ctx)
  if (held === null) return
  if (held.execution !== null) ctx.send<ExecutionHears>(held.execution, { type: 'attempt-refused', attemptId })
  else ctx.cast(executor, { type: 'attempt-ended', attemptId, how: { how: 'unsent' } })
}

const inFlight = (state: State, which: (held: Held) => boolean): InFlight[] => {
  const attempts: InFlight[] = []
  for (const [attemptId, held] of state.held)
    if (which(held)) attempts.push({ attemptId, domain: held.permit.domain, brand: held.permit.brand })
  return attempts
}

const endIncarnation = (monitor: MonitorRef, state: State): void => {
  const registration = state.monitors.get(monitor)
  state.monitors.delete(monitor)
  if (registration?.of.get(registration.key)?.monitor === monitor) registration.of.delete(registration.key)
}

const bookOf = (ctx: Ctx): GroupBook => bookIn(ctx.table<string, GroupBook>(GROUPS_TABLE))
/** It is the guard that its host has now, and was when it gave the permit. */
const guardIsCurrent = (permit: Permit, state: State, ctx: Ctx): boolean => {
  const book = bookOf(ctx)
  const key = guardKeyOf(book, permit.domain)
  const registered = state.guards.get(key)
  return registered?.number === permit.guard && registered.epoch === epochOf(book, key)
}
/** Differs when the host has come under another guard, or its guard stands for other hosts. */
const standing = ({ domain }: Permit, ctx: Ctx): string => {
  const key = guardKeyIn(ctx, domain)
  return `${key} ${epochOf(bookOf(ctx), key)}`
}
const limiterIsCurrent = (permit: Permit, state: State): boolean =>
  permit.limiter === null || state.limiters.get(permit.brand)?.number === permit.limiter
const isCurrent = (permit: Permit, state: State, ctx: Ctx): boolean =>
  guardIsCurrent(permit, state, ctx) && limiterIsCurrent(permit, state)

/** Who gave a part of the permit that still counts gets it back; nobody else remembers it. */
const refuse = (permit: Permit, execution: Pid, state: State, ctx: Ctx): void => {
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

// ---------------------------------------------------------------- attempts

/** Only what is said to executions is of interest here: they are known by pid. */
interface ExecutionHears {
  readonly call: never
  readonly cast: never
  readonly info: PoolSays
  readonly continue: never
}

/** Its permit is of an older incarnation, the daemon stops, or its receiver has said "not now" since it was admitted. */
const isRefused = (permit: Permit, state: State, ctx: Ctx): boolean =>
  state.draining !== null || !isCurrent(permit, state, ctx) || calledBack(permit, ctx)
const calledBack = ({ domain, brand }: Permit, ctx: Ctx): boolean =>
  isCalledBack(
    ctx.table<Domain, ConditionsRow>(CONDITIONS_TABLE).get(guardKeyIn(ctx, domain)),
    brand,
    ctx.world.monoNow(),
  )

/** Almost always now: where its rates were kept to from the admission on, nothing is waited for here. */
const departureOf = ({ rates }: Permit, ctx: Ctx): number =>
  rates.length === 0
    ? Number.NEGATIVE_INFINITY
    : departAt(rates, {
        limits: ctx.table<string, LimitsRow>(LIMITS_TABLE),
        rates: ctx.table<string, RatesRow>(RATES_TABLE),
        departures: ctx.table<string, RatesRow>(DEPARTURES_TABLE),
        nowMono: ctx.world.monoNow(),
      })

const send = ({ order }: Held, state: State, ctx: Ctx): void => {
  hand(place(state.placement, order), state, ctx)
  startLonely(state, ctx)
}
const holdUntil = (atMono: number, held: Held, state: State, ctx: Ctx): void => {
  keepUntil(state.early, atMono, held)
  if (state.early[0]?.what === held) wakeForEarly(state, ctx)
}
const wakeForEarly = (state: State, ctx: Ctx): void => {
  const first = state.early[0]
  if (state.earlyWake !== null) ctx.cancelTimer(state.earlyWake)
  const inMs = first === undefined ? 0 : Math.max(1, Math.ceil(first.atMono - ctx.world.monoNow()))
  state.earlyWake = first === undefined ? null : ctx.sendAfter(inMs, { type: 'send-early' })
}
/** What was given back meanwhile, or is called back now, is not sent. */
const sendEarly = (state: State, ctx: Ctx): void => {
  for (const held of takeReady(state.early, ctx.world.monoNow())) {
    if (state.held.get(held.order.attemptId) !== held) continue
    if (calledBack(held.permit, ctx) || held.under !== standing(held.permit, ctx))
      handBack(held.order.attemptId, state, ctx)
    else send(held, state, ctx)
  }
  wakeForEarly(state, ctx)
}

/** What is handed over within one turn travels as one group. */
const hand = (given: Given<AttemptOrder> | null, state: State, ctx: Ctx): void => {
  if (given === null) return
  if (given.carrier !== state.lonely) return state.carriers.get(given.carrier)?.dispatch([given.order])
  state.isolating.add(given.order.attemptId)
  isolate(given.order.attemptId, state, ctx)
}

/** If it takes the whole process with it, only the store can say who was alone (D-17). */
const isolate = (attemptId: AttemptId, state: State, ctx: Ctx): void => {
  const held = state.held.get(attemptId)
  if (held === undefined || !state.isolating.has(attemptId)) return
  const { webhookId: id, attempt } = held.order
  ctx.request(storeKeeper, { type: 'mark-alone', id, attempt }, 'isolated', attemptId, Number.POSITIVE_INFINITY)
}
const onIsolated = (
  message: Answer<'isolated', MarkedAlone | StoreFailed, AttemptId>,
  state: State,
  ctx: Ctx,
): void => {
  const attemptId = message.data
  const held = state.held.get(attemptId)
  const number = state.placement.places.get(attemptId)
  if (held === undefined || number === undefined || !state.isolating.has(attemptId)) return
  // The keeper died before its answer, or its disk is full: it is asked the same again.
  if (!message.ok || 'failed' in message.value)
    return void ctx.sendAfter(ISOLATE_AGAIN_MS, { type: 'isolate-again', attemptId })
  if (!message.value.ok) return handBack(attemptId, state, ctx)
  state.isolating.delete(attemptId)
  state.carriers.get(number)?.dispatch([held.order])
}

/** Permits first, then the execution. */
const reported = (report: AttemptReport, state: State, ctx: Ctx): void => {
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

const lost = ({ order, lonelyDeaths }: Victim<AttemptOrder>, reason: string, state: State, ctx: Ctx): void => {
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
const ended = (attemptId: AttemptId, outcome: Outcome | null, state: State, ctx: Ctx): Held | null => {
  const held = state.held.get(attemptId)
  if (held === undefined) return null
  state.held.delete(attemptId)
  unplace(state.placement, attemptId)
  state.isolating.delete(attemptId)
  const { domain, brand, limiter } = held.permit
  ctx.cast(guardFor(ctx, domain), { type: 'attempt-ended', attemptId, domain, brand, outcome })
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

// ---------------------------------------------------------------- carriers

const startCarrier = (state: State, ctx: Ctx, lonely = false): number => {
  const carrier = ctx.uniqueInteger()
  const started = state.dispatch.startCarrier(
    {
      reported: (reports) => ctx.send<DispatchPoolProtocol>(ctx.self, { type: 'carrier-reported', carrier, reports }),
      ended: (reason) => ctx.send<DispatchPoolProtocol>(ctx.self, { type: 'carrier-ended', carrier, reason }),
    },
    lonely,
  )
  ctx.pipe(started, 'carrier-started', carrier)
  return carrier
}

const onCarrierStarted = (message: Answer<'carrier-started', Carrier, number>, state: State, ctx: Ctx): void => {
  const lonely = message.data === state.lonely
  if (message.ok) {
    state.carriers.set(message.data, message.value)
    for (const given of join(state.placement, message.data, lonely)) hand(given, state, ctx)
    if (!lonely) answerUnready(state, ctx)
    state.args.events.emit({ type: 'carrier.started', at: ctx.world.wallNow(), reason: `carrier ${message.data}` })
    return
  }
  const reason = `could not start: ${describeReason(message.reason)}`
  state.args.events.emit({ type: 'carrier.ended', at: ctx.world.wallNow(), reason })
  if (lonely) state.lonely = null
  ctx.sendAfter(START_AGAIN_MS, { type: lonely ? 'lonely-idle' : 'start-carrier' })
}

/** Its thread has exited: the permits are free, a new thread starts, and what it held is in doubt. */
const onCarrierEnded = (number: number, reason: string, state: State, ctx: Ctx): void => {
  const victims = leave(state.placement, number)
  state.carriers.delete(number)
  if (number === state.lonely) state.lonely = null
  else startCarrier(state, ctx)
  state.args.events.emit({ type: 'carrier.ended', at: ctx.world.wallNow(), reason })
  for (const victim of victims) lost(victim, reason, state, ctx)
  if (!isReady(state.placement)) suspendGuards(state, ctx)
  startLonely(state, ctx)
}

const startLonely = (state: State, ctx: Ctx): void => {
  if (state.lonely !== null || state.placement.lonelyQueue.size === 0) return
  state.lonely = startCarrier(state, ctx, true)
  ctx.sendAfter(LONELY_IDLE_MS, { type: 'lonely-idle' })
}
const endIdleLonely = (state: State, ctx: Ctx): void => {
  if (state.lonely === null) return startLonely(state, ctx)
  if (retire(state.placement, state.lonely)) void state.carriers.get(state.lonely)?.end()
  else ctx.sendAfter(LONELY_IDLE_MS, { type: 'lonely-idle' })
}
