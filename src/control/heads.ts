/** Heads of a large append in columns: what crosses from the ingest thread to main is few objects, not one per webhook. */
import type { Brand, Domain, Priority } from '#webhook/webhook.ts'
import type { Head } from './new-webhook.ts'

/** What many webhooks of a batch share. */
interface Kind {
  readonly brand: Brand
  readonly domain: Domain
  readonly priority: Priority
  readonly timeoutMs: number
}
export interface PackedHeads {
  readonly ids: string
  readonly idChars: number
  readonly nextAt: Float64Array<ArrayBuffer>
  /** NaN: never. */
  readonly expiresAt: Float64Array<ArrayBuffer>
  readonly kinds: readonly Kind[]
  readonly kindOf: Uint16Array<ArrayBuffer>
}

/** All ids of one append have the same length (`msg_` + ULID). */
export const packHeads = (heads: readonly Head[]): PackedHeads => {
  const kinds = new KindTable()
  const nextAt = new Float64Array(heads.length)
  const expiresAt = new Float64Array(heads.length)
  const kindOf = new Uint16Array(heads.length)
  let ids = ''
  heads.forEach((head, i) => {
    ids += head.id
    nextAt[i] = head.nextAt
    expiresAt[i] = head.expiresAt ?? Number.NaN
    kindOf[i] = kinds.indexOf(head)
  })
  return { ids, idChars: heads[0]?.id.length ?? 0, nextAt, expiresAt, kinds: kinds.all, kindOf }
}

class KindTable {
  readonly all: Kind[] = []
  readonly #indexes = new Map<string, number>()
  /** The last kind of each domain: most often the next one too, and found without making a key. */
  readonly #latest = new Map<Domain, number>()

  indexOf(head: Head): number {
    const { brand, domain, priority, timeoutMs } = head
    const latest = this.#latest.get(domain) ?? -1
    const kind = this.all[latest]
    if (kind !== undefined && isSame(kind, head)) return latest
    const key = `${brand} ${priority} ${timeoutMs} ${domain}`
    const index = this.#indexes.get(key) ?? this.all.push({ brand, domain, priority, timeoutMs }) - 1
    this.#indexes.set(key, index)
    this.#latest.set(domain, index)
    return index
  }
}
const isSame = (a: Kind, b: Kind): boolean =>
  a.domain === b.domain && a.brand === b.brand && a.priority === b.priority && a.timeoutMs === b.timeoutMs

export const unpackHeads = (packed: PackedHeads): readonly Head[] => {
  const heads: Head[] = new Array(packed.nextAt.length)
  for (let i = 0; i < heads.length; i++) heads[i] = headAt(packed, i)
  return heads
}

const headAt = (packed: PackedHeads, index: number): Head => {
  const kind = packed.kinds[packed.kindOf[index] ?? 0]
  if (kind === undefined) throw new RangeError(`head ${index} has no kind`)
  const expiresAt = packed.expiresAt[index] ?? Number.NaN
  return {
    id: packed.ids.slice(index * packed.idChars, (index + 1) * packed.idChars),
    nextAt: packed.nextAt[index] ?? 0,
    brand: kind.brand,
    domain: kind.domain,
    priority: kind.priority,
    attempts: 0,
    timeoutMs: kind.timeoutMs,
    expiresAt: Number.isNaN(expiresAt) ? null : expiresAt,
  }
}
