/** The one way for facts: synchronous, in order, and deaf to what its subscribers do. */
import type { Event, Events, EventType } from './events.ts'

type Subscriber = (event: Event) => void

export class EventHub implements Events {
  readonly #subscribers = new Map<EventType, Set<Subscriber>>()
  readonly #failed: (error: unknown) => void

  /** `failed` hears of a subscriber that threw and so lost its subscription. */
  constructor(failed: (error: unknown) => void) {
    this.#failed = failed
  }

  emit(event: Event): void {
    const subscribers = this.#subscribers.get(event.type)
    if (subscribers === undefined) return
    for (const subscriber of subscribers) {
      try {
        subscriber(event)
      } catch (error) {
        this.#drop(subscriber)
        this.#failed(error)
      }
    }
  }

  on<T extends EventType>(
    types: readonly T[],
    subscriber: (event: Extract<Event, { readonly type: T }>) => void,
  ): () => void {
    const wanted: ReadonlySet<EventType> = new Set(types)
    const isWanted = (event: Event): event is Extract<Event, { readonly type: T }> => wanted.has(event.type)
    const hears: Subscriber = (event) => {
      if (isWanted(event)) subscriber(event)
    }
    for (const type of types) {
      const subscribers = this.#subscribers.get(type)
      if (subscribers === undefined) this.#subscribers.set(type, new Set([hears]))
      else subscribers.add(hears)
    }
    return () => this.#drop(hears)
  }

  #drop(subscriber: Subscriber): void {
    for (const subscribers of this.#subscribers.values()) subscribers.delete(subscriber)
  }
}
