/** Records as the wire shows them. */

import type { StoredKey, StoredLimit, WebhookRecord } from '#store/store.ts'
import type { AttemptRecord, Due, Instant, LimitKind } from '#webhook/webhook.ts'
import type { PlaceRow, ProcessRow, Waiting } from './backend.ts'
import { formatInstant } from './instant.ts'
import type {
  AttemptView,
  Explanation,
  KeyView,
  LimitsView,
  LimitView,
  PausedBy,
  ProcessNode,
  WebhookView,
} from './results.ts'

/** Bytes of a receiver's answer as text; what is no UTF-8 is shown as U+FFFD. */
const excerptDecoder = new TextDecoder('utf-8')

export const webhookView = (record: WebhookRecord, now: Instant): WebhookView => {
  const isLive = record.state === 'scheduled' || record.state === 'retrying'
  const state = isLive && record.nextAt !== null && record.nextAt <= now ? 'waiting' : record.state
  return {
    id: record.id,
    brand: record.brand,
    ...(record.name === null ? {} : { name: record.name }),
    url: record.url,
    domain: record.domain,
    method: record.method,
    priority: record.priority,
    state,
    at: formatInstant(record.at),
    createdAt: formatInstant(record.createdAt),
    ...(record.tags.length === 0 ? {} : { tags: record.tags }),
    attemptCount: record.attempts,
    ...(record.nextAt === null || record.finishedAt !== null ? {} : { nextAttemptAt: formatInstant(record.nextAt) }),
    ...(record.lastStatus === null ? {} : { lastStatus: record.lastStatus }),
    ...(record.lastError === null ? {} : { lastError: record.lastError }),
    ...(record.finishedAt === null ? {} : { finishedAt: formatInstant(record.finishedAt) }),
    ...(record.lateness === null ? {} : { lateness: record.lateness }),
  }
}

/** What a guard needs to find a waiting webhook in its order; deadline and expiry play no part in that. */
export const dueOf = ({ id, seq, brand, domain, priority, attempts }: WebhookRecord, nextAt: Instant): Due => ({
  id,
  seq,
  nextAt,
  brand,
  domain,
  priority,
  attempts,
  timeoutMs: 0,
  expiresAt: null,
})

export const attemptView = (attempt: AttemptRecord): AttemptView => ({
  number: attempt.number,
  startedAt: formatInstant(attempt.startedAt),
  ...(attempt.endedAt === null ? {} : { endedAt: formatInstant(attempt.endedAt) }),
  ...(attempt.status === null ? {} : { status: attempt.status }),
  ...(attempt.error === null ? {} : { error: attempt.error }),
  ...(attempt.excerpt === null ? {} : { excerpt: excerptDecoder.decode(attempt.excerpt) }),
  timerMs: attempt.timerMs,
  guardMs: attempt.guardMs,
  networkMs: attempt.networkMs,
  inDoubt: attempt.inDoubt,
})

/** Kinds of stored limits that a client sees as limits; the others are conditions of a guard. */
const SHOWN: ReadonlySet<string> = new Set(['concurrency', 'rate', 'adaptive', 'weight', 'backlog'])
export const isShownLimit = (limit: StoredLimit): boolean => SHOWN.has(limit.kind)
/** Of the first of these that a person has paused: a domain for all, or a brand everywhere. */
export const pausedView = (
  limits: Iterable<StoredLimit>,
  keys: readonly Pick<StoredLimit, 'domain' | 'brand'>[],
): { readonly paused?: PausedBy } => {
  const pauses = [...limits].filter(({ kind, value }) => kind === 'pause' && value === 1)
  for (const { domain, brand } of keys) {
    const pause = pauses.find((row) => row.domain === domain && row.brand === brand)
    if (pause !== undefined) return { paused: { setBy: pause.setBy, setAt: formatInstant(pause.setAt) } }
  }
  return {}
}

/** The limits of one key (a domain, a brand, a brand in a domain), from its stored limits. */
export const limitsView = (stored: readonly StoredLimit[]): LimitsView => {
  const shown = stored.filter(isShownLimit)
  const latest = shown.reduce<StoredLimit | null>(
    (last, one) => (last === null || one.setAt >= last.setAt ? one : last),
    null,
  )
  const of = (kind: LimitKind): StoredLimit | undefined => shown.find((limit) => limit.kind === kind)
  const [concurrency, rate, adaptive, weight, backlog] = [
    of('concurrency'),
    of('rate'),
    of('adaptive'),
    of('weight'),
    of('backlog'),
  ]
  const { domain, brand } = stored[0] ?? { domain: null, brand: null }
  const rateView = rate === undefined ? null : limitView(rate)
  return {
    ...(domain === null ? {} : { domain }),
    ...(brand === null ? {} : { brand }),
    concurrency: concurrency === undefined ? null : limitView(concurrency),
    rate: rateView === null ? null : { ...rateView, burst: rate?.burst ?? 1 },
    ...(adaptive === undefined ? {} : { adaptive: adaptive.value === 1 }),
    ...(weight?.value == null ? {} : { weight: weight.value }),
    ...(backlog?.value == null ? {} : { backlog: backlog.value }),
    version: shown.reduce((sum, limit) => sum + limit.version, 0),
    ...(latest === null ? {} : { setBy: latest.setBy, setAt: formatInstant(latest.setAt) }),
  }
}

const limitView = (limit: StoredLimit): LimitView | null =>
  limit.value === null
    ? null
    : { value: limit.value, version: limit.version, setBy: limit.setBy, setAt: formatInstant(limit.setAt) }

export const keyView = (key: StoredKey): KeyView => ({
  id: key.keyId,
  role: key.role,
  ...(key.brand === null ? {} : { brand: key.brand }),
  createdAt: formatInstant(key.createdAt),
  ...(key.expiresAt === null ? {} : { expiresAt: formatInstant(key.expiresAt) }),
  ...(key.revokedAt === null ? {} : { revokedAt: formatInstant(key.revokedAt) }),
})

export const waitingView = (waiting: Waiting): Omit<Explanation, 'id' | 'state' | 'domain'> => ({
  ...(waiting.blockedOn === null ? {} : { blockedOn: waiting.blockedOn }),
  since: formatInstant(waiting.since),
  position: { lane: waiting.placeInLane, domain: waiting.placeInDomain },
  ...(waiting.expectedAt === null ? {} : { expectedAt: formatInstant(waiting.expectedAt) }),
  assumptions: waiting.assumptions,
})

export const placeView = (
  { blockedOn, ahead, perSecond, expectedAt }: PlaceRow,
  dueAt: Instant,
): Omit<Explanation, 'id' | 'state' | 'domain'> => ({
  blockedOn,
  since: formatInstant(dueAt),
  ...(ahead === null ? {} : { place: { ahead, perSecond } }),
  ...(expectedAt === null ? {} : { expectedAt: formatInstant(expectedAt) }),
})

export const processNode = (row: ProcessRow): ProcessNode => ({
  ...row,
  startedAt: formatInstant(row.startedAt),
  children: row.children.map(processNode),
})
