/**
 * Which limits may be in force when: a change holds from its acknowledgement on, may hold from its request on, and one that
 * was never answered may hold until the next one is acknowledged.
 */
import { DOMAIN_CONCURRENCY_DEFAULT } from '#config/limits.ts'
import type { SimLimit } from './options.ts'

interface Entry {
  readonly value: number
  readonly burst: number
  readonly fromMono: number
  toMono: number
}
export interface Segment {
  readonly perSecond: number
  readonly burst: number
  readonly fromMono: number
  readonly toMono: number
}

const FOREVER = Number.POSITIVE_INFINITY
export const keyOf = ({ kind, domain, brand }: Pick<SimLimit, 'kind' | 'domain' | 'brand'>): string =>
  `${kind} ${domain ?? '*'} ${brand ?? '*'}`

const defaultOf = ({ kind, domain, brand }: SimLimit): number =>
  kind === 'concurrency' && domain !== null && brand === null ? DOMAIN_CONCURRENCY_DEFAULT : FOREVER

export class LimitBook {
  readonly #entries = new Map<string, Entry[]>()

  /** Answers what is to be called when it holds, and when it is refused. */
  request(limit: SimLimit, mono: number): { readonly holds: (mono: number) => void; readonly refused: () => void } {
    const entries = this.#of(limit)
    // A pause is a concurrency of nothing.
    const plain = limit.value === null || (limit.kind === 'pause' && limit.value === 0)
    const value = plain ? defaultOf(limit) : limit.kind === 'pause' ? 0 : (limit.value ?? 0)
    const entry = { value, burst: limit.burst ?? 1, fromMono: mono, toMono: FOREVER }
    const before = entries.slice()
    entries.push(entry)
    return {
      holds: (ackMono) => {
        for (const one of before) one.toMono = Math.min(one.toMono, ackMono)
      },
      refused: () => {
        entry.toMono = Number.NEGATIVE_INFINITY
      },
    }
  }
  /** The greatest value that may have been in force somewhere in [from, to]. */
  most(limit: Pick<SimLimit, 'kind' | 'domain' | 'brand'>, fromMono: number, toMono: number): number {
    let most = Number.NEGATIVE_INFINITY
    for (const entry of this.#of({ ...limit, value: null, burst: null }))
      if (entry.fromMono <= toMono && entry.toMono >= fromMono) most = Math.max(most, entry.value)
    return most
  }
  /** Somebody has ever asked for it. */
  isTouched(limit: Pick<SimLimit, 'kind' | 'domain' | 'brand'>): boolean {
    return (this.#entries.get(keyOf(limit))?.length ?? 0) > 1
  }
  /** Stretches in which one rate was certainly in force. */
  rateSegments(key: string): readonly Segment[] {
    const entries = this.#entries.get(key) ?? []
    const bounds = [...new Set(entries.flatMap(({ fromMono, toMono }) => [fromMono, toMono]))].sort((a, b) => a - b)
    const segments: Segment[] = []
    for (const [index, fromMono] of bounds.entries()) {
      if (fromMono < 0) continue
      const toMono = bounds[index + 1]
      if (toMono === undefined) break
      const inForce = entries.filter((entry) => entry.fromMono <= fromMono && entry.toMono >= toMono)
      const [only] = inForce
      if (only === undefined || inForce.length !== 1 || only.value === FOREVER) continue
      segments.push({ perSecond: only.value, burst: only.burst, fromMono, toMono })
    }
    return segments
  }
  get keys(): readonly string[] {
    return [...this.#entries.keys()]
  }

  #of(limit: SimLimit): Entry[] {
    const key = keyOf(limit)
    const known = this.#entries.get(key)
    if (known !== undefined) return known
    const first = { value: defaultOf(limit), burst: 1, fromMono: 0, toMono: FOREVER }
    const entries = [first]
    this.#entries.set(key, entries)
    return entries
  }
}
