/** Limits as guards and brand-limiters read them: the table says what the store says. */
import { type BrandLimiterProtocol, brandLimiterOf } from '#actors/brand-limiter.ts'
import { type GuardFigures, guardOf } from '#actors/guard.ts'
import type { SchedulerProtocol } from '#actors/scheduler.ts'
import { limitKey, NODE_PAUSE_KEY } from '#guard/limits.ts'
import { FIGURES_TABLE, LIMITS_TABLE, type LimitsRow } from '#guard/tables.ts'
import type { Context } from '#runtime/context.ts'
import { type Name, name } from '#runtime/protocol.ts'
import type { StoredLimit } from '#store/store.ts'
import type { Events } from '#telemetry/events.ts'
import type { Brand, Domain } from '#webhook/webhook.ts'

/** Named here: its file stands above this one. */
const scheduler: Name<SchedulerProtocol> = name('scheduler')

type Ctx = Pick<Context, 'table' | 'world' | 'cast'>
const keyOf = ({ kind, domain, brand }: StoredLimit): string => limitKey(kind, domain, brand)

/** What guards keep in the store for the next process: no limit. */
export const isKeptCondition = ({ kind }: Pick<StoredLimit, 'kind'>): boolean =>
  kind === 'closed-until' || kind === 'breaker-until'

/** From here on it is the limit; unless it is, or a later one: what is read again and what is answered come in any order. */
export const takeHold = (stored: StoredLimit, events: Events, ctx: Ctx): void => {
  if (isKeptCondition(stored)) return
  const table = ctx.table<string, LimitsRow>(LIMITS_TABLE)
  if ((table.get(keyOf(stored))?.version ?? 0) >= stored.version) return
  table.set(keyOf(stored), stored)
  tellOf(stored, events, ctx)
}
const tellOf = ({ kind, domain, brand, value, version, setBy }: StoredLimit, events: Events, ctx: Ctx): void => {
  tellConcerned(domain, brand, ctx)
  events.emit({ type: 'limit.changed', at: ctx.world.wallNow(), kind, domain, brand, value, version, setBy })
}

/**
 * All limits, as the store has them when none of ours is being written: what an actor of before had asked for, and what was
 * answered to nobody, holds from here on. The store tells no limits that were removed.
 */
export const holdAll = (stored: readonly StoredLimit[], events: Events, ctx: Ctx): void => {
  const keys = new Set(stored.map(keyOf))
  const table = ctx.table<string, LimitsRow>(LIMITS_TABLE)
  for (const [key, row] of [...table.entries()]) {
    if (keys.has(key) || key === NODE_PAUSE_KEY || row.value === null) continue
    table.delete(key)
    tellOf({ ...row, value: null, version: row.version + 1, setBy: 'unknown' }, events, ctx)
  }
  for (const limit of stored) takeHold(limit, events, ctx)
}
/** At the start of a process: nothing of it is news. */
export const fill = (stored: readonly StoredLimit[], ctx: Ctx): void => {
  const table = ctx.table<string, LimitsRow>(LIMITS_TABLE)
  for (const row of stored) if (!isKeptCondition(row)) table.set(keyOf(row), row)
}

/** Limits are read at each admission; this only wakes who waits. A brand's limit over all domains concerns every live guard. */
const tellConcerned = (domain: Domain | null, brand: Brand | null, ctx: Ctx): void => {
  ctx.cast(scheduler, { type: 'limits-changed', domain })
  if (domain !== null) return ctx.cast(guardOf(domain), { type: 'limits-changed' })
  if (brand === null) return
  ctx.cast<BrandLimiterProtocol>(brandLimiterOf(brand), { type: 'limits-changed' })
  for (const [live] of ctx.table<Domain, GuardFigures>(FIGURES_TABLE).entries())
    ctx.cast(guardOf(live), { type: 'limits-changed' })
}
