/**
 * limits: owns the table `limits`. Started by root after the store-keeper and `guards`, before anything is admitted.
 *
 * State: changes that are being written. In `init` it loads every limit from the store, with patience: no webhook moves
 * before the limits are known. A change is durable before it is live, and holds from the next admission on. While it
 * restarts, root keeps the table, so nobody admits without limits; a crash costs nothing but the changes under way,
 * whose askers get the death as their answer.
 */
import { type BrandLimiterProtocol, brandLimiterOf } from '#actors/brand-limiter.ts'
import { type GuardFigures, guardOf } from '#actors/guard.ts'
import { type StoreFailed, storeKeeper } from '#actors/store-keeper.ts'
import { GUARD_SWEEP_MS } from '#config/limits.ts'
import { forgetShares, newConditions, restore, saysNothing } from '#guard/conditions.ts'
import { limitKey, NODE_PAUSE_KEY } from '#guard/limits.ts'
import { reportLoad } from '#guard/node-load.ts'
import { carriesNothing } from '#guard/rate.ts'
import {
  CONDITIONS_TABLE,
  type ConditionsRow,
  DEPARTURES_TABLE,
  FIGURES_TABLE,
  HOLDS_TABLE,
  type HoldsRow,
  LIMITS_TABLE,
  type LimitsRow,
  NODE_SUM,
  NODE_TABLE,
  type NodeLoad,
  RATES_KNOWN_SINCE,
  RATES_TABLE,
  type RatesRow,
} from '#guard/tables.ts'
import { type Behaviour, keep, ok } from '#runtime/behaviour.ts'
import type { Context } from '#runtime/context.ts'
import type { From } from '#runtime/from.ts'
import { type Answer, type Call, type Name, name } from '#runtime/protocol.ts'
import type { SetLimit, StoredLimit } from '#store/store.ts'
import type { Events } from '#telemetry/events.ts'
import type { Brand, Domain } from '#webhook/webhook.ts'

export type LimitChange = Omit<SetLimit, 'type'>
export type LimitSet = { readonly ok: true; readonly limit: StoredLimit } | StoreFailed

export interface LimitsProtocol {
  /** Answered when the change is on disk and in the table. `failed`: nothing has changed, try again. */
  readonly call: Call<{ readonly type: 'set'; readonly limit: LimitChange }, LimitSet>
  /** Graceful stop: from now on no guard admits anything. Not stored. */
  readonly cast: { readonly type: 'quiesce' }
  readonly info: Answer<'stored', StoredLimit | StoreFailed, From<LimitSet>> | { readonly type: 'sweep' }
  readonly continue: never
}
export const limits: Name<LimitsProtocol> = name('limits')

interface State {
  readonly events: Events
}
type Ctx = Context<LimitsProtocol>
/** The store is opening, or failing: its keeper decides when that is too long. */
const LOAD_AGAIN_MS = 50

/** Owns the guards' tables, and keeps this actor's while it restarts (`supervisors/root.ts`). */
const ROOT = 'root'

export const limitsActor: Behaviour<LimitsProtocol, { readonly events: Events }, State> = {
  name: 'limits',
  version: 1,
  async init({ events }, ctx) {
    const stored = await load(ctx)
    const table = ctx.createTable<string, LimitsRow>(LIMITS_TABLE, { heir: ROOT })
    for (const row of stored) if (!isKeptCondition(row)) table.set(keyOf(row), row)
    restoreConditions(stored, ctx)
    knowSince(ctx)
    ctx.sendAfter(GUARD_SWEEP_MS, { type: 'sweep' })
    return ok({ events })
  },
  call: {
    set: ({ limit }, from, _state, ctx) => {
      ctx.request(storeKeeper, { type: 'set-limit', ...limit }, 'stored', from)
      return keep
    },
  },
  cast: {
    quiesce: (_message, _state, ctx) => {
      ctx.table<string, LimitsRow>(LIMITS_TABLE).set(NODE_PAUSE_KEY, NODE_PAUSED)
      return keep
    },
  },
  info(message, state, ctx) {
    if (message.type === 'stored') ctx.reply(message.data, settle(message, state, ctx))
    if (message.type === 'sweep') {
      sweep(ctx)
      ctx.sendAfter(GUARD_SWEEP_MS, { type: 'sweep' })
    }
    return keep
  },
}

const NODE_PAUSED: LimitsRow = {
  kind: 'pause',
  domain: null,
  brand: null,
  value: 1,
  burst: null,
  version: 1,
  setBy: 'stop',
  setAt: 0,
}
const keyOf = ({ kind, domain, brand }: LimitChange): string => limitKey(kind, domain, brand)

/** What guards keep in the store for the next process: read once, at its start. */
const isKeptCondition = ({ kind }: StoredLimit): boolean => kind === 'closed-until' || kind === 'breaker-until'
/** Closures and open breakers of an earlier process that still last (D-10); a row that is there knows better. */
const restoreConditions = (stored: readonly StoredLimit[], ctx: Ctx): void => {
  const table = ctx.table<Domain, ConditionsRow>(CONDITIONS_TABLE)
  const known = new Set([...table.entries()].map(([domain]) => domain))
  const nowMono = ctx.world.monoNow()
  for (const row of stored) {
    const leftMs = (row.value ?? 0) - ctx.world.wallNow()
    if (!isKeptCondition(row) || row.domain === null || leftMs <= 0 || known.has(row.domain)) continue
    const conditions = table.get(row.domain) ?? newConditions()
    table.set(row.domain, conditions)
    restore(conditions, row.kind === 'closed-until' ? 'closed' : 'breaker-opened', row.brand, leftMs, nowMono)
  }
}

const load = async (ctx: Ctx): Promise<readonly StoredLimit[]> => {
  for (;;) {
    const stored = await ctx.call(storeKeeper, { type: 'limits' }, Number.POSITIVE_INFINITY).catch(() => null)
    if (stored?.ok) return stored.value
    // Its supervisor is ours: it cannot start it again while it waits for this init.
    if (ctx.whereis(storeKeeper) === null) throw new Error('the store-keeper is dead')
    await ctx.sleep(LOAD_AGAIN_MS)
  }
}

/** What was started before this instant nobody knows: rates count from here (D-10). */
const knowSince = (ctx: Ctx): void => {
  const rates = ctx.table<string, RatesRow>(RATES_TABLE)
  if (rates.has(RATES_KNOWN_SINCE)) return
  const now = ctx.world.monoNow()
  rates.set(RATES_KNOWN_SINCE, { nominalMono: now, lastStartMono: now, perSecond: 0, burst: 1 })
}

const settle = (
  message: Extract<LimitsProtocol['info'], { readonly type: 'stored' }>,
  { events }: State,
  ctx: Ctx,
): LimitSet => {
  if (!message.ok) return { ok: false, failed: 'closed' }
  const stored = message.value
  if ('failed' in stored) return stored
  if (isKeptCondition(stored)) return { ok: true, limit: stored }
  ctx.table<string, LimitsRow>(LIMITS_TABLE).set(keyOf(stored), stored)
  tellConcerned(stored.domain, stored.brand, ctx)
  const { kind, domain, brand, value, version, setBy } = stored
  events.emit({ type: 'limit.changed', at: ctx.world.wallNow(), kind, domain, brand, value, version, setBy })
  return { ok: true, limit: stored }
}

/** Limits are read at each admission; this only wakes who waits. A brand's limit over all domains concerns every live guard. */
const tellConcerned = (domain: Domain | null, brand: Brand | null, ctx: Ctx): void => {
  if (domain !== null) return ctx.cast(guardOf(domain), { type: 'limits-changed' })
  if (brand === null) return
  ctx.cast<BrandLimiterProtocol>(brandLimiterOf(brand), { type: 'limits-changed' })
  for (const [live] of ctx.table<Domain, GuardFigures>(FIGURES_TABLE).entries())
    ctx.cast(guardOf(live), { type: 'limits-changed' })
}

/** A guard that was killed and has no successor leaves rows behind; so does a rate that tells nothing any more. */
const sweep = (ctx: Ctx): void => {
  const nowMono = ctx.world.monoNow()
  const gone = (domain: Domain): boolean => ctx.whereis(guardOf(domain)) === null
  const figures = ctx.table<Domain, GuardFigures>(FIGURES_TABLE)
  for (const [domain] of [...figures.entries()]) if (gone(domain)) figures.delete(domain)
  const loads = ctx.table<string, NodeLoad>(NODE_TABLE)
  for (const [domain] of [...loads.entries()])
    if (domain !== NODE_SUM && gone(domain)) reportLoad(loads, domain, 0, false)
  const conditions = ctx.table<Domain, ConditionsRow>(CONDITIONS_TABLE)
  for (const [domain, row] of [...conditions.entries()]) {
    if (gone(domain) && saysNothing(row, nowMono)) conditions.delete(domain)
    else forgetShares(row, nowMono)
  }
  const rates = ctx.table<string, RatesRow>(RATES_TABLE)
  for (const [key, row] of [...rates.entries()])
    if (key !== RATES_KNOWN_SINCE && carriesNothing(row, nowMono)) rates.delete(key)
  const departures = ctx.table<string, RatesRow>(DEPARTURES_TABLE)
  for (const [key, row] of [...departures.entries()]) if (carriesNothing(row, nowMono)) departures.delete(key)
  const holds = ctx.table<string, HoldsRow>(HOLDS_TABLE)
  for (const [key, row] of [...holds.entries()])
    if (row.every(({ untilMono }) => untilMono <= nowMono)) holds.delete(key)
}
