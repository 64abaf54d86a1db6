/**
 * A change of the domain groups (D-13). It holds from the instant at which the book is replaced: from then on guards that stand
 * for other hosts than before give no permit, and the pool takes none of theirs. What is in flight stays with the pool, which
 * tells the next guard of it; what the receivers have said goes over here; of the rates nobody knows the sum, so they begin as
 * if `burst` starts had just been made. Nothing of it is left to whoever may crash in between.
 */
import type { DispatchPoolProtocol } from '#actors/dispatch-pool.ts'
import { type GuardFigures, guardOf } from '#actors/guard.ts'
import type { GroupChange, GroupChanged, LimitChange } from '#actors/limits.ts'
import type { SchedulerProtocol } from '#actors/scheduler.ts'
import { type Condition, type Conditions, mergeConditions, newConditions } from '#guard/conditions.ts'
import { domainOfKey } from '#guard/limits.ts'
import {
  bookIn,
  CONDITIONS_TABLE,
  type ConditionsRow,
  DEPARTURES_TABLE,
  FIGURES_TABLE,
  GROUPS_TABLE,
  LIMITS_TABLE,
  type LimitsRow,
  putBook,
  RATES_KNOWN_SINCE,
  RATES_TABLE,
  type RatesRow,
} from '#guard/tables.ts'
import type { Context } from '#runtime/context.ts'
import { type Name, name } from '#runtime/protocol.ts'
import type { Table } from '#runtime/table.ts'
import {
  type DomainGroup,
  epochOf,
  type GroupBook,
  guardKeyOf,
  isGroupKey,
  isGuardKey,
  type Move,
  regroup,
} from '#webhook/domain-group.ts'
import type { Brand, Domain } from '#webhook/webhook.ts'

type Ctx = Pick<Context, 'table' | 'world' | 'cast'>
/** Named here: their files stand above this one. */
const dispatchPool: Name<DispatchPoolProtocol> = name('dispatch-pool')
const scheduler: Name<SchedulerProtocol> = name('scheduler')

const bookOf = (ctx: Ctx): GroupBook => bookIn(ctx.table<string, GroupBook>(GROUPS_TABLE))
const limitRows = (ctx: Ctx): readonly LimitsRow[] =>
  [...ctx.table<string, LimitsRow>(LIMITS_TABLE).entries()].map(([, row]) => row)

/** All groups as they are, this one as it is now. */
export const groupsWith = (
  group: Omit<DomainGroup, 'version'> & { readonly version?: number },
  ctx: Ctx,
): DomainGroup[] => {
  const others = [...bookOf(ctx).groups.values()].filter((other) => other.group !== group.group)
  return [...others, { version: 0, ...group }]
}

/** What these groups say and the book does not: changes that nobody has told yet. A group that is gone has no members. */
export const unknownOf = (groups: readonly DomainGroup[], ctx: Ctx): readonly DomainGroup[] => {
  const { groups: known } = bookOf(ctx)
  const stored = new Set(groups.map(({ group }) => group))
  const changed = groups.filter(({ group, version }) => known.get(group)?.version !== version)
  const gone = [...known.values()].filter(({ group }) => !stored.has(group))
  return [...changed, ...gone.map((one) => ({ ...one, members: [], version: one.version + 1, setBy: 'unknown' }))]
}
/** Not the first book of this process: what differs from it is news. */
export const hasBook = (ctx: Ctx): boolean => bookOf(ctx).version > 0

type Plan =
  | Extract<GroupChanged, { ok: false; why: string }>
  | { readonly ok: true; readonly carried: readonly LimitChange[] }

/** Whether it may be; and what is to be kept beside it, so that also a crash right after it forgets no closure. */
export const planOf = (change: GroupChange, ctx: Ctx): Plan => {
  const before = bookOf(ctx)
  for (const member of change.members) {
    const by = before.ownerOf.get(member)
    if (by !== undefined && by !== change.group) return { ok: false, why: 'taken', member, by }
  }
  const { book, moves } = regroup(before, groupsWith(change, ctx), 0)
  const paused = limitRows(ctx).find(
    (row) => row.kind === 'pause' && (row.value ?? 0) > 0 && isMoved(row.domain, before, book),
  )
  if (paused !== undefined) return { ok: false, why: 'paused', domain: paused.domain ?? '' }
  return { ok: true, carried: moves.flatMap((move) => carriedBy(move, change, ctx)) }
}
/** Its guard is another one afterwards. */
const isMoved = (domain: Domain | null, before: GroupBook, after: GroupBook): boolean =>
  domain !== null &&
  (isGroupKey(domain)
    ? before.groups.has(domain) && !after.groups.has(domain)
    : guardKeyOf(before, domain) !== guardKeyOf(after, domain))

/** Hosts that leave a group take with them until when nothing may be sent. */
const carriedBy = ({ member, from }: Move, { setAt }: GroupChange, ctx: Ctx): LimitChange[] => {
  const row = from === null ? undefined : ctx.table<string, ConditionsRow>(CONDITIONS_TABLE).get(from)
  if (row === undefined) return []
  const now = ctx.world.monoNow()
  const of = (kind: KeptKind, brand: Brand | null, untilMono: number): LimitChange[] => {
    const value = Math.ceil(ctx.world.wallNow() + untilMono - now)
    return untilMono <= now ? [] : [{ kind, domain: member, brand, value, burst: null, setBy: 'guard', setAt }]
  }
  const all: readonly (readonly [Brand | null, Condition])[] = [[null, row.domain], ...row.shares]
  const carried = all.flatMap(([brand, { closure, breaker }]) => [
    ...of('closed-until', brand, closure.untilMono),
    ...of('breaker-until', brand, breaker.state === 'open' ? breaker.openUntilMono : now),
  ])
  return carried.slice(0, CARRIED_MAX)
}
type KeptKind = 'closed-until' | 'breaker-until'
/** Of one member; more shares of brands than this are remembered until the next crash only. One transaction stays small. */
const CARRIED_MAX = 200

/** Own limits of hosts that are in the group by now: they count again when it is dissolved. */
export const restingIn = ({ group }: DomainGroup, ctx: Ctx): readonly Domain[] => {
  const book = bookOf(ctx)
  const own = limitRows(ctx).filter(
    ({ kind, value }) => value !== null && kind !== 'closed-until' && kind !== 'breaker-until',
  )
  const hosts = own.flatMap(({ domain }) => (domain !== null && domain !== group ? [domain] : []))
  return [...new Set(hosts)].filter((domain) => guardKeyOf(book, domain) === group).sort()
}

/** From here on these are the groups. */
export const changeGroups = (groups: readonly DomainGroup[], ctx: Ctx): void => {
  const before = bookOf(ctx)
  const { book, moves } = regroup(before, groups, ctx.world.monoNow())
  const conditions = ctx.table<string, ConditionsRow>(CONDITIONS_TABLE)
  for (const { member, from } of moves) leaveBehind(member, from, conditions)
  for (const [key, row] of [...conditions.entries()]) handOver(key, row, book, conditions)
  forgetRates(book, ctx)
  putBook(ctx.table<string, GroupBook>(GROUPS_TABLE), book)
  if (moves.length > 0) tellAll(book, ctx)
}
/** What the group has heard is kept under the member that leaves it. */
const leaveBehind = (member: string, from: string | null, conditions: Table<string, Conditions>): void => {
  const heard = from === null ? undefined : conditions.get(from)
  if (heard === undefined) return
  const kept = conditions.get(member) ?? newConditions()
  mergeConditions(kept, heard)
  conditions.set(member, kept)
}
/** What its hosts have heard is the group's from now on. */
const handOver = (key: string, row: Conditions, book: GroupBook, conditions: Table<string, Conditions>): void => {
  if (isGroupKey(key)) {
    if (!book.groups.has(key)) conditions.delete(key)
    return
  }
  const group = guardKeyOf(book, key)
  if (group === key) return
  const heard = conditions.get(group) ?? newConditions()
  mergeConditions(heard, row)
  conditions.set(group, heard)
  conditions.delete(key)
}
const forgetRates = (book: GroupBook, ctx: Ctx): void => {
  for (const name of [RATES_TABLE, DEPARTURES_TABLE]) {
    const table = ctx.table<string, RatesRow>(name)
    for (const [key] of [...table.entries()])
      if (key !== RATES_KNOWN_SINCE && epochOf(book, domainOfKey(key)) === book.version) table.delete(key)
  }
}
/** Guards would see it at their next turn; who waits for nothing is woken. */
const tellAll = (book: GroupBook, ctx: Ctx): void => {
  for (const [key] of ctx.table<Domain, GuardFigures>(FIGURES_TABLE).entries())
    if (!isGuardKey(book, key) || epochOf(book, key) === book.version)
      ctx.cast(guardOf(key), { type: 'limits-changed' })
  ctx.cast(dispatchPool, { type: 'regrouped' })
  ctx.cast(scheduler, { type: 'regrouped' })
}
