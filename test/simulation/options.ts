/**
 * What one seed means: its own mix of domains, limits, receivers, clients and faults (swarm testing). Faults are a list drawn
 * beforehand, so that a failing run can be repeated with fewer of them; each class can be left out by name.
 */
import type { RetryPolicy } from '#webhook/webhook.ts'
import { Draws } from './draws.ts'
import { SIM_GROUP } from './group-history.ts'

export const FAULT_CLASSES = [
  'kill',
  'rare',
  'crash',
  'recovery',
  'power-cut',
  'stop',
  'freeze',
  'suspend',
  'carrier',
  'store-death',
  'clock',
  'aftershock',
  'store-noise',
  'receivers',
  'poison',
] as const
export const CLIENT_CLASSES = [
  'cancels',
  'limit-changes',
  'resends',
  'retimes',
  'groups',
  'group-limits',
  'load',
] as const
export const CLASSES = [...FAULT_CLASSES, ...CLIENT_CLASSES]
export type SimClass = (typeof CLASSES)[number]

/**
 * `rare`: kill of a brand-limiter or a retry process, as soon as there is one. `crash`: kill -9. `recovery`: kill -9, and again
 * while the next process recovers. `aftershock`: kill -9 and guards that die in the second after it, or the store's thread and its keeper
 * while he opens again. `stop`: SIGTERM and a new process, sometimes with kill -9 in between. `freeze`: SIGSTOP and SIGCONT. `suspend`: the machine sleeps, and its monotonic clock with it.
 */
export type FaultKind =
  | 'kill'
  | 'rare'
  | 'crash'
  | 'recovery'
  | 'power-cut'
  | 'stop'
  | 'freeze'
  | 'suspend'
  | 'carrier'
  | 'store-death'
  | 'clock'
  | 'aftershock'
export interface Fault {
  readonly kind: FaultKind
  readonly atMs: number
  /** Fires at so many passages of a hook after `atMs`: in the middle of something. Null: at that instant, when all is at rest. */
  readonly passages: number | null
  /** Chooses the victim. */
  readonly pick: number
  readonly pickOne: number
  /** Clock: the step. Crash, power cut, stop: how long the process is down. Freeze, suspend: how long it stands still. */
  readonly ms: number
}
export interface Receiver {
  readonly latencyMs: readonly [number, number]
  /** Shares of the requests. */
  readonly fails: number
  readonly refuses: number
  readonly never: number
  readonly errors: number
  readonly unsent: number
  readonly kills: number
  readonly hangs: number
  /** Share of the webhooks whose every request kills its thread. */
  readonly poison: number
  readonly retryAfterMs: number | null
}
export interface SimLimit {
  readonly kind: 'concurrency' | 'rate' | 'pause'
  readonly domain: string | null
  readonly brand: string | null
  readonly value: number | null
  readonly burst: number | null
}
export interface Pressure {
  readonly atMs: number
  readonly ms: number
  readonly loopDelayMs: number
  readonly heapShare: number
}
export interface StoreNoise {
  readonly errors: number
  readonly lostReplies: number
  readonly slow: number
  readonly slowMsMax: number
  readonly readErrors: number
  readonly slowReads: number
  readonly openErrors: number
}
export interface SimOptions {
  readonly seed: number
  readonly permute: boolean
  readonly safeMessages: boolean
  /** Length of the phase with faults, virtual. */
  readonly chaosMs: number
  readonly domains: readonly string[]
  readonly brands: readonly string[]
  readonly webhooks: number
  /** Up to so many in one call. */
  readonly batchMax: number
  /** Share of the webhooks that are due at one instant. */
  readonly thunder: number
  readonly policies: readonly RetryPolicy[]
  readonly timeoutsMs: readonly number[]
  readonly keyed: number
  readonly resends: number
  readonly lostAnswers: number
  readonly cancels: number
  /** Share of the webhooks that somebody reschedules, runs now, or replays. */
  readonly retimes: number
  readonly carriers: number
  readonly capacity: number
  readonly receivers: ReadonlyMap<string, Receiver>
  readonly limits: readonly SimLimit[]
  readonly limitChanges: readonly { readonly atMs: number; readonly limit: SimLimit }[]
  /** Hosts that come together under one guard, and part again (no members). */
  readonly regroupings: readonly { readonly atMs: number; readonly members: readonly string[] }[]
  /** Stretches in which the event loop is late, or the heap full. Null: nobody looks how hard the daemon has it, and the door is open. */
  readonly load: readonly Pressure[] | null
  readonly noise: StoreNoise
  readonly carrierStartFails: number
  readonly faults: readonly Fault[]
}

const GOOD: Receiver = {
  latencyMs: [1, 20],
  fails: 0,
  refuses: 0,
  never: 0,
  errors: 0,
  unsent: 0,
  kills: 0,
  hangs: 0,
  poison: 0,
  retryAfterMs: null,
}
const QUIET: StoreNoise = {
  errors: 0,
  lostReplies: 0,
  slow: 0,
  slowMsMax: 0,
  readErrors: 0,
  slowReads: 0,
  openErrors: 0,
}

/** `without`: classes that are left out. `keep`: indices of the faults that are kept, null for all. */
export const drawOptions = (
  seed: number,
  without: readonly SimClass[] = [],
  keep: readonly number[] | null = null,
): SimOptions => {
  const draws = new Draws(seed, 'options')
  const domains = names(draws.between(1, 4), 'host', '.example')
  const brands = names(draws.between(1, 3), 'brand', '')
  const chaosMs = draws.between(2_000, 20_000)
  const calm = draws.chance(0.1)
  const basic = {
    seed,
    permute: draws.chance(0.6),
    safeMessages: draws.chance(0.4),
    chaosMs,
    domains,
    brands,
    webhooks: Math.max(draws.spread(0.7, 2.2), new Draws(seed, 'crowd').chance(0.01) ? 1_200 : 0),
    batchMax: draws.oneOf([1, 5, 40]),
    thunder: draws.oneOf([0, 0, 0.3, 0.9]),
    policies: [drawPolicy(draws), drawPolicy(draws)],
    timeoutsMs: [draws.between(100, 900), draws.between(1_000, 4_000)],
    carriers: draws.between(1, 3),
    capacity: draws.oneOf([2, 8, 256, 256]),
    carrierStartFails: draws.oneOf([0, 0, 0.2]),
  }
  const without_ = new Set<SimClass>(without)
  const has = (name: SimClass): boolean => !without_.has(name)
  const isOn = (name: SimClass, share: number): boolean => !calm && new Draws(seed, name).chance(share) && has(name)
  const ownLimits = drawLimits(new Draws(seed, 'limits'), domains, brands)
  const regroups = isOn('groups', 0.2)
  const groupDraws = new Draws(seed, 'group limits')
  const tight = {
    kind: 'concurrency',
    domain: SIM_GROUP,
    brand: null,
    value: groupDraws.between(1, 4),
    burst: null,
  } as const
  const ofGroup = regroups && has('group-limits') ? [...drawLimits(groupDraws, [SIM_GROUP], brands), tight] : []
  const limits = [...ownLimits, ...ofGroup]
  const clients = new Draws(seed, 'clients options')
  return {
    ...basic,
    keyed: clients.oneOf([0, 0.5]),
    resends: has('resends') ? clients.oneOf([0, 0.5, 1]) : 0,
    lostAnswers: has('resends') && !calm ? clients.oneOf([0, 0.2]) : 0,
    retimes: has('retimes') ? new Draws(seed, 'retimes options').oneOf([0, 0, 0.1, 0.4]) : 0,
    cancels: has('cancels') ? clients.oneOf([0, 0.1, 0.3]) : 0,
    receivers: new Map(
      domains.map((domain) => [domain, drawReceiver(seed, domain, isOn('receivers', 0.8), has('poison'))]),
    ),
    limits,
    limitChanges: isOn('limit-changes', 0.6)
      ? drawChanges(new Draws(seed, 'changes'), chaosMs, limits, domains, brands)
      : [],
    regroupings: regroups
      ? drawRegroupings(new Draws(seed, 'regroupings'), chaosMs, domains, has('group-limits') ? groupDraws : null)
      : [],
    load: isOn('load', 0.3) ? drawLoad(new Draws(seed, 'load pressure'), chaosMs) : null,
    noise: isOn('store-noise', 0.5) ? drawNoise(new Draws(seed, 'noise')) : QUIET,
    carrierStartFails: has('carrier') && !calm ? basic.carrierStartFails : 0,
    faults: drawFaults(seed, chaosMs, isOn).filter((_, index) => keep === null || keep.includes(index)),
  }
}

const names = (count: number, stem: string, end: string): string[] =>
  Array.from({ length: count }, (_, index) => `${stem}${index + 1}${end}`)

const drawPolicy = (draws: Draws): RetryPolicy => ({
  maxAttempts: draws.oneOf([1, 3, 5, 8]),
  backoff: draws.oneOf<RetryPolicy['backoff']>(['fixed', 'linear', 'exponential', [50, 500, 2_000]]),
  initialDelayMs: draws.spread(1, 3.2),
  maxDelayMs: 5_000,
  jitter: draws.oneOf([0, 0.2, 0.5]),
  inDoubt: draws.oneOf(['retry', 'retry', 'retry', 'stop']),
})

const drawReceiver = (seed: number, domain: string, troubled: boolean, poisonous: boolean): Receiver => {
  const draws = new Draws(seed, domain)
  const latency = draws.oneOf([1, 10, 100, 800])
  const latencyMs: [number, number] = [draws.between(0, latency), latency + draws.between(0, latency)]
  if (!troubled) return { ...GOOD, latencyMs }
  const some = (shares: readonly number[]): number => draws.oneOf(shares)
  return {
    latencyMs,
    fails: some([0, 0, 0.1, 0.5, 1]),
    refuses: some([0, 0, 0, 0.1, 0.5]),
    never: some([0, 0, 0.1, 0.6]),
    errors: some([0, 0, 0.2]),
    unsent: some([0, 0, 0.2]),
    kills: some([0, 0, 0, 0.02]),
    hangs: some([0, 0, 0, 0.02]),
    poison: poisonous ? new Draws(seed, `${domain} poison`).oneOf([0, 0, 0, 0, 0, 0.1]) : 0,
    retryAfterMs: draws.oneOf([null, 500, 3_000, 10_000]),
  }
}

const CONCURRENCIES = [1, 1, 2, 3, 5, 20]
const RATES = [1, 5, 10, 40, 100, 1_000]
export const drawLimit = (draws: Draws, domains: readonly string[], brands: readonly string[]): SimLimit => {
  const domain = draws.oneOf(domains)
  const brand = draws.oneOf(brands)
  const of = draws.oneOf([
    { domain, brand: null },
    { domain, brand: null },
    { domain, brand },
    { domain: null, brand },
  ])
  const isRate = of.domain !== null && draws.chance(0.4)
  return isRate
    ? { kind: 'rate', ...of, value: draws.oneOf(RATES), burst: draws.oneOf([null, null, 2, 10]) }
    : { kind: 'concurrency', ...of, value: draws.oneOf(CONCURRENCIES), burst: null }
}
const drawLimits = (draws: Draws, domains: readonly string[], brands: readonly string[]): readonly SimLimit[] =>
  Array.from({ length: draws.between(0, 5) }, () => drawLimit(draws, domains, brands))

const drawChanges = (
  draws: Draws,
  chaosMs: number,
  limits: readonly SimLimit[],
  domains: readonly string[],
  brands: readonly string[],
): SimOptions['limitChanges'] =>
  Array.from({ length: draws.between(1, 8) }, () => {
    const known = limits.length > 0 && draws.chance(0.6) ? draws.oneOf(limits) : drawLimit(draws, domains, brands)
    const fresh =
      known.kind === 'rate'
        ? { ...known, value: draws.oneOf([...RATES, 0, null]) }
        : { ...known, value: draws.oneOf([...CONCURRENCIES, 0, null]) }
    const pause: SimLimit = { ...known, kind: 'pause', brand: null, value: draws.oneOf([1, null]), burst: null }
    const limit = known.domain !== null && draws.chance(0.15) ? pause : fresh
    return { atMs: draws.between(0, chaosMs), limit }
  }).sort((a, b) => a.atMs - b.atMs)

/** `wild`: draws whether all hosts come in by a wildcard, some of them also by name. */
const drawRegroupings = (
  draws: Draws,
  chaosMs: number,
  domains: readonly string[],
  wild: Draws | null,
): SimOptions['regroupings'] => {
  const drawn = Array.from({ length: draws.between(1, 6) }, () => {
    const atMs = draws.between(0, chaosMs)
    return { atMs, members: draws.chance(0.3) ? [] : domains.filter(() => draws.chance(0.6)) }
  }).sort((a, b) => a.atMs - b.atMs)
  if (wild === null) return drawn
  return drawn.flatMap(({ atMs, members }) => {
    if (members.length === 0) return [{ atMs, members }]
    // A host more, while those before it are at work.
    const later = {
      atMs: atMs + wild.between(50, 1_000),
      members: [...new Set([...members, wild.oneOf(domains)])].sort(),
    }
    const first = { atMs, members: wild.chance(0.25) ? ['*.example', ...members] : members }
    return wild.chance(0.5) ? [first, later] : [first]
  })
}

const drawLoad = (draws: Draws, chaosMs: number): readonly Pressure[] =>
  Array.from({ length: draws.between(0, 3) }, () => ({
    atMs: draws.between(0, chaosMs),
    ms: draws.between(500, 8_000),
    loopDelayMs: draws.oneOf([0, 100, 300, 1_000]),
    heapShare: draws.oneOf([0.3, 0.75, 0.95]),
  }))

const drawNoise = (draws: Draws): StoreNoise => {
  const share = (): number => draws.oneOf([0, 0, 0.01, 0.05, 0.2])
  return {
    errors: share(),
    lostReplies: share(),
    slow: share(),
    slowMsMax: draws.oneOf([5, 100, 2_000]),
    readErrors: share(),
    slowReads: share(),
    openErrors: draws.oneOf([0, 0, 0.3]),
  }
}

type IsOn = (name: SimClass, share: number) => boolean
const drawFaults = (seed: number, chaosMs: number, isOn: IsOn): readonly Fault[] => {
  const faults: Fault[] = []
  const draw = (kind: Fault['kind'], share: number, most: number, ms: (draws: Draws) => number): void => {
    const draws = new Draws(seed, `faults ${kind}`)
    const count = draws.spread(0, Math.log10(most))
    if (!isOn(kind, share)) return
    const burstAt = draws.between(0, chaosMs)
    const inBurst = draws.oneOf([0, 0, 0.7])
    for (let n = 0; n < count; n++) {
      const atMs = draws.chance(inBurst) ? burstAt + draws.between(0, 50) : draws.between(0, chaosMs)
      const passages = draws.chance(0.7) ? draws.spread(0, 1.8) : null
      faults.push({ kind, atMs, passages, pick: draws.next(), pickOne: draws.next(), ms: ms(draws) })
    }
  }
  draw('kill', 0.65, 30, () => 0)
  draw('crash', 0.4, 6, (draws) => draws.oneOf([0, 5, 200, 3_000]))
  draw('rare', 0.25, 6, () => 0)
  draw('recovery', 0.2, 3, () => 0)
  draw('power-cut', 0.3, 4, (draws) => draws.oneOf([0, 200, 3_000]))
  draw('stop', 0.25, 3, (draws) => draws.oneOf([0, 50, 2_000]))
  draw('freeze', 0.2, 4, (draws) => draws.spread(1, 4.2))
  draw('suspend', 0.15, 3, (draws) => draws.spread(2, 5))
  draw('carrier', 0.35, 8, () => 0)
  draw('store-death', 0.3, 6, () => 0)
  draw('aftershock', 0.15, 2, () => 0)
  draw('clock', 0.25, 4, (draws) => draws.oneOf([-1, 1]) * draws.spread(1, 4.6))
  return faults.sort((a, b) => a.atMs - b.atMs)
}
