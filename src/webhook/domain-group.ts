/**
 * Domain groups: several hosts under one guard (decisions.md D-13). Rows keep their host; which guard admits a host follows from
 * the groups, by the pure function `guardKeyOf`. A change takes effect at one instant: when the book in the table is replaced.
 */
import type { Domain, Instant } from './webhook.ts'

/** `group:` and a name `[a-z][a-z0-9_-]{0,62}`: no host, because what follows a host's colon is a number. */
export type GroupKey = string
/** A domain (`host[:port]`), or `*.` and a domain: every host below it, at any depth, of that port; not the domain itself. */
export type Member = string

export interface DomainGroup {
  readonly group: GroupKey
  /** In ascending order; empty: dissolved. */
  readonly members: readonly Member[]
  /** Counts the changes of this group from 1. */
  readonly version: number
  readonly setBy: string
  readonly setAt: Instant
}

/** Since when a member, or a group, is what it is. */
export interface Touch {
  /** The book's version at that change. */
  readonly version: number
  readonly mono: number
}
/** All groups, as guards and pool read them. Plain data. */
export interface GroupBook {
  /** Counts the changes of the book. */
  readonly version: number
  readonly groups: ReadonlyMap<GroupKey, DomainGroup>
  readonly ownerOf: ReadonlyMap<Member, GroupKey>
  /** The last change that concerned a group, or the hosts of a member; nothing of earlier processes. */
  readonly touched: ReadonlyMap<GroupKey | Member, Touch>
  /** The latest change that `touched` has forgotten: of whoever is not in it nothing later is known. Null: it has all. */
  readonly forgotten: Touch | null
}
/** Some 100 bytes each. Beyond it the older half is forgotten: then every guard that is not in the rest begins anew, once. */
export const TOUCHED_MAX = 10_000

const PREFIX = 'group:'
const NAME = /^[a-z][a-z0-9_-]{0,62}$/
export const isGroupKey = (domain: Domain): domain is GroupKey =>
  domain.startsWith(PREFIX) && (domain.charCodeAt(PREFIX.length) || 0) >= 0x61
/** `payments` and `group:payments` are the same group. Null: no name of one. */
export const groupKeyOf = (text: string): GroupKey | null => {
  const name = text.startsWith(PREFIX) ? text.slice(PREFIX.length) : text
  return NAME.test(name) ? `${PREFIX}${name}` : null
}

/** What can name a host (or a wildcard) as a member: itself, then ever wider wildcards. */
export function* membersNaming(domain: Domain | Member): Generator<Member> {
  yield domain
  const host = domain.startsWith('*.') ? domain.slice(2) : domain
  for (let dot = host.indexOf('.'); dot !== -1; dot = host.indexOf('.', dot + 1)) yield `*${host.slice(dot)}`
}

export const NO_GROUPS: GroupBook = {
  version: 0,
  groups: new Map(),
  ownerOf: new Map(),
  touched: new Map(),
  forgotten: null,
}

/** The group that a host, or a wildcard, is in: the exact member wins, then the most specific wildcard. */
const ownerIn = (ownerOf: ReadonlyMap<Member, GroupKey>, domain: Domain | Member): GroupKey | null => {
  for (const member of membersNaming(domain)) {
    const owner = ownerOf.get(member)
    if (owner !== undefined) return owner
  }
  return null
}
/** The member by which a host is in its group, or null: each of its hosts counts once, also where wildcards overlap. */
export const memberOf = ({ ownerOf }: GroupBook, domain: Domain): Member | null => {
  for (const member of membersNaming(domain)) if (ownerOf.has(member)) return member
  return null
}
/** The key of the guard that admits the webhooks of this host: its group, or itself. A group's key is its own. */
export const guardKeyOf = ({ ownerOf }: GroupBook, domain: Domain): Domain =>
  ownerOf.size === 0 || isGroupKey(domain) ? domain : (ownerIn(ownerOf, domain) ?? domain)

/** False: no guard may run under this key (a host in a group; a group without members). */
export const isGuardKey = (book: GroupBook, key: Domain): boolean =>
  isGroupKey(key) ? book.groups.has(key) : guardKeyOf(book, key) === key

/** The last change that concerned a guard of this key; null: none since the process started. */
export const lastTouch = ({ touched, forgotten }: GroupBook, key: Domain): Touch | null => {
  if (touched.size === 0) return forgotten
  if (isGroupKey(key)) return touched.get(key) ?? forgotten
  let last = forgotten
  for (const member of membersNaming(key)) {
    const touch = touched.get(member)
    if (touch !== undefined && (last === null || touch.version > last.version)) last = touch
  }
  return last
}
/** Differs whenever a guard of this key has become another one: what it admitted before and what it admits now are two. */
export const epochOf = (book: GroupBook, key: Domain): number => lastTouch(book, key)?.version ?? 0

/** A book of these groups that knows of no change. */
export const bookOf = (groups: Iterable<DomainGroup>): GroupBook => {
  const live = [...groups].filter(({ members }) => members.length > 0)
  const ownerOf = new Map(
    live.flatMap(({ group, members }) => members.map((member): [Member, GroupKey] => [member, group])),
  )
  return {
    version: 0,
    groups: new Map(live.map((one) => [one.group, one])),
    ownerOf,
    touched: new Map(),
    forgotten: null,
  }
}

/** Members whose hosts go from one guard to another. */
export interface Move {
  readonly member: Member
  /** Null: each of its hosts has a guard of its own. */
  readonly from: GroupKey | null
  readonly to: GroupKey | null
}
/** What differs, and the next book. `mono`: now, monotonic. */
export const regroup = (
  before: GroupBook,
  groups: Iterable<DomainGroup>,
  mono: number,
): { readonly book: GroupBook; readonly moves: readonly Move[] } => {
  const after = bookOf(groups)
  const moves: Move[] = []
  for (const member of new Set([...before.ownerOf.keys(), ...after.ownerOf.keys()])) {
    const [from, to] = [ownerIn(before.ownerOf, member), ownerIn(after.ownerOf, member)]
    if (from !== to) moves.push({ member, from, to })
  }
  const version = before.version + 1
  const touched = new Map(before.touched)
  for (const { member, from, to } of moves)
    for (const key of [member, from, to]) if (key !== null) touch(touched, key, { version, mono })
  const forgotten = forgetOldest(touched) ?? before.forgotten
  return { book: { ...after, version, touched, forgotten }, moves }
}
/** In the order of the last change. */
const touch = (touched: Map<GroupKey | Member, Touch>, key: GroupKey | Member, last: Touch): void => {
  touched.delete(key)
  touched.set(key, last)
}
/** Answers the latest that is forgotten; null: none is. Those of one change stay or go together. */
const forgetOldest = (touched: Map<GroupKey | Member, Touch>): Touch | null => {
  if (touched.size <= TOUCHED_MAX) return null
  let last: Touch | null = null
  for (const [key, one] of touched) {
    if (touched.size <= TOUCHED_MAX / 2 && one.version !== last?.version) break
    touched.delete(key)
    last = one
  }
  return last
}
