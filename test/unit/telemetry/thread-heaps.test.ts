import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Metrics } from '#telemetry/metrics.ts'
import { Monitor } from '#telemetry/monitor.ts'
import { ThreadHeaps } from '#telemetry/thread-heaps.ts'
import { RealWorld } from '#world/real-world.ts'

const MIB = 1_048_576
/** Keeps as many MiB of heap, then says so. */
const KEEPER = `
  const { parentPort, workerData } = require('node:worker_threads')
  globalThis.kept = Array.from({ length: workerData * 1024 }, (_, i) => Array.from({ length: 128 }, (_, j) => i + j + 0.5))
  parentPort.postMessage('kept')
  parentPort.once('message', () => undefined)
`
/** As a thread inside a long step of SQLite. */
class DeafWorker extends Worker {
  isDeaf = false
  override getHeapStatistics(): ReturnType<Worker['getHeapStatistics']> {
    return this.isDeaf ? new Promise(() => undefined) : super.getHeapStatistics()
  }
}

describe('the heaps of the threads', () => {
  let heaps: ThreadHeaps
  const workers: Worker[] = []
  beforeEach(() => {
    heaps = new ThreadHeaps(new RealWorld())
  })
  afterEach(async () => {
    heaps.close()
    for (const worker of workers.splice(0)) await worker.terminate()
  })
  const keeper = async (mib: number, name?: string): Promise<DeafWorker> => {
    const worker = new DeafWorker(KEEPER, { eval: true, workerData: mib, ...(name === undefined ? {} : { name }) })
    workers.push(worker)
    await once(worker, 'message')
    return worker
  }

  it('shows which thread holds what, on the page', async () => {
    await keeper(32, 'store-writer')
    await keeper(1, 'ingest')
    const page = await new Metrics(new Monitor(), heaps).page()
    const figure = (thread: string): number =>
      Number(new RegExp(`^hookpulse_thread_heap_used_bytes\\{thread="${thread}"\\} (\\d+)$`, 'm').exec(page)?.[1])
    expect(figure('store-writer')).toBeGreaterThan(32 * MIB)
    expect(figure('ingest')).toBeLessThan(32 * MIB)
    expect(figure('main')).toBeGreaterThan(0)
    expect(page).toContain('hookpulse_thread_external_bytes{thread="main"}')
  })

  it('adds up the threads that have no name of their own, and forgets those that ended', async () => {
    await keeper(16)
    const second = await keeper(16)
    const both = (await heaps.read()).get('dispatch')
    expect(both?.used).toBeGreaterThan(32 * MIB)
    await second.terminate()
    const one = (await heaps.read()).get('dispatch')
    expect(one?.used).toBeLessThan(32 * MIB)
  })

  it('waits for no thread: of one that does not answer the last figures stand', async () => {
    const deaf = await keeper(16, 'store-writer')
    const before = (await heaps.read()).get('store-writer')
    deaf.isDeaf = true
    const after = (await heaps.read()).get('store-writer')
    expect(before?.used).toBeGreaterThan(16 * MIB)
    expect(after?.used).toBeGreaterThan(16 * MIB)
  })
})
