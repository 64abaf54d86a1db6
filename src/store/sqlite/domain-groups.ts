/** Domain groups in SQLite, and the pairs of lanes of their hosts: those are found by the members, nothing of them is stored. */
import type { GroupSet, SetGroup } from '#store/store.ts'
import {
  bookOf,
  type DomainGroup,
  type GroupBook,
  type GroupKey,
  type Member,
  memberOf,
} from '#webhook/domain-group.ts'
import type { Brand, Domain } from '#webhook/webhook.ts'
import type { Connection } from './connection.ts'

/** A pair of lanes of one host, as `lanes` has it. */
export type NumberedPair = readonly [lane: number, domain: Domain, brand: Brand, priority: number]
type GroupRow = readonly [group: string, setBy: string, setAt: number, version: number]
type GroupDone = Extract<GroupSet, { ok: false }> | Omit<Extract<GroupSet, { ok: true }>, 'carried'>

export class DomainGroups {
  readonly #find
  readonly #all
  readonly #members
  readonly #put
  readonly #removeMembers
  readonly #addMember
  readonly #ownerOf
  readonly #pairsOfDomain
  readonly #pairsBelow

  constructor(db: Connection) {
    const groups = 'SELECT name, set_by, set_at, version FROM domain_groups'
    this.#find = db.prepare<[string], GroupRow>(`${groups} WHERE name = ?`).raw()
    this.#all = db.prepare<[], GroupRow>(`${groups} ORDER BY name`).raw()
    this.#members = db
      .prepare<[], readonly [Member, GroupKey]>('SELECT member, name FROM domain_group_members ORDER BY member')
      .raw()
    this.#put = db.prepare<GroupRow & unknown[]>('REPLACE INTO domain_groups VALUES (?, ?, ?, ?)')
    this.#removeMembers = db.prepare<[string]>('DELETE FROM domain_group_members WHERE name = ?')
    this.#addMember = db.prepare<[string, string]>('INSERT INTO domain_group_members VALUES (?, ?)')
    this.#ownerOf = db.prepare<[string], string>('SELECT name FROM domain_group_members WHERE member = ?').pluck()
    const pairs = 'SELECT lane, domain, brand, priority FROM lanes'
    this.#pairsOfDomain = db.prepare<[string], NumberedPair>(`${pairs} WHERE domain = ?`).raw()
    this.#pairsBelow = db.prepare<[string, string], NumberedPair>(`${pairs} WHERE substr(domain, -length(?)) = ?`).raw()
  }

  /** A dissolved group stays as a row without members, so that its versions go on. Within a transaction. */
  set({ group, members, setBy, setAt }: SetGroup): GroupDone {
    for (const member of members) {
      const by = this.#ownerOf.get(member)
      if (by !== undefined && by !== group) return { ok: false, why: 'taken', member, by }
    }
    const before = this.#one(group)
    const isSame = before?.setBy === setBy && before.setAt === setAt && String(before.members) === String(members)
    if (before !== null && isSame) return { ok: true, group: before }
    const version = (before?.version ?? 0) + 1
    this.#put.run(group, setBy, setAt, version)
    this.#removeMembers.run(group)
    for (const member of members) this.#addMember.run(member, group)
    return { ok: true, group: { group, members, version, setBy, setAt } }
  }
  groups(): DomainGroup[] {
    const byGroup = this.#membersByGroup()
    return this.#all.all().flatMap((row) => {
      const members = byGroup.get(row[0])
      return members === undefined ? [] : [groupOf(row, members)]
    })
  }
  book(): GroupBook {
    return bookOf(this.groups())
  }
  /** The pairs of the hosts of a group, in no order. A wildcard looks at every pair: 0.1 microseconds each. */
  pairsOf(group: GroupKey): NumberedPair[] {
    const book = this.book()
    const members = book.groups.get(group)?.members ?? []
    return members.flatMap((member) => {
      if (!member.startsWith('*.')) return this.#pairsOfDomain.all(member)
      const below = this.#pairsBelow.all(member.slice(1), member.slice(1))
      return below.filter(([, domain]) => memberOf(book, domain) === member)
    })
  }

  #one(group: GroupKey): DomainGroup | null {
    const row = this.#find.get(group)
    return row === undefined ? null : groupOf(row, this.#membersByGroup().get(group) ?? [])
  }
  #membersByGroup(): Map<GroupKey, Member[]> {
    const byGroup = new Map<GroupKey, Member[]>()
    for (const [member, group] of this.#members.all()) byGroup.set(group, [...(byGroup.get(group) ?? []), member])
    return byGroup
  }
}

const groupOf = ([group, setBy, setAt, version]: GroupRow, members: readonly Member[]): DomainGroup => {
  return { group, members, version, setBy, setAt }
}
