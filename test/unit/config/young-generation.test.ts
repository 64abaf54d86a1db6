import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Worker } from 'node:worker_threads'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { THREAD_YOUNG_HEAP_MB, V8_HELPERS } from '#config/limits.ts'
import { ingestThread } from '#control/ingest-thread.ts'
import { openDispatchPool } from '#dispatch/pool.ts'
import { openSqlite } from '#store/sqlite/open-sqlite.ts'
import { RealWorld } from '#world/real-world.ts'

const policy = { allowPrivate: true, allowTargets: [], denyTargets: [] }
const settings = {
  policy,
  userAgent: 'HookPulse/test',
  connectionReuse: true,
  hosts: {},
  dnsServers: null,
  extraCertificates: [],
  failpoints: undefined,
}

describe('the young generation of every thread is bounded, whatever memory the machine has', () => {
  const met: Worker[] = []
  const meet = (worker: Worker): void => void met.push(worker)
  beforeEach(() => void process.on('worker', meet))
  afterEach(() => {
    process.off('worker', meet)
    met.length = 0
  })
  const bounds = () => met.map(({ resourceLimits }) => resourceLimits?.maxYoungGenerationSizeMb)

  it("the store's", async () => {
    const dir = mkdtempSync(join(tmpdir(), 'hookpulse-'))
    const store = await openSqlite(dir)({ ended: () => undefined })
    expect(bounds()).toEqual([THREAD_YOUNG_HEAP_MB, THREAD_YOUNG_HEAP_MB])
    await store.close()
    rmSync(dir, { recursive: true })
  })

  it("dispatch's and ingest's", async () => {
    const dispatch = openDispatchPool({ world: new RealWorld(), settings, threads: 1, failed: () => undefined })
    await dispatch.startCarrier({ reported: () => undefined, ended: () => undefined })
    const ingest = await ingestThread(policy)({ ended: () => undefined })
    expect(bounds()).toEqual([THREAD_YOUNG_HEAP_MB, THREAD_YOUNG_HEAP_MB])
    await ingest.close()
    await dispatch.close()
  })

  it("main's, by the commands that start it: V8 takes three semi-spaces for a young generation, and one helper for all", () => {
    const { scripts } = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'))
    const flags = [`--max-semi-space-size=${THREAD_YOUNG_HEAP_MB / 3}`, `--v8-pool-size=${V8_HELPERS}`]
    for (const command of [scripts.start, scripts.hookpulse]) expect(command).toContain(flags.join(' '))
    const installed = readFileSync(new URL('../../../bin/hookpulse.js', import.meta.url), 'utf8')
    expect(installed).toContain(`[${flags.map((flag) => `'${flag}'`).join(', ')}]`)
  })
})
