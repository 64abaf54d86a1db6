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
import type { TakeUp } from '#actors/execution.ts'
import type { Permit } from '#actors/guard.ts'
import { MANY } from '#actors/mailboxes.ts'
import type { StoreFailed } from '#actors/store-keeper.ts'
import type { AttemptOrder, AttemptReport, Carrier, Dispatch } from '#dispatch/dispatch.ts'
import { type Behaviour, keep, ok, reply } from '#runtime/behaviour.ts'
import type { Pid } from '#runtime/pid.ts'
import { type Answer, type Call, type Name, name } from '#runtime/protocol.ts'
import type { MarkedAlone } from '#store/store.ts'
import type { Events } from '#telemetry/events.ts'
import { emptyPlacement, isReady, placeWaiting } from '#webhook/placement.ts'
import type { AttemptId, Brand, Domain } from '#webhook/webhook.ts'
import {
  endIdleLonely,
  hand,
  isolate,
  onCarrierEnded,
  onCarrierStarted,
  onIsolated,
  startCarrier,
} from './dispatch-pool/carriers.ts'
import { departureOf, isRefused, sendAt, sendEarly } from './dispatch-pool/departures.ts'
import { ended, handBack, refuse, reported } from './dispatch-pool/endings.ts'
import { endIncarnation, inFlight, register, registerGuard, standing } from './dispatch-pool/incarnations.ts'
import { executor, type State } from './dispatch-pool/state.ts'

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
const NEVER = Number.POSITIVE_INFINITY

export const dispatchPoolActor: Behaviour<DispatchPoolProtocol, DispatchPoolArgs, State> = {
  name: 'dispatch-pool',
  version: 1,
  mailbox: MANY,
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
      sendAt(atMono, held, state, ctx)
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
