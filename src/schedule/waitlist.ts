/**
 * Domains with due work whose guard has no place yet: live guards are bounded. Keys only, bounded too; what is due of them lies in the
 * store. Pure: `now` is an argument (monotonic milliseconds).
 *
 * Places go in turns to whoever came due last and to whoever stands in line. In a crowd that nobody can serve in time those who
 * come now still are, and each of the others moves up with every second place. Who came due stands in line after a while.
 *
 * Whoever finds no room is left out, and only the store knows of it. As long as there are such, the line is filled by a circle over all
 * lanes of the store and by nothing else, so each domain has its turn once a circle: nobody starves, whatever the others do.
 * Whoever cannot start anything is passed over.
 */
import type { Brand, Domain, LaneKey } from '#webhook/webhook.ts'

interface Listed {
  /** The only brand that is known to wait there; null: several, or nobody knows. */
  brand: Brand | null
  /** It cannot start anything before; what was found once is not looked for again until then. */
  restsUntilMono: number
}
export interface Waitlist {
  readonly listed: Map<Domain, Listed>
  /** How many of them wait for this brand alone. */
  readonly byBrand: Map<Brand, number>
  /** They came due lately, the last one last; and the line, whose first stands at `head`. Each takes half of the list at most. */
  readonly halfMax: number
  readonly fresh: Domain[]
  /** So many of them came before the last time that some grew old. */
  older: number
  agedMono: number
  line: Domain[]
  head: number
  /** The last place went to one that had come due. */
  lastWasFresh: boolean
  /** Some were left out. */
  areUnlisted: boolean
  /** Where the circle goes on, and whether nobody was left out since it began: then there are none at its end. */
  circle: { after: LaneKey | null; isClean: boolean }
}
/** Who came due stands in line after so long, or up to twice of it. */
export const FRESH_MS = 1_000
/** Domains that one search passes over at most: microseconds each. */
const PASSED_OVER_MAX = 1_000

export const emptyWaitlist = (domainsMax: number): Waitlist => ({
  listed: new Map(),
  byBrand: new Map(),
  halfMax: Math.ceil(domainsMax / 2),
  fresh: [],
  older: 0,
  agedMono: Number.NEGATIVE_INFINITY,
  line: [],
  head: 0,
  lastWasFresh: false,
  areUnlisted: false,
  circle: { after: null, isClean: false },
})

export const lengthOf = ({ listed }: Waitlist): number => listed.size
export const isAwaited = (list: Waitlist): boolean => list.areUnlisted || list.listed.size > 0
/**
 * How many get a place before it, if nobody else comes due and nobody has to be passed over: places go in turns to the two halves.
 * Null: it is not listed by name.
 */
export const aheadOf = (list: Waitlist, domain: Domain): number | null => {
  if (!list.listed.has(domain)) return null
  const { fresh, line, head, lastWasFresh } = list
  const isNext = (freshIsNext: boolean): number => (lastWasFresh === freshIsNext ? 0 : 1)
  const fromLast = fresh.length - 1 - fresh.lastIndexOf(domain)
  if (fromLast < fresh.length) return fromLast + Math.min(lineLength(list), fromLast + isNext(false))
  const inLine = line.indexOf(domain, head) - head
  return inLine + Math.min(fresh.length, inLine + isNext(true))
}
/** The first of the line; where nobody stands there, who came due first. */
export const longestWaiting = ({ fresh, line, head }: Waitlist, count: number): readonly Domain[] => {
  const inLine = line.slice(head, head + count)
  return [...inLine, ...fresh.slice(0, count - inLine.length)]
}
/** How many have work of another brand, or may have. Null: how many there are. */
export const othersThan = ({ listed, byBrand }: Waitlist, brand: Brand | null): number =>
  listed.size - (brand === null ? 0 : (byBrand.get(brand) ?? 0))
export const lineLength = ({ line, head }: Waitlist): number => line.length - head

/** Something of it has just come due. Where there is no room, it takes that of the one that came due before it. */
export const joinDue = (list: Waitlist, domain: Domain, brand: Brand | null): void => {
  if (isListed(list, domain, brand)) return
  if (list.fresh.length >= list.halfMax) leaveOut(list, popFresh(list))
  enter(list, domain, brand, 0)
  list.fresh.push(domain)
}
/** It has work in the store, and maybe cannot start it before an instant. */
export const joinLine = (list: Waitlist, domain: Domain, brand: Brand | null, restsUntilMono = 0): void => {
  if (isListed(list, domain, brand)) return
  if (list.areUnlisted || lineLength(list) >= list.halfMax) return leaveOut(list, undefined)
  enter(list, domain, brand, restsUntilMono)
  list.line.push(domain)
}
const isListed = (list: Waitlist, domain: Domain, brand: Brand | null): boolean => {
  const there = list.listed.get(domain)
  if (there === undefined) return false
  if (there.brand === brand) return true
  countBrand(list, there.brand, -1)
  there.brand = null
  return true
}
const enter = (list: Waitlist, domain: Domain, brand: Brand | null, restsUntilMono: number): void => {
  list.listed.set(domain, { brand, restsUntilMono })
  countBrand(list, brand, 1)
}
/** Others have work that is due, and only the store knows of them. */
export const leaveOutOthers = (list: Waitlist): void => leaveOut(list, undefined)
const leaveOut = (list: Waitlist, domain: Domain | undefined): void => {
  if (domain !== undefined) forget(list, domain)
  list.areUnlisted = true
  list.circle.isClean = false
}
const countBrand = ({ byBrand }: Waitlist, brand: Brand | null, by: number): void => {
  if (brand === null) return
  const count = (byBrand.get(brand) ?? 0) + by
  if (count > 0) byBrand.set(brand, count)
  else byBrand.delete(brand)
}
const forget = (list: Waitlist, domain: Domain): void => {
  countBrand(list, list.listed.get(domain)?.brand ?? null, -1)
  list.listed.delete(domain)
}

/** Until when a domain cannot start anything, as far as one can say without its guard; at most now: it can. */
export type Rests = (domain: Domain, brand: Brand | null) => number

/** Who gets the next place; undefined: nobody waits, or all whom one look reaches rest. */
const peekNext = (list: Waitlist, rests: Rests, nowMono: number): Domain | undefined =>
  list.lastWasFresh
    ? (firstReady(list, false, rests, nowMono) ?? firstReady(list, true, rests, nowMono))
    : (firstReady(list, true, rests, nowMono) ?? firstReady(list, false, rests, nowMono))

/** How many could start something: no more than this, and none if it is 0. */
export const readyAtMost = (list: Waitlist, rests: Rests, nowMono: number): number => {
  const line = firstReady(list, false, rests, nowMono) === undefined ? 0 : lineLength(list)
  return line + (firstReady(list, true, rests, nowMono) === undefined ? 0 : list.fresh.length)
}

/** Takes it out. */
export const takeNext = (list: Waitlist, rests: Rests, nowMono: number): Domain | undefined => {
  const domain = peekNext(list, rests, nowMono)
  if (domain === undefined) return undefined
  list.lastWasFresh = list.fresh.at(-1) === domain
  takeOut(list, list.lastWasFresh)
  forget(list, domain)
  return domain
}

/** The first who can start something, of those who came due or of the line; who cannot is passed over. */
const firstReady = (list: Waitlist, isFresh: boolean, rests: Rests, nowMono: number): Domain | undefined => {
  for (let looks = Math.min(lengthOf(list), PASSED_OVER_MAX); looks > 0; looks -= 1) {
    const domain = isFresh ? list.fresh.at(-1) : list.line[list.head]
    const listed = domain === undefined ? undefined : list.listed.get(domain)
    if (domain === undefined || listed === undefined) return undefined
    if (listed.restsUntilMono <= nowMono) listed.restsUntilMono = rests(domain, listed.brand)
    if (listed.restsUntilMono <= nowMono) return domain
    takeOut(list, isFresh)
    passOver(list, domain)
  }
  return undefined
}
/** To the end of the line; but those who rest must not fill it while others are left out. */
const passOver = (list: Waitlist, domain: Domain): void => {
  const room = list.areUnlisted ? list.halfMax / 2 : list.halfMax
  if (lineLength(list) < room) list.line.push(domain)
  else leaveOut(list, domain)
}
const popFresh = (list: Waitlist): Domain | undefined => {
  const domain = list.fresh.pop()
  list.older = Math.min(list.older, list.fresh.length)
  return domain
}
const takeOut = (list: Waitlist, isFresh: boolean): void => {
  if (isFresh) {
    popFresh(list)
    return
  }
  list.head += 1
  if (list.head * 2 < list.line.length) return
  list.line = list.line.slice(list.head)
  list.head = 0
}

/** Who came due a while ago stands in line, the oldest first; or is left out, where there is no room, or others are. */
export const age = (list: Waitlist, nowMono: number): void => {
  if (nowMono < list.agedMono + FRESH_MS) return
  list.agedMono = nowMono
  const old = list.fresh.splice(0, list.older)
  list.older = list.fresh.length
  for (const domain of old) {
    if (!list.areUnlisted && lineLength(list) < list.halfMax) list.line.push(domain)
    else leaveOut(list, domain)
  }
}

/** The circle goes on while less than half of the line is taken. */
export const wantsCircle = (list: Waitlist): boolean => list.areUnlisted && lineLength(list) <= list.halfMax / 2
/** Where it goes on. */
export const goOn = ({ circle }: Waitlist): LaneKey | null => {
  if (circle.after === null) circle.isClean = true
  return circle.after
}
/** A page of it: lanes with due work, in order, of domains that have no guard. `next` null: it is closed. */
export const takeCircle = (
  list: Waitlist,
  found: readonly (readonly [Domain, LaneKey])[],
  next: LaneKey | null,
): void => {
  const { circle } = list
  for (const [domain, lane] of found) {
    if (!isListed(list, domain, lane.brand)) {
      if (lineLength(list) >= list.halfMax) return
      enter(list, domain, lane.brand, 0)
      list.line.push(domain)
    }
    circle.after = lane
  }
  circle.after = next
  if (next === null && circle.isClean) list.areUnlisted = false
}

/** Limits have changed: it is looked at again. Null: everybody is. */
export const wake = ({ listed }: Waitlist, domain: Domain | null): void => {
  const woken = domain === null ? listed.values() : [listed.get(domain)]
  for (const one of woken) if (one !== undefined) one.restsUntilMono = 0
}
