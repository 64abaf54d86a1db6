/** What a session asks of other actors, for the methods: one that is being restarted is asked again within the request's time. */
import { dispatchPool } from '#actors/dispatch-pool.ts'
import { guardFor } from '#actors/guard.ts'
import { limits } from '#actors/limits.ts'
import { type SchedulerProtocol, scheduler } from '#actors/scheduler.ts'
import { type StoreFailed, type StoreKeeperProtocol, storeKeeper } from '#actors/store-keeper.ts'
import { BACKUP_MS_MAX, REQUEST_MS_MAX } from '#config/limits.ts'
import type { Backend, CrowdSeen, GuardRow, Host } from '#control/backend.ts'
import {
  type BacklogRow,
  backlogFull,
  isStale,
  newBacklog,
  recount,
  takeRoomFor,
  unfinished,
} from '#control/backlog.ts'
import { Refusal } from '#control/refusal.ts'
import {
  bookIn,
  CROWD,
  CROWD_SHOWN_TABLE,
  type CrowdShownRow,
  FIGURES_TABLE,
  GROUPS_TABLE,
  LIMITS_TABLE,
} from '#guard/tables.ts'
import { ONE, OVERLOAD_TABLE, type OverloadRow } from '#overload/tables.ts'
import type { Context } from '#runtime/context.ts'
import { CallExit } from '#runtime/exit.ts'
import type { Protocol } from '#runtime/protocol.ts'
import type { Table } from '#runtime/table.ts'
import type {
  BackedUp,
  ReadQuery,
  ReadResult,
  Replay,
  Reschedule,
  StoredKey,
  StoredLimit,
  WriteResult,
} from '#store/store.ts'
import type { Monitor } from '#telemetry/monitor.ts'
import type { GroupBook, GroupKey, Member } from '#webhook/domain-group.ts'
import type { WebhookIds } from '#webhook/id.ts'
import type { Brand, Domain } from '#webhook/webhook.ts'

/** Brands that are known to exist, by name. Owned by the supervisor `control`. */
export const BRANDS_TABLE = 'brands'
/** Brands whose backlog is bounded, by name. Owned by the supervisor `control`. */
export const BACKLOGS_TABLE = 'backlogs'
/** Stored keys by their public id. Owned by the supervisor `control`. */
export const KEYS_TABLE = 'keys'
/** Who was asked is being restarted: again after this. */
export const ASK_AGAIN_MS = 20
/** What a client is told to wait where the store does not take it. */
const STORE_RETRY_MS = 1_000

export const backendOf = <P extends Protocol>(
  ctx: Context<P>,
  shared: { readonly monitor: Monitor; readonly ids: WebhookIds; readonly host: Host },
): Backend => ({
  now: () => ctx.world.wallNow(),
  monitor: shared.monitor,
  host: shared.host,
  read: (query) => read(query, ctx),
  cancel: (id, brand) =>
    patiently(ctx, (timeoutMs) =>
      ctx.call<SchedulerProtocol, 'cancel'>(scheduler, { type: 'cancel', id, brand }, timeoutMs),
    ),
  backUp: (path) => backUp(path, ctx),
  retime: <O extends Reschedule | Replay>(op: O) =>
    patiently(ctx, (timeoutMs) =>
      ctx.call<SchedulerProtocol, 'retime'>(scheduler, { type: 'retime', op }, timeoutMs),
    ) as Promise<WriteResult<O>>,
  takeRoom: (brand) => takeRoom(brand, ctx),
  newWebhookId: () => shared.ids.next(ctx.world.wallNow(), (length) => ctx.world.randomBytes(length)),
  setLimit: async (limit) => {
    const set = await patiently(ctx, (timeoutMs) => ctx.call(limits, { type: 'set', limit }, timeoutMs))
    if (!set.ok) throw inGroup(limit.domain ?? '', set.group)
    boundBacklog(set.limit, ctx)
    return set.limit
  },
  setGroup: async (group) => {
    const set = await patiently(ctx, (timeoutMs) => ctx.call(limits, { type: 'set-group', group }, timeoutMs))
    if (!set.ok) throw set.why === 'taken' ? taken(set.member, set.by) : pausedNow(set.domain)
    return set
  },
  groups: () => bookIn(ctx.table<string, GroupBook>(GROUPS_TABLE)),
  ensureBrand: (brand) => ensureBrand(brand, ctx),
  keys: () => rowsOf(ctx.table<string, StoredKey>(KEYS_TABLE)),
  putKey: (key) => putKey(key, ctx),
  randomBytes: (length) => ctx.world.randomBytes(length),
  showGuard: (domain) => ifAlive(ctx.call(guardFor(ctx, domain), { type: 'show' }, REQUEST_MS_MAX)),
  place: (domain, brand) =>
    patiently(ctx, (timeoutMs) =>
      ctx.call<SchedulerProtocol, 'explain-place'>(scheduler, { type: 'explain-place', domain, brand }, timeoutMs),
    ),
  crowd: () => crowdSeen(ctx.table<string, CrowdShownRow>(CROWD_SHOWN_TABLE).get(CROWD)),
  explain: (due) => ifAlive(ctx.call(guardFor(ctx, due.domain), { type: 'explain', id: due.id, due }, REQUEST_MS_MAX)),
  predict: (domain, brand, priority, count) =>
    ifAlive(ctx.call(guardFor(ctx, domain), { type: 'predict', brand, priority, count }, REQUEST_MS_MAX)),
  open: () => openByBrand(ctx),
  limits: () => rowsOf(ctx.table<string, StoredLimit>(LIMITS_TABLE)).filter(isOfSomebody),
  guards: () => rowsOf(ctx.table<string, GuardRow>(FIGURES_TABLE)),
  overload: () => ctx.table<string, OverloadRow>(OVERLOAD_TABLE).get(ONE) ?? null,
})

const crowdSeen = (row: CrowdShownRow | undefined): CrowdSeen | null => {
  if (row === undefined) return null
  const { pressure, ...seen } = row
  return { sinceAt: pressure.sinceAt, ...seen }
}

/** Asked of the one who knows: counting events would drift with the first crash. */
const openByBrand = async <P extends Protocol>(ctx: Context<P>): Promise<ReadonlyMap<Brand, number>> => {
  const inFlight = await patiently(ctx, (timeoutMs) => ctx.call(dispatchPool, { type: 'in-flight' }, timeoutMs))
  const open = new Map<Brand, number>()
  for (const { brand } of inFlight) open.set(brand, (open.get(brand) ?? 0) + 1)
  return open
}

/** The door reads its bounds from a table of its own: it stands on the way of every schedule call. */
export const boundBacklog = <P extends Protocol>({ kind, brand, value }: StoredLimit, ctx: Context<P>): void => {
  if (kind !== 'backlog' || brand === null) return
  const table = ctx.table<Brand, BacklogRow>(BACKLOGS_TABLE)
  if (value === null) table.delete(brand)
  else table.set(brand, { ...(table.get(brand) ?? newBacklog(value)), bound: value })
}

/** Counts again what a bounded brand has; nothing to do for the others. */
export const recountBacklog = async <P extends Protocol>(brand: Brand, ctx: Context<P>): Promise<void> => {
  const counts = await read({ type: 'counts', brand, domain: null, now: ctx.world.wallNow() }, ctx)
  const backlogs = ctx.table<Brand, BacklogRow>(BACKLOGS_TABLE)
  const row = backlogs.get(brand)
  if (row !== undefined) backlogs.set(brand, recount(row, unfinished(counts), ctx.world.monoNow()))
}

const takeRoom = async <P extends Protocol>(brand: Brand, ctx: Context<P>): Promise<void> => {
  const backlogs = ctx.table<Brand, BacklogRow>(BACKLOGS_TABLE)
  const before = backlogs.get(brand)
  if (before === undefined) return
  if (isStale(before, ctx.world.monoNow())) await recountBacklog(brand, ctx)
  const row = backlogs.get(brand) ?? before
  const after = takeRoomFor(row, 1)
  if (after === null) throw Refusal.of(backlogFull(brand, row, 1))
  backlogs.set(brand, after)
}

/** What concerns the whole node is no limit of anybody's. */
const isOfSomebody = ({ domain, brand }: StoredLimit): boolean => domain !== null || brand !== null

const rowsOf = <V>(table: Table<string, V>): readonly V[] => [...table.entries()].map(([, row]) => row)

type Read<Q extends ReadQuery> = { readonly ok: true; readonly value: ReadResult<Q> } | StoreFailed
/** On disk, then in the table, then to every session: a revoked key's sockets close at once. */
export const putKey = async <P extends Protocol>(key: StoredKey, ctx: Context<P>): Promise<void> => {
  const put = { type: 'put-key', key } as const
  await patiently(ctx, (timeoutMs) => ctx.call<StoreKeeperProtocol, 'put-key'>(storeKeeper, put, timeoutMs))
  ctx.table<string, StoredKey>(KEYS_TABLE).set(key.keyId, key)
  ctx.cast<KeysProtocol>(LISTENER_NAME, { type: 'keys-changed' })
}
/** What the listener hears of it. */
type KeysProtocol = {
  readonly call: never
  readonly cast: { readonly type: 'keys-changed' }
  readonly info: never
  readonly continue: never
}
/** The listener's name, which its own file must not be asked for: it stands above this one. */
export const LISTENER_NAME = 'listener'

/** A read of the store, asked again while it is being opened. */
export const read = async <P extends Protocol, Q extends ReadQuery>(
  query: Q,
  ctx: Context<P>,
): Promise<ReadResult<Q>> => {
  const answer = await patiently(
    ctx,
    (timeoutMs) => ctx.call<StoreKeeperProtocol>(storeKeeper, query, timeoutMs) as Promise<Read<Q>>,
  )
  return answer.value
}

/** Once: a store that is restarted meanwhile leaves nothing of the copy, and its sender should know. */
const backUp = async <P extends Protocol>(path: string, ctx: Context<P>): Promise<BackedUp> => {
  const ask = { type: 'backup', to: path } as const
  const asked = ctx.call<StoreKeeperProtocol>(storeKeeper, ask, BACKUP_MS_MAX) as Promise<Read<typeof ask>>
  const answer = await orDead(asked)
  if (answer === DEAD) throw unavailable('restarting')
  if (isFailed(answer)) throw unavailable(answer.failed)
  return answer.value
}

/** Makes the brand if it is not known yet. */
export const ensureBrand = async <P extends Protocol>(brand: Brand, ctx: Context<P>): Promise<void> => {
  const known = ctx.table<Brand, true>(BRANDS_TABLE)
  if (known.has(brand)) return
  const put = { type: 'put-brand', brand, createdAt: ctx.world.wallNow() } as const
  await patiently(ctx, (timeoutMs) => ctx.call<StoreKeeperProtocol, 'put-brand'>(storeKeeper, put, timeoutMs))
  known.set(brand, true)
}

/** Rejects with Refusal: TIMEOUT, STORAGE_UNAVAILABLE. */
export const patiently = async <V, P extends Protocol>(
  ctx: Context<P>,
  ask: (timeoutMs: number) => Promise<V>,
): Promise<Exclude<V, StoreFailed>> => {
  const deadlineMono = ctx.world.monoNow() + REQUEST_MS_MAX
  let mayBeDone = false
  for (;;) {
    const leftMs = deadlineMono - ctx.world.monoNow()
    if (leftMs <= 0) throw mayBeDone ? unsure() : unavailable('restarting')
    const answer = await orDead(ask(leftMs))
    if (isFailed(answer)) {
      mayBeDone ||= answer.mayBeDone === true
      if (!isPassing(answer.failed)) throw mayBeDone ? unsure() : unavailable(answer.failed)
    } else if (answer !== DEAD) return answer as Exclude<V, StoreFailed>
    await ctx.sleep(ASK_AGAIN_MS)
  }
}

const DEAD = Symbol('dead')
const orDead = async <V>(answer: Promise<V>): Promise<V | typeof DEAD> => {
  try {
    return await answer
  } catch (error) {
    if (!(error instanceof CallExit)) throw error
    if (error.reason === 'timeout') throw timedOut()
    return DEAD
  }
}

const inGroup = (domain: Domain, group: GroupKey): Refusal =>
  new Refusal(
    'CONFLICT',
    `${domain} is in ${group}, and only the group has limits; name ${JSON.stringify(group)} as the domain`,
    {
      field: 'domain',
    },
  )
const taken = (member: Member, by: GroupKey): Refusal =>
  new Refusal('CONFLICT', `${member} is a member of ${by} already; take it out there first`, { field: 'members' })
const pausedNow = (domain: Domain): Refusal =>
  new Refusal('CONFLICT', `${domain} is paused and would go on under another guard; resumeDomain first`, {
    field: 'members',
  })

/** Guards come and go: where there is none, nothing waits. */
const ifAlive = async <V>(asked: Promise<V>): Promise<V | null> => {
  const answer = await orDead(asked)
  return answer === DEAD ? null : answer
}

const isFailed = (answer: unknown): answer is StoreFailed =>
  typeof answer === 'object' && answer !== null && 'failed' in answer
/** The keeper is opening the store again. */
export const isPassing = (code: StoreFailed['failed']): boolean => code === 'closed' || code === 'busy'

export const timedOut = (): Refusal =>
  new Refusal(
    'TIMEOUT',
    `no answer within ${REQUEST_MS_MAX} ms; it may have been done: ask again with the same idempotency key`,
    {
      retryAfterMs: STORE_RETRY_MS,
    },
  )
/** It was under way when the store, or who asks it, was lost. */
export const unsure = (): Refusal =>
  new Refusal(
    'TIMEOUT',
    'the store was lost while it wrote this; it may have been done: ask again with the same idempotency key',
    { retryAfterMs: STORE_RETRY_MS },
  )
export const unavailable = (why: StoreFailed['failed'] | 'restarting'): Refusal =>
  new Refusal('STORAGE_UNAVAILABLE', `the store does not take it now (${why}); nothing was done, try again`, {
    retryAfterMs: STORE_RETRY_MS,
  })
