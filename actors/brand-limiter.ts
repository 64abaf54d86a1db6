/**
 * brand-limiter: the concurrency limit of one brand over all its domains. Started on demand by the first guard that needs it
 * (under `guards`, temporary); only where the brand has a limit.
 *
 * State: which attempts hold the brand's permits, what is granted and not yet named, and which guards wait. On start it
 * registers its incarnation at the dispatch pool and counts what is in flight before it grants anything (D-7); permits that
 * name an older incarnation are refused there. A crash costs a round of asking: the guards see it and ask again (D-11).
 */
import type { DispatchPoolProtocol, InFlight, Registered } from '#actors/dispatch-pool.ts'
import type { GuardProtocol } from '#actors/guard.ts'
import { MANY } from '#actors/mailboxes.ts'
import { GUARD_IDLE_MS } from '#config/limits.ts'
import {
  ask,
  type BrandPermits,
  emptyPermits,
  forgetGuard,
  grantNext,
  holdsNothing,
  keepInFlight,
  release,
  settle,
} from '#guard/brand-permits.ts'
import { concurrencyOf, limitKey } from '#guard/limits.ts'
import { brandHolds, HOLDS_TABLE, type HoldsRow, LIMITS_TABLE, type LimitsRow } from '#guard/tables.ts'
import { type Behaviour, type CastResult, keep, ok, stop } from '#runtime/behaviour.ts'
import type { Context } from '#runtime/context.ts'
import type { Pid } from '#runtime/pid.ts'
import { type Answer, type MonitorRef, type Name, name } from '#runtime/protocol.ts'
import { type ChildSpec, worker } from '#runtime/supervisor-spec.ts'
import type { AttemptId, Brand } from '#webhook/webhook.ts'

export interface BrandLimiterProtocol {
  readonly call: never
  readonly cast: /** From a guard: answered at once by `brand-granted` with 0 to `count`; below `count` it is granted one more as soon as one is free. */
    | { readonly type: 'ask'; readonly guard: Pid; readonly count: number }
    /** From a guard, in the turn in which a grant arrived. */
    | {
        readonly type: 'used'
        readonly guard: Pid
        readonly limiter: number
        /** The incarnation of the guard that its permits name. */
        readonly permits: number
        readonly attempts: readonly AttemptId[]
        readonly returned: number
      }
    /** From a guard: admitted before the brand had this limiter. */
    | { readonly type: 'holding'; readonly guard: Pid; readonly attempts: readonly AttemptId[] }
    /** From the dispatch pool, or from a guard for a permit that never reached the pool. Unknown ids are ignored. */
    | {
        readonly type: 'attempt-ended'
        readonly attemptId: AttemptId
        /** Only a permit of this guard's incarnation is over: the attempt may have another one since. */
        readonly guard?: number
      }
    /** Attempts of a dead process have been written into the table `holds` (D-12). */
    | { readonly type: 'holds-changed' }
    | { readonly type: 'limits-changed' }
  readonly info:
    | { readonly type: 'register' }
    | { readonly type: 'idle' }
    | { readonly type: 'hold-over'; readonly attemptId: AttemptId }
    | Answer<'registered', Registered, number>
    | Answer<'in-flight', readonly InFlight[], Pid>
    | Answer<'counted', readonly InFlight[], number>
    | { readonly type: 'count' }
  readonly continue: { readonly type: 'register' }
}
export const brandLimiterOf = (brand: Brand): Name<BrandLimiterProtocol> => name(`brand-limiter ${brand}`)
export const brandLimiterSpec = (brand: Brand): ChildSpec =>
  worker(brandLimiter, { brand }, { name: brandLimiterOf(brand), restart: 'temporary' })

/** What a guard hears from a brand-limiter. `answer` false: it had been waiting, and this is its turn. */
export interface BrandGranted {
  readonly type: 'brand-granted'
  readonly brand: Brand
  readonly limiter: number
  readonly asked: number
  readonly count: number
  readonly answer: boolean
}

interface Question {
  readonly guard: Pid
  readonly count: number
}
interface State {
  readonly brand: Brand
  readonly key: string
  permits: BrandPermits<Pid>
  readonly guards: Map<Pid, MonitorRef>
  /** 0: not registered; nothing is granted. */
  incarnation: number
  /** Counts the tries to register or to count: an answer to an older one is dropped. */
  round: number
  /** Its limit has changed: while there was none guards admitted without it, so it asks the pool what is in flight, and grants nothing. */
  isCounting: boolean
  early: Question[]
  idling: boolean
}
type Ctx = Context<BrandLimiterProtocol>
const AGAIN_MS = 20
/** Named here: the pool's file imports this one. */
const dispatchPool: Name<DispatchPoolProtocol> = name('dispatch-pool')

export const brandLimiter: Behaviour<BrandLimiterProtocol, { readonly brand: Brand }, State> = {
  name: 'brand-limiter',
  version: 1,
  mailbox: MANY,
  init({ brand }) {
    const state: State = {
      brand,
      key: limitKey('concurrency', null, brand),
      permits: emptyPermits(),
      guards: new Map(),
      incarnation: 0,
      round: 0,
      isCounting: false,
      early: [],
      idling: false,
    }
    return ok(state, { continue: { type: 'register' } })
  },
  continue(_message, state, ctx) {
    register(state, ctx)
    return keep
  },
  cast: {
    ask: (question, state, ctx) => {
      watchGuard(question.guard, state, ctx)
      if (state.incarnation === 0 || state.isCounting) state.early.push(question)
      else answer(question, state, ctx)
      return keep
    },
    used: (message, state, ctx) => {
      if (message.limiter !== state.incarnation) return keep
      settle(state.permits, message.guard, message.attempts, message.returned, message.permits)
      return grantWaiting(state, ctx)
    },
    holding: ({ guard, attempts }, state, ctx) => {
      watchGuard(guard, state, ctx)
      for (const attemptId of attempts) state.permits.held.set(attemptId, { by: guard, permit: null })
      return keep
    },
    'attempt-ended': ({ attemptId, guard }, state, ctx) =>
      release(state.permits, attemptId, guard ?? null) ? grantWaiting(state, ctx) : keep,
    'holds-changed': (_message, state, ctx) => {
      takeHolds(state, ctx)
      return keep
    },
    'limits-changed': (_message, state, ctx) => {
      count(state, ctx)
      return keep
    },
  },
  info(message, state, ctx) {
    switch (message.type) {
      case 'register':
        register(state, ctx)
        return keep
      case 'registered':
        return onRegistered(message, state, ctx)
      case 'in-flight':
        return onInFlight(message, state, ctx)
      case 'count':
        count(state, ctx)
        return keep
      case 'counted':
        return onCounted(message, state, ctx)
      case 'hold-over':
        return state.permits.held.delete(message.attemptId) ? grantWaiting(state, ctx) : keep
      case 'idle':
        return onIdle(state, ctx)
      case 'DOWN':
        if (message.pid !== null && state.guards.has(message.pid)) onGuardDown(message.pid, state, ctx)
        else if (message.name === dispatchPool) onPoolDown(state, ctx)
        return keep
      case 'EXIT':
      case 'timeout':
        return keep
      default:
        return message satisfies never
    }
  },
}

const limitOf = (state: State, ctx: Ctx): number | null =>
  concurrencyOf(ctx.table<string, LimitsRow>(LIMITS_TABLE), state.key)

// ---------------------------------------------------------------- granting

const answer = ({ guard, count }: Question, state: State, ctx: Ctx): void => {
  const given = ask(state.permits, limitOf(state, ctx), guard, count)
  tell(guard, count, given, true, state, ctx)
}
const tell = (guard: Pid, asked: number, count: number, isAnswer: boolean, state: State, ctx: Ctx): void => {
  const granted: BrandGranted = {
    type: 'brand-granted',
    brand: state.brand,
    limiter: state.incarnation,
    asked,
    count,
    answer: isAnswer,
  }
  ctx.cast<GuardProtocol>(guard, granted)
}

const grantWaiting = (state: State, ctx: Ctx): CastResult<BrandLimiterProtocol, State> => {
  if (state.incarnation === 0 || state.isCounting) return keep
  const limit = limitOf(state, ctx)
  for (;;) {
    const guard = grantNext(state.permits, limit)
    if (guard === undefined) break
    tell(guard, 1, 1, false, state, ctx)
  }
  if (holdsNothing(state.permits) && !state.idling) {
    state.idling = true
    ctx.sendAfter(GUARD_IDLE_MS, { type: 'idle' })
  }
  return keep
}

// ---------------------------------------------------------------- life

const register = (state: State, ctx: Ctx): void => {
  state.incarnation = 0
  state.isCounting = false
  state.round += 1
  ctx.monitor(dispatchPool)
  ctx.request(dispatchPool, { type: 'register-limiter', brand: state.brand, pid: ctx.self }, 'registered', state.round)
}

const onRegistered = (
  message: Answer<'registered', Registered, number>,
  state: State,
  ctx: Ctx,
): CastResult<BrandLimiterProtocol, State> => {
  if (message.data !== state.round) return keep
  if (!message.ok) {
    ctx.sendAfter(AGAIN_MS, { type: 'register' })
    return keep
  }
  state.incarnation = message.value.incarnation
  for (const { attemptId } of message.value.inFlight) state.permits.held.set(attemptId, { by: null, permit: null })
  takeHolds(state, ctx)
  for (const question of state.early.splice(0)) answer(question, state, ctx)
  return grantWaiting(state, ctx)
}

/** What is on its way to the pool without a permit of the brand is refused there. */
const count = (state: State, ctx: Ctx): void => {
  if (state.incarnation === 0) return
  state.isCounting = true
  state.round += 1
  ctx.request(dispatchPool, { type: 'in-flight' }, 'counted', state.round)
}
const onCounted = (
  message: Answer<'counted', readonly InFlight[], number>,
  state: State,
  ctx: Ctx,
): CastResult<BrandLimiterProtocol, State> => {
  if (message.data !== state.round) return keep
  if (!message.ok) {
    ctx.sendAfter(AGAIN_MS, { type: 'count' })
    return keep
  }
  state.isCounting = false
  for (const { attemptId, brand } of message.value)
    if (brand === state.brand && !state.permits.held.has(attemptId))
      state.permits.held.set(attemptId, { by: null, permit: null })
  for (const question of state.early.splice(0)) answer(question, state, ctx)
  return grantWaiting(state, ctx)
}

const takeHolds = (state: State, ctx: Ctx): void => {
  const holds = ctx.table<string, HoldsRow>(HOLDS_TABLE).get(brandHolds(state.brand)) ?? []
  const now = ctx.world.monoNow()
  for (const { attemptId, untilMono } of holds) {
    if (untilMono <= now) continue
    state.permits.held.set(attemptId, { by: null, permit: null })
    ctx.sendAfter(Math.ceil(untilMono - now), { type: 'hold-over', attemptId })
  }
}

const watchGuard = (guard: Pid, state: State, ctx: Ctx): void => {
  if (!state.guards.has(guard)) state.guards.set(guard, ctx.monitor(guard))
}

/** Its unnamed grants are free; of what it has named only the pool knows what is in flight. */
const onGuardDown = (guard: Pid, state: State, ctx: Ctx): void => {
  state.guards.delete(guard)
  state.early = state.early.filter((question) => question.guard !== guard)
  forgetGuard(state.permits, guard)
  ctx.request(dispatchPool, { type: 'in-flight' }, 'in-flight', guard)
}

const onInFlight = (
  message: Answer<'in-flight', readonly InFlight[], Pid>,
  state: State,
  ctx: Ctx,
): CastResult<BrandLimiterProtocol, State> => {
  if (!message.ok) return keep
  const inFlight = new Set(message.value.map(({ attemptId }) => attemptId))
  keepInFlight(state.permits, message.data, inFlight)
  return grantWaiting(state, ctx)
}

/** The pool's threads have ended before its DOWN: nothing is in flight, and every permit is void. */
const onPoolDown = (state: State, ctx: Ctx): void => {
  const guards = [...state.guards.keys()]
  const waiting = new Set(state.permits.waiting)
  state.permits = { ...emptyPermits<Pid>(), waiting }
  // Who has asked is answered when there is a pool again: should it die before, its question must go with it.
  const asking = new Set(state.early.map(({ guard }) => guard))
  for (const guard of guards) if (!waiting.has(guard) && !asking.has(guard)) unwatch(guard, state, ctx)
  state.incarnation = 0
  state.isCounting = false
  state.round += 1
  ctx.sendAfter(AGAIN_MS, { type: 'register' })
}
const unwatch = (guard: Pid, state: State, ctx: Ctx): void => {
  const ref = state.guards.get(guard)
  if (ref !== undefined) ctx.demonitor(ref, { flush: true })
  state.guards.delete(guard)
}

const onIdle = (state: State, ctx: Ctx): CastResult<BrandLimiterProtocol, State> => {
  if (!holdsNothing(state.permits) || state.early.length > 0 || ctx.mailboxLength() > 0) {
    // What it holds may end without a word to it, as when the pool dies: it looks again.
    ctx.sendAfter(GUARD_IDLE_MS, { type: 'idle' })
    return keep
  }
  ctx.unregister()
  return stop('normal', state)
}
