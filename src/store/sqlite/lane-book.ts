/**
 * Pairs of lanes as small integers: a row carries a number, the words stand once; which of the two a row is in follows from its
 * attempts. Kept in memory per connection. A number is never given twice: what another connection remembers stays true when
 * the pair is forgotten (`./pruning.ts` spares the highest).
 */
import { priorityIndex, priorityOf } from '#store/rows.ts'
import type { GroupKey } from '#webhook/domain-group.ts'
import type { LanePair } from '#webhook/webhook.ts'
import type { Connection } from './connection.ts'
import type { DomainGroups, NumberedPair } from './domain-groups.ts'

export class LaneBook {
  readonly #byText = new Map<string, number>()
  readonly #byNumber = new Map<number, LanePair>()
  readonly #find
  readonly #insert
  readonly #read

  readonly #groups: DomainGroups
  /** Of a group: the pairs of its hosts, as far as they are asked for. */
  readonly #ofGroup = new Map<GroupKey, readonly NumberedPair[]>()

  constructor(db: Connection, groups: DomainGroups) {
    this.#groups = groups
    const columns = 'SELECT lane, domain, brand, priority FROM lanes'
    this.#find = db
      .prepare<[string, string, number], NumberedPair>(`${columns} WHERE domain = ? AND brand = ? AND priority = ?`)
      .raw()
    this.#read = db.prepare<[number], NumberedPair>(`${columns} WHERE lane = ?`).raw()
    this.#insert = db.prepare<[string, string, number]>('INSERT INTO lanes (domain, brand, priority) VALUES (?, ?, ?)')
  }

  /** The number of a pair, or null if no row is of it. */
  find(key: LanePair): number | null {
    const text = textOf(key)
    const known = this.#byText.get(text)
    if (known !== undefined) return known
    const row = this.#find.get(key.domain, key.brand, priorityIndex(key.priority))
    if (row === undefined) return null
    this.#remember(row[0], key)
    return row[0]
  }
  /** Within a transaction of the writer. After a rollback call `forget`. */
  findOrAdd(key: LanePair): number {
    const known = this.find(key)
    if (known !== null) return known
    const lane = Number(this.#insert.run(key.domain, key.brand, priorityIndex(key.priority)).lastInsertRowid)
    this.#remember(lane, key)
    this.#ofGroup.clear()
    return lane
  }
  /** The pairs of the hosts of a group, in the order of (domain, brand, priority). Only for who hears of every change. */
  pairsOf(group: GroupKey): readonly NumberedPair[] {
    const known = this.#ofGroup.get(group)
    if (known !== undefined) return known
    const pairs = this.#groups.pairsOf(group).sort(inOrder)
    this.#ofGroup.set(group, pairs)
    return pairs
  }
  key(lane: number): LanePair {
    const known = this.#byNumber.get(lane)
    if (known !== undefined) return known
    const row = this.#read.get(lane)
    if (row === undefined) throw new Error(`lane ${lane} is not in the book`)
    const key = { domain: row[1], brand: row[2], priority: priorityOf(row[3]) }
    this.#remember(lane, key)
    return key
  }
  forget(): void {
    this.#byText.clear()
    this.#byNumber.clear()
    this.#ofGroup.clear()
  }

  #remember(lane: number, key: LanePair): void {
    if (this.#byNumber.size >= LANES_REMEMBERED_MAX) this.forget()
    const { domain, brand, priority } = key
    this.#byText.set(textOf(key), lane)
    this.#byNumber.set(lane, { domain, brand, priority })
  }
}

/** ~250 bytes each. */
const LANES_REMEMBERED_MAX = 20_000
const inOrder = (a: NumberedPair, b: NumberedPair): number => compare(a[1], b[1]) || compare(a[2], b[2]) || a[3] - b[3]
const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)
const textOf = (key: LanePair): string => `${key.domain} ${key.brand} ${key.priority}`
