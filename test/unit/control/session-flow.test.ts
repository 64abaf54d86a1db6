import { describe, expect, it } from 'vitest'
import { BRANDS_TABLE, KEYS_TABLE } from '#actors/backend.ts'
import { CONTROL_TABLES } from '#actors/control.ts'
import { FEW } from '#actors/mailboxes.ts'
import { scheduler } from '#actors/scheduler.ts'
import type { SessionShared } from '#actors/session/state.ts'
import { sessionActor } from '#actors/session.ts'
import {
  NEWS_WAITING_MAX,
  REFUSED_REST_MS,
  REQUESTS_AGAIN_MS,
  REQUESTS_NODE_MAX,
  STORE_WAITING_ROWS_MAX,
} from '#config/limits.ts'
import { AuthThrottle } from '#control/auth-throttle.ts'
import type { Host } from '#control/backend.ts'
import type { Caller } from '#control/caller.ts'
import { Gate } from '#control/gate.ts'
import { WebhookReader } from '#control/new-webhook.ts'
import type { Transport, TransportEvents } from '#control/transport.ts'
import type { IngestLoad } from '#overload/ingest-load.ts'
import { newStoreLoad, type StoreLoad, took } from '#overload/store-load.ts'
import {
  INGEST_LOAD_TABLE,
  ONE,
  OVERLOAD_TABLE,
  REQUESTS_TABLE,
  type RequestsRow,
  STORE_LOAD_TABLE,
} from '#overload/tables.ts'
import { type Behaviour, keep, ok } from '#runtime/behaviour.ts'
import type { From } from '#runtime/from.ts'
import { type Call, type Name, name } from '#runtime/protocol.ts'
import { Runtime } from '#runtime/runtime.ts'
import { supervisor, supervisorSpec } from '#runtime/supervisor.ts'
import type { Append, Appended, StoredKey } from '#store/store.ts'
import { EventHub } from '#telemetry/event-hub.ts'
import { Feed } from '#telemetry/feed.ts'
import { Monitor } from '#telemetry/monitor.ts'
import { WebhookIds } from '#webhook/id.ts'
import { VirtualWorld } from '#world/virtual-world.ts'

const versioned = (request: object): object =>
  Array.isArray(request) ? request.map(versioned) : { jsonrpc: '2.0', ...request }

/** A client in the test's hand. */
class HandTransport implements Transport {
  readonly address = 'test'
  readonly oneShot = false
  readonly frames: Uint8Array[] = []
  readonly sent: string[] = []
  readonly closes: number[] = []
  terminated = 0
  paused = false
  unread = 0
  pongs = true
  #events: TransportEvents | null = null
  attach(events: TransportEvents): void {
    this.#events = events
  }
  say(...requests: readonly object[]): void {
    const waited = this.frames.length > 0
    for (const request of requests) this.frames.push(Buffer.from(JSON.stringify(versioned(request))))
    if (!waited) this.#events?.frames()
  }
  take(): Uint8Array | undefined {
    return this.frames.shift()
  }
  pause(): void {
    this.paused = true
  }
  resume(): void {
    this.paused = false
  }
  send(texts: readonly string[]): void {
    this.sent.push(...texts)
  }
  buffered(): number {
    return this.unread
  }
  ping(): boolean {
    return this.pongs
  }
  close(code: number): void {
    this.closes.push(code)
  }
  terminate(): void {
    this.terminated += 1
  }
}

type Standing = {
  readonly call: Call<
    { readonly type: 'schedule'; readonly append: Append; readonly heads: readonly { readonly id: string }[] },
    Appended
  >
  readonly cast: { readonly type: 'answer' }
  readonly info: never
  readonly continue: never
}
const standIn: Name<Standing> = name(scheduler)
interface Held {
  readonly from: From<Appended>
  readonly ids: readonly string[]
}
const answerOf = ({ ids }: Held): Appended => ({
  ok: true,
  ids,
  seqs: ids.map((_, i) => i + 1),
  duplicates: ids.map(() => false),
})

const stage = async () => {
  const world = new VirtualWorld({ seed: 3 })
  const runtime = new Runtime(world, { safeMessages: true })
  const held: Held[] = []
  const groups: number[] = []
  const standing: Behaviour<Standing, null, null> = {
    name: 'standing-scheduler',
    version: 1,
    init: () => ok(null),
    call: {
      schedule: ({ heads }, from) => {
        groups.push(heads.length)
        held.push({ from, ids: heads.map(({ id }) => id) })
        return keep
      },
    },
    cast: {
      answer: (_message, _state, ctx) => {
        for (const one of held.splice(0)) ctx.reply(one.from, answerOf(one))
        return keep
      },
    },
  }
  const tables = supervisorSpec({
    id: 'tables',
    name: 'tables',
    flags: { strategy: 'one_for_one', intensity: 1, periodMs: 1_000 },
    tables: [...CONTROL_TABLES, OVERLOAD_TABLE, STORE_LOAD_TABLE, INGEST_LOAD_TABLE],
    children: [],
  })
  const started = [
    runtime.start(standing, null, { name: scheduler }),
    runtime.start(
      supervisor,
      { flags: { strategy: 'one_for_one', intensity: 1, periodMs: 1_000 }, children: [tables] },
      { name: 'root' },
    ),
  ]
  await world.settle()
  await Promise.all(started)
  runtime.table<string, true>(BRANDS_TABLE).set('default', true)
  const stored: StoredKey = {
    keyId: 'k',
    digest: new Uint8Array(32),
    role: 'admin',
    brand: null,
    createdAt: 0,
    expiresAt: null,
    revokedAt: null,
  }
  runtime.table<string, StoredKey>(KEYS_TABLE).set('k', stored)
  const events = new EventHub((error) => {
    throw error
  })
  const feed = new Feed(world.wallNow())
  feed.listen(events)
  const host: Host = {
    version: '0',
    node: 'v0',
    processId: 1,
    startedAt: 0,
    store: 'none',
    tree: () => null,
    isRoot: () => false,
    kill: () => null,
    stopping: () => false,
    notReady: () => null,
  }
  const keys = { get: () => undefined }
  const shared: SessionShared = {
    gate: new Gate({ keys, throttle: new AuthThrottle(), origins: new Set(), world }),
    reader: new WebhookReader({ allowPrivate: true, allowTargets: [], denyTargets: [] }),
    ids: new WebhookIds(),
    monitor: new Monitor(),
    feed,
    host,
  }
  const caller: Caller = { role: 'admin', keyId: 'k', brand: null }
  const transport = new HandTransport()
  const session = runtime.start(sessionActor, { transport, caller, shared })
  await world.settle()
  const answer = await session
  if (!answer.ok) throw new Error('no session')
  const schedule = (id: number): object => ({ id, method: 'scheduleWebhook', params: { url: 'http://10.0.0.1:8080/' } })
  const release = async (): Promise<void> => {
    runtime.cast(standIn, { type: 'answer' })
    await world.settle()
  }
  const restarted = (name: string): void =>
    events.emit({ type: 'process.restarted', at: world.wallNow(), name, pid: 1, supervisor: 'root', reason: 'test' })
  const node = runtime.table<string, RequestsRow>(REQUESTS_TABLE).get(ONE) ?? expect.fail('no row of requests')
  return { world, runtime, transport, groups, schedule, release, restarted, node, pid: answer.pid }
}

describe('the flow of a session', () => {
  it('makes one append of all single calls that were read together', async () => {
    const { world, transport, groups, schedule, release } = await stage()
    transport.say(schedule(1), schedule(2), schedule(3))
    await world.settle()
    expect(groups).toEqual([3])
    await release()
    expect(transport.sent.map((text) => JSON.parse(text).id)).toEqual([1, 2, 3])
  })

  it('holds at most 64 requests, pauses the socket meanwhile, and reads on when they are answered (REL-C7)', async () => {
    const { world, transport, groups, schedule, release } = await stage()
    transport.say(...Array.from({ length: 100 }, (_, i) => schedule(i)))
    await world.settle()
    expect([groups, transport.paused, transport.frames.length]).toEqual([[64], true, 36])
    await release()
    expect([groups, transport.paused, transport.frames.length]).toEqual([[64, 36], false, 0])
    await release()
    expect(transport.sent).toHaveLength(100)
  })

  it('refuses unread what the store has no room for, with what waits to be read, and rests before it reads on (LOAD-01)', async () => {
    const { world, runtime, transport } = await stage()
    const load = newStoreLoad()
    took(load.large, STORE_WAITING_ROWS_MAX - 1_500, 1)
    runtime.table<string, StoreLoad>(STORE_LOAD_TABLE).set(ONE, load)
    const reading: IngestLoad = { heldBytes: 0, rowsPerByte: 1_000 / 20_000 }
    runtime.table<string, IngestLoad>(INGEST_LOAD_TABLE).set(ONE, reading)
    const large = (id: number) => ({
      id,
      method: 'scheduleWebhooks',
      params: { webhooks: [{ url: 'http://10.0.0.1:8080/', body: 'x'.repeat(20_000) }] },
    })
    const refusals = (): readonly string[] => transport.sent.filter((text) => text.includes('RESOURCE_EXHAUSTED'))
    // A thousand fit, so this one goes to be read (there is nobody here who reads it).
    transport.say(large(1))
    await world.settle()
    expect([refusals(), transport.paused]).toEqual([[], false])
    // Two thousand do not.
    reading.heldBytes = 20_000
    transport.say(large(2), large(3))
    await world.settle()
    expect(refusals()).toEqual([expect.stringMatching(/"id":2,.*"retryAfterMs":\d/)])
    expect([transport.paused, transport.frames.length]).toEqual([true, 1])
    await world.advance(REFUSED_REST_MS)
    expect(refusals()).toHaveLength(2)
    reading.heldBytes = 0
    await world.advance(REFUSED_REST_MS)
    expect(transport.paused).toBe(false)
  })

  it('SUPV-04: leaves in its socket what it would ask while the node has its bound of requests to answer; who asks nothing else is read up to twice that', async () => {
    const { world, transport, groups, schedule, release, node } = await stage()
    const others = (count: number): void => {
      node.inFlight = count
    }
    others(REQUESTS_NODE_MAX)
    transport.say(schedule(1), schedule(2))
    await world.settle()
    expect([groups, transport.paused, node.inFlight]).toEqual([[1], true, REQUESTS_NODE_MAX + 1])
    await release()
    expect([groups, node.inFlight], 'its own is answered, so it is read on').toEqual([[1, 1], REQUESTS_NODE_MAX + 1])
    await release()
    others(2 * REQUESTS_NODE_MAX)
    transport.say(schedule(3))
    await world.advance(10 * REQUESTS_AGAIN_MS)
    expect([groups, transport.paused]).toEqual([[1, 1], true])
    others(0)
    await world.advance(REQUESTS_AGAIN_MS)
    await release()
    expect([groups, transport.paused, node.inFlight]).toEqual([[1, 1, 1], false, 0])
  })

  it('SUPV-04: counts each request of a batch as one that the node answers, and none of a session that has ended', async () => {
    const { world, runtime, transport, schedule, node, pid } = await stage()
    transport.say(Array.from({ length: 100 }, (_, i) => schedule(i)))
    await world.settle()
    expect(node.inFlight).toBe(100)
    runtime.exit(pid, 'kill')
    await world.settle()
    expect(node.inFlight).toBe(0)
  })

  it('SUPV-04: a flood of events is one message in the mailbox, and keeps the newest: the oldest are dropped, and the gap is told', async () => {
    const { world, runtime, transport, restarted, pid } = await stage()
    transport.say({ id: 1, method: 'subscribe', params: { topics: ['supervision'] } })
    await world.settle()
    for (let n = 1; n <= 3 * NEWS_WAITING_MAX; n++) restarted(`n${n}`)
    expect(runtime.processInfo(pid)?.mailbox).toBe(1)
    await world.settle()
    const events = transport.sent.slice(1).map((text) => JSON.parse(text).params)
    expect(events).toHaveLength(NEWS_WAITING_MAX)
    const told = events.map(({ data, gap }) => [data.name, gap])
    expect(told.slice(0, 2)).toEqual([
      [`n${2 * NEWS_WAITING_MAX + 1}`, true],
      [`n${2 * NEWS_WAITING_MAX + 2}`, undefined],
    ])
    expect(told.at(-1)).toEqual([`n${3 * NEWS_WAITING_MAX}`, undefined])
  })

  it('SUPV-04: more messages than a session declares end it, and its socket with it', async () => {
    const { world, runtime, transport, node, pid } = await stage()
    for (let n = 0; n <= FEW.max; n++) runtime.send(pid, { type: 'flood' })
    await world.settle()
    expect([runtime.processInfo(pid), transport.terminated, node.inFlight]).toEqual([null, 1, 0])
  })

  it('counts a batch as one', async () => {
    const { world, transport, groups, schedule, release } = await stage()
    const batch = Array.from({ length: 100 }, (_, i) => schedule(i))
    transport.say(batch, schedule(1))
    await world.settle()
    transport.say(schedule(2))
    await world.settle()
    await release()
    expect(groups.reduce((sum, count) => sum + count, 0)).toBe(102)
    expect(transport.paused).toBe(false)
  })

  it('reads nothing while its answers are not taken, and goes on when they are', async () => {
    const { world, transport, groups, schedule, release } = await stage()
    transport.say(schedule(1))
    await world.settle()
    transport.unread = 2_000_000
    await release()
    transport.say(schedule(2))
    await world.settle()
    expect([groups, transport.paused]).toEqual([[1], true])
    transport.unread = 0
    await world.advance(1_100)
    expect([groups, transport.paused]).toEqual([[1, 1], false])
  })

  it('lets go of a client that takes nothing for 30 s, or leaves 4 MiB standing', async () => {
    const patient = await stage()
    patient.transport.unread = 2_000_000
    patient.transport.say(patient.schedule(1))
    await patient.world.settle()
    await patient.world.advance(29_000)
    expect(patient.transport.terminated).toBe(0)
    await patient.world.advance(3_000)
    expect(patient.transport.terminated).toBeGreaterThan(0)
    const full = await stage()
    full.transport.unread = 5_000_000
    full.transport.say(full.schedule(1))
    await full.world.settle()
    await full.world.advance(1_500)
    expect(full.transport.terminated).toBeGreaterThan(0)
  })

  it('drops events for who does not read, and marks the gap', async () => {
    const { world, transport, restarted } = await stage()
    transport.say({ id: 1, method: 'subscribe', params: { topics: ['supervision'] } })
    await world.settle()
    restarted('a')
    await world.settle()
    transport.unread = 2_000_000
    restarted('b')
    await world.settle()
    restarted('c')
    await world.settle()
    transport.unread = 0
    await world.advance(1_100)
    restarted('d')
    await world.settle()
    const events = transport.sent.slice(1).map((text) => JSON.parse(text).params)
    expect(events.map(({ data, gap }) => [data.name, gap])).toEqual([
      ['a', undefined],
      ['b', undefined],
      ['d', true],
    ])
  })

  it('ends a socket that answers no ping (REL-C8)', async () => {
    const { world, transport } = await stage()
    await world.advance(30_500)
    expect(transport.terminated).toBe(0)
    transport.pongs = false
    await world.advance(30_500)
    expect(transport.terminated).toBe(1)
  })

  it('asks a scheduler that is being restarted again, and gives up after 10 s with a reason', async () => {
    const { world, runtime, transport, schedule } = await stage()
    runtime.exit(scheduler, 'kill')
    await world.settle()
    transport.say(schedule(1))
    await world.settle()
    await world.advance(9_000)
    expect(transport.sent).toEqual([])
    await world.advance(1_500)
    expect(JSON.parse(transport.sent[0] ?? '{}').error.data).toMatchObject({
      code: 'STORAGE_UNAVAILABLE',
      retryAfterMs: 1_000,
    })
  })

  it('says TIMEOUT, not that nothing was done, of what a scheduler had in hand when it died and nobody answers after', async () => {
    const { world, runtime, transport, schedule } = await stage()
    transport.say(schedule(1))
    await world.settle()
    runtime.exit(scheduler, 'kill')
    await world.settle()
    await world.advance(11_000)
    const { data } = JSON.parse(transport.sent[0] ?? '{}').error
    expect(data).toMatchObject({ code: 'TIMEOUT', message: expect.stringContaining('may have been done') })
  })

  it('says TIMEOUT when nobody answers', async () => {
    const { world, transport, schedule } = await stage()
    transport.say(schedule(1))
    await world.settle()
    await world.advance(10_100)
    expect(JSON.parse(transport.sent[0] ?? '{}').error.data.code).toBe('TIMEOUT')
  })

  it('closes its socket at any death of its own', async () => {
    const { world, runtime, transport, pid } = await stage()
    runtime.exit(pid, 'kill')
    await world.settle()
    expect(transport.terminated).toBe(1)
  })
})
