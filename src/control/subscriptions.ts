/** The subscriptions of one session: which topics, from which number on. Numbers ascend per topic. */
import { SUBSCRIPTIONS_MAX } from '#config/limits.ts'
import type { FeedEntry, FeedEvent } from '#telemetry/feed.ts'
import type { Brand, Domain } from '#webhook/webhook.ts'
import { formatInstant } from './instant.ts'
import { noticeText } from './json-rpc.ts'
import type { Topic } from './protocol.ts'
import { Refusal } from './refusal.ts'

export interface Subscribed {
  readonly id: string
  readonly topics: readonly Topic[]
  readonly domain: Domain | null
  /** Topics of which something was left out, since the client did not read or the daemon had too much to do. */
  readonly gaps: Set<Topic>
}

export class Subscriptions {
  readonly #all = new Map<string, Subscribed>()
  #last = 0

  /** Refusal RESOURCE_EXHAUSTED beyond 64. */
  add(topics: readonly Topic[], domain: Domain | null): Subscribed {
    if (this.#all.size >= SUBSCRIPTIONS_MAX)
      throw new Refusal(
        'RESOURCE_EXHAUSTED',
        `a socket holds at most ${SUBSCRIPTIONS_MAX} subscriptions; end one first`,
      )
    this.#last += 1
    const subscribed = { id: `sub_${this.#last}`, topics, domain, gaps: new Set<Topic>() }
    this.#all.set(subscribed.id, subscribed)
    return subscribed
  }

  remove(id: string): boolean {
    return this.#all.delete(id)
  }

  of(topic: Topic): readonly Subscribed[] {
    return [...this.#all.values()].filter((one) => one.topics.includes(topic))
  }
}

/** The notification `event`. `data` is JSON text; after a gap the first event says so. */
export const eventText = (subscribed: Subscribed, topic: Topic, seq: number, data: string): string => {
  const gap = subscribed.gaps.delete(topic) ? ',"gap":true' : ''
  return noticeText('event', `{"subscription":"${subscribed.id}","seq":${seq},"topic":"${topic}","data":${data}${gap}}`)
}

/** The event as the catalogue has it, `{ type, at, ... }`, with instants as text. */
export const feedData = ({ event }: FeedEntry): string => {
  const told: Record<string, unknown> = { ...event }
  for (const field of INSTANTS) if (typeof told[field] === 'number') told[field] = formatInstant(told[field])
  return JSON.stringify(told)
}
const INSTANTS = ['at', 'until', 'nextAt'] as const

/** Is it this subscriber's to hear? `brand` null: of all. What belongs to no brand is not a brand's to know. */
export const concerns = (event: FeedEvent, brand: Brand | null, domain: Domain | null): boolean =>
  (domain === null || !('domain' in event) || event.domain === domain) &&
  (brand === null || ('brand' in event && event.brand === brand))
