/** The main thread's side of one store thread: requests by number, answers as promises, its death as their failure. */
import { Worker } from 'node:worker_threads'
import { THREAD_YOUNG_HEAP_MB } from '#config/limits.ts'
import { type ReadQuery, StoreError, type WriteOp, type WriteResult } from '#store/store.ts'
import type { PackedGroup } from './group-frame.ts'
import type { FromStore, ToStore } from './wire.ts'

interface Waiting {
  readonly resolve: (value: FromStore) => void
  readonly reject: (error: StoreError) => void
}
type Written = Extract<FromStore, { type: 'written' }>

export class StoreThread {
  onCheckpointWanted: () => void = () => undefined
  onCheckpointed: (frames: number, done: number) => void = () => undefined
  /** Resolves with the reason when the thread has exited: `closed`, or what the disk did. */
  readonly gone: Promise<StoreError>
  readonly #worker: Worker
  readonly #waiting = new Map<number, Waiting>()
  readonly #opened: Promise<void>
  #nextId = 1
  #failure: StoreError | null = null

  constructor(name: string, entry: string, dir: string) {
    const resourceLimits = { maxYoungGenerationSizeMb: THREAD_YOUNG_HEAP_MB }
    this.#worker = new Worker(new URL(entry), { workerData: dir, name, resourceLimits })
    const opened = Promise.withResolvers<void>()
    const gone = Promise.withResolvers<StoreError>()
    this.#opened = opened.promise
    // Whoever waits hears of it; if nobody does yet, `open` will.
    this.#opened.catch(() => undefined)
    this.gone = gone.promise
    this.#worker.on('message', (message: FromStore) => {
      if (message.type === 'opened') opened.resolve()
      else this.#heard(message)
    })
    this.#worker.on('error', (error) => {
      this.#failure ??= new StoreError('closed', `the store's thread died: ${error.message}`)
    })
    this.#worker.on('exit', () => {
      const failure = this.#failure ?? new StoreError('closed', "the store's thread ended")
      this.#failure = failure
      opened.reject(failure)
      for (const { reject } of this.#waiting.values()) reject(failure)
      this.#waiting.clear()
      gone.resolve(failure)
    })
  }

  /** A thread loads its modules when it is made, and opens its connection when it is told. */
  open(): Promise<void> {
    this.#worker.postMessage({ type: 'open' } satisfies ToStore)
    return this.#opened
  }
  async write({ others, frame }: PackedGroup<WriteOp>): Promise<PackedGroup<WriteResult<WriteOp>>> {
    const id = this.#nextId++
    const answer = await this.#ask(id, { type: 'write', id, others, frame }, [frame.buffer])
    return answer as Written
  }
  async read(query: ReadQuery): Promise<unknown> {
    const id = this.#nextId++
    const answer = await this.#ask(id, { type: 'read', id, query }, [])
    return answer.type === 'answered' ? answer.value : undefined
  }
  checkpoint(): void {
    this.#worker.postMessage({ type: 'checkpoint' } satisfies ToStore)
  }
  truncate(): void {
    this.#worker.postMessage({ type: 'truncate' } satisfies ToStore)
  }
  /** After what it was asked before, a large append excepted: that is given up and never was. */
  async close(): Promise<void> {
    this.#worker.postMessage({ type: 'close' } satisfies ToStore)
    await this.gone
  }
  async end(): Promise<void> {
    await this.#worker.terminate()
    await this.gone
  }

  #ask(id: number, message: ToStore, transfer: ArrayBuffer[]): Promise<FromStore> {
    if (this.#failure !== null) return Promise.reject(this.#failure)
    const { promise, resolve, reject } = Promise.withResolvers<FromStore>()
    this.#waiting.set(id, { resolve, reject })
    this.#worker.postMessage(message, transfer)
    return promise
  }
  #heard(message: Exclude<FromStore, { type: 'opened' }>): void {
    switch (message.type) {
      case 'written':
      case 'answered':
        return this.#take(message.id)?.resolve(message)
      case 'failed':
        return this.#take(message.id)?.reject(new StoreError(message.code, message.message, message.op))
      case 'ended':
        this.#failure = new StoreError(message.code, message.message, message.op)
        return
      case 'checkpoint-wanted':
        return this.onCheckpointWanted()
      case 'checkpointed':
        return this.onCheckpointed(message.frames, message.done)
      default:
        return message satisfies never
    }
  }
  #take(id: number): Waiting | undefined {
    const waiting = this.#waiting.get(id)
    this.#waiting.delete(id)
    return waiting
  }
}
