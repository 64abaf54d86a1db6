/**
 * guard: admits the webhooks of one domain, or of the hosts of one domain group. Started on demand by the scheduler (under `guards`, temporary).
 *
 * State: a bounded window of each lane of the store, and which attempts hold its permits. On start it registers its
 * incarnation at the dispatch pool and counts what is in flight, reads its due lanes from the store, and only then admits
 * (D-7, D-18). What it must not forget (rates, holds) lies in tables that outlive it (D-10). A crash costs milliseconds:
 * the scheduler sees it and starts the next one (D-2). It registers anew when the pool or the executor dies.
 */
import { type BrandGranted, brandLimiterOf } from '#actors/brand-limiter.ts'
import type { Registered } from '#actors/dispatch-pool.ts'
import { MANY } from '#actors/mailboxes.ts'
import { FIGURES_MS, LANE_WINDOW_MAX } from '#config/limits.ts'
import type { LimitName } from '#guard/admission.ts'
import { noPressure } from '#guard/backpressure.ts'
import { dropEarly, noneEarly } from '#guard/early.ts'
import type { Assumptions, Depth, GuardState } from '#guard/explain.ts'
import type { Hold } from '#guard/flights.ts'
import { NO_LOAD, reportLoad } from '#guard/node-load.ts'
import { dropWaiting, emptyQueues, type HeadPage, wantMore, windowAt } from '#guard/queues.ts'
import { emptyCounter } from '#guard/start-counter.ts'
import {
  bookIn,
  brandHolds,
  domainHolds,
  FIGURES_TABLE,
  GROUPS_TABLE,
  HOLDS_TABLE,
  type HoldsRow,
  NODE_TABLE,
  type NodeLoad,
  QUICK_TABLE,
  type QuickRow,
  RESTING_TABLE,
  type RestingRow,
} from '#guard/tables.ts'
import { type Behaviour, keep, ok, reply } from '#runtime/behaviour.ts'
import type { Context } from '#runtime/context.ts'
import type { DynamicChildStarted, DynamicSupervisorProtocol } from '#runtime/dynamic-supervisor.ts'
import { type Answer, type Call, type Name, name } from '#runtime/protocol.ts'
import { type ChildSpec, worker } from '#runtime/supervisor-spec.ts'
import type { Events } from '#telemetry/events.ts'
import { type GroupBook, guardKeyOf } from '#webhook/domain-group.ts'
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
import { figures } from './guard/figures.ts'
import { answerCounting, countBacklog, explain, onRanked } from './guard/foresight.ts'
import { onHead, onLanes, readAgain, takeEarlyIn, takeIn } from './guard/lanes.ts'
import { onGranted, onLimiterStarted, tellHolding } from './guard/limiters.ts'
import { endFlight, notePace, takeHolds } from './guard/permits.ts'
import { heedPolicy, listen } from './guard/receiver.ts'
import { onDown, onRegistered, register } from './guard/registration.ts'
import { isReplaced, retire, standing } from './guard/standing.ts'
import {
  type Backlog,
  type Counting,
  type LanePage,
  NEVER,
  type Ranking,
  type Read,
  type State,
} from './guard/state.ts'
import { suspicion } from './guard/suspects.ts'
import { onWake, owedTurn, standDown, turn } from './guard/turn.ts'

/** The guard's yes: one attempt may start. Plain data; the dispatch pool refuses one of an older incarnation (D-7). */
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
  /** The instant of its webhook. Not a byte is sent before it, whatever the clock has done since. */
  readonly dueAt: Instant
  /** From when on it may be sent: its admission, or a little later: its instant, or what the rate of its domain has given it (`../src/guard/rate.ts`). */
  readonly admittedAt: Instant
  /** The same on the monotonic clock. */
  readonly admittedMono: number
  /** Keys of the rates that it was counted under: it is paced by them once more where it is sent. */
  readonly rates: readonly string[]
}

export interface Admitted {
  readonly due: Due
  readonly permit: Permit
}

export interface GuardProtocol {
  readonly call:
    | Call<{ readonly type: 'figures' }, GuardFigures>
    /** Null: it runs, is done, or is still in the store and its `due` was not given. */
    | Call<{ readonly type: 'explain'; readonly id: WebhookId; readonly due?: Due }, Explained | null>
    /** When the last of `count` new webhooks would start. */
    | Call<
        { readonly type: 'predict'; readonly brand: Brand; readonly priority: Priority; readonly count: number },
        Predicted
      >
    | Call<{ readonly type: 'show' }, GuardShown>
  readonly cast: /** From the scheduler: these are due, or will be within HANDED_AHEAD_MS. `more`: lanes of which the store holds due rows that were not told. */
    | { readonly type: 'due'; readonly entries: readonly Due[]; readonly more: readonly LaneKey[] }
    /** From the dispatch pool: the request is finished or its socket destroyed; the permit is back. */
    | {
        readonly type: 'attempt-ended'
        readonly attemptId: AttemptId
        /** The host. */
        readonly domain: Domain
        readonly brand: Brand
        readonly outcome: Outcome | null
      }
    /** From an execution or the executor: never handed to the pool. `guard`: the permit's; the attempt may have another one since. */
    | {
        readonly type: 'permit-unused'
        readonly attemptId: AttemptId
        readonly brand: Brand
        readonly guard: number
      }
    /** Attempts of a dead process have been written into the table `holds` (D-12); see `holdPermits`. */
    | { readonly type: 'holds-changed' }
    /** From the dispatch pool: its last thread is gone; nothing is admitted until the pool answers a registration. */
    | { readonly type: 'register-again' }
    | { readonly type: 'limits-changed' }
    /** From the scheduler: others wait for a place, and this guard has said that it can start nothing. */
    | { readonly type: 'stand-down' }
    /** From a brand-limiter. */
    | BrandGranted
    /** Cancelled, or it has another instant now. */
    | { readonly type: 'withdrawn'; readonly id: WebhookId }
  readonly info:
    | { readonly type: 'wake' }
    /** From itself, behind the messages that it had when one of them ended. */
    | { readonly type: 'turn' }
    | Answer<'registered', Registered, number>
    | Answer<'lanes', Read<LanePage>, number>
    | Answer<
        'head',
        Read<HeadPage>,
        { readonly lane: LaneKey; readonly until: Instant; readonly round: number; readonly loads: boolean }
      >
    | Answer<'limiter-started', DynamicChildStarted, Brand>
    | Answer<'ranked', Read<HeadPage>, Ranking>
    | Answer<'counted', Read<Backlog>, { readonly counting: Counting }>
  readonly continue: { readonly type: 'register' }
}

export interface GuardArgs {
  readonly domain: Domain
  readonly events: Events
}

export const guardOf = (domain: Domain): Name<GuardProtocol> => name(`guard ${domain}`)

/** The domain of a guard by the name of its child; null: it is no guard's. */
export const domainOfGuard = (id: string): Domain | null => (id.startsWith('guard ') ? id.slice('guard '.length) : null)

/** The guard that admits the webhooks of a host now: that of its group, or its own (D-13). */
export const guardKeyIn = (ctx: Pick<Context, 'table'>, domain: Domain): Domain =>
  guardKeyOf(bookIn(ctx.table<string, GroupBook>(GROUPS_TABLE)), domain)
export const guardFor = (ctx: Pick<Context, 'table'>, domain: Domain): Name<GuardProtocol> =>
  guardOf(guardKeyIn(ctx, domain))

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
  for (const domain of new Set(holds.map((hold) => hold.domain)))
    ctx.cast(guardFor(ctx, domain), { type: 'holds-changed' })
  for (const brand of new Set(holds.map((hold) => hold.brand)))
    ctx.cast(brandLimiterOf(brand), { type: 'holds-changed' })
}

/** What a guard shows of itself; also a row of the table `guard-figures`, keyed by domain. */
export interface GuardFigures {
  readonly domain: Domain
  readonly state: GuardState
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

export const guard: Behaviour<GuardProtocol, GuardArgs, State> = {
  name: 'guard',
  version: 1,
  mailbox: MANY,
  init(args, ctx) {
    const now = ctx.world.monoNow()
    const state: State = {
      ...args,
      phase: 'registering',
      incarnation: 0,
      round: 0,
      queues: emptyQueues(args.domain, LANE_WINDOW_MAX),
      early: noneEarly(),
      flights: new Map(),
      holds: 0,
      loading: 0,
      lanesRead: false,
      refilling: 0,
      gone: new Set(),
      watched: [],
      limiters: new Map(),
      block: null,
      resting: null,
      turnOwed: false,
      pressure: noPressure(),
      starts: emptyCounter(),
      overshoot: 0,
      wasQuick: ctx.table<Domain, QuickRow>(QUICK_TABLE).has(args.domain) ? true : null,
      againMono: NEVER,
      figuresMono: now - FIGURES_MS,
      figuresStale: true,
      idleSinceMono: now,
      wake: null,
      ...standing(args.domain, ctx),
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
    explain: (request, from, state, ctx) => {
      explain(request, from, state, ctx)
      return keep
    },
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
      takeEarlyIn(now, state)
      for (const due of entries) takeTold(due, now, state, ctx)
      for (const lane of more) takeMore(lane, state)
      return turn(state, ctx)
    },
    'attempt-ended': ({ attemptId, domain, brand, outcome }, state, ctx) => {
      if (outcome !== null) {
        notePace(attemptId, state, ctx)
        listen({ attemptId, domain, brand, outcome }, state, ctx)
      }
      endFlight(attemptId, state, ctx, outcome !== null)
      return turn(state, ctx)
    },
    'permit-unused': ({ attemptId, brand, guard }, state, ctx) => {
      if (guard !== state.incarnation) return keep
      const limiter = state.flights.get(attemptId)?.limiter ?? null
      if (limiter !== null) ctx.cast(brandLimiterOf(brand), { type: 'attempt-ended', attemptId })
      endFlight(attemptId, state, ctx)
      readAgain(attemptId, brand, state)
      return turn(state, ctx)
    },
    'register-again': (_message, state, ctx) => {
      if (isReplaced(state, ctx)) return retire(state, ctx)
      register(state, ctx)
      return turn(state, ctx)
    },
    'holds-changed': (_message, state, ctx) => {
      if (state.phase !== 'registering') takeHolds(state, ctx)
      return turn(state, ctx)
    },
    'limits-changed': (_message, state, ctx) => {
      if (isReplaced(state, ctx)) return retire(state, ctx)
      for (const brand of state.queues.brands.keys()) tellHolding(brand, state, ctx)
      heedPolicy(state, ctx)
      return turn(state, ctx)
    },
    'stand-down': (_message, state, ctx) => standDown(state, ctx),
    'brand-granted': (granted, state, ctx) => {
      if (isReplaced(state, ctx)) return retire(state, ctx)
      onGranted(granted, state, ctx)
      return turn(state, ctx)
    },
    withdrawn: ({ id }, state, ctx) => {
      const attempts = (state.queues.waiting.get(id)?.due ?? dropEarly(state.early, id))?.attempts
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
      case 'turn':
        return owedTurn(state, ctx)
      case 'registered':
        if (isReplaced(state, ctx)) return retire(state, ctx)
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
      case 'ranked':
        onRanked(message, state, ctx)
        return keep
      case 'counted': {
        const { waiting } = state.queues
        const stored = message.ok && message.value.ok ? message.value.value.count : 0
        answerCounting(message.data.counting, Math.max(0, stored - waiting.size), state, ctx)
        return keep
      }
      case 'EXIT':
      case 'timeout':
        return keep
      default:
        return message satisfies never
    }
  },
  terminate(_reason, state, ctx) {
    reportLoad(ctx.table<string, NodeLoad>(NODE_TABLE), state.domain, NO_LOAD)
    ctx.table<Domain, GuardFigures>(FIGURES_TABLE).delete(state.domain)
    ctx.table<Domain, RestingRow>(RESTING_TABLE).delete(state.domain)
  },
}

const takeTold = (due: Due, now: Instant, state: State, ctx: Context<GuardProtocol>): void => {
  try {
    ctx.world.failpoint('guard.took')
    if (!state.flights.has(attemptIdOf(due.id, due.attempts + 1))) takeIn(due, now, state)
  } catch (error) {
    throw suspicion({ of: 'webhook', due }, error)
  }
}
const takeMore = (lane: LaneKey, { queues }: State): void => {
  try {
    wantMore(queues, windowAt(queues, lane))
  } catch (error) {
    throw suspicion({ of: 'lane', lane }, error)
  }
}
