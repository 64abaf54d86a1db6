/**
 * scheduler: knows which webhook is due when, and tells the guards. Started by the supervisor `delivery`.
 *
 * State: the horizon (what is due soon, bounded) and the guards that it has told something. On restart the horizon begins at
 * now; every lane with due rows is told to its guard, which reads them from the store. A crash costs milliseconds of lateness.
 * Never early: the wall clock decides at each wake-up, and there is one wake-up (reliability.md T1, T3).
 */
import { executor } from '#actors/executor.ts'
import { guards } from '#actors/guard.ts'
import { MANY } from '#actors/mailboxes.ts'
import type { StoreFailed } from '#actors/store-keeper.ts'
import { DOMAINS_WAITING_MAX, GUARDS_LIVE_MAX, HORIZON_ENTRIES_MAX, LANE_WINDOW_MAX } from '#config/limits.ts'
import { emptyCounter } from '#guard/start-counter.ts'
import { type Behaviour, keep, ok, reply } from '#runtime/behaviour.ts'
import type { DynamicChildStarted } from '#runtime/dynamic-supervisor.ts'
import { type Answer, type Call, type Name, name } from '#runtime/protocol.ts'
import type { ChildInfo } from '#runtime/supervisor.ts'
import { handedBy } from '#schedule/handed.ts'
import { abandonLane, abandonPage, admitRow, createHorizon, mergeLane, mergePage, sizeOf } from '#schedule/horizon.ts'
import { emptyWaitlist, lengthOf, wake } from '#schedule/waitlist.ts'
import type { Append, Appended, Cancelled, Replay, Replayed, Reschedule, Rescheduled } from '#store/store.ts'
import type { Events } from '#telemetry/events.ts'
import { isGroupKey } from '#webhook/domain-group.ts'
import type { Brand, Domain, Due, Edge, Instant, LaneKey, WebhookId } from '#webhook/webhook.ts'
import { onRecovered, onScanned } from './scheduler/audit.ts'
import {
  onAppended,
  onCancelled,
  onRetimed,
  requestAppend,
  requestCancel,
  requestRetiming,
} from './scheduler/changes.ts'
import { explainPlace, noteCrowd, type Place } from './scheduler/crowd.ts'
import { isOf, takeBackLane, takeBackLanes } from './scheduler/handed-lanes.ts'
import { onGuardDown, onLeftBehind, onRegrouped, unpark } from './scheduler/left-behind.ts'
import { givePlaces, onPlacesTick } from './scheduler/places.ts'
import { scan } from './scheduler/scan.ts'
import {
  ASK_AGAIN_MS,
  type Cancelling,
  type Lanes,
  type Read,
  type Retiming,
  type Scheduling,
  type State,
  type StoodDown,
} from './scheduler/state.ts'
import { adopt, onGuardStarted } from './scheduler/telling.ts'
import { takeUnlisted } from './scheduler/unlisted.ts'
import { tick } from './scheduler/wake-up.ts'

export type NewDue = Omit<Due, 'seq'>
export type Retimed = Rescheduled | Replayed

export interface SchedulerProtocol {
  readonly call: /** Stores the webhooks and takes what is due soon into the horizon; answered when they are on disk. `heads[i]` belongs to row i; its seq is not known yet. */
    | Call<
        { readonly type: 'schedule'; readonly append: Append; readonly heads: readonly NewDue[] },
        Appended | StoreFailed
      >
    | Call<{ readonly type: 'cancel'; readonly id: WebhookId; readonly brand: Brand | null }, Cancelled | StoreFailed>
    /** Answered when it is on disk; wakes it at its new instant. The op names itself (D-3). */
    | Call<{ readonly type: 'retime'; readonly op: Reschedule | Replay }, Retimed | StoreFailed>
    | Call<
        { readonly type: 'figures' },
        {
          readonly horizon: number
          readonly edgeAt: Instant
          readonly guards: number
          /** Domains that wait for a place by name; `unlisted`: there may be more of them. */
          readonly waiting: number
          readonly unlisted: boolean
        }
      >
    /** What the domain of a host waits for that has no guard. `brand`: whose webhook is asked about. Null: it has one, or nobody waits. */
    | Call<{ readonly type: 'explain-place'; readonly domain: Domain; readonly brand: Brand | null }, Place | null>
  readonly cast: /** From a retry process, when its decision is durable. */
    | { readonly type: 'retry-due'; readonly due: Due }
    /** From an execution: the attempt was not sent and the row is live as before. */
    | { readonly type: 'handed-back'; readonly due: Due }
    /** From a guard: the store holds no due row of this lane that it has not seen, as of `upTo` (wall clock of the read). */
    | { readonly type: 'lane-caught-up'; readonly lane: LaneKey; readonly upTo: Instant }
    /** From a guard: it has read its lanes, and admits. */
    | { readonly type: 'guard-opened'; readonly domain: Domain }
    /** From a guard that ends, to make room for others while it can start nothing; work of it is left in the store. */
    | ({ readonly type: 'stood-down'; readonly domain: Domain } & StoodDown)
    /** From `limits`: a domain may be able to start something now. Null: any. */
    | { readonly type: 'limits-changed'; readonly domain: Domain | null }
    /** From `limits`: some hosts are under another guard now (D-13). */
    | { readonly type: 'regrouped' }
    /** Graceful stop: tell guards nothing more. */
    | { readonly type: 'quiesce' }
  readonly info:
    | { readonly type: 'wake' }
    | { readonly type: 'scan'; readonly all: boolean }
    | { readonly type: 'unpark'; readonly domain: Domain }
    | { readonly type: 'recover' }
    /** Domains wait for a place: look again. */
    | { readonly type: 'places' }
    /** Nobody waits any more: is the crowd over? */
    | { readonly type: 'crowd' }
    | { readonly type: 'append-again'; readonly scheduling: Scheduling }
    | { readonly type: 'cancel-again'; readonly cancelling: Cancelling }
    | { readonly type: 'retime-again'; readonly retiming: Retiming }
    | Answer<'recovered', 'recovered'>
    | Answer<'guards-live', readonly ChildInfo[]>
    | Answer<'appended', Appended | StoreFailed, Scheduling>
    | Answer<'cancelled', Cancelled | StoreFailed, Cancelling>
    | Answer<'retimed', Retimed | StoreFailed, Retiming>
    | Answer<'page', Read<{ readonly rows: readonly Due[]; readonly edge: Edge }>>
    | Answer<'lane', Read<{ readonly rows: readonly Due[]; readonly more: boolean }>, LaneKey>
    | Answer<'scanned', Read<Lanes>, { readonly all: boolean }>
    | Answer<'unlisted', Read<Lanes>>
    | Answer<'left-behind', Read<Lanes>, { readonly domain: Domain; readonly now: Instant }>
    | Answer<'guard-started', DynamicChildStarted, Domain>
    | Answer<'accused', Read<{ readonly rows: readonly Due[]; readonly more: boolean }>, string>
  readonly continue: { readonly type: 'recover' }
}
export const scheduler: Name<SchedulerProtocol> = name('scheduler')

export interface SchedulerArgs {
  readonly events: Events
  /** Guards that live at once. Default: GUARDS_LIVE_MAX. */
  readonly guardsMax?: number
  /** Domains that wait for a place by name. Default: DOMAINS_WAITING_MAX. */
  readonly domainsWaitingMax?: number
  /** Rows that it holds ahead of time. Default: HORIZON_ENTRIES_MAX. */
  readonly horizonMax?: number
}

export const schedulerActor: Behaviour<SchedulerProtocol, SchedulerArgs, State> = {
  name: 'scheduler',
  version: 1,
  mailbox: MANY,
  init(
    { events, guardsMax = GUARDS_LIVE_MAX, domainsWaitingMax = DOMAINS_WAITING_MAX, horizonMax = HORIZON_ENTRIES_MAX },
    ctx,
  ) {
    const now = ctx.world.wallNow()
    const state: State = {
      events,
      horizon: createHorizon(now, horizonMax, LANE_WINDOW_MAX),
      told: new Map(),
      guardsMax,
      starting: new Set(),
      list: emptyWaitlist(domainsWaitingMax),
      isCircling: false,
      placesTick: null,
      given: emptyCounter(),
      crowdTick: null,
      watched: new Map(),
      wake: null,
      scan: null,
      audits: 0,
      crashes: new Map(),
      recovered: false,
      quiesced: false,
      wallSeen: now,
      monoSeen: ctx.world.monoNow(),
    }
    return ok(state, { continue: { type: 'recover' } })
  },
  continue(_message, _state, ctx) {
    ctx.request(executor, { type: 'await-recovery' }, 'recovered', null, Number.POSITIVE_INFINITY)
    return keep
  },
  call: {
    schedule: ({ append, heads }, from, _state, ctx) => {
      requestAppend({ from, append, heads }, ctx)
      return keep
    },
    cancel: ({ id, brand }, from, _state, ctx) => {
      requestCancel({ from, id, brand, at: ctx.world.wallNow() }, ctx)
      return keep
    },
    retime: ({ op }, from, _state, ctx) => {
      requestRetiming({ from, op }, ctx)
      return keep
    },
    figures: (_request, _from, state) =>
      reply(
        {
          horizon: sizeOf(state.horizon),
          edgeAt: state.horizon.edge.nextAt,
          guards: state.told.size,
          waiting: lengthOf(state.list),
          unlisted: state.list.areUnlisted,
        },
        state,
      ),
    'explain-place': ({ domain, brand }, _from, state, ctx) => reply(explainPlace(domain, brand, state, ctx), state),
  },
  cast: {
    'retry-due': ({ due }, state, ctx) => {
      admitRow(state.horizon, due, handedBy(ctx.world.wallNow()))
      tick(state, ctx)
      return keep
    },
    'handed-back': ({ due }, state, ctx) => {
      admitRow(state.horizon, due, handedBy(ctx.world.wallNow()))
      tick(state, ctx)
      return keep
    },
    'lane-caught-up': ({ lane, upTo }, state, ctx) => {
      if (isGroupKey(lane.domain)) takeBackLanes((cut) => isOf(cut, lane, ctx), upTo, state, ctx)
      else takeBackLane(lane, upTo, state, ctx)
      return keep
    },
    'guard-opened': ({ domain }, state, ctx) => {
      state.starting.delete(domain)
      givePlaces(state, ctx)
      return keep
    },
    'stood-down': ({ domain, brand, restMs }, state) => {
      const told = state.told.get(domain)
      if (told !== undefined) told.stoodDown = { brand, restMs }
      return keep
    },
    'limits-changed': ({ domain }, state, ctx) => {
      wake(state.list, domain)
      givePlaces(state, ctx)
      return keep
    },
    regrouped: (_message, state, ctx) => {
      onRegrouped(state, ctx)
      return keep
    },
    quiesce: (_message, state) => {
      state.quiesced = true
      return keep
    },
  },
  info(message, state, ctx) {
    switch (message.type) {
      case 'wake':
        state.wake = null
        tick(state, ctx)
        return keep
      case 'recover':
        ctx.request(executor, { type: 'await-recovery' }, 'recovered', null, Number.POSITIVE_INFINITY)
        return keep
      case 'recovered':
        if (message.ok) ctx.request(guards, { type: 'which-children' }, 'guards-live')
        else ctx.sendAfter(ASK_AGAIN_MS, { type: 'recover' })
        return keep
      case 'guards-live':
        if (!message.ok) ctx.sendAfter(ASK_AGAIN_MS, { type: 'recover' })
        else {
          adopt(message.value, state, ctx)
          noteCrowd(state, ctx)
          onRecovered(state, ctx)
        }
        return keep
      case 'places':
        onPlacesTick(state, ctx)
        return keep
      case 'crowd':
        state.crowdTick = null
        noteCrowd(state, ctx)
        return keep
      case 'unlisted':
        takeUnlisted(message, state, ctx)
        givePlaces(state, ctx)
        return keep
      case 'scan':
        state.scan = null
        scan(null, message.all, ctx)
        return keep
      case 'scanned':
        onScanned(message, state, ctx)
        return keep
      case 'unpark':
        unpark(message.domain, state, ctx)
        return keep
      case 'appended':
        onAppended(message, state, ctx)
        return keep
      case 'append-again':
        requestAppend(message.scheduling, ctx)
        return keep
      case 'cancelled':
        onCancelled(message, state, ctx)
        return keep
      case 'cancel-again':
        requestCancel(message.cancelling, ctx)
        return keep
      case 'retimed':
        onRetimed(message, state, ctx)
        return keep
      case 'retime-again':
        requestRetiming(message.retiming, ctx)
        return keep
      case 'page':
        if (message.ok && message.value.ok)
          mergePage(state.horizon, message.value.value.rows, message.value.value.edge, handedBy(ctx.world.wallNow()))
        else abandonPage(state.horizon)
        tick(state, ctx, message.ok && message.value.ok)
        return keep
      case 'lane':
        if (message.ok && message.value.ok)
          mergeLane(state.horizon, message.data, message.value.value.rows, message.value.value.more)
        else abandonLane(state.horizon, message.data)
        tick(state, ctx, message.ok && message.value.ok)
        return keep
      case 'guard-started':
        onGuardStarted(message, state, ctx)
        return keep
      case 'accused': {
        const head = message.ok && message.value.ok ? message.value.value.rows[0] : undefined
        if (head !== undefined) ctx.cast(executor, { type: 'quarantine', due: head, detail: message.data })
        return keep
      }
      case 'left-behind':
        onLeftBehind(message, state, ctx)
        return keep
      case 'DOWN':
        onGuardDown(message, state, ctx)
        return keep
      case 'EXIT':
      case 'timeout':
        return keep
      default:
        return message satisfies never
    }
  },
}
