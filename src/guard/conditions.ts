/**
 * What a guard has learnt from its receiver, for the domain and for each brand's share of it: closures and breakers. One
 * brand cannot close a shared host for the others: the whole domain closes when two brands saw it within a minute, when one
 * brand alone uses it, or when it is configured so. A row of the table `conditions`, which outlives the guard (D-10).
 */
import type { Brand, Outcome } from '#webhook/webhook.ts'
import { type Adaptive, type AdaptiveChange, newAdaptive, sampleAdaptive } from './adaptive.ts'
import {
  BREAKER_OPEN_MS_MAX,
  type Breaker,
  type BreakerPolicy,
  closedBreaker,
  isFailing,
  nextAllowed,
  noteStart,
  openBreaker,
  pass,
  recordOutcome,
  resetBreaker,
} from './breaker.ts'
import { type Closure, close, isClosed, letGo, open, rampUp } from './closure.ts'
import { emptyBudget, type RetryBudget } from './retry-budget.ts'

export interface Condition {
  readonly closure: Closure
  readonly breaker: Breaker
  lastAttemptMono: number
}
export interface Conditions {
  readonly domain: Condition
  readonly shares: Map<Brand, Condition>
  /** No breaker of a share becomes half-open before: until then time does nothing to any of them, however many there are. */
  sharesPassMono: number
  readonly budget: RetryBudget
  adaptive: Adaptive | null
}
export const newCondition = (): Condition => ({
  closure: open(),
  breaker: closedBreaker(),
  lastAttemptMono: Number.NEGATIVE_INFINITY,
})
export const newConditions = (): Conditions => ({
  domain: newCondition(),
  shares: new Map(),
  sharesPassMono: Number.POSITIVE_INFINITY,
  budget: emptyBudget(),
  adaptive: null,
})
export const shareOf = (conditions: Conditions, brand: Brand): Condition => {
  const there = conditions.shares.get(brand)
  if (there !== undefined) return there
  const share = newCondition()
  conditions.shares.set(brand, share)
  return share
}

/** Brands count together, and as users of the domain, for this long. */
const TOGETHER_MS = 60_000

export interface ConditionPolicy {
  /** 0: refusals close nothing; 1: by shares; 2: always the whole domain. */
  readonly closure: number
  readonly breaker: BreakerPolicy
  /** Null: not adaptive; else the most that it may allow. */
  readonly adaptiveCeiling: number | null
}
export interface Heard {
  readonly brand: Brand
  readonly outcome: Outcome
  readonly latencyMs: number
  readonly inFlight: number
  /** Another brand has work here. */
  readonly othersWait: boolean
  readonly nowMono: number
}
/** A change of state, with its cause. `brand` null: the whole domain. */
export interface ConditionChange {
  readonly what: 'closed' | 'reopened' | 'breaker-opened' | 'breaker-half-opened' | 'breaker-closed' | 'adapted'
  readonly brand: Brand | null
  /** Null: not until an instant. */
  readonly untilMono: number | null
  readonly cause: string
}

const describe = (outcome: Outcome): string =>
  outcome.kind === 'response' ? `status ${outcome.status}` : outcome.error

const refuses = (outcome: Outcome): boolean =>
  outcome.kind === 'response' && (outcome.status === 429 || (outcome.status === 503 && outcome.retryAfterMs !== null))
const BREAKING: ReadonlySet<string> = new Set([
  'timeout',
  'dns_nxdomain',
  'dns_error',
  'connect_refused',
  'connect_reset',
  'connect_timeout',
  'tls_cert',
  'tls_handshake',
  'reset_after_send',
  'bad_response',
])
/** Timeouts, connection errors and 5xx. Null: it says nothing about the receiver. */
const failure = (outcome: Outcome): boolean | null => {
  if (outcome.kind === 'response') return outcome.status >= 500
  return BREAKING.has(outcome.error) ? true : null
}
/** A thread of ours ended, or no descriptor was left: neither its failure nor its latency is the receiver's (LOAD-09). */
const isOurs = (outcome: Outcome): boolean => outcome.kind === 'error' && outcome.error === 'in_doubt'
const isLoss = (outcome: Outcome): boolean =>
  outcome.kind === 'response' ? outcome.status === 429 || outcome.status === 503 : outcome.error === 'timeout'

/** Takes the end of one attempt; answers what changed. */
export const hear = (conditions: Conditions, policy: ConditionPolicy, heard: Heard): readonly ConditionChange[] => {
  const share = shareOf(conditions, heard.brand)
  share.lastAttemptMono = heard.nowMono
  const changes: ConditionChange[] = []
  if (isOurs(heard.outcome)) return changes
  adapt(conditions, policy, heard, changes)
  if (refuses(heard.outcome)) {
    if (policy.closure > 0) closeFor(conditions, share, policy, heard, changes)
    return changes
  }
  const failed = failure(heard.outcome)
  if (failed === null || (failed && isBeingEased(conditions, heard.outcome))) return changes
  if (!failed) reopen(conditions, share, heard, changes)
  breakFor(conditions, share, failed, policy, heard, changes)
  return changes
}

/**
 * A backend that refuses what is above its capacity is not broken, and refusals are quicker than answers: ten of them in a row
 * are soon together. As long as an adaptive limit can still go down, a 503 is its signal and not the breaker's.
 */
const isBeingEased = ({ adaptive }: Conditions, outcome: Outcome): boolean =>
  adaptive !== null && adaptive.limit >= 2 && outcome.kind === 'response' && outcome.status === 503

const adapt = (
  conditions: Conditions,
  { adaptiveCeiling }: ConditionPolicy,
  { outcome, latencyMs, inFlight, nowMono }: Heard,
  changes: ConditionChange[],
): void => {
  if (adaptiveCeiling === null) {
    conditions.adaptive = null
    return
  }
  conditions.adaptive ??= newAdaptive(nowMono)
  const lost = isLoss(outcome)
  const change = sampleAdaptive(conditions.adaptive, { latencyMs, lost, inFlight, nowMono, ceiling: adaptiveCeiling })
  if (change !== null) changes.push({ what: 'adapted', brand: null, untilMono: null, cause: adaptCause(change) })
}
const adaptCause = ({ from, to, cause }: AdaptiveChange): string => `${from} to ${to}: ${cause}`

/** Is what one brand saw true of the whole domain? */
const concernsAll = (
  conditions: Conditions,
  { brand, othersWait, nowMono }: Heard,
  sawIt: (share: Condition) => number,
): boolean => {
  let alone = !othersWait
  for (const [other, share] of conditions.shares) {
    if (other === brand) continue
    if (nowMono - sawIt(share) < TOGETHER_MS) return true
    if (nowMono - share.lastAttemptMono < TOGETHER_MS) alone = false
  }
  return alone
}

const closeFor = (
  conditions: Conditions,
  share: Condition,
  policy: ConditionPolicy,
  heard: Heard,
  changes: ConditionChange[],
): void => {
  const { outcome, brand, nowMono } = heard
  const retryAfterMs = outcome.kind === 'response' ? outcome.retryAfterMs : null
  const cause = describe(outcome)
  const moved = close(share.closure, retryAfterMs, nowMono)
  const all = policy.closure >= 2 || concernsAll(conditions, heard, (one) => one.closure.lastMono)
  if (all) {
    const { closure } = conditions.domain
    const domainMoved = close(closure, share.closure.untilMono - nowMono, nowMono)
    if (domainMoved) changes.push({ what: 'closed', brand: null, untilMono: closure.untilMono, cause })
  } else if (moved) changes.push({ what: 'closed', brand, untilMono: share.closure.untilMono, cause })
}
const reopen = (conditions: Conditions, share: Condition, heard: Heard, changes: ConditionChange[]): void => {
  const cause = describe(heard.outcome)
  const reopened = { what: 'reopened', untilMono: null, cause } as const
  const shareOpen = rampUp(share.closure, heard.nowMono)
  if (rampUp(conditions.domain.closure, heard.nowMono)) changes.push({ ...reopened, brand: null })
  else if (shareOpen) changes.push({ ...reopened, brand: heard.brand })
}

const breakFor = (
  conditions: Conditions,
  share: Condition,
  failed: boolean,
  policy: ConditionPolicy,
  heard: Heard,
  changes: ConditionChange[],
): void => {
  const { nowMono, brand } = heard
  const cause = describe(heard.outcome)
  const whole = conditions.domain.breaker
  if (whole.state !== 'closed') {
    const change = recordOutcome(whole, failed, policy.breaker, nowMono)
    if (change !== null) changes.push(breakerChange(change, whole, null, cause))
    return
  }
  const change = recordOutcome(share.breaker, failed, policy.breaker, nowMono)
  expectPass(conditions, share)
  if (change !== 'opened' || !concernsAll(conditions, heard, (one) => one.breaker.lastOpenedMono)) {
    if (change !== null) changes.push(breakerChange(change, share.breaker, brand, cause))
    return
  }
  openBreaker(whole, policy.breaker, nowMono)
  for (const one of conditions.shares.values()) resetBreaker(one.breaker)
  changes.push(breakerChange('opened', whole, null, cause))
}
const breakerChange = (
  change: 'opened' | 'half-opened' | 'closed',
  breaker: Breaker,
  brand: Brand | null,
  cause: string,
): ConditionChange => ({
  what: `breaker-${change}`,
  brand,
  untilMono: change === 'opened' ? breaker.openUntilMono : null,
  cause,
})

/** What an earlier process has heard and kept in the store: closed, or its breaker open, for so long. `brand` null: all. */
export const restore = (
  conditions: Conditions,
  what: 'closed' | 'breaker-opened',
  brand: Brand | null,
  leftMs: number,
  nowMono: number,
): void => {
  const condition = brand === null ? conditions.domain : shareOf(conditions, brand)
  const { closure, breaker } = condition
  if (what === 'closed') {
    // One that is over would be taken for a refusal that names no time.
    if (leftMs > 0) close(closure, leftMs, nowMono)
  } else openBreaker(breaker, { enabled: true, openMs: leftMs }, nowMono)
  expectPass(conditions, condition)
}

const SWITCHED_OFF = 'switched off'
/** An operator has switched closure or breaker off: what they hold closed opens at once, and stays open. */
export const applyPolicy = (conditions: Conditions, policy: ConditionPolicy): readonly ConditionChange[] => {
  const changes: ConditionChange[] = []
  const all: readonly (readonly [Brand | null, Condition])[] = [[null, conditions.domain], ...conditions.shares]
  for (const [brand, { closure, breaker }] of all) {
    const opened = { brand, untilMono: null, cause: SWITCHED_OFF } as const
    if (policy.closure === 0 && letGo(closure)) changes.push({ what: 'reopened', ...opened })
    if (policy.breaker.enabled || breaker.state === 'closed') continue
    resetBreaker(breaker)
    changes.push({ what: 'breaker-closed', ...opened })
  }
  return changes
}

/** Time passes: open breakers become half-open. */
export const passTime = (conditions: Conditions, nowMono: number): readonly ConditionChange[] => {
  const changes: ConditionChange[] = []
  const cause = 'its time is over'
  if (pass(conditions.domain.breaker, nowMono) !== null)
    changes.push(breakerChange('half-opened', conditions.domain.breaker, null, cause))
  if (nowMono < conditions.sharesPassMono) return changes
  conditions.sharesPassMono = Number.POSITIVE_INFINITY
  for (const [brand, share] of conditions.shares) {
    if (pass(share.breaker, nowMono) !== null) changes.push(breakerChange('half-opened', share.breaker, brand, cause))
    expectPass(conditions, share)
  }
  return changes
}
const expectPass = (conditions: Conditions, { breaker }: Condition): void => {
  if (breaker.state === 'open') conditions.sharesPassMono = Math.min(conditions.sharesPassMono, breaker.openUntilMono)
}

export interface Gate {
  readonly by: 'closed' | 'breaker'
  readonly untilMono: number
}
/** What stands in the way of one more start, with `inFlight` running (of the domain, or of the share). */
export const gateOf = (condition: Condition, inFlight: number, reserved: number, nowMono: number): Gate | null => {
  const { closure, breaker } = condition
  if (isClosed(closure, nowMono)) return { by: 'closed', untilMono: closure.untilMono }
  if (closure.ramp !== null && inFlight + reserved >= closure.ramp)
    return { by: 'closed', untilMono: Number.POSITIVE_INFINITY }
  if (breaker.state === 'closed') return null
  const untilMono = nextAllowed(breaker)
  if (untilMono > nowMono) return { by: 'breaker', untilMono }
  return reserved > 0 ? { by: 'breaker', untilMono: Number.POSITIVE_INFINITY } : null
}
/** Nothing may be sent at this instant, not even a probe. */
export const isShut = ({ closure, breaker }: Condition, nowMono: number): boolean =>
  isClosed(closure, nowMono) || (breaker.state === 'open' && breaker.openUntilMono > nowMono)
export const noteStarted = (conditions: Conditions, brand: Brand, nowMono: number): void => {
  noteStart(conditions.domain.breaker, nowMono)
  const share = conditions.shares.get(brand)
  if (share !== undefined) noteStart(share.breaker, nowMono)
}

/** The domain fails for this brand (D-21). */
export const fails = (conditions: Conditions, brand: Brand): boolean => {
  const share = conditions.shares.get(brand)
  return conditions.domain.breaker.state !== 'closed' || (share !== undefined && isFailing(share.breaker))
}

/** Several hosts have become one backend, or one has become several: what stood in the way of any stands in the way of all (D-13). */
export const mergeConditions = (into: Conditions, from: Conditions): void => {
  mergeCondition(into.domain, from.domain)
  for (const [brand, share] of from.shares) {
    mergeCondition(shareOf(into, brand), share)
    expectPass(into, shareOf(into, brand))
  }
}
const mergeCondition = (into: Condition, { closure, breaker, lastAttemptMono }: Condition): void => {
  if (closure.untilMono > into.closure.untilMono) Object.assign(into.closure, closure)
  const isWorse = RANK[breaker.state] > RANK[into.breaker.state]
  const isLater = breaker.state === into.breaker.state && breaker.openUntilMono > into.breaker.openUntilMono
  if (isWorse || isLater) Object.assign(into.breaker, breaker, { recent: [...breaker.recent] })
  into.lastAttemptMono = Math.max(into.lastAttemptMono, lastAttemptMono)
}
const RANK: Readonly<Record<Breaker['state'], number>> = { closed: 0, 'half-open': 1, open: 2 }

/**
 * So long after the last attempt nothing counts any more that does not hold the domain closed at this instant: a ramp that was
 * never climbed, a failing row, an adaptive limit. The longest time that a breaker stays open.
 */
export const CONDITIONS_KEPT_MS = BREAKER_OPEN_MS_MAX

const isPlain = ({ closure, breaker }: Condition): boolean =>
  closure.ramp === null && breaker.state === 'closed' && !isFailing(breaker)
const isQuiet = ({ lastAttemptMono }: Condition, nowMono: number): boolean =>
  lastAttemptMono <= nowMono - CONDITIONS_KEPT_MS

/** Forgets what brands have heard long ago: a domain may see any number of them. */
export const forgetShares = (conditions: Conditions, nowMono: number): void => {
  for (const [brand, share] of conditions.shares)
    if (isQuiet(share, nowMono) && !isShut(share, nowMono)) conditions.shares.delete(brand)
}

/** Nothing that a fresh row would not say, or nothing that still counts: it may be forgotten. */
export const saysNothing = (conditions: Conditions, nowMono: number): boolean => {
  const { domain, shares, adaptive } = conditions
  let quiet = true
  let plain = adaptive === null && isPlain(domain)
  if (isShut(domain, nowMono)) return false
  for (const share of shares.values()) {
    if (isShut(share, nowMono)) return false
    quiet &&= isQuiet(share, nowMono)
    plain &&= isPlain(share)
  }
  return plain || quiet
}
