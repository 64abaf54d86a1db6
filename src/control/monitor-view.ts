/** `getMonitor`: figures of guards, brands and the whole, put together from tables, events and the store's counters. */

import { DOMAIN_CONCURRENCY_DEFAULT, MONITOR_DOMAINS_MAX } from '#config/limits.ts'
import type { StoredLimit } from '#store/store.ts'
import type { Brand, Domain, Instant } from '#webhook/webhook.ts'
import type { Backend, GuardDetail, GuardRow, PlaceRow } from './backend.ts'
import type { Caller } from './caller.ts'
import { groupsSeen } from './domain-groups.ts'
import { formatInstant } from './instant.ts'
import type {
  BackpressureEvent,
  BrandFigures,
  CrowdView,
  DomainFigures,
  GuardList,
  GuardView,
  MonitorView,
  OverloadView,
  TrafficView,
} from './results.ts'
import { limitsView, pausedView } from './views.ts'

/** Queues are counted to here: "100,000 or more" (D-28). */
const DEPTH_CAP = 100_000

export interface MonitorAsked {
  /** Null: the busiest ones. */
  readonly domain: Domain | null
  /** Null: all. */
  readonly brand: Brand | null
  /** False: figures of domains are not this caller's to see. */
  readonly seesDomains: boolean
}

export const monitorView = async (asked: MonitorAsked, backend: Backend): Promise<MonitorView> => {
  const now = backend.now()
  const [counts, domains, brands] = await Promise.all([
    backend.read({ type: 'counts', brand: asked.brand, domain: asked.domain, now }),
    asked.seesDomains ? domainsView(asked.domain, backend, now) : [],
    brandsView(asked.brand, backend, now),
  ])
  const { scheduled, waiting, executing, retrying, delivered, dead, quarantined } = counts
  return {
    at: formatInstant(now),
    overload: overloadView(backend),
    domains,
    ...(asked.seesDomains ? crowdOf(backend) : {}),
    brands,
    totals: { scheduled, waiting, executing, retrying, delivered, dead, quarantined },
    lateness: backend.monitor.lateness(),
    traffic: trafficView(backend, now),
    backpressure: asked.seesDomains ? backpressureView(asked.domain, backend) : [],
  }
}

const domainsView = async (domain: Domain | null, backend: Backend, now: Instant): Promise<DomainFigures[]> => {
  const rows = [...backend.guards()]
  if (domain === null) {
    const waiting = await waitingView(backend, now)
    const busiest = rows.toSorted((a, b) => load(b) - load(a)).slice(0, MONITOR_DOMAINS_MAX - waiting.length)
    return [...(await Promise.all(busiest.map((row) => domainFigures(row, backend, now)))), ...waiting]
  }
  const row = rows.find((one) => one.domain === domain)
  return [
    row === undefined
      ? await withoutGuard(domain, [...backend.limits()], backend, now)
      : await domainFigures(row, backend, now),
  ]
}
/** In a crowd: some of those who wait for a place. */
const waitingView = async (backend: Backend, now: Instant): Promise<readonly DomainFigures[]> => {
  const longest = backend.crowd()?.longest ?? []
  const limits = [...backend.limits()]
  const shown = await Promise.all(longest.map((domain) => withoutGuard(domain, limits, backend, now)))
  return shown.filter(({ queueDepth }) => queueDepth > 0)
}
/** Nothing waits there, or it waits for a place among the live guards. */
const withoutGuard = async (
  domain: Domain,
  limits: readonly StoredLimit[],
  backend: Backend,
  now: Instant,
): Promise<DomainFigures> => domainFigures(idleGuard(domain, limits), backend, now, await backend.place(domain, null))

const crowdOf = (backend: Backend): { readonly crowd?: CrowdView } => {
  const crowd = backend.crowd()
  if (crowd === null) return {}
  const { sinceAt, guardsMax, waiting, more, placesPerSecond } = crowd
  const current = [...backend.guards()].length
  return {
    crowd: { since: formatInstant(sinceAt), guards: { current, limit: guardsMax }, waiting, more, placesPerSecond },
  }
}
const load = (row: GuardRow): number => row.queued + row.concurrency.current

export const overloadView = (backend: Backend): OverloadView => {
  const { level, why } = backend.overload() ?? { level: 'none', why: null }
  return { level, ...(why === null ? {} : { cause: why }) }
}

/** `listGuards`. */
export const guardList = async (backend: Backend): Promise<GuardList> => ({
  guards: await domainsView(null, backend, backend.now()),
  ...crowdOf(backend),
})

/** `getGuard`. A brand sees its own lanes. */
export const guardView = async (domain: Domain, caller: Caller, backend: Backend): Promise<GuardView> => {
  const { brand } = caller
  const [group] = caller.role === 'admin' ? groupsSeen(domain, caller, backend) : []
  const now = backend.now()
  const limits = [...backend.limits()].filter(
    (limit) => limit.domain === domain && (limit.brand === null || brand === null || limit.brand === brand),
  )
  const shown = await backend.showGuard(domain)
  const figures =
    shown === null ? await withoutGuard(domain, limits, backend, now) : await domainFigures(shown, backend, now)
  const byKey = Map.groupBy(limits, (limit) => limit.brand)
  return {
    ...figures,
    ...(shown === null ? {} : { queueDepth: shown.waiting }),
    ...(shown === null || shown.drainMs === null || figures.state === 'paused' ? {} : { drainMs: shown.drainMs }),
    depths: (shown?.depths ?? []).filter((depth) => brand === null || depth.brand === brand),
    serviceMs: shown?.serviceMs ?? 0,
    ...(shown?.closedUntil == null ? {} : { closedUntil: formatInstant(shown.closedUntil) }),
    breaker: {
      state: shown?.breaker.state ?? 'closed',
      ...(shown?.breaker.until == null ? {} : { until: formatInstant(shown.breaker.until) }),
    },
    ...(shown?.adaptive == null ? {} : { adaptive: shown.adaptive }),
    ...blockedOn(shown, figures),
    ...pausedView(limits, [{ domain, brand: null }]),
    limits: [...byKey.values()].map(limitsView),
    ...(group === undefined ? {} : { members: group.members }),
  }
}

const blockedOn = (shown: GuardDetail | null, { backpressure }: DomainFigures): { readonly blockedOn?: string } => {
  const by = shown === null ? backpressure.limit : shown.blockedOn
  return by == null ? {} : { blockedOn: by }
}

/** A limit of zero pauses. */
const LIMITING: ReadonlySet<string> = new Set(['concurrency', 'rate'])

/** A domain without a guard: nothing waits and nothing runs there. */
export const idleGuard = (domain: Domain, limits: readonly StoredLimit[]): GuardRow => {
  const own = limits.filter((limit) => limit.domain === domain && limit.brand === null)
  const rate = own.find((limit) => limit.kind === 'rate')
  const isPaused = own.some(
    ({ kind, value }) => (kind === 'pause' && (value ?? 0) > 0) || (LIMITING.has(kind) && value === 0),
  )
  return {
    domain,
    state: isPaused ? 'paused' : 'idle',
    concurrency: {
      current: 0,
      limit: own.find((limit) => limit.kind === 'concurrency')?.value ?? DOMAIN_CONCURRENCY_DEFAULT,
    },
    rate: { startsLastSecond: 0, limit: rate?.value ?? null, burst: rate?.burst ?? null },
    queued: 0,
    more: true,
    oldestWaitingAt: null,
    backpressure: { active: false, since: null, limit: null },
    overshoot: 0,
  }
}

/** `place`: what it waits for without a guard, if something waits there. */
const domainFigures = async (
  row: GuardRow,
  backend: Backend,
  now: Instant,
  place: PlaceRow | null = null,
): Promise<DomainFigures> => {
  const backlog = row.more ? await backend.read({ type: 'backlog', domain: row.domain, now, cap: DEPTH_CAP }) : null
  const queueDepth = Math.max(row.queued, backlog?.count ?? 0)
  const oldestAt = backlog?.oldestAt ?? row.oldestWaitingAt
  const waits = queueDepth > 0 ? place : null
  const { active, since, limit } = waits === null ? row.backpressure : pressureOf(waits, oldestAt)
  return {
    domain: row.domain,
    state: waits?.state ?? row.state,
    concurrency: row.concurrency,
    rate: row.rate,
    queueDepth,
    ...(oldestAt === null ? {} : { oldestWaitingAt: formatInstant(oldestAt) }),
    backpressure: {
      active,
      ...(since === null ? {} : { since: formatInstant(since) }),
      ...(limit === null ? {} : { limit }),
    },
    ...drainOf(row, queueDepth),
    overshoot: row.overshoot,
  }
}

const pressureOf = ({ blockedOn, crowdSinceAt }: PlaceRow, oldestAt: Instant | null): GuardRow['backpressure'] => ({
  active: true,
  since: oldestAt === null ? crowdSinceAt : Math.max(oldestAt, crowdSinceAt ?? oldestAt),
  limit: blockedOn.limit,
})

/** At the configured rate, else at the rate of the last second; left out where nothing is known, and where a pause holds it for nobody knows how long. */
const drainOf = (row: GuardRow, queueDepth: number): { drainMs?: number } => {
  if (queueDepth === 0) return { drainMs: 0 }
  if (row.state === 'paused') return {}
  const perSecond = row.rate.limit ?? row.rate.startsLastSecond
  return perSecond > 0 ? { drainMs: Math.round((queueDepth / perSecond) * 1_000) } : {}
}

const brandsView = async (brand: Brand | null, backend: Backend, now: Instant): Promise<BrandFigures[]> => {
  const limits = [...backend.limits()].filter((limit) => limit.domain === null && limit.kind === 'concurrency')
  const [open, known] = await Promise.all([backend.open(), backend.read({ type: 'brands' })])
  const names = brand === null ? known.map((one) => one.brand) : [brand]
  const shown = names.toSorted((a, b) => (open.get(b) ?? 0) - (open.get(a) ?? 0)).slice(0, MONITOR_DOMAINS_MAX)
  return Promise.all(
    shown.map(async (name) => ({
      brand: name,
      concurrency: {
        current: open.get(name) ?? 0,
        limit: limits.find((limit) => limit.brand === name)?.value ?? null,
      },
      queueDepth: (await backend.read({ type: 'counts', brand: name, domain: null, now })).waiting,
    })),
  )
}

const trafficView = (backend: Backend, now: Instant): TrafficView => {
  const { bucketMs, from, due, started, delivered, failed } = backend.monitor.traffic(now)
  return { bucketMs, from: formatInstant(from), series: { due, started, delivered, failed } }
}

const backpressureView = (domain: Domain | null, backend: Backend): BackpressureEvent[] =>
  backend.monitor
    .backpressure()
    .filter((one) => domain === null || one.domain === domain)
    .map((one) => ({
      domain: one.domain,
      limit: one.limit,
      startedAt: formatInstant(one.startedAt),
      depth: one.depth,
      ...(one.endedAt === null ? {} : { endedAt: formatInstant(one.endedAt) }),
      ...(one.durationMs === null ? {} : { durationMs: one.durationMs }),
      ...(one.peak === null ? {} : { peak: one.peak }),
      ...(one.spans === null ? {} : { spans: one.spans }),
    }))
