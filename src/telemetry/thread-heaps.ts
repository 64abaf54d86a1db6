/**
 * What each thread of the daemon holds, for /metrics: a heap that grows in a thread is not seen in main's. Threads are found by Node's own
 * `worker` event, so none is forgotten, whoever starts it. Source: Node.js, "Process: Event 'worker'", `worker.getHeapStatistics()`.
 */
import { getHeapStatistics, type HeapInfo } from 'node:v8'
import type { Worker } from 'node:worker_threads'
import type { World } from '#world/world.ts'

/** Bytes. */
export interface ThreadHeap {
  /** Garbage included. */
  readonly used: number
  /** What V8 has taken of the system for it. */
  readonly total: number
  /** Buffers and the like, outside the heap. */
  readonly external: number
}
export type ThreadName = string

/** A thread inside a long step of SQLite answers after it; until then its last figures stand. */
const PATIENCE_MS = 100
/** Node's name for threads whose maker gives none: Piscina's, which are all for dispatch. */
const UNNAMED = 'WorkerThread'

export class ThreadHeaps {
  readonly #world: Pick<World, 'setTimer' | 'clearTimer'>
  readonly #heaps = new Map<Worker, ThreadHeap | null>()
  readonly #met = (worker: Worker): void => {
    this.#heaps.set(worker, null)
    worker.once('exit', () => this.#heaps.delete(worker))
  }

  /** Knows the threads that start from now on. */
  constructor(world: Pick<World, 'setTimer' | 'clearTimer'>) {
    this.#world = world
    process.on('worker', this.#met)
  }

  /** By the threads' names; two of one name (dispatch) are one figure, the sum. Never rejects, and waits for no thread. */
  async read(): Promise<ReadonlyMap<ThreadName, ThreadHeap>> {
    const asked = [...this.#heaps.keys()].map((worker) => this.#ask(worker))
    await this.#atMost(PATIENCE_MS, Promise.all(asked))
    const heaps = new Map([['main', heapOf(getHeapStatistics())]])
    for (const [worker, heap] of this.#heaps) if (heap !== null) add(heaps, nameOf(worker), heap)
    return heaps
  }

  close(): void {
    process.off('worker', this.#met)
  }

  async #ask(worker: Worker): Promise<void> {
    try {
      const heap = heapOf(await worker.getHeapStatistics())
      if (this.#heaps.has(worker)) this.#heaps.set(worker, heap)
    } catch {
      // It has ended, which its `exit` may say only later.
      this.#heaps.delete(worker)
    }
  }
  #atMost(ms: number, done: Promise<unknown>): Promise<void> {
    return new Promise((resolve) => {
      const patience = this.#world.setTimer(ms, resolve)
      void done.then(() => {
        this.#world.clearTimer(patience)
        resolve()
      })
    })
  }
}

const nameOf = ({ threadName }: Worker): ThreadName =>
  threadName === null || threadName === UNNAMED ? 'dispatch' : threadName

const heapOf = (info: HeapInfo): ThreadHeap => ({
  used: info.used_heap_size,
  total: info.total_heap_size,
  external: info.external_memory,
})

const add = (heaps: Map<ThreadName, ThreadHeap>, name: ThreadName, heap: ThreadHeap): void => {
  const known = heaps.get(name) ?? { used: 0, total: 0, external: 0 }
  heaps.set(name, {
    used: known.used + heap.used,
    total: known.total + heap.total,
    external: known.external + heap.external,
  })
}
