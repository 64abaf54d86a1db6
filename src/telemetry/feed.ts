/** Events kept for a while under ascending numbers, so that a subscriber that was away can ask for what it missed. */
import { FEED_EVENTS_KEPT } from '#config/limits.ts'
import type { Instant } from '#webhook/webhook.ts'
import type { Event, Events } from './events.ts'

export const SUPERVISION_EVENTS = [
  'process.started',
  'process.crashed',
  'process.restarted',
  'supervisor.gave-up',
] as const
export type SupervisionEvent = Extract<Event, { readonly type: (typeof SUPERVISION_EVENTS)[number] }>

export interface FeedEntry {
  readonly seq: number
  readonly event: SupervisionEvent
}

export class Feed {
  readonly #entries: FeedEntry[] = []
  readonly #watchers = new Set<(entry: FeedEntry) => void>()
  #seq: number

  /** Numbers start at the microsecond of the start, so they ascend over restarts of the daemon too. */
  constructor(startedAt: Instant) {
    this.#seq = startedAt * 1_000
  }

  /** Returns a function that stops listening. */
  listen(events: Events): () => void {
    return events.on(SUPERVISION_EVENTS, (event) => {
      this.#seq += 1
      const entry = { seq: this.#seq, event }
      this.#entries.push(entry)
      if (this.#entries.length > FEED_EVENTS_KEPT) this.#entries.shift()
      for (const watcher of this.#watchers) watcher(entry)
    })
  }

  /** Hears every entry from now on. Returns a function that ends it. */
  watch(watcher: (entry: FeedEntry) => void): () => void {
    this.#watchers.add(watcher)
    return () => {
      this.#watchers.delete(watcher)
    }
  }

  /** What came after `seq`; `gap` if some of that is no longer kept. */
  since(seq: number): { readonly entries: readonly FeedEntry[]; readonly gap: boolean } {
    const first = this.#entries[0]?.seq ?? this.#seq + 1
    return { entries: this.#entries.filter((entry) => entry.seq > seq), gap: seq + 1 < first && seq < this.#seq }
  }
}
