/** Node-local tables with owner and heir: what outlives the actor that fills it (D-10; the counterpart of ETS). */
import type { Process } from './process.ts'
import type { Table } from './table.ts'

class NodeTable implements Table<unknown, unknown> {
  private readonly name: string
  private rows = new Map<unknown, unknown>()
  private gone = false
  version = 0
  owner: Process
  heir: string | null

  constructor(name: string, owner: Process, heir: string | null) {
    this.name = name
    this.owner = owner
    this.heir = heir
  }
  /** A table that went with its owner is no empty table: using it is a bug (as in ETS, badarg). */
  private live(): Map<unknown, unknown> {
    if (this.gone) throw new Error(`table ${this.name} is gone with its owner; look it up again`)
    return this.rows
  }
  get(key: unknown): unknown {
    return this.live().get(key)
  }
  has(key: unknown): boolean {
    return this.live().has(key)
  }
  set(key: unknown, value: unknown): void {
    this.version += 1
    this.live().set(key, value)
  }
  delete(key: unknown): boolean {
    this.version += 1
    return this.live().delete(key)
  }
  get size(): number {
    return this.live().size
  }
  entries(): IterableIterator<[unknown, unknown]> {
    return this.live().entries()
  }
  drop(): void {
    this.gone = true
    this.rows = new Map()
  }
}

export class Tables {
  private readonly byName = new Map<string, NodeTable>()

  get(name: string): Table<unknown, unknown> {
    const table = this.byName.get(name)
    if (table === undefined) throw new Error(`no table ${name}`)
    return table
  }

  /** A table that its heir holds may be taken back by a new owner who names the same heir; its rows stay. */
  create(name: string, owner: Process, heir: string | null): Table<unknown, unknown> {
    const existing = this.byName.get(name)
    if (existing === undefined) {
      const table = new NodeTable(name, owner, heir)
      this.byName.set(name, table)
      this.own(owner, name)
      return table
    }
    const inherited = heir !== null && existing.owner.name === heir
    if (!inherited) throw new Error(`table ${name} belongs to ${existing.owner.name ?? existing.owner.pid}`)
    this.give(existing, name, owner)
    existing.heir = heir
    return existing
  }

  /** The owner is dead: to the heir if it lives, else away. */
  release(owner: Process, whereis: (name: string) => Process | null): void {
    if (owner.tables === null) return
    for (const name of owner.tables) {
      const table = this.byName.get(name)
      if (table === undefined || table.owner !== owner) continue
      const heir = table.heir === null ? null : whereis(table.heir)
      if (heir !== null && heir !== owner) {
        this.give(table, name, heir)
        continue
      }
      this.byName.delete(name)
      table.drop()
    }
    owner.tables = null
  }
  get size(): number {
    return this.byName.size
  }

  private give(table: NodeTable, name: string, to: Process): void {
    table.owner.tables?.delete(name)
    table.owner = to
    this.own(to, name)
  }
  private own(owner: Process, name: string): void {
    owner.tables ??= new Set()
    owner.tables.add(name)
  }
}
