/**
 * Pairs of lanes as small integers: a row carries a number, the words stand once; which of the two a row is in follows from its
 * attempts. Kept in memory per connection. A number is never given twice: what another connection remembers stays true when
 * the pair is forgotten (`./pruning.ts` spares the highest).
 */
import { priorityIndex, priorityOf } from '#store/rows.ts'
import { type GroupBook, type GroupKey, guardKeyOf } from '#webhook/domain-group.ts'
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
  /** Of a group: the pairs of its hosts, as far as they are asked for; and those that came since, not in their order yet. */
  readonly #ofGroup = new Map<GroupKey, NumberedPair[]>()
  readonly #new = new Map<GroupKey, NumberedPair[]>()
  /** Null: it is read when somebody asks. */
  #book: GroupBook | null = null

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
    this.#joinGroup([lane, key.domain, key.brand, priorityIndex(key.priority)])
    return lane
  }
  /** A wildcard may have 100,000 hosts: a new one does not make all of them read again. */
  #joinGroup(pair: NumberedPair): void {
    if (this.#ofGroup.size === 0) return
    this.#book ??= this.#groups.book()
    const group = guardKeyOf(this.#book, pair[1])
    if (!this.#ofGroup.has(group)) return
    const others = this.#new.get(group)
    if (others === undefined) this.#new.set(group, [pair])
    else others.push(pair)
  }
  /** The pairs of the hosts of a group, in the order of (domain, brand, priority). Only for who hears of every change. */
  pairsOf(group: GroupKey): readonly NumberedPair[] {
    const known = this.#ofGroup.get(group)
    if (known !== undefined) return this.#inPlace(group, known)
    const pairs = this.#groups.pairsOf(group).sort(inOrder)
    this.#ofGroup.set(group, pairs)
    return pairs
  }
  #inPlace(group: GroupKey, known: NumberedPair[]): readonly NumberedPair[] {
    const added = this.#new.get(group)
    if (added === undefined) return known
    this.#new.delete(group)
    const merged = merge(known, added.sort(inOrder))
    this.#ofGroup.set(group, merged)
    return merged
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
    this.#forgetPairs()
    this.#ofGroup.clear()
    this.#new.clear()
    this.#book = null
  }
  #forgetPairs(): void {
    this.#byText.clear()
    this.#byNumber.clear()
  }

  #remember(lane: number, key: LanePair): void {
    if (this.#byNumber.size >= LANES_REMEMBERED_MAX) this.#forgetPairs()
    const { domain, brand, priority } = key
    this.#byText.set(textOf(key), lane)
    this.#byNumber.set(lane, { domain, brand, priority })
  }
}

/** ~250 bytes each. */
const LANES_REMEMBERED_MAX = 20_000
const inOrder = (a: NumberedPair, b: NumberedPair): number => compare(a[1], b[1]) || compare(a[2], b[2]) || a[3] - b[3]
/** Both in order. */
const merge = (old: readonly NumberedPair[], added: readonly NumberedPair[]): NumberedPair[] => {
  const all: NumberedPair[] = []
  let at = 0
  for (const pair of old) {
    for (let next = added[at]; next !== undefined && inOrder(next, pair) < 0; next = added[at]) {
      all.push(next)
      at += 1
    }
    all.push(pair)
  }
  all.push(...added.slice(at))
  return all
}
const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)
const textOf = (key: LanePair): string => `${key.domain} ${key.brand} ${key.priority}`
