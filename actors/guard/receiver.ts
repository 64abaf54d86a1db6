/** The guard listens to the receiver: what its answers do to closures, breakers and the adaptive limit. */
import { guardKeyIn, type Permit } from '#actors/guard.ts'
import { CLOSURE_KEPT_MS_MIN } from '#config/limits.ts'
import { ADAPTIVE_CEILING } from '#guard/adaptive.ts'
import { BREAKER_OPEN_MS_DEFAULT } from '#guard/breaker.ts'
import { applyPolicy, type ConditionChange, type ConditionPolicy, hear } from '#guard/conditions.ts'
import { concurrencyOf, type DomainKeys, domainKeys, type LimitTable, settingOf } from '#guard/limits.ts'
import { LIMITS_TABLE, type LimitsRow } from '#guard/tables.ts'
import type { Context } from '#runtime/context.ts'
import type { Events } from '#telemetry/events.ts'
import type { AttemptId, Brand, Domain, Instant, Outcome } from '#webhook/webhook.ts'
import { conditionsOf } from './ground.ts'
import { type Ctx, limits, type State } from './state.ts'

type Hearing = Pick<Context, 'table' | 'world' | 'cast'>

interface Ended {
  readonly attemptId: AttemptId
  readonly domain: Domain
  readonly brand: Brand
  readonly outcome: Outcome
}
/** Also by a guard whose host is under another one by now: then that one is told, through the table (D-13). */
export const listen = ({ attemptId, domain, brand, outcome }: Ended, state: State, ctx: Ctx): void => {
  const flight = state.flights.get(attemptId)
  if (flight === undefined) return
  const limits = ctx.table<string, LimitsRow>(LIMITS_TABLE)
  const key = guardKeyIn(ctx, domain)
  const conditions = conditionsOf(key, ctx)
  const nowMono = ctx.world.monoNow()
  const changes = hear(conditions, policyOf(state.queues.keys, limits), {
    brand,
    outcome,
    latencyMs: nowMono - flight.admittedMono,
    inFlight: state.flights.size,
    othersWait: state.queues.ring.places.some((queue) => queue !== null && queue.brand !== brand && queue.size > 0),
    nowMono,
  })
  for (const change of changes) tellChange(change, key, state, ctx)
}

/**
 * What no guard will hear: its host is just changing hands, or its guard has died, and the next one has not registered. Then the
 * pool hears it, for whoever comes next. `inFlight`: what it holds of that guard, this one included.
 */
export const hearForNobody = (
  { domain, brand, admittedMono }: Pick<Permit, 'domain' | 'brand' | 'admittedMono'>,
  outcome: Outcome,
  inFlight: number,
  events: Events,
  ctx: Hearing,
): void => {
  const key = guardKeyIn(ctx, domain)
  const nowMono = ctx.world.monoNow()
  const policy = policyOf(domainKeys(key), ctx.table<string, LimitsRow>(LIMITS_TABLE))
  // Whether others wait there nobody knows: for all of them one brand cannot speak.
  const heard = { brand, outcome, latencyMs: nowMono - admittedMono, inFlight, othersWait: true, nowMono }
  for (const change of hear(conditionsOf(key, ctx), policy, heard)) tellChange(change, key, { events }, ctx)
}

const policyOf = (keys: DomainKeys, limits: LimitTable): ConditionPolicy => ({
  closure: settingOf(limits, keys.closure, 1),
  breaker: {
    enabled: settingOf(limits, keys.breaker, 1) > 0,
    openMs: settingOf(limits, keys.breakerOpenMs, BREAKER_OPEN_MS_DEFAULT),
  },
  adaptiveCeiling:
    settingOf(limits, keys.adaptive, 0) > 0 ? (concurrencyOf(limits, keys.concurrency) ?? ADAPTIVE_CEILING) : null,
})

const CHANGED = {
  closed: 'guard.closed',
  reopened: 'guard.reopened',
  'breaker-opened': 'breaker.opened',
  'breaker-half-opened': 'breaker.half-opened',
  'breaker-closed': 'breaker.closed',
  adapted: 'guard.adapted',
} as const

/** Settings may have changed: what is switched off holds nothing closed any more. */
export const heedPolicy = (state: State, ctx: Ctx): void => {
  const limits = ctx.table<string, LimitsRow>(LIMITS_TABLE)
  const conditions = conditionsOf(state.domain, ctx)
  for (const change of applyPolicy(conditions, policyOf(state.queues.keys, limits))) {
    tellChange(change, state.domain, state, ctx)
    keepUntil(change, null, state.domain, ctx)
  }
}

/** Every change is an event with its cause; a long one is kept in the store as well (D-10). */
export const tellChange = (
  { what, brand, untilMono, cause }: ConditionChange,
  domain: Domain,
  { events }: Pick<State, 'events'>,
  ctx: Hearing,
): void => {
  const at = ctx.world.wallNow()
  const leftMs = untilMono === null ? 0 : untilMono - ctx.world.monoNow()
  const until = untilMono === null ? null : Math.ceil(at + leftMs)
  events.emit({ type: CHANGED[what], at, domain, brand, until, cause })
  if (until !== null && leftMs >= CLOSURE_KEPT_MS_MIN) keepUntil({ what, brand }, until, domain, ctx)
}
const keepUntil = (
  { what, brand }: Pick<ConditionChange, 'what' | 'brand'>,
  value: Instant | null,
  domain: Domain,
  ctx: Hearing,
): void => {
  const kind = what === 'closed' || what === 'reopened' ? 'closed-until' : 'breaker-until'
  const setAt = ctx.world.wallNow()
  ctx.cast(limits, { type: 'keep', limit: { kind, domain, brand, value, burst: null, setBy: 'guard', setAt } })
}
