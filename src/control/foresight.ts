/** `forecast`, and `expectedAt` of webhooks that are being scheduled: what the calendar holds against the limits. */

import { FORECAST_BUCKETS_MAX, PREDICT_INSTANTS_MAX, WAITING_SHOWN_MAX } from '#config/limits.ts'
import { type ForecastInput, forecast } from '#guard/forecast.ts'
import { guardKeyOf } from '#webhook/domain-group.ts'
import type { Domain, Instant } from '#webhook/webhook.ts'
import type { Backend, GuardRow } from './backend.ts'
import { formatInstant } from './instant.ts'
import { idleGuard } from './monitor-view.ts'
import type { Head } from './new-webhook.ts'
import { Refusal } from './refusal.ts'
import type { ForecastView } from './results.ts'

const FORECAST_MS_DEFAULT = 3_600_000
const BUCKETS_DEFAULT = 60

export interface ForecastAsked {
  readonly domain: Domain
  readonly from: Instant | undefined
  readonly to: Instant | undefined
  readonly bucketMs: number | undefined
}

type Pace = Pick<ForecastInput, 'ratePerSecond' | 'slots' | 'serviceMs'>

/** What the limits of the domain allow now. Paused: nothing. */
const paceOf = (row: GuardRow, serviceMs: number, adaptive: number | null): Pace => ({
  ratePerSecond: row.rate.limit,
  slots: row.state === 'paused' ? 0 : (adaptive ?? row.concurrency.limit ?? 0),
  serviceMs: row.state === 'paused' ? 0 : serviceMs,
})
const paceNow = async (domain: Domain, backend: Backend): Promise<Pace> => {
  const shown = await backend.showGuard(domain)
  return paceOf(shown ?? idleGuard(domain, [...backend.limits()]), shown?.serviceMs ?? 0, shown?.adaptive ?? null)
}

/** Everything of the domain that is due up to an instant and has not started, to at most WAITING_SHOWN_MAX. */
const dueUntil = async (domain: Domain, at: Instant, backend: Backend): Promise<number> =>
  (await backend.read({ type: 'backlog', domain, now: at, cap: WAITING_SHOWN_MAX })).count

/**
 * Looks from `from` (never before now) to `to`, in at most FORECAST_BUCKETS_MAX buckets. What waits now and what falls due
 * before `from` counts as backlog. Throws Refusal for a span that is empty or cut too fine.
 */
export const forecastView = async (asked: ForecastAsked, backend: Backend): Promise<ForecastView> => {
  const now = backend.now()
  const { fromAt, bucketMs, buckets } = spanOf(asked, now)
  // What is due at the very end of a bucket belongs to the next one.
  const ends = Array.from({ length: buckets + 1 }, (_, i) => fromAt + i * bucketMs - 1)
  const [pace, waiting, counts] = await Promise.all([
    paceNow(asked.domain, backend),
    dueUntil(asked.domain, now, backend),
    countsAt(ends, asked.domain, backend),
  ])
  const before = Math.max(0, (counts[0] ?? 0) - waiting)
  const backlog = fromAt === now ? (counts[0] ?? 0) : leftAfter(pace, now, fromAt, before, waiting)
  const due = counts.slice(1).map((count, i) => count - (counts[i] ?? 0))
  const seen = forecast({ ...pace, fromAt, bucketMs, due, backlog })
  return {
    domain: asked.domain,
    from: formatInstant(fromAt),
    bucketMs,
    buckets: seen.buckets.map(({ fromAt: at, ...figures }) => ({ at: formatInstant(at), ...figures })),
    ...(seen.lastAt === null ? {} : { lastAt: formatInstant(seen.lastAt) }),
    assumptions: pace,
    capped: (counts.at(-1) ?? 0) >= WAITING_SHOWN_MAX,
  }
}

const spanOf = (
  { from, to, bucketMs: asked }: ForecastAsked,
  now: Instant,
): { readonly fromAt: Instant; readonly bucketMs: number; readonly buckets: number } => {
  const fromAt = Math.max(from ?? now, now)
  const toAt = to ?? fromAt + FORECAST_MS_DEFAULT
  if (toAt <= fromAt)
    throw new Refusal('INVALID_PARAMS', 'to is not after from, nor after now; give a later instant', { field: 'to' })
  const bucketMs = asked ?? Math.ceil((toAt - fromAt) / BUCKETS_DEFAULT)
  const buckets = Math.ceil((toAt - fromAt) / bucketMs)
  if (buckets > FORECAST_BUCKETS_MAX)
    throw new Refusal(
      'INVALID_PARAMS',
      `bucketMs cuts the span into ${buckets} buckets; at most ${FORECAST_BUCKETS_MAX} are counted`,
      { field: 'bucketMs' },
    )
  return { fromAt, bucketMs, buckets }
}

/** Due until each of the instants, ascending. Where both ends of a stretch say the same, nobody need look between them. */
const countsAt = async (instants: readonly Instant[], domain: Domain, backend: Backend): Promise<number[]> => {
  const counts: number[] = new Array(instants.length).fill(0)
  const ask = async (i: number): Promise<void> => {
    counts[i] = await dueUntil(domain, instants[i] ?? 0, backend)
  }
  const between = async (low: number, high: number): Promise<void> => {
    if (high - low < 2) return
    if (counts[low] === counts[high]) {
      counts.fill(counts[low] ?? 0, low, high)
      return
    }
    const middle = (low + high) >> 1
    await ask(middle)
    await between(low, middle)
    await between(middle, high)
  }
  await ask(0)
  await ask(instants.length - 1)
  await between(0, instants.length - 1)
  // What starts while it is being counted is gone from the later counts: they never fall.
  let most = 0
  return counts.map((count) => {
    most = Math.max(most, count)
    return most
  })
}

const leftAfter = (pace: Pace, now: Instant, at: Instant, due: number, backlog: number): number =>
  forecast({ ...pace, fromAt: now, bucketMs: at - now, due: [due], backlog }).buckets[0]?.backlog ?? 0

/** Milliseconds from one start to the next; null: none at all. */
const spacingOf = ({ ratePerSecond, slots, serviceMs }: Pace): number | null => {
  if (slots === 0 || ratePerSecond === 0) return null
  return Math.max(ratePerSecond === null ? 0 : 1_000 / ratePerSecond, serviceMs / slots)
}

/**
 * When each of these webhooks, not stored yet, should start; null: nobody can say. Those of one lane and instant follow each
 * other. Looks at the first PREDICT_INSTANTS_MAX (lane, instant) pairs of a call; what is beyond them is not told.
 */
export const expectedStarts = async (
  heads: readonly Head[],
  backend: Backend,
): Promise<readonly (Instant | null)[]> => {
  const now = backend.now()
  const expected: (Instant | null)[] = new Array(heads.length).fill(null)
  const groups = new Map<string, number[]>()
  const book = backend.groups()
  const of = heads.map((head) => ({ ...head, domain: guardKeyOf(book, head.domain) }))
  of.forEach(({ brand, domain, priority, nextAt }, i) => {
    const key = `${domain} ${brand} ${priority} ${nextAt <= now ? 'now' : nextAt}`
    const there = groups.get(key)
    if (there === undefined) groups.set(key, [i])
    else there.push(i)
  })
  const told = [...groups.values()].slice(0, PREDICT_INSTANTS_MAX)
  await Promise.all(
    told.map(async (indexes) => {
      const head = of[indexes[0] ?? 0]
      if (head === undefined) return
      const startOf = await startsOf(head, indexes.length, now, backend)
      indexes.forEach((index, k) => {
        const at = startOf(k)
        expected[index] = at === null ? null : Math.max(at, head.nextAt)
      })
    }),
  )
  return expected
}

/** Of `count` webhooks like this one: the start of the k-th. */
const startsOf = async (
  head: Head,
  count: number,
  now: Instant,
  backend: Backend,
): Promise<(k: number) => Instant | null> =>
  head.nextAt > now ? startsLater(head, now, backend) : startsNow(head, count, now, backend)

/** The guard knows its queue; where none lives, nothing waits. */
const startsNow = async (
  { domain, brand, priority }: Head,
  count: number,
  now: Instant,
  backend: Backend,
): Promise<(k: number) => Instant | null> => {
  const [first, last] = await Promise.all([1, count].map((n) => backend.predict(domain, brand, priority, n)))
  if (first == null || last == null) return evenly(now, await paceNow(domain, backend))
  const { expectedAt: firstAt } = first
  const { expectedAt: lastAt } = last
  if (firstAt === null || lastAt === null) return () => null
  return (k) => Math.round(firstAt + ((lastAt - firstAt) * k) / Math.max(1, count - 1))
}

const startsLater = async (
  { domain, nextAt }: Head,
  now: Instant,
  backend: Backend,
): Promise<(k: number) => Instant | null> => {
  const [pace, waiting, before, until] = await Promise.all([
    paceNow(domain, backend),
    dueUntil(domain, now, backend),
    dueUntil(domain, nextAt - 1, backend),
    dueUntil(domain, nextAt, backend),
  ])
  const left = leftAfter(pace, now, nextAt, Math.max(0, before - waiting), waiting)
  return evenly(nextAt, pace, left + Math.max(0, until - before))
}

const evenly = (at: Instant, pace: Pace, ahead = 0): ((k: number) => Instant | null) => {
  const spacingMs = spacingOf(pace)
  return (k) => (spacingMs === null ? null : Math.round(at + (ahead + k) * spacingMs))
}
