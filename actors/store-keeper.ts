/**
 * Started by root, first of all. Owns the store and is the only one that talks to it. Its state: what waits to be written, and
 * which groups are under way. On restart it opens the store again; what it had not answered its callers send again (D-3).
 * A crash costs the time of an open, nothing that was acknowledged. `ctx.own` closes the store at every death, kill included.
 *
 * Outcomes ride: while marks come and go, a group of nothing but outcomes waits OUTCOME_RIDE_MS for the next mark to go with.
 * Nobody waits for them, and each group costs two threads their sleep.
 *
 * Four roads, each with at most one group under way, the next one as soon as the previous returns (no commit timer, D-6):
 * `urgent` (marks, outcomes, hand-backs: not synced, never answered with a failure, kept and tried again), `steering` (cancels, limits,
 * keys, brands: never behind the appends that wait, however many), `promised` (appends), and `large` (appends that the store writes in
 * chunks, so that the other roads pass by). Reads go straight to the store. What waits of appends is bounded, and counted in a table (O2).
 */
import {
  APPEND_CHUNK_ROWS,
  CHECK_AFTER_MS,
  CHECK_EVERY_MS,
  GROUP_BYTES_MAX,
  GROUP_OPS_MAX,
  OUTCOME_RIDE_MS,
  OUTCOMES_RIDE_MAX,
  STORE_RESENDS_MAX,
  STORE_RETRY_MS,
  STORE_RETRY_MS_MAX,
} from '#config/limits.ts'
import {
  appendRoad,
  gaveBack,
  hasRoom,
  newStoreLoad,
  returned,
  type StoreLoad,
  sent,
  took,
} from '#overload/store-load.ts'
import { LOAD_HEIR, ONE, STORE_LOAD_TABLE } from '#overload/tables.ts'
import { type Behaviour, keep, ok, stop } from '#runtime/behaviour.ts'
import type { Context } from '#runtime/context.ts'
import type { From } from '#runtime/from.ts'
import { type Answer, type Call, type Name, name, type SystemInfo } from '#runtime/protocol.ts'
import {
  type BackedUp,
  isPromised,
  type ReadQuery,
  type ReadResult,
  type Store,
  StoreError,
  type StoreErrorCode,
  type WriteOp,
  type WriteResult,
} from '#store/store.ts'
import type { Brand } from '#webhook/webhook.ts'
import { isHopeless, StoreHolding, type StoreKeeperArgs } from './store-holding.ts'
import { noteFailure, whyDoomed } from './store-trouble.ts'
import { EVERY_MS, pauseAfter, tellDeadLetters, tellEnded, type Upkeep, upkeepOf } from './store-upkeep.ts'

/**
 * The store did not take it (disk full, locked, reopening; `crowded`: too much waits already); nothing of it is durable, try again.
 * Marks, outcomes and hand-backs never get this answer: the keeper holds them until they are written.
 */
export interface StoreFailed {
  readonly ok: false
  readonly failed: StoreErrorCode | 'crowded'
}
type Writes<Op> = Op extends WriteOp
  ? Call<
      Op,
      Op extends { type: 'mark-started' | 'record-outcome' | 'hand-back' | 'expire' | 'prune' }
        ? WriteResult<Op>
        : WriteResult<Op> | StoreFailed
    >
  : never
type Reads<Q> = Q extends ReadQuery
  ? Call<Q, { readonly ok: true; readonly value: ReadResult<Q> } | StoreFailed>
  : never

/** The calls are the store's own operations: `ctx.request(storeKeeper, { type: 'mark-started', ... }, 'marked', data)`. */
export interface StoreKeeperProtocol {
  readonly call: Writes<WriteOp> | Reads<ReadQuery>
  readonly cast: never
  readonly info:
    | Answer<'written', Written, { readonly road: Road; readonly incarnation: number }>
    | Answer<'was-read', ReadOutcome, From<never>>
    | Answer<'backed-up', ReadOutcome, { readonly from: From<never>; readonly to: string }>
    | Answer<'opened', Opened>
    | {
        readonly type: 'store-ended'
        readonly incarnation: number
        readonly reason: string
        readonly code: StoreErrorCode
      }
    /** Everything that was in the mailbox is in the queues now. */
    | { readonly type: 'flush' }
    /** Outcomes have waited long enough for a mark. */
    | { readonly type: 'ride-over' }
    | { readonly type: 'try-again'; readonly road: Road }
    | { readonly type: 'open-again' }
    | { readonly type: 'upkeep'; readonly kind: Upkeep }
    | Answer<'kept-up', Written, Upkeep>
    /** For damage. */
    | { readonly type: 'look' }
    | Answer<'looked', ReadOutcome>
  readonly continue: never
}
export const storeKeeper: Name<StoreKeeperProtocol> = name('store-keeper')

type Road = 'urgent' | 'steering' | 'promised' | 'large'
const ROADS: readonly Road[] = ['urgent', 'steering', 'promised', 'large']
type Written =
  | { readonly ok: true; readonly results: readonly unknown[] }
  | { readonly ok: false; readonly failed: StoreErrorCode; readonly op: number | null; readonly detail: string }
type ReadOutcome = { readonly ok: true; readonly value: unknown } | StoreFailed
type Opened = { readonly ok: true } | { readonly ok: false; readonly detail: string; readonly hopeless: boolean }

interface Pending {
  readonly op: WriteOp
  readonly from: From<never>
  /** How often it was under way when the store died. */
  sent: number
}
interface RoadState {
  waiting: Pending[]
  underWay: Pending[] | null
  /** Its answer, for `terminate`. */
  writing: Promise<Written> | null
  /** After a full disk, where marks are kept: nothing is sent before `try-again`. Promises fail at once instead. */
  pauseMs: number
  paused: boolean
}
interface State {
  readonly args: StoreKeeperArgs
  readonly holding: StoreHolding
  readonly roads: Record<Road, RoadState>
  /** What waits of appends, as the table `store-load` shows it to the door. */
  readonly load: StoreLoad
  phase: 'open' | 'reopening'
  /** The store that is being opened has ended before it was taken into use. */
  endedEarly: boolean
  /** The last store that was given up. */
  leftIncarnation: number
  /** Why nothing may go on: the keeper ends, its successor refuses to start, and root gives up. */
  doomed: string | null
  /** The last attempt to open failed: nobody is kept waiting for the next. */
  isDown: boolean
  reopenMs: number
  flushSent: boolean
  /** When the last group with a mark was sent. */
  markedMono: number
  /** Outcomes wait for the next mark; `over`: they have waited long enough. */
  ride: 'none' | 'on' | 'over'
  /** Said once per streak of failures. */
  isFailing: boolean
  /** Brands near the bound of their dead letters, that were told of. */
  crowded: ReadonlySet<Brand>
}
type Ctx = Context<StoreKeeperProtocol>

const road = (): RoadState => ({ waiting: [], underWay: null, writing: null, pauseMs: STORE_RETRY_MS, paused: false })

const takeWrite = (op: WriteOp, from: From<never>, state: State, ctx: Ctx): typeof keep => {
  if (state.isDown && isPromised(op)) {
    refuse(ctx, { op, from, sent: 0 }, { ok: false, failed: 'closed' })
    return keep
  }
  if (op.type === 'append') {
    if (!hasRoom(state.load, op.count, op.rows.length)) {
      refuse(ctx, { op, from, sent: 0 }, { ok: false, failed: 'crowded' })
      return keep
    }
    took(state.load[appendRoad(op.count)], op.count, op.rows.length)
  }
  state.roads[roadOf(op)].waiting.push({ op, from, sent: 0 })
  if (!state.flushSent) {
    state.flushSent = true
    ctx.send<StoreKeeperProtocol>(ctx.self, { type: 'flush' })
  }
  return keep
}
const takeRead = (query: ReadQuery, from: From<never>, state: State, ctx: Ctx): typeof keep => {
  const { store } = state.holding
  if (store === null) answerWith(ctx, from, { ok: false, failed: 'closed' })
  else if (query.type === 'backup') ctx.pipe(readingOf(store, query), 'backed-up', { from, to: query.to })
  else ctx.pipe(readingOf(store, query), 'was-read', from)
  return keep
}

export const storeKeeperActor: Behaviour<StoreKeeperProtocol, StoreKeeperArgs, State> = {
  name: 'store-keeper',
  version: 1,

  /** Async: boot waits for the store. A store that cannot be opened is tried again with growing delay, for a bounded time. */
  async init(args, ctx) {
    ctx.trapExit(true)
    const doomed = whyDoomed(ctx)
    if (doomed !== null) return { kind: 'error', reason: { type: 'error', error: new Error(doomed) } }
    const { self, world } = ctx
    const holding = new StoreHolding(args, world, (incarnation, reason, code) =>
      ctx.send<StoreKeeperProtocol>(self, { type: 'store-ended', incarnation, reason, code }),
    )
    ctx.own(() => holding.close())
    const failure = await holding.openPatiently()
    if (failure !== null) return { kind: 'error', reason: { type: 'error', error: failure } }
    const roads = { urgent: road(), steering: road(), promised: road(), large: road() }
    const load = newStoreLoad()
    ctx.createTable<string, StoreLoad>(STORE_LOAD_TABLE, { heir: LOAD_HEIR }).set(ONE, load)
    const flags = {
      endedEarly: false,
      leftIncarnation: 0,
      doomed: null,
      isDown: false,
      reopenMs: STORE_RETRY_MS,
      flushSent: false,
      isFailing: false,
      crowded: new Set<Brand>(),
    }
    const rides = { markedMono: Number.NEGATIVE_INFINITY, ride: 'none' as const }
    ctx.sendAfter(EVERY_MS.expire, { type: 'upkeep', kind: 'expire' })
    ctx.sendAfter(EVERY_MS.prune, { type: 'upkeep', kind: 'prune' })
    ctx.sendAfter(CHECK_AFTER_MS, { type: 'look' })
    return ok({ args, holding, roads, load, phase: 'open' as const, ...flags, ...rides })
  },

  call: {
    append: takeWrite,
    'mark-started': takeWrite,
    'mark-alone': takeWrite,
    'record-outcome': takeWrite,
    'hand-back': takeWrite,
    cancel: takeWrite,
    reschedule: takeWrite,
    replay: takeWrite,
    'set-limit': takeWrite,
    'set-group': takeWrite,
    'put-brand': takeWrite,
    'put-key': takeWrite,
    expire: takeWrite,
    prune: takeWrite,
    horizon: takeRead,
    lane: takeRead,
    'due-lanes': takeRead,
    started: takeRead,
    webhook: takeRead,
    attempts: takeRead,
    list: takeRead,
    limits: takeRead,
    groups: takeRead,
    brands: takeRead,
    keys: takeRead,
    counts: takeRead,
    backlog: takeRead,
    check: takeRead,
    backup: takeRead,
  },

  info(message, state, ctx) {
    hear(message, state, ctx)
    if (state.doomed === null) return keep
    return stop({ type: 'error', error: new Error(state.doomed) }, state)
  },

  /** What is known but not written would be in doubt after the next start: written now. `ctx.own` closes the store then. */
  async terminate(_reason, state, ctx) {
    const { store } = state.holding
    if (state.doomed !== null) return
    for (const name of ROADS) {
      const { underWay, writing, waiting } = state.roads[name]
      if (underWay !== null && writing !== null) settle(state, ctx, underWay, await writing)
      if (waiting.length > 0 && store !== null) settle(state, ctx, waiting, await writingOf(store, waiting))
    }
  },
}

const hear = (message: StoreKeeperProtocol['info'] | SystemInfo, state: State, ctx: Ctx): void => {
  switch (message.type) {
    case 'flush':
      state.flushSent = false
      flush(state, ctx)
      return
    case 'ride-over':
      state.ride = 'over'
      flush(state, ctx)
      return
    case 'written':
      if (message.ok) written(state, ctx, message.data.road, message.data.incarnation, message.value)
      return
    case 'was-read':
      if (message.ok) answerWith(ctx, message.data, message.value)
      return
    case 'backed-up':
      if (message.ok) backedUp(state, ctx, message.data, message.value)
      return
    case 'try-again':
      state.roads[message.road].paused = false
      flush(state, ctx)
      return
    case 'store-ended':
      if (message.incarnation !== state.holding.incarnation || message.incarnation === state.leftIncarnation) return
      if (state.phase === 'reopening') state.endedEarly = true
      else reopen(state, ctx, message.reason, message.code)
      return
    case 'open-again':
      openAgain(state, ctx)
      return
    case 'upkeep':
      upkeep(message.kind, state, ctx)
      return
    case 'kept-up':
      keptUp(message.data, message.ok ? message.value : null, state, ctx)
      return
    case 'look':
      look(state, ctx)
      return
    case 'looked':
      looked(message.ok ? message.value : null, state, ctx)
      return
    case 'opened':
      opened(state, ctx, message.ok ? message.value : CRASHED)
      return
    case 'DOWN':
    case 'EXIT':
    case 'timeout':
      return
    default:
      message satisfies never
  }
}

// ---------------------------------------------------------------- writing

const isAppendRoad = (name: Road): name is 'promised' | 'large' => name === 'promised' || name === 'large'
const rowsOf = (group: readonly Pending[]): number =>
  group.reduce((rows, { op }) => rows + (op.type === 'append' ? op.count : 0), 0)

const roadOf = (op: WriteOp): Road => {
  if (!isPromised(op)) return 'urgent'
  return op.type === 'append' ? appendRoad(op.count) : 'steering'
}

const flush = (state: State, ctx: Ctx): void => {
  const { store } = state.holding
  if (state.phase !== 'open' || store === null) return
  for (const name of ROADS) {
    const road = state.roads[name]
    if (road.underWay !== null || road.paused || road.waiting.length === 0) continue
    if (name === 'urgent' && mayRide(road, state, ctx)) continue
    const group = road.waiting.splice(0, groupLength(road.waiting))
    road.underWay = group
    if (isAppendRoad(name)) sent(state.load[name], ctx.world.monoNow())
    road.writing = writingOf(store, group)
    ctx.pipe(road.writing, 'written', { road: name, incarnation: state.holding.incarnation })
  }
}

/** Only while marks come every few milliseconds: a lone outcome goes at once. */
const mayRide = ({ waiting }: RoadState, state: State, ctx: Ctx): boolean => {
  const now = ctx.world.monoNow()
  const alone = waiting.length < OUTCOMES_RIDE_MAX && waiting.every(({ op }) => op.type === 'record-outcome')
  if (!alone || state.ride === 'over' || now - state.markedMono > OUTCOME_RIDE_MS) {
    if (!alone) state.markedMono = now
    if (state.ride === 'over') state.ride = 'none'
    return false
  }
  if (state.ride === 'none') {
    state.ride = 'on'
    ctx.sendAfter(OUTCOME_RIDE_MS, { type: 'ride-over' })
  }
  return true
}

/** How many of the first operations make a group: one transaction's worth. */
const groupLength = (waiting: readonly Pending[]): number => {
  let rows = 0
  let bytes = 0
  const end = waiting.findIndex(({ op }, index) => {
    rows += op.type === 'append' ? op.count : 0
    bytes += op.type === 'append' ? op.rows.length : 0
    return index > 0 && (index >= GROUP_OPS_MAX || rows > APPEND_CHUNK_ROWS || bytes > GROUP_BYTES_MAX)
  })
  return end === -1 ? waiting.length : end
}

const written = (state: State, ctx: Ctx, name: Road, incarnation: number, outcome: Written): void => {
  const road = state.roads[name]
  const group = road.underWay ?? []
  road.underWay = null
  road.writing = null
  if (isAppendRoad(name)) returned(state.load[name], rowsOf(group), ctx.world.monoNow())
  // The yes of a store whose disk has failed meanwhile is none: its successor is asked again (D-3, reliability.md D7).
  if (outcome.ok && incarnation === state.leftIncarnation) road.waiting.unshift(...group)
  else if (outcome.ok) {
    settle(state, ctx, group, outcome)
    road.pauseMs = STORE_RETRY_MS
    recovered(state, ctx)
  } else failed(state, ctx, name, incarnation, group, outcome)
  flush(state, ctx)
}

const settle = (state: State, ctx: Ctx, group: readonly Pending[], outcome: Written): void => {
  if (!outcome.ok) return
  for (const [i, pending] of group.entries()) {
    const result = outcome.results[i]
    leave(state.load, pending)
    answerWith(ctx, pending.from, result)
    tellEnded(state.args.events, ctx.world.wallNow(), result)
  }
}

const failed = (
  state: State,
  ctx: Ctx,
  name: Road,
  incarnation: number,
  group: readonly Pending[],
  why: Extract<Written, { ok: false }>,
): void => {
  const road = state.roads[name]
  if (why.failed === 'invalid' && why.op !== null) {
    report(state, ctx, why.detail)
    for (const [i, pending] of group.entries()) if (i === why.op) answer(ctx, pending, { ok: false, failed: 'invalid' })
    road.waiting.unshift(...group.filter((_, i) => i !== why.op))
    return
  }
  if (why.failed === 'full' || why.failed === 'busy' || why.failed === 'invalid') {
    complain(state, ctx, why.detail)
    hold(road, ctx, group, why.failed)
    if (road.waiting.length === 0 || name !== 'urgent') return
    road.paused = true
    ctx.sendAfter(road.pauseMs, { type: 'try-again', road: name })
    road.pauseMs = Math.min(road.pauseMs * 2, STORE_RETRY_MS_MAX)
    return
  }
  for (const pending of group) pending.sent += 1
  road.waiting.unshift(...giveUp(ctx, group))
  if (incarnation === state.holding.incarnation) reopen(state, ctx, why.detail, why.failed)
}

/** Promises are refused, marks and outcomes are kept, in their order. */
const hold = (road: RoadState, ctx: Ctx, group: readonly Pending[], code: StoreErrorCode): void => {
  const kept = group.filter((pending) => !isPromised(pending.op))
  for (const pending of group) if (isPromised(pending.op)) answer(ctx, pending, { ok: false, failed: code })
  road.waiting.unshift(...kept)
}
/** Whoever was under way too often when the store died may be the reason. */
const giveUp = (ctx: Ctx, group: readonly Pending[]): Pending[] => {
  const [spent, rest] = [group.filter(isSpent), group.filter((pending) => !isSpent(pending))]
  for (const pending of spent) answer(ctx, pending, { ok: false, failed: 'io' })
  return rest
}
const isSpent = (pending: Pending): boolean => isPromised(pending.op) && pending.sent >= STORE_RESENDS_MAX

/** Who waited is answered, and does not wait any more. */
const answer = (ctx: Ctx, pending: Pending, failure: StoreFailed): void => {
  const load = ctx.table<string, StoreLoad>(STORE_LOAD_TABLE).get(ONE)
  if (load !== undefined) leave(load, pending)
  refuse(ctx, pending, failure)
}
const leave = (load: StoreLoad, { op }: Pending): void => {
  if (op.type === 'append') gaveBack(load[appendRoad(op.count)], op.count, op.rows.length)
}

/** Answers a failure in the words of the operation. */
const refuse = (ctx: Ctx, pending: Pending, failure: StoreFailed): void => {
  const { op, from } = pending
  if (op.type === 'expire') answerWith(ctx, from, { ok: true, expired: [], more: false })
  else if (op.type === 'prune') answerWith(ctx, from, { ok: true, pruned: 0 })
  else if (op.type === 'mark-started') answerWith(ctx, from, { ok: false, why: 'not-live' })
  else if (op.type === 'record-outcome' || op.type === 'hand-back') answerWith(ctx, from, { ok: false, why: 'stale' })
  else answerWith(ctx, from, failure)
}
const answerWith = (ctx: Ctx, from: From<never>, value: unknown): void => ctx.reply(from as From<unknown>, value)

const writingOf = (store: Store, group: readonly Pending[]): Promise<Written> =>
  store.write(group.map((pending) => pending.op)).then(
    (results): Written => ({ ok: true, results }),
    (error: unknown): Written => ({ ok: false, ...failureOf(error) }),
  )
const readingOf = (store: Store, query: ReadQuery): Promise<ReadOutcome> =>
  store.read(query).then(
    (value) => ({ ok: true, value }) as const,
    (error: unknown) => ({ ok: false, failed: failureOf(error).failed }) as const,
  )
/** Who has a copy has everything: it is told. */
const backedUp = (
  state: State,
  ctx: Ctx,
  { from, to }: { readonly from: From<never>; readonly to: string },
  outcome: ReadOutcome,
): void => {
  answerWith(ctx, from, outcome)
  const made = outcome.ok ? (outcome.value as BackedUp) : null
  if (made?.ok !== true) return
  const detail = `${to}, ${made.bytes} bytes, ${made.webhooks} webhooks, checked`
  state.args.events.emit({ type: 'store.backed-up', at: ctx.world.wallNow(), detail })
}
/** An error that is no StoreError is a bug in the store: it is opened anew. */
const failureOf = (error: unknown): { failed: StoreErrorCode; op: number | null; detail: string } => {
  if (error instanceof StoreError)
    return { failed: error.code, op: error.op, detail: `${error.code}: ${error.message}` }
  return { failed: 'io', op: null, detail: String(error) }
}

// ---------------------------------------------------------------- upkeep

const upkeep = (kind: Upkeep, state: State, ctx: Ctx): void => {
  const { store } = state.holding
  const op = upkeepOf(kind, ctx.world.wallNow())
  if (store === null) ctx.sendAfter(EVERY_MS[kind], { type: 'upkeep', kind })
  else ctx.pipe(writingOf(store, [{ op, from: NOBODY, sent: 0 }]), 'kept-up', kind)
}
const NOBODY: From<never> = {}
const keptUp = (kind: Upkeep, outcome: Written | null, state: State, ctx: Ctx): void => {
  const result = outcome?.ok === true ? outcome.results[0] : null
  const { events } = state.args
  tellEnded(events, ctx.world.wallNow(), result)
  state.crowded = tellDeadLetters(events, ctx.world.wallNow(), result, state.crowded)
  ctx.sendAfter(pauseAfter(kind, result), { type: 'upkeep', kind })
}

/** After the boot has long been ready, then weekly, while nothing is being written: what is damaged is told, and stops nobody (D-26). */
const look = (state: State, ctx: Ctx): void => {
  const { store } = state.holding
  const isAtWork = ROADS.some((name) => state.roads[name].underWay !== null)
  if (store === null || isAtWork) ctx.sendAfter(CHECK_AFTER_MS, { type: 'look' })
  else ctx.pipe(readingOf(store, { type: 'check' }), 'looked')
}
const looked = (outcome: ReadOutcome | null, state: State, ctx: Ctx): void => {
  if (outcome?.ok !== true) {
    ctx.sendAfter(CHECK_AFTER_MS, { type: 'look' })
    return
  }
  const { problems } = outcome.value as ReadResult<{ readonly type: 'check' }>
  ctx.sendAfter(CHECK_EVERY_MS, { type: 'look' })
  if (problems.length > 0) report(state, ctx, `damaged: ${problems.join('; ')}`)
}

// ---------------------------------------------------------------- opening

/** The store is gone or cannot be trusted: close it, open it again; what was under way waits at the head of its road. */
const reopen = (state: State, ctx: Ctx, reason: string, code: StoreErrorCode): void => {
  if (state.phase === 'reopening') return
  complain(state, ctx, reason)
  noteFailure(ctx, code, reason)
  state.phase = 'reopening'
  state.leftIncarnation = state.holding.incarnation
  const doomed = whyDoomed(ctx)
  if (doomed === null) openAgain(state, ctx)
  else doom(state, ctx, doomed)
}
/** What was promised to nobody yet is refused; what is not recorded is in doubt at the next start. */
const doom = (state: State, ctx: Ctx, why: string): void => {
  state.doomed = why
  for (const name of ROADS) hold(state.roads[name], ctx, state.roads[name].waiting.splice(0), 'io')
}
const CRASHED: Opened = { ok: false, detail: 'the open has crashed', hopeless: false }
const notOpened = (error: Error): Opened => ({ ok: false, detail: error.message, hopeless: isHopeless(error) })
const openAgain = (state: State, ctx: Ctx): void => {
  ctx.pipe(
    state.holding.reopen().then((error): Opened => (error === null ? { ok: true } : notOpened(error))),
    'opened',
  )
}
const opened = (state: State, ctx: Ctx, outcome: Opened): void => {
  const { endedEarly } = state
  state.endedEarly = false
  if (outcome.ok && endedEarly) return openAgain(state, ctx)
  if (outcome.ok) {
    state.phase = 'open'
    state.isDown = false
    state.reopenMs = STORE_RETRY_MS
    flush(state, ctx)
    return
  }
  if (outcome.hopeless) return doom(state, ctx, `the store cannot be opened again: ${outcome.detail}`)
  state.isDown = true
  for (const name of ROADS) hold(state.roads[name], ctx, state.roads[name].waiting.splice(0), 'closed')
  ctx.sendAfter(state.reopenMs, { type: 'open-again' })
  state.reopenMs = Math.min(state.reopenMs * 2, STORE_RETRY_MS_MAX)
}

// ---------------------------------------------------------------- telling

const report = (state: State, ctx: Ctx, detail: string): void =>
  state.args.events.emit({ type: 'store.failed', at: ctx.world.wallNow(), detail })
const complain = (state: State, ctx: Ctx, detail: string): void => {
  if (!state.isFailing) report(state, ctx, detail)
  state.isFailing = true
}
const recovered = (state: State, ctx: Ctx): void => {
  if (!state.isFailing) return
  state.isFailing = false
  state.args.events.emit({ type: 'store.opened', at: ctx.world.wallNow(), detail: 'writes again' })
}
