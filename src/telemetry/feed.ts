/** Events kept for a while under ascending numbers, so that a subscriber that was away can ask for what it missed. */
import { FEED_EVENTS_KEPT } from '#config/limits.ts'
import type { Instant } from '#webhook/webhook.ts'
import type { Event, Events } from './events.ts'

/** What each topic tells. One flooding topic evicts nothing of the others. */
export const FEED_EVENTS = {
  supervision: ['process.started', 'process.crashed', 'process.restarted', 'supervisor.gave-up'],
  backpressure: [
    'backpressure.started',
    'backpressure.ended',
    'crowd.started',
    'crowd.ended',
    'guard.closed',
    'guard.reopened',
    'guard.adapted',
    'guard.parked',
    'breaker.opened',
    'breaker.half-opened',
    'breaker.closed',
    'overload.changed',
  ],
  webhooks: ['webhook.finished', 'webhook.retried', 'webhook.rescheduled', 'webhook.replayed'],
} as const
export type FeedTopic = keyof typeof FEED_EVENTS
export const FEED_TOPICS = ['supervision', 'backpressure', 'webhooks'] as const satisfies readonly FeedTopic[]
export type FeedEvent = Extract<Event, { readonly type: (typeof FEED_EVENTS)[FeedTopic][number] }>

export interface FeedEntry {
  readonly seq: number
  readonly topic: FeedTopic
  readonly event: FeedEvent
}
type Watcher = (entry: FeedEntry) => void

interface Kept {
  readonly entries: FeedEntry[]
  readonly watchers: Set<Watcher>
  /** The number up to which nothing is kept any more. */
  goneSeq: number
}

export class Feed {
  readonly #topics: Readonly<Record<FeedTopic, Kept>>
  #seq: number

  /** Numbers start at the microsecond of the start, so they ascend over restarts of the daemon too. */
  constructor(startedAt: Instant) {
    this.#seq = startedAt * 1_000
    const kept = (): Kept => ({ entries: [], watchers: new Set(), goneSeq: this.#seq })
    this.#topics = { supervision: kept(), backpressure: kept(), webhooks: kept() }
  }

  /** Returns a function that stops listening. */
  listen(events: Events): () => void {
    const ends = FEED_TOPICS.map((topic) => {
      const types: readonly FeedEvent['type'][] = FEED_EVENTS[topic]
      return events.on(types, (event) => this.#keep(topic, event))
    })
    return () => {
      for (const end of ends) end()
    }
  }

  #keep(topic: FeedTopic, event: FeedEvent): void {
    this.#seq += 1
    const kept = this.#topics[topic]
    const entry = { seq: this.#seq, topic, event }
    kept.entries.push(entry)
    if (kept.entries.length > FEED_EVENTS_KEPT) kept.goneSeq = kept.entries.shift()?.seq ?? kept.goneSeq
    for (const watcher of kept.watchers) watcher(entry)
  }

  /** Hears every entry of a topic from now on. Returns a function that ends it. */
  watch(topic: FeedTopic, watcher: Watcher): () => void {
    const { watchers } = this.#topics[topic]
    watchers.add(watcher)
    return () => {
      watchers.delete(watcher)
    }
  }

  /** What came after `seq`; `gap` if some of that is no longer kept. */
  since(topic: FeedTopic, seq: number): { readonly entries: readonly FeedEntry[]; readonly gap: boolean } {
    const { entries, goneSeq } = this.#topics[topic]
    return { entries: entries.filter((entry) => entry.seq > seq), gap: seq < goneSeq }
  }
}
