/** What nobody reads any more in the tables of the guards, which they leave to `limits`: each dies alone, and may die at any moment. */
import { forgetSurplus } from '#actors/guard/forgetting.ts'
import { type GuardFigures, guardOf } from '#actors/guard.ts'
import { CONDITIONS_KEPT_MS, forgetShares, saysNothing } from '#guard/conditions.ts'
import { forgetPaces, NO_LOAD, reportLoad } from '#guard/node-load.ts'
import { carriesNothing } from '#guard/rate.ts'
import {
  CONDITIONS_TABLE,
  type ConditionsRow,
  DEPARTURES_TABLE,
  FIGURES_TABLE,
  HOLDS_TABLE,
  type HoldsRow,
  NODE_SUM,
  NODE_TABLE,
  type NodeLoad,
  QUICK_TABLE,
  type QuickRow,
  RATES_KNOWN_SINCE,
  RATES_TABLE,
  type RatesRow,
} from '#guard/tables.ts'
import type { Context } from '#runtime/context.ts'
import type { Domain } from '#webhook/webhook.ts'

/** A guard that was killed and has no successor leaves rows behind; so does a rate that tells nothing any more. */
export const sweep = (ctx: Pick<Context, 'table' | 'world' | 'whereis'>): void => {
  const nowMono = ctx.world.monoNow()
  const gone = (domain: Domain): boolean => ctx.whereis(guardOf(domain)) === null
  const figures = ctx.table<Domain, GuardFigures>(FIGURES_TABLE)
  for (const [domain] of [...figures.entries()]) if (gone(domain)) figures.delete(domain)
  const loads = ctx.table<string, NodeLoad>(NODE_TABLE)
  for (const [domain] of [...loads.entries()])
    if (domain !== NODE_SUM && gone(domain)) reportLoad(loads, domain, NO_LOAD)
  forgetPaces(ctx.table<Domain, QuickRow>(QUICK_TABLE), nowMono - CONDITIONS_KEPT_MS)
  const conditions = ctx.table<Domain, ConditionsRow>(CONDITIONS_TABLE)
  for (const [domain, row] of [...conditions.entries()]) {
    if (gone(domain) && saysNothing(row, nowMono)) conditions.delete(domain)
    else forgetShares(row, nowMono)
  }
  forgetSurplus(ctx)
  const rates = ctx.table<string, RatesRow>(RATES_TABLE)
  for (const [key, row] of [...rates.entries()])
    if (key !== RATES_KNOWN_SINCE && carriesNothing(row, nowMono)) rates.delete(key)
  const departures = ctx.table<string, RatesRow>(DEPARTURES_TABLE)
  for (const [key, row] of [...departures.entries()]) if (carriesNothing(row, nowMono)) departures.delete(key)
  const holds = ctx.table<string, HoldsRow>(HOLDS_TABLE)
  for (const [key, row] of [...holds.entries()])
    if (row.every(({ untilMono }) => untilMono <= nowMono)) holds.delete(key)
}
