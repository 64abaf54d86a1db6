/** The store for tests and simulation: exact, in memory, with faults on demand. Opened on a `MemoryDisk` that outlives it. */
import {
  isPromised,
  type OpenStore,
  type ReadQuery,
  type ReadResult,
  type Store,
  StoreError,
  type StoreErrorCode,
  type WriteOp,
  type WriteResult,
} from '#store/store.ts'
import type { MemoryDisk } from './memory-disk.ts'
import { answer } from './memory-reads.ts'
import { applyOp } from './memory-writes.ts'

/**
 * Each hook may throw a StoreError or return a promise that delays (or rejects). Before a write: nothing is applied.
 * After a write: it is applied and its answer lost.
 */
export interface MemoryFaults {
  beforeOpen?(): void | Promise<void>
  beforeWrite?(group: readonly WriteOp[]): void | Promise<void>
  afterWrite?(group: readonly WriteOp[]): void | Promise<void>
  beforeRead?(query: ReadQuery): void | Promise<void>
}

/** Rejects with `locked` while another store has the disk open. */
export const openMemoryStore =
  (disk: MemoryDisk, faults: MemoryFaults = {}): OpenStore =>
  async (events) => {
    await faults.beforeOpen?.()
    return new MemoryStore(disk, faults, events.ended)
  }

class MemoryStore implements Store {
  readonly #disk: MemoryDisk
  readonly #faults: MemoryFaults
  readonly #release: () => void
  #open = true

  constructor(disk: MemoryDisk, faults: MemoryFaults, ended: (reason: string, code: StoreErrorCode) => void) {
    this.#disk = disk
    this.#faults = faults
    this.#release = disk.hold((reason) => {
      this.#open = false
      ended(reason, 'closed')
    })
  }

  async write<const G extends readonly WriteOp[]>(group: G): Promise<{ -readonly [I in keyof G]: WriteResult<G[I]> }> {
    this.#mustBeOpen()
    await this.#faults.beforeWrite?.(group)
    this.#mustBeOpen()
    const results = this.#apply(group)
    await this.#faults.afterWrite?.(group)
    this.#mustBeOpen()
    return results as { -readonly [I in keyof G]: WriteResult<G[I]> }
  }

  async read<Q extends ReadQuery>(query: Q): Promise<ReadResult<Q>> {
    this.#mustBeOpen()
    await this.#faults.beforeRead?.(query)
    this.#mustBeOpen()
    return answer(this.#disk, query) as ReadResult<Q>
  }

  async close(): Promise<void> {
    this.#open = false
    this.#release()
  }

  #apply(group: readonly WriteOp[]): WriteResult<WriteOp>[] {
    const start = this.#disk.mark()
    try {
      const results = group.map((op, index) => applyOp(this.#disk, op, index))
      if (group.some(isPromised)) this.#disk.sync()
      return results
    } catch (error) {
      this.#disk.rollback(start)
      throw error
    }
  }
  #mustBeOpen(): void {
    if (!this.#open) throw new StoreError('closed', 'the store is closed')
  }
}
