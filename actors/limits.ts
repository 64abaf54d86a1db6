/**
 * limits: owns the table `limits`, and fills the table `groups`. Started by root after the store-keeper and `guards`, before anything is admitted.
 *
 * State: changes that are being written; one of the groups has the actor for itself, so that whether it may be is decided on
 * what holds (D-13). In `init` it loads every limit from the store, with patience: no webhook moves
 * before the limits are known. A change is durable before it is live, and holds from the next admission on. While it
 * restarts, root keeps the table, so nobody admits without limits; a crash costs nothing but the changes under way,
 * whose askers get the death as their answer.
 */
import { type BrandLimiterProtocol, brandLimiterOf } from '#actors/brand-limiter.ts'
import { type GuardFigures, guardKeyIn, guardOf } from '#actors/guard.ts'
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
import type { GroupSet, SetGroup, SetLimit, StoredLimit } from '#store/store.ts'
import type { Events } from '#telemetry/events.ts'
import type { DomainGroup, GroupKey, Member } from '#webhook/domain-group.ts'
import type { Brand, Domain } from '#webhook/webhook.ts'
import { changeGroups, groupsWith, isKnown, planOf, restingIn } from './limits/regrouping.ts'

export type LimitChange = Omit<SetLimit, 'type'>
export type LimitSet =
  | { readonly ok: true; readonly limit: StoredLimit }
  /** The host is in a group: only the group has limits. */
  | { readonly ok: false; readonly why: 'in-group'; readonly group: GroupKey }
  | StoreFailed
export type GroupChange = Omit<SetGroup, 'type' | 'carried'>
export type GroupChanged =
  /** `resting`: hosts and wildcards that have limits of their own, which do not count while they are in the group. */
  | { readonly ok: true; readonly group: DomainGroup; readonly resting: readonly Domain[] }
  | { readonly ok: false; readonly why: 'taken'; readonly member: Member; readonly by: GroupKey }
  /** A person holds it: whether it goes on must not be decided by a change of groups. */
  | { readonly ok: false; readonly why: 'paused'; readonly domain: Domain }
  | StoreFailed

export interface LimitsProtocol {
  readonly call: /** Answered when the change is on disk and in the table. `failed`: nothing has changed, try again. */
    | Call<{ readonly type: 'set'; readonly limit: LimitChange }, LimitSet>
    /** Answered when the change is on disk and holds: guards of before give no permit any more. */
    | Call<{ readonly type: 'set-group'; readonly group: GroupChange }, GroupChanged>
  /** Graceful stop: from now on no guard admits anything. Not stored. */
  readonly cast: { readonly type: 'quiesce' }
  readonly info:
    | Answer<'stored', StoredLimit | StoreFailed, From<LimitSet>>
    | Answer<'group-stored', GroupSet | StoreFailed, From<GroupChanged>>
    | Answer<'groups-read', Loaded<readonly DomainGroup[]>, number>
    | { readonly type: 'look' }
    | { readonly type: 'sweep' }
  readonly continue: never
}
export const limits: Name<LimitsProtocol> = name('limits')

type Asked =
  | { readonly what: 'limit'; readonly limit: LimitChange; readonly from: From<LimitSet> }
  | { readonly what: 'group'; readonly group: GroupChange; readonly from: From<GroupChanged> }
interface State {
  readonly events: Events
  /** Limits that are being written. */
  writing: number
  /** A change of the groups is being written: nothing else is meanwhile. */
  regrouping: boolean
  readonly waiting: Asked[]
  /** Changes of the groups so far: what was read before one of them is old. */
  changes: number
}
type Ctx = Context<LimitsProtocol>
/** The store is opening, or failing: its keeper decides when that is too long. */
const LOAD_AGAIN_MS = 50
/** By then the store has written what it was asked for before the start. */
const LOOK_AGAIN_MS = 1_000

/** Owns the guards' tables, and keeps this actor's while it restarts (`supervisors/root.ts`). */
const ROOT = 'root'

export const limitsActor: Behaviour<LimitsProtocol, { readonly events: Events }, State> = {
  name: 'limits',
  version: 1,
  async init({ events }, ctx) {
    const stored = await load(() => ctx.call(storeKeeper, { type: 'limits' }, PATIENT), ctx)
    const groups = await load(() => ctx.call(storeKeeper, { type: 'groups' }, PATIENT), ctx)
    const table = ctx.createTable<string, LimitsRow>(LIMITS_TABLE, { heir: ROOT })
    for (const row of stored) if (!isKeptCondition(row)) table.set(keyOf(row), row)
    knowSince(ctx)
    restoreConditions(stored, ctx)
    changeGroups(groups, ctx)
    ctx.sendAfter(GUARD_SWEEP_MS, { type: 'sweep' })
    ctx.sendAfter(LOOK_AGAIN_MS, { type: 'look' })
    return ok({ events, writing: 0, regrouping: false, waiting: [], changes: 0 })
  },
  call: {
    set: ({ limit }, from, state, ctx) => {
      state.waiting.push({ what: 'limit', limit, from })
      begin(state, ctx)
      return keep
    },
    'set-group': ({ group }, from, state, ctx) => {
      state.waiting.push({ what: 'group', group, from })
      begin(state, ctx)
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
    if (message.type === 'stored') {
      state.writing -= 1
      ctx.reply(message.data, settle(message, state, ctx))
      begin(state, ctx)
    }
    if (message.type === 'group-stored') {
      state.regrouping = false
      state.changes += 1
      ctx.reply(message.data, settleGroup(message, state, ctx))
      begin(state, ctx)
    }
    if (message.type === 'look') ctx.request(storeKeeper, { type: 'groups' }, 'groups-read', state.changes)
    if (message.type === 'groups-read') catchUp(message, state, ctx)
    if (message.type === 'sweep') {
      sweep(ctx)
      ctx.sendAfter(GUARD_SWEEP_MS, { type: 'sweep' })
      ctx.request(storeKeeper, { type: 'groups' }, 'groups-read', state.changes)
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

const PATIENT = Number.POSITIVE_INFINITY
type Loaded<V> = { readonly ok: true; readonly value: V } | StoreFailed
const load = async <V>(ask: () => Promise<Loaded<V>>, ctx: Ctx): Promise<V> => {
  for (;;) {
    const stored = await ask().catch(() => null)
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

/** Takes what waits, in order: limits side by side, a change of the groups alone. */
const begin = (state: State, ctx: Ctx): void => {
  for (let next = state.waiting[0]; next !== undefined && !state.regrouping; next = state.waiting[0]) {
    if (next.what === 'group' && state.writing > 0) return
    state.waiting.shift()
    if (next.what === 'limit') beginLimit(next.limit, next.from, state, ctx)
    else beginGroup(next.group, next.from, state, ctx)
  }
}
const beginLimit = (limit: LimitChange, from: From<LimitSet>, state: State, ctx: Ctx): void => {
  const key = limit.domain === null ? null : guardKeyIn(ctx, limit.domain)
  if (key !== limit.domain && key !== null && limit.value !== null && limit.setBy !== 'guard')
    return ctx.reply(from, { ok: false, why: 'in-group', group: key })
  state.writing += 1
  ctx.request(storeKeeper, { type: 'set-limit', ...limit }, 'stored', from)
}
const beginGroup = (change: GroupChange, from: From<GroupChanged>, state: State, ctx: Ctx): void => {
  const plan = planOf(change, ctx)
  if (!plan.ok) return ctx.reply(from, plan)
  state.regrouping = true
  ctx.request(storeKeeper, { type: 'set-group', ...change, carried: plan.carried }, 'group-stored', from)
}

/** What an actor of before had asked the store for may have been written only after this one has read. */
const catchUp = (
  message: Extract<LimitsProtocol['info'], { readonly type: 'groups-read' }>,
  state: State,
  ctx: Ctx,
): void => {
  const isOld = state.regrouping || message.data !== state.changes
  if (isOld || !message.ok || !message.value.ok) return
  if (!isKnown(message.value.value, ctx)) changeGroups(message.value.value, ctx)
}

const settleGroup = (
  message: Extract<LimitsProtocol['info'], { readonly type: 'group-stored' }>,
  { events }: State,
  ctx: Ctx,
): GroupChanged => {
  if (!message.ok) return { ok: false, failed: 'closed' }
  const set = message.value
  if (!set.ok) return set
  changeGroups(groupsWith(set.group, ctx), ctx)
  const { group, members, version, setBy } = set.group
  events.emit({ type: 'group.changed', at: ctx.world.wallNow(), group, members, version, setBy })
  return { ok: true, group: set.group, resting: restingIn(set.group, ctx) }
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
