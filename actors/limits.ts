/**
 * limits: owns the table `limits`, and fills the table `groups`. Started by root after the store-keeper and `guards`, before anything is admitted.
 *
 * State: changes that are being written; one of the groups has the actor for itself, so that whether it may be is decided on
 * what holds (D-13). In `init` it loads every limit from the store, with patience: no webhook moves
 * before the limits are known. A change is durable before it is live, and holds from the next admission on. While it
 * restarts, root keeps the table, so nobody admits without limits; a crash costs nothing but the changes under way,
 * whose askers get the death as their answer.
 */
import { guardKeyIn } from '#actors/guard.ts'
import { MANY } from '#actors/mailboxes.ts'
import { type StoreFailed, storeKeeper } from '#actors/store-keeper.ts'
import { GUARD_SWEEP_MS } from '#config/limits.ts'
import { NODE_PAUSE_KEY } from '#guard/limits.ts'
import { LIMITS_TABLE, type LimitsRow } from '#guard/tables.ts'
import { type Behaviour, keep, ok } from '#runtime/behaviour.ts'
import type { Context } from '#runtime/context.ts'
import type { From } from '#runtime/from.ts'
import { type Answer, type Call, type Name, name } from '#runtime/protocol.ts'
import type { GroupSet, SetGroup, SetLimit, StoredLimit } from '#store/store.ts'
import type { Events } from '#telemetry/events.ts'
import type { DomainGroup, GroupKey, Member } from '#webhook/domain-group.ts'
import type { Domain } from '#webhook/webhook.ts'
import { fill, holdAll, isKeptCondition, takeHold } from './limits/holding.ts'
import { knowSince, type Loaded, load, restoreConditions } from './limits/loading.ts'
import { changeGroups, groupsWith, hasBook, planOf, restingIn, unknownOf } from './limits/regrouping.ts'
import { sweep } from './limits/sweeping.ts'

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
  readonly cast: /** Graceful stop: from now on no guard admits anything. Not stored. */
    | { readonly type: 'quiesce' }
    /** From guards: until when a receiver is not to be called. As `set`, and nobody waits for it. */
    | { readonly type: 'keep'; readonly limit: LimitChange }
  readonly info:
    | Answer<'stored', StoredLimit | StoreFailed, From<LimitSet> | 'nobody'>
    | Answer<'group-stored', GroupSet | StoreFailed, From<GroupChanged>>
    | Answer<'limits-read', Loaded<readonly StoredLimit[]>, number>
    | Answer<'groups-read', Loaded<readonly DomainGroup[]>, number>
    | { readonly type: 'look' }
    | { readonly type: 'sweep' }
  readonly continue: never
}
export const limits: Name<LimitsProtocol> = name('limits')

type Asked =
  | { readonly what: 'limit'; readonly limit: LimitChange; readonly from: From<LimitSet> | 'nobody' }
  | { readonly what: 'group'; readonly group: GroupChange; readonly from: From<GroupChanged> }
interface State {
  readonly events: Events
  /** Limits that are being written. */
  writing: number
  /** A change of the groups is being written: nothing else is meanwhile. */
  regrouping: boolean
  readonly waiting: Asked[]
  /** Limits that were asked for so far: what was read before one of them, or while one is being written, is old. */
  limitsAsked: number
  /** Changes of the groups so far: what was read before one of them is old. */
  changes: number
}
type Ctx = Context<LimitsProtocol>
/**
 * What an actor of before had asked the store for may be written only after this one has read. Soon, and when also a
 * slow store has written it. Not for ever: there may be very many limits.
 */
const LOOKS_AGAIN_MS = [1_000, 5_000, 15_000] as const
const PATIENT = Number.POSITIVE_INFINITY

/** Owns the guards' tables, and keeps this actor's while it restarts (`supervisors/root.ts`). */
const ROOT = 'root'

export const limitsActor: Behaviour<LimitsProtocol, { readonly events: Events }, State> = {
  name: 'limits',
  version: 1,
  mailbox: MANY,
  async init({ events }, ctx) {
    const stored = await load(() => ctx.call(storeKeeper, { type: 'limits' }, PATIENT), ctx)
    const groups = await load(() => ctx.call(storeKeeper, { type: 'groups' }, PATIENT), ctx)
    const table = ctx.createTable<string, LimitsRow>(LIMITS_TABLE, { heir: ROOT })
    if (table.size === 0) fill(stored, ctx)
    else holdAll(stored, events, ctx)
    knowSince(ctx)
    restoreConditions(stored, ctx)
    hold(groups, events, ctx)
    ctx.sendAfter(GUARD_SWEEP_MS, { type: 'sweep' })
    for (const ms of LOOKS_AGAIN_MS) ctx.sendAfter(ms, { type: 'look' })
    return ok({ events, writing: 0, regrouping: false, waiting: [], limitsAsked: 0, changes: 0 })
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
    keep: ({ limit }, state, ctx) => {
      state.waiting.push({ what: 'limit', limit, from: 'nobody' })
      begin(state, ctx)
      return keep
    },
    quiesce: (_message, _state, ctx) => {
      ctx.table<string, LimitsRow>(LIMITS_TABLE).set(NODE_PAUSE_KEY, NODE_PAUSED)
      return keep
    },
  },
  info(message, state, ctx) {
    if (message.type === 'stored') {
      state.writing -= 1
      answer(message.data, settle(message, state, ctx), ctx)
      begin(state, ctx)
    }
    if (message.type === 'group-stored') {
      state.regrouping = false
      state.changes += 1
      ctx.reply(message.data, settleGroup(message, state, ctx))
      begin(state, ctx)
    }
    if (message.type === 'look') {
      ctx.request(storeKeeper, { type: 'limits' }, 'limits-read', state.limitsAsked)
      ctx.request(storeKeeper, { type: 'groups' }, 'groups-read', state.changes)
    }
    if (message.type === 'limits-read') holdAgain(message, state, ctx)
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

const settle = (
  message: Extract<LimitsProtocol['info'], { readonly type: 'stored' }>,
  state: State,
  ctx: Ctx,
): LimitSet => {
  if (!message.ok) return { ok: false, failed: 'closed' }
  const stored = message.value
  if ('failed' in stored) return stored
  takeHold(stored, state.events, ctx)
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
const answer = (from: From<LimitSet> | 'nobody', set: LimitSet, ctx: Ctx): void => {
  if (from !== 'nobody') ctx.reply(from, set)
}
const beginLimit = (limit: LimitChange, from: From<LimitSet> | 'nobody', state: State, ctx: Ctx): void => {
  const key = limit.domain === null ? null : guardKeyIn(ctx, limit.domain)
  if (key !== limit.domain && key !== null && limit.value !== null && limit.setBy !== 'guard')
    return answer(from, { ok: false, why: 'in-group', group: key }, ctx)
  state.writing += 1
  if (!isKeptCondition(limit)) state.limitsAsked += 1
  ctx.request(storeKeeper, { type: 'set-limit', ...limit }, 'stored', from)
}
const beginGroup = (change: GroupChange, from: From<GroupChanged>, state: State, ctx: Ctx): void => {
  const plan = planOf(change, ctx)
  if (!plan.ok) return ctx.reply(from, plan)
  state.regrouping = true
  ctx.request(storeKeeper, { type: 'set-group', ...change, carried: plan.carried }, 'group-stored', from)
}

/** The limits as they were read again. */
const holdAgain = (
  message: Extract<LimitsProtocol['info'], { readonly type: 'limits-read' }>,
  state: State,
  ctx: Ctx,
): void => {
  const isOld = state.writing > 0 || message.data !== state.limitsAsked
  if (isOld) ctx.sendAfter(LOOKS_AGAIN_MS[0], { type: 'look' })
  else if (message.ok && message.value.ok) holdAll(message.value.value, state.events, ctx)
}
/** The groups as they were read again; those read before a change are old. */
const catchUp = (
  message: Extract<LimitsProtocol['info'], { readonly type: 'groups-read' }>,
  state: State,
  ctx: Ctx,
): void => {
  const isOld = state.regrouping || message.data !== state.changes
  if (isOld || !message.ok || !message.value.ok) return
  hold(message.value.value, state.events, ctx)
}

/** These are the groups; what an actor of before had asked for and could tell nobody is told now. */
const hold = (groups: readonly DomainGroup[], events: Events, ctx: Ctx): void => {
  const isNews = hasBook(ctx)
  const changed = unknownOf(groups, ctx)
  if (changed.length > 0 || !isNews) changeGroups(groups, ctx)
  if (isNews) for (const one of changed) tellOf(one, events, ctx)
}
const tellOf = ({ group, members, version, setBy }: DomainGroup, events: Events, ctx: Ctx): void =>
  events.emit({ type: 'group.changed', at: ctx.world.wallNow(), group, members, version, setBy })

const settleGroup = (
  message: Extract<LimitsProtocol['info'], { readonly type: 'group-stored' }>,
  { events }: State,
  ctx: Ctx,
): GroupChanged => {
  if (!message.ok) return { ok: false, failed: 'closed' }
  const set = message.value
  if (!set.ok) return set
  changeGroups(groupsWith(set.group, ctx), ctx)
  tellOf(set.group, events, ctx)
  return { ok: true, group: set.group, resting: restingIn(set.group, ctx) }
}
