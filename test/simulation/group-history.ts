/**
 * Which hosts may be under one guard when: a change holds from its acknowledgement on, may hold from its request on, and one
 * that was never answered may hold until the next one is acknowledged. Who is whose member is the product's own book's to say.
 */
import { bookOf, type GroupBook, guardKeyOf, type Member } from '#webhook/domain-group.ts'
import type { Domain } from '#webhook/webhook.ts'

export const SIM_GROUP = 'group:backend'

interface Entry {
  readonly book: GroupBook
  readonly fromMono: number
  toMono: number
}
const FOREVER = Number.POSITIVE_INFINITY

export class GroupHistory {
  readonly #entries: Entry[] = [{ book: bookOf([]), fromMono: Number.NEGATIVE_INFINITY, toMono: FOREVER }]

  /** Answers what is to be called when it holds, and when it is refused. */
  request(members: readonly Member[], mono: number): { readonly holds: (mono: number) => void; refused: () => void } {
    const book = bookOf([{ group: SIM_GROUP, members, version: 1, setBy: 'sim', setAt: 0 }])
    const entry = { book, fromMono: mono, toMono: FOREVER }
    const before = this.#entries.slice()
    this.#entries.push(entry)
    return {
      holds: (ackMono) => {
        for (const one of before) one.toMono = Math.min(one.toMono, ackMono)
      },
      refused: () => {
        entry.toMono = Number.NEGATIVE_INFINITY
      },
    }
  }
  /** Its guard's key throughout; null: nobody can say, or it was not one all the time. */
  keyOf(domain: Domain, fromMono: number, toMono: number): Domain | null {
    if (this.#entries.length === 1) return domain
    let key: Domain | null = null
    for (const { book } of this.#possible(fromMono, toMono)) {
      const its = guardKeyOf(book, domain)
      if (key !== null && key !== its) return null
      key = its
    }
    return key
  }
  /** From the first instant at or after `fromMono` at which both certainly had one guard; FOREVER: never. */
  togetherFrom(a: Domain, b: Domain, fromMono: number): number {
    if (a === b) return fromMono
    const instants = [fromMono, ...this.changes.filter((mono) => mono > fromMono)].sort((x, y) => x - y)
    return instants.find((mono) => this.#areTogether(a, b, mono)) ?? FOREVER
  }
  /** Instants at which something may have begun or ended. */
  get changes(): readonly number[] {
    return this.#entries.flatMap(({ fromMono, toMono }) => [fromMono, toMono]).filter(Number.isFinite)
  }
  /** Nothing was asked for since then, and what was asked for is answered. */
  isSettled(sinceMono: number, nowMono: number): boolean {
    return this.#possible(sinceMono, nowMono).length === 1
  }

  #areTogether(a: Domain, b: Domain, mono: number): boolean {
    const key = this.keyOf(a, mono, mono + 1)
    return key !== null && key === this.keyOf(b, mono, mono + 1)
  }
  #possible(fromMono: number, toMono: number): readonly Entry[] {
    return this.#entries.filter((entry) => entry.fromMono <= toMono && entry.toMono >= fromMono)
  }
}
