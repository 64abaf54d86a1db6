/**
 * guard: admits the webhooks of one domain. Started on demand by the scheduler (under `guards`, temporary).
 *
 * State: a bounded window of each lane of the store, and which attempts hold its permits. On start it registers its
 * incarnation at the dispatch pool and counts what is in flight, reads its due lanes from the store, and only then admits
 * (D-7, D-18). What it must not forget (rates, holds) lies in tables that outlive it (D-10). A crash costs milliseconds:
 * the scheduler sees it and starts the next one (D-2). It registers anew when the pool or the executor dies.
 */
import {
  type BrandGranted,
  type BrandLimiterProtocol,
  brandLimiterOf,
  brandLimiterSpec,
} from '#actors/brand-limiter.ts'
import type { DispatchPoolProtocol, Registered } from '#actors/dispatch-pool.ts'
import type { ExecutorProtocol } from '#actors/executor.ts'
import type { LimitSet, LimitsProtocol } from '#actors/limits.ts'
import type { SchedulerProtocol } from '#actors/scheduler.ts'
import { type StoreFailed, storeKeeper } from '#actors/store-keeper.ts'
import {
  CLOSURE_KEPT_MS_MIN,
  FIGURES_MS,
  GUARD_IDLE_MS,
  LANE_WINDOW_LOW,
  LANE_WINDOW_MAX,
  PAGE_ROWS_MAX,
  WAITING_SHOWN_MAX,
} from '#config/limits.ts'
import { ADAPTIVE_CEILING } from '#guard/adaptive.ts'
import {
  type Block,
  concurrencyNow,
  type Ground,
  type LimitName,
  nextVerdict,
  releasePermit,
  releaseReserved,
  type Start,
  startGranted,
  takeUpPermit,
} from '#guard/admission.ts'
import { endDueMono, isPressed, noPressure, observe, type Pressure } from '#guard/backpressure.ts'
import type { BrandQueue } from '#guard/brand-queue.ts'
import { BREAKER_OPEN_MS_DEFAULT, openBreaker } from '#guard/breaker.ts'
import { close } from '#guard/closure.ts'
import {
  type ConditionChange,
  type ConditionPolicy,
  type Conditions,
  hear,
  newConditions,
  passTime,
  saysNothing,
} from '#guard/conditions.ts'
import {
  type Assumptions,
  aheadInBrand,
  aheadInDomain,
  aheadOfNew,
  blockOf,
  type Depth,
  depths,
  drainMs,
  placeInLane,
  predictStart,
} from '#guard/explain.ts'
import { endedHolds, type Flights, type Hold, nextHoldEnd } from '#guard/flights.ts'
import { concurrencyOf, isPaused, type LimitTable, limitKey, rateOf, settingOf } from '#guard/limits.ts'
import { hasSlow, nodeRoom, reportLoad } from '#guard/node-load.ts'
import {
  caughtUp,
  dropWaiting,
  emptyQueues,
  fillWindow,
  offerDue,
  oldestWaiting,
  type Queues,
  queueOf,
  sweepBrands,
  wantMore,
  windowAt,
} from '#guard/queues.ts'
import { countStart, emptyCounter, type StartCounter, startsLastSecond } from '#guard/start-counter.ts'
import {
  brandHolds,
  CONDITIONS_TABLE,
  type ConditionsRow,
  domainHolds,
  FIGURES_TABLE,
  HOLDS_TABLE,
  type HoldsRow,
  LIMITS_TABLE,
  type LimitsRow,
  NODE_TABLE,
  type NodeLoad,
  RATES_KNOWN_SINCE,
  RATES_TABLE,
  type RatesRow,
} from '#guard/tables.ts'
import { type Window, windowSize } from '#guard/window.ts'
import { type Behaviour, type CastResult, keep, ok, reply, stop } from '#runtime/behaviour.ts'
import type { Context } from '#runtime/context.ts'
import type { DynamicChildStarted, DynamicSupervisorProtocol } from '#runtime/dynamic-supervisor.ts'
import type { From } from '#runtime/from.ts'
import type { Pid } from '#runtime/pid.ts'
import {
  type Answer,
  type Call,
  type Down,
  type MonitorRef,
  type Name,
  name,
  type TimerRef,
} from '#runtime/protocol.ts'
import { type ChildSpec, worker } from '#runtime/supervisor-spec.ts'
import type { Events } from '#telemetry/events.ts'
import {
  type AttemptId,
  attemptIdOf,
  type Brand,
  type Domain,
  type Due,
  type Instant,
  type LaneKey,
  type Outcome,
  type Priority,
  type WebhookId,
} from '#webhook/webhook.ts'

/** The guard's yes: one attempt may start now. Plain data; the dispatch pool refuses one of an older incarnation (D-7). */
export interface Permit {
  readonly attemptId: AttemptId
  readonly domain: Domain
  readonly brand: Brand
  /** The guard's incarnation, as the dispatch pool gave it. */
  readonly guard: number
  /** The brand-limiter's incarnation, or null where the brand has no concurrency limit. */
  readonly limiter: number | null
  /** When it came into the guard's hands; its `nextAt` where it waited in the store until a refill. */
  readonly enteredAt: Instant
  readonly admittedAt: Instant
  /** Monotonic instant of the admission, for the guard's own accounting. */
  readonly admittedMono: number
}
export interface Admitted {
  readonly due: Due
  readonly permit: Permit
}

type Read<V> = { readonly ok: true; readonly value: V } | StoreFailed
type LanePage = { readonly lanes: readonly LaneKey[]; readonly next: LaneKey | null }
type Backlog = { readonly count: number; readonly oldestAt: Instant | null }
/** Who asked what needs the number of all that waits, the store's part included. */
type Counting =
  | {
      readonly ask: 'predict'
      readonly from: From<Predicted>
      readonly brand: Brand
      readonly priority: Priority
      readonly count: number
    }
  | { readonly ask: 'show'; readonly from: From<GuardShown> }
type HeadPage = { readonly rows: readonly Due[]; readonly more: boolean }

export interface GuardProtocol {
  readonly call:
    | Call<{ readonly type: 'figures' }, GuardFigures>
    /** Null: it does not wait in a window of this guard (it runs, is done, or is still in the store). */
    | Call<{ readonly type: 'explain'; readonly id: WebhookId }, Explained | null>
    /** When the last of `count` new webhooks would start. */
    | Call<
        { readonly type: 'predict'; readonly brand: Brand; readonly priority: Priority; readonly count: number },
        Predicted
      >
    | Call<{ readonly type: 'show' }, GuardShown>
  readonly cast: /** From the scheduler: these are due. `more`: lanes of which the store holds due rows that were not told. */
    | { readonly type: 'due'; readonly entries: readonly Due[]; readonly more: readonly LaneKey[] }
    /** From the dispatch pool: the request is finished or its socket destroyed; the permit is back. */
    | {
        readonly type: 'attempt-ended'
        readonly attemptId: AttemptId
        readonly brand: Brand
        readonly outcome: Outcome | null
      }
    /** From an execution or the executor: never handed to the pool. */
    | { readonly type: 'permit-unused'; readonly attemptId: AttemptId; readonly brand: Brand }
    /** Attempts of a dead process have been written into the table `holds` (D-12); see `holdPermits`. */
    | { readonly type: 'holds-changed' }
    | { readonly type: 'limits-changed' }
    /** From a brand-limiter. */
    | BrandGranted
    | { readonly type: 'cancelled'; readonly id: WebhookId }
  readonly info:
    | { readonly type: 'wake' }
    | Answer<'registered', Registered, number>
    | Answer<'lanes', Read<LanePage>, number>
    | Answer<'head', Read<HeadPage>, { readonly lane: LaneKey; readonly until: Instant; readonly round: number }>
    | Answer<'limiter-started', DynamicChildStarted, Brand>
    | Answer<'kept', LimitSet>
    | Answer<'counted', Read<Backlog>, { readonly counting: Counting }>
  readonly continue: { readonly type: 'register' }
}
export interface GuardArgs {
  readonly domain: Domain
  readonly events: Events
}
export const guardOf = (domain: Domain): Name<GuardProtocol> => name(`guard ${domain}`)
/** The dynamic supervisor of guards and brand-limiters. `ctx.request(guards, startGuard(...), label, data)` starts one. */
export const guards: Name<DynamicSupervisorProtocol> = name('guards')
export const guardSpec = (args: GuardArgs): ChildSpec =>
  worker(guard, args, { name: guardOf(args.domain), restart: 'temporary' })
export const startGuard = (args: GuardArgs): { readonly type: 'start-child'; readonly spec: ChildSpec } => ({
  type: 'start-child',
  spec: guardSpec(args),
})

/** In-doubt attempts of a dead process hold their permits until `untilMono`, whether their guard lives or not (D-12). */
export const holdPermits = (ctx: Context, holds: readonly (Hold & { readonly domain: Domain })[]): void => {
  const table = ctx.table<string, HoldsRow>(HOLDS_TABLE)
  for (const { attemptId, brand, untilMono, domain } of holds) {
    for (const key of [domainHolds(domain), brandHolds(brand)])
      table.set(key, [...(table.get(key) ?? []), { attemptId, brand, untilMono }])
  }
  for (const domain of new Set(holds.map((hold) => hold.domain))) ctx.cast(guardOf(domain), { type: 'holds-changed' })
  for (const brand of new Set(holds.map((hold) => hold.brand)))
    ctx.cast(brandLimiterOf(brand), { type: 'holds-changed' })
}

/** What a guard shows of itself; also a row of the table `guard-figures`, keyed by domain. */
export interface GuardFigures {
  readonly domain: Domain
  readonly state: 'starting' | 'open' | 'paused' | 'closed' | 'breaker-open' | 'breaker-half-open'
  readonly concurrency: { readonly current: number; readonly limit: number | null }
  readonly rate: { readonly startsLastSecond: number; readonly limit: number | null; readonly burst: number | null }
  /** Waiting in the windows; `more` if the store holds more. */
  readonly queued: number
  readonly more: boolean
  readonly oldestWaitingAt: Instant | null
  readonly backpressure: { readonly active: boolean; readonly since: Instant | null; readonly limit: string | null }
  readonly overshoot: number
}

/** Why a webhook waits, and when it will start. */
export interface Explained {
  readonly blockedOn: { readonly limit: LimitName; readonly key: string } | null
  readonly since: Instant
  /** From 1. */
  readonly placeInLane: number
  readonly placeInDomain: number
  /** Null: nobody can say. */
  readonly expectedAt: Instant | null
  readonly assumptions: Assumptions
}
export interface Predicted {
  readonly expectedAt: Instant | null
  readonly assumptions: Assumptions
}
export interface GuardShown extends GuardFigures {
  /** All that waits, the store's part included, counted to at most WAITING_SHOWN_MAX. */
  readonly waiting: number
  readonly depths: readonly Depth[]
  /** Null: nobody can say. */
  readonly drainMs: number | null
  readonly serviceMs: number
  readonly closedUntil: Instant | null
  readonly breaker: { readonly state: 'closed' | 'open' | 'half-open'; readonly until: Instant | null }
  readonly adaptive: number | null
  readonly blockedOn: LimitName | null
}

interface State extends GuardArgs {
  /** `registering` and `loading` admit nothing. */
  phase: 'registering' | 'loading' | 'open'
  incarnation: number
  /** Counts the registrations: an answer to an older one is dropped. */
  round: number
  readonly queues: Queues
  readonly flights: Flights
  holds: number
  /** Lane heads that the start still waits for; `lanesRead`: there are no others. */
  loading: number
  lanesRead: boolean
  refilling: number
  /** Attempts that ended or were cancelled while a refill was under way: its page may still show them (D-3). */
  readonly gone: Set<AttemptId>
  watched: MonitorRef[]
  readonly limiters: Map<Brand, { readonly pid: Pid; readonly ref: MonitorRef } | 'starting'>
  block: Block | null
  readonly pressure: Pressure
  readonly starts: StartCounter
  overshoot: number
  /** When to try again what the store or the pool did not answer. */
  againMono: number
  figuresMono: number
  figuresStale: boolean
  idleSinceMono: number
  wake: { readonly ref: TimerRef; readonly atMono: number } | null
}
type Ctx = Context<GuardProtocol>
type Result = CastResult<GuardProtocol, State>

const NEVER = Number.POSITIVE_INFINITY
const AGAIN_MS = 20
/** Named here: their files import this one. */
const dispatchPool: Name<DispatchPoolProtocol> = name('dispatch-pool')
const executor: Name<ExecutorProtocol> = name('executor')
const scheduler: Name<SchedulerProtocol> = name('scheduler')
const limits: Name<LimitsProtocol> = name('limits')

export const guard: Behaviour<GuardProtocol, GuardArgs, State> = {
  name: 'guard',
  version: 1,
  init(args, ctx) {
    const now = ctx.world.monoNow()
    const state: State = {
      ...args,
      phase: 'registering',
      incarnation: 0,
      round: 0,
      queues: emptyQueues(args.domain, LANE_WINDOW_MAX),
      flights: new Map(),
      holds: 0,
      loading: 0,
      lanesRead: false,
      refilling: 0,
      gone: new Set(),
      watched: [],
      limiters: new Map(),
      block: null,
      pressure: noPressure(),
      starts: emptyCounter(),
      overshoot: 0,
      againMono: NEVER,
      figuresMono: now - FIGURES_MS,
      figuresStale: true,
      idleSinceMono: now,
      wake: null,
    }
    args.events.emit({ type: 'guard.started', at: ctx.world.wallNow(), domain: args.domain })
    return ok(state, { continue: { type: 'register' } })
  },
  continue(_message, state, ctx) {
    register(state, ctx)
    return turn(state, ctx)
  },
  call: {
    figures: (_request, _from, state, ctx) => reply(figures(state, ctx), state),
    explain: ({ id }, _from, state, ctx) => reply(explain(id, state, ctx), state),
    predict: ({ brand, priority, count }, from, state, ctx) => {
      countBacklog({ ask: 'predict', from, brand, priority, count }, state, ctx)
      return keep
    },
    show: (_request, from, state, ctx) => {
      countBacklog({ ask: 'show', from }, state, ctx)
      return keep
    },
  },
  cast: {
    due: ({ entries, more }, state, ctx) => {
      const now = ctx.world.wallNow()
      for (const due of entries)
        if (!state.flights.has(attemptIdOf(due.id, due.attempts + 1))) offerDue(state.queues, due, now)
      for (const lane of more) wantMore(state.queues, windowAt(state.queues, lane.brand, lane.priority))
      return turn(state, ctx)
    },
    'attempt-ended': ({ attemptId, brand, outcome }, state, ctx) => {
      if (outcome !== null) listen(attemptId, brand, outcome, state, ctx)
      endFlight(attemptId, state, ctx)
      return turn(state, ctx)
    },
    'permit-unused': ({ attemptId, brand }, state, ctx) => {
      const limiter = state.flights.get(attemptId)?.limiter ?? null
      if (limiter !== null) ctx.cast(brandLimiterOf(brand), { type: 'attempt-ended', attemptId })
      endFlight(attemptId, state, ctx)
      readAgain(brand, state)
      return turn(state, ctx)
    },
    'holds-changed': (_message, state, ctx) => {
      if (state.phase !== 'registering') takeHolds(state, ctx)
      return turn(state, ctx)
    },
    'limits-changed': (_message, state, ctx) => {
      for (const brand of state.queues.brands.keys()) tellHolding(brand, state, ctx)
      return turn(state, ctx)
    },
    'brand-granted': (granted, state, ctx) => {
      onGranted(granted, state, ctx)
      return turn(state, ctx)
    },
    cancelled: ({ id }, state, ctx) => {
      const attempts = state.queues.waiting.get(id)?.due.attempts
      if (attempts !== undefined && state.refilling > 0) state.gone.add(attemptIdOf(id, attempts + 1))
      dropWaiting(state.queues, id)
      return turn(state, ctx)
    },
  },
  info(message, state, ctx) {
    switch (message.type) {
      case 'wake':
        state.wake = null
        return onWake(state, ctx)
      case 'registered':
        onRegistered(message, state, ctx)
        return turn(state, ctx)
      case 'lanes':
        onLanes(message, state, ctx)
        return turn(state, ctx)
      case 'head':
        onHead(message, state, ctx)
        return turn(state, ctx)
      case 'limiter-started':
        onLimiterStarted(message, state, ctx)
        return turn(state, ctx)
      case 'DOWN':
        onDown(message, state, ctx)
        return turn(state, ctx)
      case 'counted': {
        const { waiting } = state.queues
        const stored = message.ok && message.value.ok ? message.value.value.count : 0
        answerCounting(message.data.counting, Math.max(0, stored - waiting.size), state, ctx)
        return keep
      }
      case 'kept':
      case 'EXIT':
      case 'timeout':
        return keep
      default:
        return message satisfies never
    }
  },
  terminate(_reason, state, ctx) {
    reportLoad(ctx.table<string, NodeLoad>(NODE_TABLE), state.domain, 0, false)
    ctx.table<Domain, GuardFigures>(FIGURES_TABLE).delete(state.domain)
  },
}

// ---------------------------------------------------------------- admission

/** What every message ends with: admit what may start, read what runs low, tell what changed, arm the one wake-up. */
const turn = (state: State, ctx: Ctx): Result => {
  state.figuresStale = true
  step(state, ctx)
  return keep
}
const step = (state: State, ctx: Ctx): void => {
  const ground = groundOf(state, ctx)
  for (const change of passTime(ground.conditions, ground.nowMono)) tellChange(change, state, ctx)
  const admitted: Admitted[] = []
  state.block = null
  if (state.phase === 'open') admit(admitted, ground, state, ctx)
  if (admitted.length > 0) {
    roomOf(state, ctx)
    ctx.cast(executor, { type: 'start', admitted })
  }
  if (state.phase !== 'registering' && state.againMono === NEVER) refill(state, ctx)
  tellPressure(ground.nowMono, state, ctx)
  noticeIdle(ground.nowMono, state)
  writeFigures(ground.nowMono, state, ctx)
  arm(ground.nowMono, state, ctx)
}

/** Everything that an admission reads, fresh from the tables: nothing is copied (D-10). */
const groundOf = (state: State, ctx: Ctx): Ground => {
  const rates = ctx.table<string, RatesRow>(RATES_TABLE)
  const nowMono = ctx.world.monoNow()
  let known = rates.get(RATES_KNOWN_SINCE)
  if (known === undefined) {
    known = { nominalMono: nowMono, lastStartMono: nowMono, perSecond: 0, burst: 1 }
    rates.set(RATES_KNOWN_SINCE, known)
  }
  const limits = ctx.table<string, LimitsRow>(LIMITS_TABLE)
  const conditions = conditionsOf(state, limits, ctx)
  return { limits, rates, unknownSinceMono: known.lastStartMono, conditions, nodeRoom: roomOf(state, ctx), nowMono }
}

/** The row outlives the guard; where there is none, what an earlier process has kept in the store counts. */
const conditionsOf = (state: State, limits: LimitTable, ctx: Ctx): Conditions => {
  const table = ctx.table<Domain, ConditionsRow>(CONDITIONS_TABLE)
  const there = table.get(state.domain)
  if (there !== undefined) return there
  const conditions = newConditions()
  table.set(state.domain, conditions)
  const now = ctx.world.monoNow()
  const left = (kind: 'closed-until' | 'breaker-until'): number =>
    settingOf(limits, limitKey(kind, state.domain, null), 0) - ctx.world.wallNow()
  if (left('closed-until') > 0) close(conditions.domain.closure, left('closed-until'), now)
  if (left('breaker-until') > 0)
    openBreaker(conditions.domain.breaker, { enabled: true, openMs: left('breaker-until') }, now)
  return conditions
}

/** Tells the node what this guard holds, and learns what it may start. */
const roomOf = (state: State, ctx: Ctx): number => {
  const slow = hasSlow(state.flights, ctx.world.monoNow())
  const sum = reportLoad(ctx.table<string, NodeLoad>(NODE_TABLE), state.domain, state.flights.size, slow)
  return nodeRoom(sum, slow)
}

const admit = (admitted: Admitted[], ground: Ground, state: State, ctx: Ctx): void => {
  const asking = new Set<BrandQueue>()
  for (;;) {
    const verdict = nextVerdict(state.queues, ground)
    if (verdict.kind === 'start') admitted.push(takeOff(verdict.start, null, ground, state, ctx))
    else if (verdict.kind === 'ask') asking.add(verdict.queue)
    else {
      if (verdict.kind === 'blocked') state.block = verdict
      break
    }
  }
  for (const queue of asking) askLimiter(queue, state, ctx)
}

/** Gives the permit and counts it. */
const takeOff = (
  { due, enteredAt }: Start,
  limiter: number | null,
  ground: Ground,
  state: State,
  ctx: Ctx,
): Admitted => {
  const attemptId = attemptIdOf(due.id, due.attempts + 1)
  state.flights.set(attemptId, { brand: due.brand, limiter, admittedMono: ground.nowMono, heldUntilMono: null })
  countStart(state.starts, ground.nowMono)
  if (state.flights.size > concurrencyNow(state.queues, ground).permits) state.overshoot += 1
  return {
    due,
    permit: {
      attemptId,
      domain: due.domain,
      brand: due.brand,
      guard: state.incarnation,
      limiter,
      enteredAt,
      admittedAt: ctx.world.wallNow(),
      admittedMono: ground.nowMono,
    },
  }
}

/** Unknown ids are ignored: the end of an attempt may be told twice. */
const endFlight = (attemptId: AttemptId, state: State, ctx: Ctx): void => {
  const flight = state.flights.get(attemptId)
  if (flight === undefined) return
  state.flights.delete(attemptId)
  if (flight.heldUntilMono !== null) state.holds -= 1
  const queue = queueOf(state.queues, flight.brand)
  const now = ctx.world.monoNow()
  releasePermit(state.queues, queue, now, flight.heldUntilMono === null ? now - flight.admittedMono : null)
  if (state.refilling > 0) state.gone.add(attemptId)
  const limits = ctx.table<string, LimitsRow>(LIMITS_TABLE)
  if (flight.limiter === null && concurrencyOf(limits, queue.keys.overall) !== null)
    ctx.cast(brandLimiterOf(flight.brand), { type: 'attempt-ended', attemptId })
}

// ---------------------------------------------------------------- what the receiver says

const listen = (attemptId: AttemptId, brand: Brand, outcome: Outcome, state: State, ctx: Ctx): void => {
  const flight = state.flights.get(attemptId)
  if (flight === undefined) return
  const { conditions, limits, nowMono } = groundOf(state, ctx)
  const changes = hear(conditions, policyOf(state, limits), {
    brand,
    outcome,
    latencyMs: nowMono - flight.admittedMono,
    inFlight: state.flights.size,
    othersWait: state.queues.ring.queues.some((queue) => queue.brand !== brand && queue.size > 0),
    nowMono,
  })
  for (const change of changes) tellChange(change, state, ctx)
}
const policyOf = ({ queues }: State, limits: LimitTable): ConditionPolicy => ({
  closure: settingOf(limits, queues.keys.closure, 1),
  breaker: {
    enabled: settingOf(limits, queues.keys.breaker, 1) > 0,
    openMs: settingOf(limits, queues.keys.breakerOpenMs, BREAKER_OPEN_MS_DEFAULT),
  },
  adaptiveCeiling:
    settingOf(limits, queues.keys.adaptive, 0) > 0
      ? (concurrencyOf(limits, queues.keys.concurrency) ?? ADAPTIVE_CEILING)
      : null,
})

const CHANGED = {
  closed: 'guard.closed',
  reopened: 'guard.reopened',
  'breaker-opened': 'breaker.opened',
  'breaker-half-opened': 'breaker.half-opened',
  'breaker-closed': 'breaker.closed',
  adapted: 'guard.adapted',
} as const

/** Every change is an event with its cause; a long one that concerns the whole domain is kept in the store as well (D-10). */
const tellChange = ({ what, brand, untilMono, cause }: ConditionChange, state: State, ctx: Ctx): void => {
  const at = ctx.world.wallNow()
  const leftMs = untilMono === null ? 0 : untilMono - ctx.world.monoNow()
  const until = untilMono === null ? null : Math.ceil(at + leftMs)
  state.events.emit({ type: CHANGED[what], at, domain: state.domain, brand, until, cause })
  if (brand !== null || until === null || leftMs < CLOSURE_KEPT_MS_MIN) return
  const kind = what === 'closed' ? 'closed-until' : 'breaker-until'
  ctx.request(
    limits,
    {
      type: 'set',
      limit: { kind, domain: state.domain, brand: null, value: until, burst: null, setBy: 'guard', setAt: at },
    },
    'kept',
  )
}

// ---------------------------------------------------------------- brand-limiters

const askLimiter = (queue: BrandQueue, state: State, ctx: Ctx): void => {
  queue.asking = true
  const pid = limiterFor(queue.brand, state, ctx)
  if (pid !== null) ctx.cast<BrandLimiterProtocol>(pid, { type: 'ask', guard: ctx.self, count: queue.reserved })
}

/** The brand's limiter, monitored; null: it is being started, and what is asked waits for it. */
const limiterFor = (brand: Brand, state: State, ctx: Ctx): Pid | null => {
  const known = state.limiters.get(brand)
  if (known === 'starting') return null
  if (known !== undefined) return known.pid
  const pid = ctx.whereis(brandLimiterOf(brand))
  if (pid !== null) {
    meetLimiter(brand, pid, state, ctx)
    return pid
  }
  state.limiters.set(brand, 'starting')
  ctx.request(guards, { type: 'start-child', spec: brandLimiterSpec(brand) }, 'limiter-started', brand)
  return null
}

/** It learns what was admitted before the brand had a limit. */
const meetLimiter = (brand: Brand, pid: Pid, state: State, ctx: Ctx): void => {
  state.limiters.set(brand, { pid, ref: ctx.monitor(pid) })
  const attempts = unlimitedFlights(brand, state)
  if (attempts.length > 0) ctx.cast<BrandLimiterProtocol>(pid, { type: 'holding', guard: ctx.self, attempts })
}
const unlimitedFlights = (brand: Brand, state: State): readonly AttemptId[] => {
  const attempts: AttemptId[] = []
  for (const [attemptId, flight] of state.flights)
    if (flight.brand === brand && flight.limiter === null) attempts.push(attemptId)
  return attempts
}
const tellHolding = (brand: Brand, state: State, ctx: Ctx): void => {
  const limits = ctx.table<string, LimitsRow>(LIMITS_TABLE)
  if (state.limiters.has(brand) || concurrencyOf(limits, queueOf(state.queues, brand).keys.overall) === null) return
  if (unlimitedFlights(brand, state).length > 0) limiterFor(brand, state, ctx)
}

const onLimiterStarted = (
  message: Answer<'limiter-started', DynamicChildStarted, Brand>,
  state: State,
  ctx: Ctx,
): void => {
  const brand = message.data
  if (state.limiters.get(brand) !== 'starting') return
  state.limiters.delete(brand)
  const pid = startedPid(message)
  const queue = queueOf(state.queues, brand)
  if (pid !== null) meetLimiter(brand, pid, state, ctx)
  if (!queue.asking) return
  if (pid !== null) ctx.cast<BrandLimiterProtocol>(pid, { type: 'ask', guard: ctx.self, count: queue.reserved })
  else {
    releaseReserved(state.queues, queue)
    state.againMono = ctx.world.monoNow() + AGAIN_MS
  }
}
const startedPid = (message: Answer<'limiter-started', DynamicChildStarted, Brand>): Pid | null => {
  if (!message.ok) return null
  if (message.value.ok) return message.value.pid
  return message.value.error.type === 'already_started' ? message.value.error.pid : null
}

/** A grant is used or returned in this turn (D-11). */
const onGranted = (granted: BrandGranted, state: State, ctx: Ctx): void => {
  const queue = queueOf(state.queues, granted.brand)
  if (granted.answer) {
    releaseReserved(state.queues, queue)
    queue.parked = granted.count < granted.asked
  } else queue.parked = false
  const ground = groundOf(state, ctx)
  const started = state.phase === 'open' ? startGranted(state.queues, queue, granted.count, ground) : []
  const admitted = started.map((start) => takeOff(start, granted.limiter, ground, state, ctx))
  if (granted.count > 0)
    ctx.cast(brandLimiterOf(granted.brand), {
      type: 'used',
      guard: ctx.self,
      limiter: granted.limiter,
      attempts: admitted.map(({ permit }) => permit.attemptId),
      returned: granted.count - admitted.length,
    })
  if (admitted.length > 0) ctx.cast(executor, { type: 'start', admitted })
}

// ---------------------------------------------------------------- start, and start over

/** First its incarnation and what is in flight, then the lanes; nothing is admitted before (D-7, D-18). */
const register = (state: State, ctx: Ctx): void => {
  state.phase = 'registering'
  state.againMono = NEVER
  state.round += 1
  for (const ref of state.watched) ctx.demonitor(ref, { flush: true })
  state.watched = [ctx.monitor(dispatchPool), ctx.monitor(executor)]
  ctx.request(dispatchPool, { type: 'register-guard', domain: state.domain, pid: ctx.self }, 'registered', state.round)
}

const onRegistered = (message: Answer<'registered', Registered, number>, state: State, ctx: Ctx): void => {
  if (message.data !== state.round) return
  if (!message.ok) {
    state.againMono = ctx.world.monoNow() + AGAIN_MS
    return
  }
  state.incarnation = message.value.incarnation
  const inFlight = new Map(message.value.inFlight.map(({ attemptId, brand }) => [attemptId, brand]))
  for (const attemptId of [...state.flights.keys()]) if (!inFlight.has(attemptId)) voidFlight(attemptId, state, ctx)
  const now = ctx.world.monoNow()
  for (const [attemptId, brand] of inFlight) takeUp(attemptId, brand, now, null, state)
  takeHolds(state, ctx)
  load(state, ctx)
}

/** Admitted, but not held by the pool, which refuses it from now on; its row is found again by the load that follows. */
const voidFlight = (attemptId: AttemptId, state: State, ctx: Ctx): void => {
  const flight = state.flights.get(attemptId)
  if (flight === undefined || flight.heldUntilMono !== null) return
  if (flight.limiter !== null) ctx.cast(brandLimiterOf(flight.brand), { type: 'attempt-ended', attemptId })
  endFlight(attemptId, state, ctx)
}
const takeUp = (
  attemptId: AttemptId,
  brand: Brand,
  admittedMono: number,
  heldUntilMono: number | null,
  state: State,
): void => {
  if (state.flights.has(attemptId)) return
  const queue = queueOf(state.queues, brand)
  state.flights.set(attemptId, { brand, limiter: null, admittedMono, heldUntilMono })
  if (heldUntilMono !== null) state.holds += 1
  takeUpPermit(state.queues, queue, admittedMono)
}
const takeHolds = (state: State, ctx: Ctx): void => {
  const now = ctx.world.monoNow()
  for (const { attemptId, brand, untilMono } of ctx
    .table<string, HoldsRow>(HOLDS_TABLE)
    .get(domainHolds(state.domain)) ?? [])
    if (untilMono > now) takeUp(attemptId, brand, now, untilMono, state)
}

/** Reads which lanes have due rows, then the head of each. */
const load = (state: State, ctx: Ctx): void => {
  state.phase = 'loading'
  state.loading = 0
  state.lanesRead = false
  state.round += 1
  requestLanes(null, state, ctx)
}
const loadLater = (state: State, ctx: Ctx): void => {
  state.round += 1
  state.againMono = ctx.world.monoNow() + AGAIN_MS
}
const requestLanes = (after: LaneKey | null, state: State, ctx: Ctx): void => {
  const now = ctx.world.wallNow()
  const query = { type: 'due-lanes', now, domain: state.domain, after, limit: PAGE_ROWS_MAX } as const
  ctx.request(storeKeeper, query, 'lanes', state.round)
}

const onLanes = (message: Answer<'lanes', Read<LanePage>, number>, state: State, ctx: Ctx): void => {
  if (message.data !== state.round) return
  if (!message.ok || !message.value.ok) return loadLater(state, ctx)
  const { lanes, next } = message.value.value
  for (const lane of lanes) {
    const window = windowAt(state.queues, lane.brand, lane.priority)
    const reading = window.refilling
    wantMore(state.queues, window)
    if (reading) continue
    state.loading += 1
    requestHead(window, state, ctx)
  }
  if (next !== null) requestLanes(next, state, ctx)
  else state.lanesRead = true
  openIfLoaded(state)
}
const openIfLoaded = (state: State): void => {
  if (state.phase === 'loading' && state.lanesRead && state.loading === 0) state.phase = 'open'
}

// ---------------------------------------------------------------- refill

/** The head of the lane, without a cursor: what was put before the tail meanwhile is found as well (D-1). */
const requestHead = (window: Window, state: State, ctx: Ctx): void => {
  window.refilling = true
  state.refilling += 1
  const until = ctx.world.wallNow()
  const lane = { domain: state.domain, brand: window.brand, priority: window.priority }
  const data = { lane, until, round: state.round }
  ctx.request(storeKeeper, { type: 'lane', lane, after: null, until, limit: PAGE_ROWS_MAX }, 'head', data)
}
const refill = (state: State, ctx: Ctx): void => {
  for (const window of state.queues.hungry)
    if (!window.refilling && windowSize(window) < LANE_WINDOW_LOW) requestHead(window, state, ctx)
}
/** A row of this brand may be due and told to nobody: look at its lanes again. */
const readAgain = (brand: Brand, state: State): void => {
  for (const window of queueOf(state.queues, brand).windows) wantMore(state.queues, window)
}

type HeadAnswer = Extract<GuardProtocol['info'], { readonly type: 'head' }>
const onHead = (message: HeadAnswer, state: State, ctx: Ctx): void => {
  const { lane, until, round } = message.data
  const window = windowAt(state.queues, lane.brand, lane.priority)
  window.refilling = false
  state.refilling -= 1
  const awaited = round === state.round && state.phase === 'loading'
  if (!message.ok || !message.value.ok) return loadLater(state, ctx)
  mergeHead(window, message.value.value, until, state, ctx)
  if (state.refilling === 0) state.gone.clear()
  if (awaited) state.loading -= 1
  openIfLoaded(state)
}
const mergeHead = (window: Window, page: HeadPage, until: Instant, state: State, ctx: Ctx): void => {
  const { taken, left } = fillWindow(state.queues, window, page.rows, (due) => {
    const attemptId = attemptIdOf(due.id, due.attempts + 1)
    return state.flights.has(attemptId) || state.gone.has(attemptId)
  })
  const all = !page.more && !left && !window.stale
  if (!all && !window.stale && taken === 0) state.againMono = ctx.world.monoNow() + AGAIN_MS
  window.stale = false
  if (!all) return
  caughtUp(state.queues, window)
  const lane = { domain: state.domain, brand: window.brand, priority: window.priority }
  ctx.cast(scheduler, { type: 'lane-caught-up', lane, upTo: until })
}

// ---------------------------------------------------------------- deaths

/**
 * Pool or executor: what they held is void, and a new incarnation begins. A brand-limiter: its next one counts what is in
 * flight; permits of it that have not reached the pool are refused there, and come back.
 */
const onDown = (down: Down, state: State, ctx: Ctx): void => {
  if (state.watched.includes(down.ref)) {
    suspend(state, ctx)
    return
  }
  for (const [brand, limiter] of state.limiters) {
    if (limiter === 'starting' || limiter.ref !== down.ref) continue
    state.limiters.delete(brand)
    const queue = queueOf(state.queues, brand)
    releaseReserved(state.queues, queue)
    queue.parked = false
  }
}
/** Until both are back nothing is admitted. */
const suspend = (state: State, ctx: Ctx): void => {
  state.phase = 'registering'
  state.round += 1
  state.againMono = ctx.world.monoNow() + AGAIN_MS
}

// ---------------------------------------------------------------- time

const onWake = (state: State, ctx: Ctx): Result => {
  const now = ctx.world.monoNow()
  if (state.holds > 0) for (const attemptId of endedHolds(state.flights, now)) endFlight(attemptId, state, ctx)
  if (state.againMono <= now) again(state, ctx)
  if (mayStop(now, state, ctx)) {
    ctx.unregister()
    const table = ctx.table<Domain, ConditionsRow>(CONDITIONS_TABLE)
    const conditions = table.get(state.domain)
    if (conditions !== undefined && saysNothing(conditions, now)) table.delete(state.domain)
    state.events.emit({ type: 'guard.stopped', at: ctx.world.wallNow(), domain: state.domain })
    return stop('normal', state)
  }
  step(state, ctx)
  return keep
}
/** What was not answered is asked again. */
const again = (state: State, ctx: Ctx): void => {
  state.againMono = NEVER
  if (state.phase === 'loading') load(state, ctx)
  if (state.phase !== 'registering') return
  if (ctx.whereis(dispatchPool) !== null && ctx.whereis(executor) !== null) register(state, ctx)
  else state.againMono = ctx.world.monoNow() + AGAIN_MS
}

const isIdle = (state: State): boolean =>
  state.phase === 'open' &&
  state.queues.waiting.size === 0 &&
  state.flights.size === 0 &&
  state.queues.hungry.size === 0 &&
  state.refilling === 0 &&
  state.queues.reserved === 0 &&
  state.pressure.limit === null
const noticeIdle = (now: number, state: State): void => {
  if (!isIdle(state)) state.idleSinceMono = now
}
/** Stopping loses nothing: no message waits, and none can come after the name is given up (D-2). */
const mayStop = (now: number, state: State, ctx: Ctx): boolean =>
  isIdle(state) && now >= state.idleSinceMono + GUARD_IDLE_MS && ctx.mailboxLength() === 0

/** One wake-up for everything: the earliest instant at which anything changes by itself. */
const arm = (now: number, state: State, ctx: Ctx): void => {
  let at = Math.min(state.againMono, endDueMono(state.pressure))
  if (state.block !== null) at = Math.min(at, state.block.untilMono)
  if (state.holds > 0) at = Math.min(at, nextHoldEnd(state.flights))
  if (state.figuresStale) at = Math.min(at, state.figuresMono + FIGURES_MS)
  if (isIdle(state)) at = Math.min(at, state.idleSinceMono + GUARD_IDLE_MS)
  if (at === NEVER || (state.wake !== null && state.wake.atMono <= at)) return
  if (state.wake !== null) ctx.cancelTimer(state.wake.ref)
  state.wake = { ref: ctx.sendAfter(Math.max(1, Math.ceil(at - now)), { type: 'wake' }), atMono: at }
}

// ---------------------------------------------------------------- what it shows

const tellPressure = (nowMono: number, state: State, ctx: Ctx): void => {
  const at = ctx.world.wallNow()
  const seen = { blockedBy: state.block?.by ?? null, depth: state.queues.waiting.size, nowAt: at, nowMono }
  const change = observe(state.pressure, seen)
  if (change === null) return
  const { domain } = state
  if (change.kind === 'started')
    state.events.emit({ type: 'backpressure.started', at, domain, limit: change.limit, depth: change.depth })
  else {
    const { limit, durationMs, peak, spans } = change
    state.events.emit({ type: 'backpressure.ended', at, domain, limit, durationMs, peak, spans })
  }
}

const writeFigures = (nowMono: number, state: State, ctx: Ctx): void => {
  if (!state.figuresStale || nowMono < state.figuresMono + FIGURES_MS) return
  state.figuresMono = nowMono
  const shown = figures(state, ctx)
  ctx.table<Domain, GuardFigures>(FIGURES_TABLE).set(state.domain, shown)
  state.figuresStale = shown.rate.startsLastSecond > 0
  sweepBrands(state.queues)
}

const stateShown = (state: State, ground: Ground): GuardFigures['state'] => {
  if (state.phase !== 'open') return 'starting'
  const { keys } = state.queues
  if (isPaused(ground.limits, keys.pause) || rateOf(ground.limits, keys.rate)?.perSecond === 0) return 'paused'
  if (settingOf(ground.limits, keys.concurrency, 1) === 0) return 'paused'
  const { closure, breaker } = ground.conditions.domain
  if (ground.nowMono < closure.untilMono) return 'closed'
  return breaker.state === 'closed' ? 'open' : breaker.state === 'open' ? 'breaker-open' : 'breaker-half-open'
}
const figures = (state: State, ctx: Ctx): GuardFigures => {
  const limits = ctx.table<string, LimitsRow>(LIMITS_TABLE)
  const rate = rateOf(limits, state.queues.keys.rate)
  const ground = groundOf(state, ctx)
  const limit = concurrencyNow(state.queues, ground).permits
  const pressed = isPressed(state.pressure)
  return {
    domain: state.domain,
    state: stateShown(state, ground),
    concurrency: { current: state.flights.size, limit },
    rate: {
      startsLastSecond: startsLastSecond(state.starts, ctx.world.monoNow()),
      limit: rate?.perSecond ?? null,
      burst: rate?.burst ?? null,
    },
    queued: state.queues.waiting.size,
    more: state.queues.hungry.size > 0,
    oldestWaitingAt: oldestWaiting(state.queues),
    backpressure: {
      active: pressed,
      since: pressed ? state.pressure.sinceAt : null,
      limit: pressed ? state.pressure.limit : null,
    },
    overshoot: state.overshoot,
  }
}

// ---------------------------------------------------------------- explain and predict

const wallOf = (mono: number | null, ctx: Ctx): Instant | null =>
  mono === null ? null : Math.round(ctx.world.wallNow() + mono - ctx.world.monoNow())

const explain = (id: WebhookId, state: State, ctx: Ctx): Explained | null => {
  const { queues } = state
  const waiting = queues.waiting.get(id)
  if (waiting === undefined) return null
  const { due, enteredAt } = waiting
  const ground = groundOf(state, ctx)
  const queue = queueOf(queues, due.brand)
  const inBrand = aheadInBrand(queue, due)
  const inDomain = aheadInDomain(queues, due.brand, inBrand, ground.limits)
  const { startMono, assumptions } = predictStart(queues, queue, inBrand, inDomain, ground)
  const limit = state.phase === 'open' ? blockOf(queues, queue, due, ground) : null
  return {
    blockedOn: limit === null ? null : { limit, key: limit.startsWith('brand') ? due.brand : due.domain },
    since: enteredAt,
    placeInLane: placeInLane(queue, due),
    placeInDomain: inDomain + 1,
    expectedAt: wallOf(startMono, ctx),
    assumptions,
  }
}

/** What is only in the store counts as well: it is asked for, and the answer comes later. */
const countBacklog = (counting: Counting, state: State, ctx: Ctx): void => {
  if (state.queues.hungry.size === 0) return answerCounting(counting, 0, state, ctx)
  const query = { type: 'backlog', domain: state.domain, now: ctx.world.wallNow(), cap: WAITING_SHOWN_MAX } as const
  ctx.request(storeKeeper, query, 'counted', { counting })
}
const answerCounting = (counting: Counting, onDisk: number, state: State, ctx: Ctx): void => {
  if (counting.ask === 'show') ctx.reply(counting.from, show(onDisk, state, ctx))
  else ctx.reply(counting.from, predict(counting, onDisk, state, ctx))
}
/** Rows on disk are taken to be of this brand: the prediction is late rather than early. */
const predict = (
  { brand, priority, count }: Extract<Counting, { readonly ask: 'predict' }>,
  onDisk: number,
  state: State,
  ctx: Ctx,
): Predicted => {
  const { queues } = state
  const ground = groundOf(state, ctx)
  const queue = queueOf(queues, brand)
  const inBrand = aheadOfNew(queue, priority) + onDisk + count - 1
  const inDomain = aheadInDomain(queues, brand, inBrand, ground.limits)
  const { startMono, assumptions } = predictStart(queues, queue, inBrand, inDomain, ground)
  return { expectedAt: wallOf(startMono, ctx), assumptions }
}
const show = (onDisk: number, state: State, ctx: Ctx): GuardShown => {
  const ground = groundOf(state, ctx)
  const { closure, breaker } = ground.conditions.domain
  const waiting = state.queues.waiting.size + onDisk
  return {
    ...figures(state, ctx),
    waiting,
    depths: depths(state.queues),
    drainMs: drainMs(state.queues, waiting, ground),
    serviceMs: state.queues.serviceMs,
    closedUntil: ground.nowMono < closure.untilMono ? wallOf(closure.untilMono, ctx) : null,
    breaker: {
      state: breaker.state,
      until: breaker.state === 'open' ? wallOf(breaker.openUntilMono, ctx) : null,
    },
    adaptive: ground.conditions.adaptive === null ? null : Math.floor(ground.conditions.adaptive.limit),
    blockedOn: state.block?.by ?? null,
  }
}
