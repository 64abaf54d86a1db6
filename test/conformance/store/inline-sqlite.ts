/** SQLite's store without its threads and its wires: for many short lives. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { backUp } from '#store/sqlite/backup.ts'
import { problemsOf } from '#store/sqlite/checking.ts'
import { type Connection, openConnection } from '#store/sqlite/connection.ts'
import { dataFiles } from '#store/sqlite/data-files.ts'
import { DomainGroups } from '#store/sqlite/domain-groups.ts'
import { LaneBook } from '#store/sqlite/lane-book.ts'
import { RecordReads } from '#store/sqlite/record-reads.ts'
import { Writer } from '#store/sqlite/writer.ts'
import { isWriterRead } from '#store/sqlite/writer-reads.ts'
import type { ReadQuery, WriteOp } from '#store/store.ts'

/** As the maintenance thread has them. */
export const readsOf = (db: Connection): RecordReads => {
  const groups = new DomainGroups(db)
  return new RecordReads(db, new LaneBook(db, groups), groups)
}

export class InlineSqlite {
  readonly dir = mkdtempSync(join(tmpdir(), 'hookpulse-inline-'))
  #writer = new Writer(dataFiles(this.dir))
  #db = openConnection(dataFiles(this.dir).database, 1_024)
  #reads = readsOf(this.#db)

  write(group: readonly WriteOp[]): unknown {
    const run = this.#writer.run(group)
    let step = run.next()
    while (step.done !== true) step = run.next()
    return step.value
  }
  read(query: ReadQuery): unknown {
    if (isWriterRead(query)) return this.#writer.read(query)
    switch (query.type) {
      case 'webhook':
        return this.#reads.webhook(query)
      case 'attempts':
        return this.#reads.attempts(query)
      case 'list':
        return this.#reads.list(query)
      case 'counts':
        return this.#reads.counts(query)
      case 'backlog':
        return this.#reads.backlog(query)
      case 'check':
        return { problems: problemsOf(this.#db) }
      case 'backup':
        return backUp(this.#db.name, query.to)
      default:
        return query satisfies never
    }
  }
  count(table: 'lanes' | 'counters'): number {
    return Number(this.#db.prepare(`SELECT count(*) FROM ${table}`).pluck().get())
  }
  reopen(): void {
    this.#db.close()
    this.#writer.close()
    this.#writer = new Writer(dataFiles(this.dir))
    this.#db = openConnection(dataFiles(this.dir).database, 1_024)
    this.#reads = readsOf(this.#db)
  }
  dispose(): void {
    this.#db.close()
    this.#writer.close()
    rmSync(this.dir, { recursive: true, force: true })
  }
}
