/** Events of one subscription, as an async iterator. What nobody takes waits, up to a bound; then the oldest go. */
import type { EventNotice, Topic } from '#control/protocol.ts'

const WAITING_MAX = 10_000

export class EventStream implements AsyncIterable<EventNotice> {
  readonly topics: readonly Topic[]
  readonly domain: string | undefined
  /** The subscription on the present connection; null while there is none. */
  id: string | null = null
  /** Of the last event; a reconnect goes on from there. */
  seq: number | undefined
  readonly #ended: (stream: EventStream) => void
  readonly #waiting: EventNotice[] = []
  #taker: ((next: IteratorResult<EventNotice>) => void) | null = null
  #done = false

  constructor(
    topics: readonly Topic[],
    domain: string | undefined,
    fromSeq: number | undefined,
    ended: (stream: EventStream) => void,
  ) {
    this.topics = topics
    this.domain = domain
    this.seq = fromSeq
    this.#ended = ended
  }

  push(notice: EventNotice): void {
    if (notice.topic !== 'monitor') this.seq = notice.seq
    const taker = this.#taker
    this.#taker = null
    if (taker !== null) return taker({ done: false, value: notice })
    this.#waiting.push(notice)
    if (this.#waiting.length > WAITING_MAX) this.#waiting.shift()
  }

  /** Nothing more comes. */
  end(): void {
    this.#done = true
    this.#taker?.({ done: true, value: undefined })
    this.#taker = null
  }

  /** Ends the subscription. */
  close(): void {
    if (this.#done) return
    this.end()
    this.#ended(this)
  }

  [Symbol.asyncIterator](): AsyncIterator<EventNotice> {
    return {
      next: () => this.#next(),
      return: async () => {
        this.close()
        return { done: true, value: undefined }
      },
    }
  }

  #next(): Promise<IteratorResult<EventNotice>> {
    const waiting = this.#waiting.shift()
    if (waiting !== undefined) return Promise.resolve({ done: false, value: waiting })
    if (this.#done) return Promise.resolve({ done: true, value: undefined })
    return new Promise((resolve) => {
      this.#taker = resolve
    })
  }
}
