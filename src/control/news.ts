/**
 * Events on their way to one session, until its next turn. Bounded: the oldest go first, and their topic has a gap (SUPV-04, REL-C7). A mailbox
 * would hold one message for each, of a session that perhaps never reads again.
 */
import { NEWS_WAITING_MAX } from '#config/limits.ts'
import type { FeedEntry, FeedTopic } from '#telemetry/feed.ts'

/** An entry, or in the place of those that were left out, their topic. */
export type NewsItem = FeedEntry | { readonly gap: FeedTopic }

export class News {
  #waiting: NewsItem[] = []
  readonly #lost = new Set<FeedTopic>()

  /** True: nothing waited before, so the session has to be told once. */
  add(item: NewsItem): boolean {
    this.#waiting.push(item)
    if (this.#waiting.length > NEWS_WAITING_MAX) this.#loseOldest()
    return this.#waiting.length === 1
  }
  /** All that waits, in order. */
  take(): readonly NewsItem[] {
    const lost = [...this.#lost].map((gap) => ({ gap }))
    const taken = [...lost, ...this.#waiting]
    this.#lost.clear()
    this.#waiting = []
    return taken
  }
  #loseOldest(): void {
    const oldest = this.#waiting.shift()
    if (oldest !== undefined) this.#lost.add('gap' in oldest ? oldest.gap : oldest.topic)
  }
}
