/** Entry of the second thread: lists, counts and checkpoints, so that none of them makes a commit wait (D-16). */
import { isMainThread, type MessagePort, parentPort, workerData } from 'node:worker_threads'
import { MAINTENANCE_CACHE_KIB } from '#config/limits.ts'
import { type ReadQuery, type ReadResult, StoreError } from '#store/store.ts'
import { type Connection, isFatal, openConnection, storeErrorOf } from './connection.ts'
import { dataFiles } from './data-files.ts'
import { DomainGroups } from './domain-groups.ts'
import { LaneBook } from './lane-book.ts'
import { RecordReads } from './record-reads.ts'
import type { FromStore, ToStore } from './wire.ts'

class MaintenanceThread {
  readonly #port: MessagePort
  readonly #db: Connection
  readonly #reads: RecordReads

  constructor(port: MessagePort, db: Connection) {
    this.#port = port
    this.#db = db
    const groups = new DomainGroups(db)
    this.#reads = new RecordReads(db, new LaneBook(db, groups), groups)
    port.on('message', (message: ToStore) => this.#handle(message))
  }

  #handle(message: ToStore): void {
    switch (message.type) {
      case 'open':
        return
      case 'read':
        return this.#attempt(message.id, () => {
          this.#say({ type: 'answered', id: message.id, value: this.#answer(message.query) })
        })
      case 'checkpoint':
        return this.#attempt(0, () => this.#checkpoint())
      case 'close':
        this.#db.close()
        return this.#port.close()
      case 'truncate':
      case 'write':
        throw new Error('the maintenance connection does not write')
      default:
        return message satisfies never
    }
  }
  /** All statements of one query see one snapshot. */
  #answer(query: ReadQuery): ReadResult<ReadQuery> {
    return this.#db.transaction(() => this.#read(query)).deferred()
  }
  #read(query: ReadQuery): ReadResult<ReadQuery> {
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
      default:
        throw new StoreError('invalid', `${query.type} is not this thread's to answer`)
    }
  }
  #checkpoint(): void {
    const [row] = this.#db.pragma('wal_checkpoint(PASSIVE)') as readonly CheckpointRow[]
    this.#say({ type: 'checkpointed', frames: row?.log ?? 0, done: row?.checkpointed ?? 0 })
  }

  #attempt(id: number, body: () => void): void {
    try {
      body()
    } catch (error) {
      const failure = storeErrorOf(error, this.#db.name)
      const { code, message, op } = failure
      if (id !== 0) this.#say({ type: 'failed', id, code, message, op })
      else this.#say({ type: 'checkpointed', frames: 0, done: 0 })
      if (!isFatal(failure)) return
      this.#say({ type: 'ended', code, message, op })
      this.#port.close()
    }
  }
  #say(message: FromStore): void {
    this.#port.postMessage(message)
  }
}
interface CheckpointRow {
  readonly log: number
  readonly checkpointed: number
}

const start = (port: MessagePort, dir: string): void => {
  const file = dataFiles(dir).database
  try {
    new MaintenanceThread(port, openConnection(file, MAINTENANCE_CACHE_KIB))
    port.postMessage({ type: 'opened' } satisfies FromStore)
  } catch (error) {
    const { code, message, op } = storeErrorOf(error, file)
    port.postMessage({ type: 'ended', code, message, op } satisfies FromStore)
    port.close()
  }
}

if (!isMainThread && parentPort !== null) {
  const port = parentPort
  port.once('message', () => start(port, String(workerData)))
}
