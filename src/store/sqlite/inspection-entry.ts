/**
 * Entry of the process that checks or backs up a store and ends with it. A process, not a thread: one statement over ten million
 * rows takes half a minute, nothing can interrupt it, and a thread that is in it keeps the whole daemon from ending. It runs
 * at the lowest priority, so that nobody notices, and reads only: whenever it is killed, nothing is left behind.
 */
import { constants, setPriority } from 'node:os'
import Database from 'better-sqlite3'
import { MAINTENANCE_CACHE_KIB } from '#config/limits.ts'
import type { ReadQuery } from '#store/store.ts'
import { RealWorld } from '#world/real-world.ts'
import { backUp } from './backup.ts'
import { checking } from './checking.ts'
import { type Connection, guarded, storeErrorOf } from './connection.ts'
import type { Failure } from './wire.ts'

export type Inspection = Extract<ReadQuery, { type: 'check' | 'backup' }>
export interface InspectionOrder {
  readonly database: string
  readonly query: Inspection
}
export type InspectionAnswer =
  | { readonly type: 'answered'; readonly value: unknown }
  | ({ readonly type: 'failed' } & Failure)

const world = new RealWorld()

/** In steps: no snapshot is held for longer than one of them, and the end of the daemon is noticed between two. */
const check = async (database: string): Promise<{ readonly problems: readonly string[] }> => {
  const db = openReadOnly(database)
  const run = checking(db)
  for (;;) {
    const { done, value } = run.next()
    if (done === true)
      return { problems: value.map((line) => (line.startsWith(database) ? line : `${database}: ${line}`)) }
    await new Promise<void>((resolve) => world.yieldToIo(resolve))
  }
}
/** Read only, so that it is never the last writer, whose close would take the -wal away (D-26). */
const openReadOnly = (database: string): Connection =>
  guarded(database, () => {
    const db = new Database(database, { readonly: true, fileMustExist: true })
    db.pragma(`cache_size = -${MAINTENANCE_CACHE_KIB}`)
    db.pragma('temp_store = MEMORY')
    return db
  })

const answerOf = async ({ database, query }: InspectionOrder): Promise<InspectionAnswer> => {
  try {
    const value = query.type === 'check' ? await check(database) : await backUp(database, query.to)
    return { type: 'answered', value }
  } catch (error) {
    const { code, message, op } = storeErrorOf(error, database)
    return { type: 'failed', code, message, op }
  }
}

setPriority(constants.priority.PRIORITY_LOW)
process.once('message', (order: InspectionOrder) => {
  void answerOf(order).then((answer) => process.send?.(answer))
})
// The daemon has its answer, or has ended; a connection that is not closed changes nothing.
process.once('disconnect', () => process.kill(process.pid, 'SIGKILL'))
