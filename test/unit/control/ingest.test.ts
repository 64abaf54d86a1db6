import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { FrameBox, ingest, ingestActor } from '#actors/ingest.ts'
import type { Caller } from '#control/caller.ts'
import { packHeads, unpackHeads } from '#control/heads.ts'
import type { Ingest, IngestedFrame, IngestedItem } from '#control/ingest.ts'
import { nestsDeeperThan } from '#control/json-depth.ts'
import type { Head } from '#control/new-webhook.ts'
import type { IngestLoad } from '#overload/ingest-load.ts'
import { INGEST_LOAD_TABLE, ONE } from '#overload/tables.ts'
import type { Behaviour } from '#runtime/behaviour.ts'
import { keep, ok } from '#runtime/behaviour.ts'
import { Runtime } from '#runtime/runtime.ts'
import { VirtualWorld } from '#world/virtual-world.ts'

const MIB = 1_048_576
const brand = (name: string): Caller => ({ role: 'brand', keyId: name, brand: name })

const appendOf = (rows: number): IngestedItem => ({
  kind: 'append',
  id: 1,
  many: true,
  rows: new Uint8Array(0),
  heads: {
    ids: '',
    idChars: 0,
    nextAt: new Float64Array(rows),
    expiresAt: new Float64Array(rows),
    kinds: [],
    kindOf: new Uint16Array(rows),
  },
  brands: [],
  predict: false,
  at: 0,
})

/** A thread that answers when the test says so. */
class HandThread implements Ingest {
  readonly reading: {
    readonly brand: string | null
    readonly done: (rows?: number) => void
    readonly fail: () => void
  }[] = []
  closed = 0
  read(job: { readonly caller: Caller }): Promise<IngestedFrame> {
    return new Promise((resolve, reject) => {
      this.reading.push({
        brand: job.caller.brand,
        done: (rows = 0) => resolve({ batch: false, items: rows === 0 ? [] : [appendOf(rows)] }),
        fail: () => reject(new Error('the thread is gone')),
      })
    })
  }
  async close(): Promise<void> {
    this.closed += 1
  }
}

type Listening = {
  readonly call: never
  readonly cast: never
  readonly info: { readonly type: 'ingest-full' | 'ingest-free' }
  readonly continue: never
}
const listening = (heard: string[]): Behaviour<Listening, null, null> => ({
  name: 'listening',
  version: 1,
  init: () => ok(null),
  info: (message) => {
    heard.push(message.type)
    return keep
  },
})

const stage = async () => {
  const world = new VirtualWorld({ seed: 1 })
  const runtime = new Runtime(world, { safeMessages: true })
  const threads: HandThread[] = []
  const start = async (): Promise<Ingest> => {
    const thread = new HandThread()
    threads.push(thread)
    return thread
  }
  const started = runtime.start(ingestActor, { start }, { name: ingest })
  const heard: string[] = []
  const session = runtime.start(listening(heard), null)
  await world.settle()
  await started
  const answer = await session
  if (!answer.ok) throw new Error('no session')
  const thread = threads[0]
  if (thread === undefined) throw new Error('no thread')
  const read = (caller: Caller, bytes: number): Promise<unknown> => {
    const box = new FrameBox(new Uint8Array(bytes), 0)
    return runtime
      .call(ingest, { type: 'read', box, caller, now: 0, session: answer.pid })
      .catch((reason: unknown) => reason)
  }
  return { world, runtime, thread, threads, heard, read }
}

describe('the ingest actor', () => {
  it('lets brands take turns, whatever one of them sends (D-19)', async () => {
    const { world, thread, read } = await stage()
    for (let i = 0; i < 5; i++) void read(brand('flood'), 10)
    void read(brand('quiet'), 10)
    for (let done = 0; done < 6; done++) {
      await world.settle()
      thread.reading[done]?.done()
    }
    await world.settle()
    expect(thread.reading.map((one) => one.brand)).toEqual(['flood', 'flood', 'flood', 'quiet', 'flood', 'flood'])
  })

  it('holds the sockets of a brand beyond 24 MiB, and lets them go when it is below', async () => {
    const { world, thread, heard, read } = await stage()
    for (let i = 0; i < 3; i++) void read(brand('a'), 10 * MIB)
    await world.settle()
    expect(heard).toEqual(['ingest-full'])
    thread.reading[0]?.done()
    await world.settle()
    expect(heard).toEqual(['ingest-full', 'ingest-free'])
  })

  it('holds everybody beyond 96 MiB in all', async () => {
    const { world, heard, read } = await stage()
    for (let i = 0; i < 10; i++) void read(brand(`b${i}`), 10 * MIB)
    await world.settle()
    expect(heard).toEqual(['ingest-full'])
  })

  it('shows the door what waits to be read, and how many webhooks such frames held (LOAD-01)', async () => {
    const { world, runtime, thread, read } = await stage()
    void read(brand('a'), 10_000)
    void read(brand('b'), 20_000)
    await world.settle()
    const shown = (): IngestLoad | undefined => runtime.table<string, IngestLoad>(INGEST_LOAD_TABLE).get(ONE)
    expect(shown()).toEqual({ heldBytes: 30_000, rowsPerByte: 0 })
    thread.reading[0]?.done(500)
    await world.settle()
    expect(shown()).toEqual({ heldBytes: 20_000, rowsPerByte: 0.05 })
    thread.reading[1]?.done(2_000)
    await world.settle()
    expect(shown()?.heldBytes).toBe(0)
    expect(shown()?.rowsPerByte).toBeCloseTo(0.06)
  })

  it('closes the thread with itself, and tells who asks', async () => {
    const { world, runtime, thread, read } = await stage()
    const answer = read(brand('a'), 10)
    await world.settle()
    thread.reading[0]?.fail()
    await world.settle()
    expect(String(await answer)).toContain('the thread is gone')
    expect(thread.closed).toBe(1)
    expect(runtime.whereis(ingest)).toBeNull()
  })
})

describe('heads of a batch', () => {
  it('come out as they went in', () => {
    const head = (i: number): Head => ({
      id: `msg_${String(i).padStart(26, '0')}`,
      nextAt: 1_800_000_000_000 + i,
      brand: i % 2 === 0 ? 'a' : 'b',
      domain: `d${i % 3}`,
      priority: i % 5 === 0 ? 'high' : 'normal',
      attempts: 0,
      timeoutMs: i % 7 === 0 ? 100 : 30_000,
      expiresAt: i % 4 === 0 ? 1_900_000_000_000 + i : null,
    })
    const heads = Array.from({ length: 500 }, (_, i) => head(i))
    const packed = packHeads(heads)
    expect(unpackHeads(packed)).toEqual(heads)
    expect(packed.kinds.length).toBeLessThan(200)
    expect(unpackHeads(packHeads([]))).toEqual([])
  })
})

describe('nesting', () => {
  const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
  it('is counted without parsing, and not inside strings', () => {
    expect(nestsDeeperThan(bytes('[[1]]'), 2)).toBe(false)
    expect(nestsDeeperThan(bytes('[[[1]]]'), 2)).toBe(true)
    expect(nestsDeeperThan(bytes('{"a":{"b":[1]}}'), 3)).toBe(false)
    expect(nestsDeeperThan(bytes('["[[[[", "\\"[[["]'), 1)).toBe(false)
    expect(nestsDeeperThan(bytes('["\\\\", [[1]]]'), 2)).toBe(true)
    expect(nestsDeeperThan(bytes('[1],[1],[1]'), 1)).toBe(false)
    expect(nestsDeeperThan(bytes('"never ends [[['), 1)).toBe(false)
  })
  it('is counted behind strings of every length, with escaped quotes wherever they stand', () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom('x', 'xxxxxxxxxxxxxxxxxxxx', '"', '\\', '[[['), { maxLength: 60 }),
        (parts) => {
          const text = JSON.stringify([parts.join(''), [1]])
          expect(nestsDeeperThan(bytes(text), 1)).toBe(true)
          expect(nestsDeeperThan(bytes(text), 2)).toBe(false)
        },
      ),
    )
  })
  it('of a hundred thousand levels is found at once', () => {
    expect(nestsDeeperThan(bytes('['.repeat(100_000)), 32)).toBe(true)
  })
})
