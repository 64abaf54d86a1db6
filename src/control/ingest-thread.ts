/** Ingest as a thread. Answers come in the order of the questions, so a queue of promises is all the book-keeping. */
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { THREAD_YOUNG_HEAP_MB } from '#config/limits.ts'
import type { AddressPolicy } from '#webhook/address.ts'
import type { Ingest, IngestedFrame, IngestJob, OwnAddresses, StartIngest } from './ingest.ts'

/** Smaller frames are copied, a tenth of a millisecond at most, so that they can be read again should the thread die. */
const COPIED_BYTES_MAX = 1_048_576

interface Waiting {
  readonly resolve: (frame: IngestedFrame) => void
  readonly reject: (error: Error) => void
}

/** The policy is fixed for the life of the daemon, but for addresses of our own: the thread follows them. */
export const ingestThread =
  (policy: AddressPolicy, own?: OwnAddresses): StartIngest =>
  (events) => {
    const entry = fileURLToPath(import.meta.resolve('#control/ingest-worker.ts'))
    const worker = new Worker(entry, {
      workerData: { policy, own: own?.current ?? [] },
      name: 'ingest',
      resourceLimits: { maxYoungGenerationSizeMb: THREAD_YOUNG_HEAP_MB },
    })
    const unfollow = own?.follow(() => worker.postMessage({ deny: own.current }))
    worker.once('exit', () => unfollow?.())
    return new Promise((resolve, reject) => {
      worker.once('error', reject)
      worker.once('online', () => resolve(new IngestThread(worker, events.ended)))
    })
  }

class IngestThread implements Ingest {
  readonly #worker: Worker
  readonly #waiting: Waiting[] = []
  readonly #exited: Promise<void>
  #closed = false
  #reason = 'exited'

  constructor(worker: Worker, ended: (reason: string) => void) {
    this.#worker = worker
    worker.on('message', (frame: IngestedFrame) => this.#waiting.shift()?.resolve(frame))
    worker.on('error', (error) => {
      this.#reason = error instanceof Error ? error.message : String(error)
    })
    this.#exited = new Promise((resolve) => {
      worker.once('exit', () => {
        for (const { reject } of this.#waiting.splice(0)) reject(new Error(`ingest thread: ${this.#reason}`))
        if (!this.#closed) ended(this.#reason)
        this.#closed = true
        resolve()
      })
    })
  }

  read(job: IngestJob): Promise<IngestedFrame> {
    if (this.#closed) return Promise.reject(new Error('ingest thread is closed'))
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject })
      this.#worker.postMessage(job, job.bytes.length > COPIED_BYTES_MAX ? [job.bytes.buffer] : [])
    })
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.#worker.terminate()
    await this.#exited
  }
}
