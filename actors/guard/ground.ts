/** What an admission stands on: limits, rates and conditions, fresh from their tables at every step (D-10). */
import type { Ground } from '#guard/admission.ts'
import { type Conditions, mergeConditions, newConditions } from '#guard/conditions.ts'
import { hasSlow, nodeAgainMs, nodeRoom, type Pace, reportLoad } from '#guard/node-load.ts'
import {
  bookIn,
  CONDITIONS_TABLE,
  type ConditionsRow,
  GROUPS_TABLE,
  LIMITS_TABLE,
  type LimitsRow,
  NODE_TABLE,
  type NodeLoad,
  RATES_KNOWN_SINCE,
  RATES_TABLE,
  type RatesRow,
} from '#guard/tables.ts'
import { type GroupBook, lastTouch, membersNaming } from '#webhook/domain-group.ts'
import type { Domain } from '#webhook/webhook.ts'
import type { Ctx, State } from './state.ts'

/** Everything that an admission reads, fresh from the tables: nothing is copied (D-10). */
export const groundOf = (state: State, ctx: Ctx): Ground => {
  const rates = ctx.table<string, RatesRow>(RATES_TABLE)
  const nowMono = ctx.world.monoNow()
  let known = rates.get(RATES_KNOWN_SINCE)
  if (known === undefined) {
    known = { nominalMono: nowMono, lastStartMono: nowMono, owed: 1, perSecond: 0, burst: 1 }
    rates.set(RATES_KNOWN_SINCE, known)
  }
  const limits = ctx.table<string, LimitsRow>(LIMITS_TABLE)
  const conditions = conditionsOf(state.domain, ctx)
  const nowAt = ctx.world.wallNow()
  const touchedMono = lastTouch(groupsOf(ctx), state.domain)?.mono ?? Number.NEGATIVE_INFINITY
  const unknownSinceMono = Math.max(known.lastStartMono, touchedMono)
  const limitsVersion = limits.version
  return { limits, limitsVersion, rates, unknownSinceMono, conditions, ...roomOf(state, ctx), nowMono, nowAt }
}

/**
 * The row outlives the guard; what an earlier process has kept in the store the actor `limits` has put there. A host that has
 * left a group has what was heard there (D-13).
 */
export const conditionsOf = (domain: Domain, ctx: Pick<Ctx, 'table'>): Conditions => {
  const table = ctx.table<Domain, ConditionsRow>(CONDITIONS_TABLE)
  const there = table.get(domain)
  if (there !== undefined) return there
  const conditions = newConditions()
  table.set(domain, conditions)
  for (const member of membersNaming(domain)) {
    const former = member === domain ? undefined : table.get(member)
    if (former !== undefined) mergeConditions(conditions, former)
  }
  return conditions
}

const groupsOf = (ctx: Ctx): GroupBook => bookIn(ctx.table<string, GroupBook>(GROUPS_TABLE))

/** Tells the node what this guard holds, and learns what it may start. */
export const roomOf = (state: State, ctx: Ctx): Pick<Ground, 'nodeRoom' | 'nodeAgainMs'> => {
  const pace = paceOf(state, ctx)
  const own = { inFlight: state.flights.size, pace, isBlocked: state.block?.by === 'node-capacity' }
  const sum = reportLoad(ctx.table<string, NodeLoad>(NODE_TABLE), state.domain, own)
  return { nodeRoom: nodeRoom(sum, pace), nodeAgainMs: nodeAgainMs(sum) }
}
const paceOf = ({ flights, wasQuick }: State, ctx: Ctx): Pace =>
  hasSlow(flights, ctx.world.monoNow()) ? 'slow' : wasQuick === true ? 'quick' : 'unknown'
