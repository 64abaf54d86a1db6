/** The embedded store: two threads behind the contract. The directory's lock is the caller's (`./directory-lock.ts`). */
import { rmSync } from 'node:fs'
import { WAL_ALARM_BYTES, WAL_FRAMES_MAX, WAL_IDLE_MS } from '#config/limits.ts'
import {
  type OpenStore,
  type ReadQuery,
  type ReadResult,
  type Store,
  StoreError,
  type StoreErrorCode,
  type WriteOp,
  type WriteResult,
} from '#store/store.ts'
import { RealWorld } from '#world/real-world.ts'
import { unfinished } from './backup.ts'
import { type DataFiles, dataFiles, markClosed } from './data-files.ts'
import { makeDirectory } from './file-errors.ts'
import { packGroup, unpackResults } from './group-frame.ts'
import type { Inspection } from './inspection-entry.ts'
import { InspectionProcess } from './inspection-process.ts'
import { StoreThread } from './store-thread.ts'
import { type WalBounds, WalCare } from './wal-care.ts'
import { isWriterRead } from './writer-reads.ts'

const WAL_BOUNDS: WalBounds = { framesMax: WAL_FRAMES_MAX, alarmBytes: WAL_ALARM_BYTES, idleMs: WAL_IDLE_MS }

/** Opens the store in `dir`, made if missing. Workers are `.ts` in a clone and `.js` in an installed package. */
export const openSqlite =
  (dir: string, bounds: WalBounds = WAL_BOUNDS): OpenStore =>
  async (events) => {
    makeDirectory(dir)
    const writer = new StoreThread('store-writer', import.meta.resolve('#store/sqlite/writer-thread.ts'), dir)
    const maintenance = new StoreThread(
      'store-maintenance',
      import.meta.resolve('#store/sqlite/maintenance-thread.ts'),
      dir,
    )
    const files = dataFiles(dir)
    try {
      await writer.open()
    } catch (error) {
      await Promise.all([writer.end(), maintenance.end()])
      throw error
    }
    try {
      await maintenance.open()
    } catch (error) {
      markClosed(files)
      await Promise.all([writer.end(), maintenance.end()])
      throw error
    }
    return new SqliteStore(files, writer, maintenance, events, bounds)
  }

/** What takes long and reads everything: it has a process of its own for as long as it takes, so that nobody waits for it. */
const isInspection = (query: ReadQuery): query is Inspection => query.type === 'check' || query.type === 'backup'

class SqliteStore implements Store {
  readonly #files: DataFiles
  readonly #writer: StoreThread
  readonly #maintenance: StoreThread
  readonly #ended: (reason: string, code: StoreErrorCode) => void
  /** `process.exit` ends the threads, which empties the `-wal`: its absence means nothing then (D-26). */
  readonly #atExit = (): void => markClosed(this.#files)
  #closing: Promise<void> | null = null
  readonly #wal: WalCare
  readonly #inspectors = new Set<InspectionProcess>()
  #inspecting: Promise<unknown> = Promise.resolve()
  #isBackingUp = false

  constructor(
    files: DataFiles,
    writer: StoreThread,
    maintenance: StoreThread,
    { ended, grown = () => undefined }: Parameters<OpenStore>[0],
    bounds: WalBounds,
  ) {
    this.#files = files
    this.#writer = writer
    this.#maintenance = maintenance
    this.#ended = ended
    process.once('exit', this.#atExit)
    const hands = {
      checkpoint: () => maintenance.checkpoint(),
      finish: () => writer.checkpoint(),
      truncate: () => writer.truncate(),
      grown,
    }
    this.#wal = new WalCare(bounds, hands, new RealWorld())
    writer.onCheckpointWanted = () => this.#wal.wanted()
    maintenance.onCheckpointed = (frames, done) => this.#wal.checkpointed(frames, done)
    for (const thread of [writer, maintenance]) thread.gone.then((reason) => this.#die(reason))
  }

  async write<const G extends readonly WriteOp[]>(group: G): Promise<{ -readonly [I in keyof G]: WriteResult<G[I]> }> {
    this.#mustBeOpen()
    const written = await this.#writer.write(packGroup(group))
    return unpackResults(written) as { -readonly [I in keyof G]: WriteResult<G[I]> }
  }
  async read<Q extends ReadQuery>(query: Q): Promise<ReadResult<Q>> {
    this.#mustBeOpen()
    if (isInspection(query)) return (await this.#inspectInTurn(query)) as ReadResult<Q>
    const thread = isWriterRead(query) ? this.#writer : this.#maintenance
    return (await thread.read(query)) as ReadResult<Q>
  }
  /** The writer last: the last connection to close empties the WAL. */
  close(): Promise<void> {
    this.#wal.stop()
    if (this.#closing === null) markClosed(this.#files)
    this.#closing ??= this.#endInspections()
      .then(() => this.#maintenance.close())
      .then(() => this.#writer.close())
      .then(() => this.#gone())
    return this.#closing
  }

  #mustBeOpen(): void {
    if (this.#closing !== null) throw new StoreError('closed', 'the store is closed')
  }
  /** One thread is gone: the other goes too, and only then it is said, so that a new store finds no connection open. */
  async #die({ code, message }: StoreError): Promise<void> {
    if (this.#closing !== null) return
    this.#wal.stop()
    markClosed(this.#files)
    const ends = [this.#endInspections(), this.#writer.end(), this.#maintenance.end()]
    this.#closing = Promise.all(ends).then(() => this.#gone())
    await this.#closing
    this.#ended(`${code}: ${message}`, code)
  }
  #gone(): void {
    process.off('exit', this.#atExit)
  }

  /** One after the other, but a second backup is answered at once. */
  #inspectInTurn(query: Inspection): Promise<unknown> {
    if (query.type === 'check') return this.#inspectNext(query)
    if (this.#isBackingUp)
      return Promise.resolve({ ok: false, why: 'under-way', detail: 'another backup is being made; wait for its end' })
    this.#isBackingUp = true
    return this.#inspectNext(query).finally(() => {
      this.#isBackingUp = false
    })
  }
  #inspectNext(query: Inspection): Promise<unknown> {
    const inspection = this.#inspecting.then(() => this.#inspect(query))
    this.#inspecting = inspection.catch((error: unknown) => error)
    return inspection
  }
  async #inspect(query: Inspection): Promise<unknown> {
    this.#mustBeOpen()
    const inspector = new InspectionProcess()
    this.#inspectors.add(inspector)
    try {
      return await inspector.ask(this.#files.database, query)
    } catch (error) {
      // Cut short: what there is of the copy is of no use to anybody.
      if (query.type === 'backup') rmSync(unfinished(query.to), { force: true })
      throw error
    } finally {
      await inspector.end()
      this.#inspectors.delete(inspector)
    }
  }
  async #endInspections(): Promise<void> {
    await Promise.all([...this.#inspectors].map((inspector) => inspector.end()))
  }
}
