/** A crowd: all places are taken and others wait. Guards read it from a table, events tell its begin and its end, and it explains itself. */
import { guardKeyIn } from '#actors/guard.ts'
import type { Ground, LimitName } from '#guard/admission.ts'
import { endDueMono, noPressure, observe, type PressureChange } from '#guard/backpressure.ts'
import { type Conditions, newConditions } from '#guard/conditions.ts'
import { type GuardState, keyOfLimit, stateShown } from '#guard/explain.ts'
import { domainKeys } from '#guard/limits.ts'
import { restBlock } from '#guard/resting.ts'
import { startsLastSecond } from '#guard/start-counter.ts'
import {
  CONDITIONS_TABLE,
  type ConditionsRow,
  CROWD,
  CROWD_SHOWN_TABLE,
  CROWD_TABLE,
  type CrowdRow,
  type CrowdShownRow,
  LIMITS_TABLE,
  type LimitsRow,
  RATES_TABLE,
  type RatesRow,
} from '#guard/tables.ts'
import { aheadOf, isAwaited, lengthOf, longestWaiting } from '#schedule/waitlist.ts'
import type { Brand, Domain, Instant } from '#webhook/webhook.ts'
import type { Ctx, State } from './state.ts'

/** Domains that are shown of all that wait. */
const SHOWN_MAX = 20

/** Guards with nothing to do see it and stop at once. Short pauses are folded before an end is told. */
export const noteCrowd = (state: State, ctx: Ctx): void => {
  const isFull = state.told.size >= state.guardsMax
  flag(isFull && isAwaited(state.list), ctx)
  const table = ctx.table<string, CrowdShownRow>(CROWD_SHOWN_TABLE)
  const shown = table.get(CROWD)
  if (shown === undefined && !(isFull && isAwaited(state.list))) return
  const pressure = shown?.pressure ?? noPressure()
  const change = observe(pressure, {
    blockedBy: isFull ? 'live-guards' : null,
    depth: waitingIn(state),
    nowAt: ctx.world.wallNow(),
    nowMono: ctx.world.monoNow(),
  })
  if (change?.kind === 'started') table.set(CROWD, { pressure, ...seenNow(state, ctx) })
  if (change?.kind === 'ended') table.delete(CROWD)
  if (change !== null) tell(change, state, ctx)
  if (pressure.clearSinceMono !== null && state.crowdTick === null)
    state.crowdTick = ctx.sendAfter(Math.max(0, endDueMono(pressure) - ctx.world.monoNow()), { type: 'crowd' })
}
export const isCrowded = (ctx: Ctx): boolean => ctx.table<string, CrowdRow>(CROWD_TABLE).has(CROWD)
const flag = (isFull: boolean, ctx: Ctx): void => {
  const table = ctx.table<string, CrowdRow>(CROWD_TABLE)
  if (isFull === table.has(CROWD)) return
  if (isFull) table.set(CROWD, { sinceAt: ctx.world.wallNow() })
  else table.delete(CROWD)
}
/** By name; of the others nobody knows how many there are. */
const waitingIn = ({ list }: State): number => Math.max(lengthOf(list), isAwaited(list) ? 1 : 0)

const tell = (change: PressureChange, { events, guardsMax }: State, ctx: Ctx): void => {
  const at = ctx.world.wallNow()
  if (change.kind === 'started')
    events.emit({ type: 'crowd.started', at, limit: 'live-guards', guards: guardsMax, depth: change.depth })
  else {
    const { durationMs, peak, spans } = change
    events.emit({ type: 'crowd.ended', at, limit: 'live-guards', durationMs, peak, spans })
  }
}

/** While there is one, what is shown of it is brought up to date. */
export const showCrowd = (state: State, ctx: Ctx): void => {
  const table = ctx.table<string, CrowdShownRow>(CROWD_SHOWN_TABLE)
  const shown = table.get(CROWD)
  if (shown !== undefined) table.set(CROWD, { pressure: shown.pressure, ...seenNow(state, ctx) })
}
const seenNow = (state: State, ctx: Ctx): Omit<CrowdShownRow, 'pressure'> => ({
  guardsMax: state.guardsMax,
  waiting: waitingIn(state),
  more: state.list.areUnlisted,
  placesPerSecond: startsLastSecond(state.given, ctx.world.monoNow()),
  longest: longestWaiting(state.list, SHOWN_MAX),
})

const NOTHING_HEARD: Conditions = newConditions()
/** What a domain without a guard stands on, from the tables. Nothing is changed there: that is the guard's business when it starts. */
export const groundsIn = (ctx: Ctx): ((domain: Domain) => Ground) => {
  const rates = ctx.table<string, RatesRow>(RATES_TABLE)
  const conditions = ctx.table<Domain, ConditionsRow>(CONDITIONS_TABLE)
  const limits = ctx.table<string, LimitsRow>(LIMITS_TABLE)
  const ground: Omit<Ground, 'conditions'> = {
    limits,
    limitsVersion: limits.version,
    rates: { get: (key) => rates.get(key), set: () => undefined },
    unknownSinceMono: Number.NEGATIVE_INFINITY,
    nodeRoom: Number.POSITIVE_INFINITY,
    nodeAgainMs: 0,
    nowMono: ctx.world.monoNow(),
    nowAt: ctx.world.wallNow(),
  }
  return (domain) => ({ ...ground, conditions: conditions.get(domain) ?? NOTHING_HEARD })
}

/** What a domain that waits for a place waits for. */
export interface Place {
  /** What it could not start for, if it had a place; else the bound on live guards. */
  readonly blockedOn: { readonly limit: LimitName; readonly key: string }
  readonly state: GuardState
  /** Since when all places are taken, or nearly; null: they are not, and it has one at once. */
  readonly crowdSinceAt: Instant | null
  /** Domains that get a place before it; null: it is not known by name, and its turn comes with the circle over the store. */
  readonly ahead: number | null
  /** Places given in the last second. */
  readonly perSecond: number
  /** When it gets one, at that pace and if nobody else comes due; null: nobody can say. */
  readonly expectedAt: Instant | null
}

/** Null: it has a guard, or nobody waits. `brand`: whose webhook is asked about, or null. */
export const explainPlace = (of: Domain, brand: Brand | null, state: State, ctx: Ctx): Place | null => {
  const domain = guardKeyIn(ctx, of)
  const { list, told } = state
  const ahead = aheadOf(list, domain)
  if (told.has(domain) || (ahead === null && !list.areUnlisted)) return null
  const ground = groundsIn(ctx)(domain)
  const block = restBlock(domain, brand, ground)
  const shown = stateShown(domainKeys(domain), ground)
  const perSecond = startsLastSecond(state.given, ground.nowMono)
  const placeInMs = ahead === null || perSecond === 0 ? Number.POSITIVE_INFINITY : (ahead * 1_000) / perSecond
  const limit = block?.by ?? 'live-guards'
  const inMs = Math.max(placeInMs, block === null ? 0 : block.untilMono - ground.nowMono)
  return {
    blockedOn: { limit, key: keyOfLimit(limit, domain, brand ?? '') },
    state: shown === 'open' ? 'starting' : shown,
    crowdSinceAt: ctx.table<string, CrowdShownRow>(CROWD_SHOWN_TABLE).get(CROWD)?.pressure.sinceAt ?? null,
    ahead,
    perSecond,
    expectedAt: Number.isFinite(inMs) ? Math.round(ground.nowAt + inMs) : null,
  }
}
