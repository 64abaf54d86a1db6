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
import { MANY } from '#actors/mailboxes.ts'
import { CHECK_AFTER_MS, STORE_RETRY_MS } from '#config/limits.ts'
import { newStoreLoad, type StoreLoad } from '#overload/store-load.ts'
import { LOAD_HEIR, ONE, STORE_LOAD_TABLE } from '#overload/tables.ts'
import { type Behaviour, keep, ok, stop } from '#runtime/behaviour.ts'
import type { From } from '#runtime/from.ts'
import { type Answer, type Call, type Name, name, type SystemInfo } from '#runtime/protocol.ts'
import type { ReadQuery, ReadResult, StoreErrorCode, WriteOp, WriteResult } from '#store/store.ts'
import type { Brand } from '#webhook/webhook.ts'
import { answerWith } from './store-keeper/answers.ts'
import { StoreHolding, type StoreKeeperArgs } from './store-keeper/holding.ts'
import { writeLast } from './store-keeper/last-writes.ts'
import { backedUp, takeRead } from './store-keeper/reads.ts'
import { CRASHED, openAgain, opened, reopen } from './store-keeper/reopening.ts'
import { flush, takeWrite } from './store-keeper/roads.ts'
import {
  type Ctx,
  type Opened,
  type ReadOutcome,
  type Road,
  road,
  type State,
  type Written,
} from './store-keeper/state.ts'
import { whyDoomed } from './store-keeper/trouble.ts'
import { EVERY_MS, keptUp, look, looked, type Upkeep, upkeep } from './store-keeper/upkeep.ts'
import { written } from './store-keeper/written.ts'

/**
 * The store did not take it (disk full, locked, reopening; `crowded`: too much waits already); nothing of it is durable, unless it
 * says `mayBeDone`: try again.
 * Marks, outcomes and hand-backs never get this answer: the keeper holds them until they are written.
 */
export interface StoreFailed {
  readonly ok: false
  readonly failed: StoreErrorCode | 'crowded'
  /** It was under way when a store was lost, whose commit may be durable: only the same ids or key, asked again, tell. */
  readonly mayBeDone?: true
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

export const storeKeeperActor: Behaviour<StoreKeeperProtocol, StoreKeeperArgs, State> = {
  name: 'store-keeper',
  version: 1,
  mailbox: MANY,

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
      openedMono: Number.NEGATIVE_INFINITY,
      reopenMs: STORE_RETRY_MS,
      flushSent: false,
      failing: 'no' as const,
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
    if (state.doomed === null) await writeLast(state, ctx)
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
