/**
 * Entry of the store's thread. Serves its port synchronously: between two transactions of a large append everything that has
 * arrived meanwhile (marks and outcomes first of all) is done; large appends run one after the other (D-16). What arrives without end
 * must not starve them: after APPEND_YIELD_MS of it the next transaction of a large append has its turn.
 */
import { isMainThread, type MessagePort, parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { APPEND_CHUNK_ROWS, APPEND_YIELD_MS, CHECKPOINT_BYTES } from '#config/limits.ts'
import { type ReadQuery, StoreError, type WriteOp } from '#store/store.ts'
import { RealWorld } from '#world/real-world.ts'
import type { World } from '#world/world.ts'
import { BatchInTheWay } from './appending.ts'
import { isFatal } from './connection.ts'
import { dataFiles } from './data-files.ts'
import { packResults, unpackGroup } from './group-frame.ts'
import type { FromStore, ToStore } from './wire.ts'
import { type Results, Writer } from './writer.ts'
import { isWriterRead, type WriterRead } from './writer-reads.ts'

interface Job {
  readonly id: number
  readonly ops: readonly WriteOp[]
}

class WriterThread {
  readonly #port: MessagePort
  readonly #writer: Writer
  /** Groups with a large append, and what ran into one. */
  readonly #large: Job[] = []
  /** Queries that reach into hours which are not moved yet. */
  readonly #reaching: { readonly id: number; readonly query: WriterRead }[] = []
  #isLargeRunning = false
  #isClosed = false

  readonly #world: Pick<World, 'failpoint' | 'monoNow'>

  constructor(port: MessagePort, writer: Writer, world: Pick<World, 'failpoint' | 'monoNow'>) {
    this.#port = port
    this.#world = world
    this.#writer = writer
    port.on('message', (message: ToStore) => this.#wake(message))
  }

  #wake(message: ToStore): void {
    this.#handle(message)
    this.#drain()
    while (!this.#isClosed && (this.#reach() || this.#runLarge() || this.#tidy())) this.#drain()
  }
  #drain(): void {
    let untilMono = Number.POSITIVE_INFINITY
    while (!this.#isClosed) {
      if (!this.#isLargeRunning && this.#large.length === 0) untilMono = Number.POSITIVE_INFINITY
      else if (untilMono === Number.POSITIVE_INFINITY) untilMono = this.#world.monoNow() + APPEND_YIELD_MS
      else if (this.#world.monoNow() >= untilMono) return
      const next: { readonly message: ToStore } | undefined = receiveMessageOnPort(this.#port)
      if (next === undefined) return
      this.#handle(next.message)
    }
  }
  #handle(message: ToStore): void {
    this.#world.failpoint('store.heard')
    switch (message.type) {
      case 'open':
        return
      case 'write':
        return this.#write({ id: message.id, ops: unpackGroup(message) })
      case 'read':
        return this.#attempt(message.id, () => this.#read(message.id, message.query))
      case 'checkpoint':
        return this.#attempt(0, () => this.#writer.finishCheckpoint())
      case 'truncate':
        return this.#attempt(0, () => this.#writer.truncateLog())
      case 'close':
        return this.#close()
      default:
        return message satisfies never
    }
  }

  #write(job: Job): void {
    if (job.ops.some((op) => op.type === 'append' && op.count > APPEND_CHUNK_ROWS)) this.#large.push(job)
    else this.#attempt(job.id, () => this.#runSmall(job))
  }
  #runSmall(job: Job): void {
    const run = this.#writer.run(job.ops)
    try {
      let step = run.next()
      while (step.done !== true) step = run.next()
      this.#written(job.id, step.value)
    } catch (error) {
      if (!(error instanceof BatchInTheWay)) throw error
      this.#large.push(job)
    }
  }
  /** Runs the first large group to its end, serving the port after each transaction; false if there is none. */
  #runLarge(): boolean {
    const job = this.#isLargeRunning ? undefined : this.#large.shift()
    if (job === undefined) return false
    this.#isLargeRunning = true
    this.#attempt(job.id, () => {
      const run = this.#writer.run(job.ops)
      let step = run.next()
      while (step.done !== true) {
        this.#drain()
        if (this.#isClosed) return
        step = run.next()
      }
      this.#written(job.id, step.value)
    })
    this.#isLargeRunning = false
    return true
  }
  #read(id: number, query: ReadQuery): void {
    if (!isWriterRead(query)) throw new StoreError('invalid', `${query.type} is not the writer's to answer`)
    if (this.#writer.prepare(query)) this.#reaching.push({ id, query })
    else this.#say({ type: 'answered', id, value: this.#writer.read(query) })
  }
  /** One step for the first query that waits for its hours; false if there is none. */
  #reach(): boolean {
    const first = this.#reaching.shift()
    if (first === undefined) return false
    this.#attempt(first.id, () => {
      if (this.#writer.prepare(first.query)) this.#reaching.unshift(first)
      else this.#say({ type: 'answered', id: first.id, value: this.#writer.read(first.query) })
    })
    return true
  }
  #tidy(): boolean {
    let more = false
    this.#attempt(0, () => {
      more = this.#writer.tidy()
    })
    return more
  }

  #written(id: number, found: Results): void {
    const { others, frame } = packResults(found)
    this.#port.postMessage({ type: 'written', id, others, frame } satisfies FromStore, [frame.buffer])
    this.#sinceCheckpoint += this.#writer.takeWritten()
    if (this.#sinceCheckpoint < CHECKPOINT_BYTES) return
    this.#sinceCheckpoint = 0
    this.#say({ type: 'checkpoint-wanted' })
  }
  #sinceCheckpoint = 0

  /** An error fails what asked; after one that makes the connection doubtful the thread ends. */
  #attempt(id: number, body: () => void): void {
    try {
      body()
    } catch (error) {
      if (!(error instanceof StoreError)) throw error
      const { code, message, op } = error
      if (id !== 0) this.#say({ type: 'failed', id, code, message, op })
      if (!isFatal(error)) return
      this.#say({ type: 'ended', code, message, op })
      this.#isClosed = true
      this.#port.close()
    }
  }
  #close(): void {
    this.#isClosed = true
    try {
      this.#writer.close()
    } finally {
      this.#port.close()
    }
  }
  #say(message: FromStore): void {
    this.#port.postMessage(message)
  }
}

const start = (port: MessagePort, dir: string): void => {
  try {
    const world = new RealWorld({ failpoints: process.env['HOOKPULSE_FAILPOINTS'] })
    const writer = new Writer(dataFiles(dir), world.failpoint)
    new WriterThread(port, writer, world)
    port.postMessage({ type: 'opened' } satisfies FromStore)
  } catch (error) {
    if (!(error instanceof StoreError)) throw error
    const { code, message, op } = error
    port.postMessage({ type: 'ended', code, message, op } satisfies FromStore)
    port.close()
  }
}

if (!isMainThread && parentPort !== null) {
  const port = parentPort
  port.once('message', () => start(port, String(workerData)))
}
