/** WORK: dispatch threads that hang, die, lie or lose things. Real threads, real receivers. */
import { setImmediate } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import { CARRIER_HANG_MS } from '#config/limits.ts'
import type { AttemptOrder, Carrier, Dispatch } from '#dispatch/dispatch.ts'
import { OwnTargets } from '#dispatch/own-targets.ts'
import { openDispatchPool } from '#dispatch/pool.ts'
import { LOCAL_SETTINGS, orderFor, Reports } from '#test/support/dispatching.ts'
import { Receiver } from '#test/support/receiver.ts'
import { deniedListener } from '#webhook/address.ts'
import { RealWorld } from '#world/real-world.ts'

const HURT_WORKER = import.meta.resolve('#test/support/hurt-worker.ts')
const cleanups: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

interface Stage {
  readonly pool: Dispatch
  readonly receiver: Receiver
  readonly errors: Error[]
  start(): Promise<Started>
}
interface Started {
  readonly carrier: Carrier
  readonly reports: Reports
  readonly ended: Promise<{ readonly reason: string; readonly atMono: number }>
}
const stage = async (threads = 1, worker: string | null = HURT_WORKER): Promise<Stage> => {
  const receiver = await Receiver.start()
  const errors: Error[] = []
  const pool = openDispatchPool({
    world: new RealWorld(),
    settings: LOCAL_SETTINGS,
    threads,
    failed: (error) => errors.push(error),
    ...(worker === null ? {} : { worker }),
  })
  cleanups.push(
    () => receiver.stop(),
    () => pool.close(),
  )
  return { pool, receiver, errors, start: () => startCarrier(pool) }
}
const startCarrier = async (pool: Dispatch): Promise<Started> => {
  const reports = new Reports()
  let end: (ended: { reason: string; atMono: number }) => void = () => {}
  const ended = new Promise<{ reason: string; atMono: number }>((resolve) => {
    end = resolve
  })
  const carrier = await pool.startCarrier({
    reported: reports.add,
    ended: (reason) => end({ reason, atMono: performance.now() }),
  })
  return { carrier, reports, ended }
}
const hurting = (url: string, hurt: string, timeoutMs = 500): AttemptOrder =>
  orderFor(url, { headers: [['x-hurt', hurt]], timeoutMs })

describe('a dispatch session', () => {
  it('takes attempts in groups and reports them, each once', async () => {
    const { receiver, start } = await stage(1, null)
    const { carrier, reports } = await start()
    const orders = Array.from({ length: 300 }, (_, i) => orderFor(`${receiver.url}/${i % 7}`, { body: 'b'.repeat(i) }))
    carrier.dispatch(orders.slice(0, 100))
    carrier.dispatch(orders.slice(100))
    await reports.until(() => reports.all.length === 300)
    expect(new Set(reports.all.map(({ attemptId }) => attemptId))).toEqual(
      new Set(orders.map(({ attemptId }) => attemptId)),
    )
    expect(reports.all.every(({ outcome }) => outcome.kind === 'response' && outcome.status === 200)).toBe(true)
    const bodies = new Map(receiver.arrivals.map(({ id, body }) => [id, body.length]))
    for (const [i, order] of orders.entries()) expect(bodies.get(order.webhookId)).toBe(i)
  })

  it('is as wide as the node allows with one thread', async () => {
    const { pool } = await stage(1, null)
    expect(pool.capacity * pool.carriers).toBe(4_096)
  })

  it('WORK-05: aborts one attempt of many', async () => {
    const { receiver, start } = await stage(1, null)
    receiver.script = () => ({ hold: true })
    const { carrier, reports } = await start()
    const orders = Array.from({ length: 10 }, () => orderFor(receiver.url))
    carrier.dispatch(orders)
    await receiver.untilArrived(10)
    const cancelled = orders[4] ?? expect.fail()
    carrier.abort([cancelled.attemptId, 'unknown.1'])
    expect(await reports.of(cancelled)).toMatchObject({ outcome: { kind: 'error', error: 'in_doubt' }, sent: true })
    await receiver.until(() => receiver.open === 9)
    receiver.release()
    await reports.until(() => reports.all.length === 10)
    expect(reports.all.filter(({ outcome }) => outcome.kind === 'response')).toHaveLength(9)
  })

  it('aborts what was handed over in the same turn', async () => {
    const { receiver, start } = await stage(1, null)
    receiver.script = () => ({ hold: true })
    const { carrier, reports } = await start()
    const order = orderFor(receiver.url)
    carrier.dispatch([order])
    carrier.abort([order.attemptId])
    expect(await reports.of(order)).toMatchObject({ outcome: { error: 'in_doubt' } })
  })

  it('closes with all its threads and sockets', async () => {
    const { pool, receiver, start } = await stage(2, null)
    receiver.script = () => ({ hold: true })
    const both = [await start(), await start()]
    for (const { carrier } of both) carrier.dispatch([orderFor(receiver.url)])
    await receiver.untilArrived(2)
    await pool.close()
    await receiver.until(() => receiver.open === 0)
    for (const { ended } of both) expect((await ended).reason).toBe('closed')
    await expect(pool.startCarrier({ reported: () => {}, ended: () => {} })).rejects.toThrow('closed')
    await pool.close()
  })
})

describe("the daemon's own listeners", () => {
  it('are not called any more as soon as they are known, by live threads and by new ones', async () => {
    const receiver = await Receiver.start()
    const own = new OwnTargets()
    const pool = openDispatchPool({
      world: new RealWorld(),
      settings: LOCAL_SETTINGS,
      threads: 1,
      failed: () => {},
      own,
    })
    cleanups.push(
      () => receiver.stop(),
      () => pool.close(),
    )
    const { carrier, reports } = await startCarrier(pool)
    const before = orderFor(receiver.url)
    carrier.dispatch([before])
    expect(await reports.of(before)).toMatchObject({ outcome: { status: 200 } })
    own.set(deniedListener('0.0.0.0', receiver.port, []))
    const next = await startCarrier(pool)
    for (const live of [{ carrier, reports }, next]) {
      const order = orderFor(receiver.url)
      live.carrier.dispatch([order])
      expect(await live.reports.of(order)).toMatchObject({ outcome: { error: 'blocked_target' }, sent: false })
    }
    expect(receiver.arrivals).toHaveLength(1)
  })
})

describe('WORK-01: a thread that hangs', () => {
  it('is ended at most two seconds past its oldest deadline; other threads go on', async () => {
    const { receiver, start } = await stage(2)
    const [hung, sound] = [await start(), await start()]
    receiver.script = () => ({ hold: true })
    const bystander = orderFor(receiver.url, { timeoutMs: 10_000 })
    hung.carrier.dispatch([bystander])
    await receiver.untilArrived(1)
    receiver.script = () => ({})
    const deadlineMono = performance.now() + 500
    hung.carrier.dispatch([hurting(receiver.url, 'loop', 500)])
    const lateness: number[] = []
    let over = false
    const probe = (async () => {
      while (!over) {
        const order = orderFor(receiver.url)
        const startMono = performance.now()
        sound.carrier.dispatch([order])
        expect(await sound.reports.of(order)).toMatchObject({ outcome: { status: 200 } })
        lateness.push(performance.now() - startMono)
      }
    })()
    const { reason, atMono } = await hung.ended
    over = true
    await probe
    expect(reason).toBe('hung')
    expect(atMono - deadlineMono).toBeGreaterThan(0)
    expect(atMono - deadlineMono).toBeLessThan(CARRIER_HANG_MS + 500)
    expect(hung.reports.all).toEqual([])
    expect(lateness.length).toBeGreaterThan(10)
    expect(Math.max(...lateness), 'nobody waited for the hung one').toBeLessThan(CARRIER_HANG_MS)
    await receiver.until(() => receiver.open === 0)
  })
})

describe('WORK-02: a thread that dies', () => {
  it.each([
    ['exit', /exit code 3/],
    ['throw', /thrown in the thread/],
    ['reject', /rejected in the thread/],
  ])('by %s ends its carrier once it has exited; the next one starts', async (hurt, reason) => {
    const { receiver, start, errors } = await stage()
    const first = await start()
    first.carrier.dispatch([hurting(receiver.url, hurt)])
    expect((await first.ended).reason).toMatch(reason)
    const second = await start()
    const order = orderFor(receiver.url)
    second.carrier.dispatch([order])
    expect(await second.reports.of(order)).toMatchObject({ outcome: { status: 200 } })
    expect(errors).toEqual([])
  })

  it('D-8: says so only when the receivers have seen its sockets close', async () => {
    const { receiver, start } = await stage()
    receiver.script = () => ({ hold: true })
    for (let round = 0; round < 5; round++) {
      const { carrier, ended } = await start()
      carrier.dispatch(Array.from({ length: 20 }, () => orderFor(receiver.url)))
      await receiver.until(() => receiver.open === 20)
      carrier.dispatch([hurting(receiver.url, 'exit')])
      await ended
      await receiver.until(() => receiver.open === 0)
    }
    expect(receiver.openMax).toBe(20)
  })
})

describe('WORK-03: a thread without memory', () => {
  it('filled by small arrays up to its limit ends its carrier with all that it held, not the process and no other thread', async () => {
    const { receiver, start, errors } = await stage(2)
    const [first, other] = [await start(), await start()]
    receiver.script = () => ({ hold: true })
    const [beside, elsewhere] = [orderFor(receiver.url), orderFor(receiver.url)]
    first.carrier.dispatch([beside])
    other.carrier.dispatch([elsewhere])
    await receiver.untilArrived(2)
    first.carrier.dispatch([hurting(receiver.url, 'memory', 30_000)])
    // Node's ERR_WORKER_OUT_OF_MEMORY.
    expect((await first.ended).reason).toMatch(/terminated due to reaching memory limit/)
    expect(first.reports.all, 'what it held is in doubt: nobody reports it').toEqual([])
    await receiver.until(() => receiver.open === 1)
    receiver.script = () => ({})
    receiver.release()
    expect(await other.reports.of(elsewhere)).toMatchObject({ outcome: { status: 200 } })
    const second = await start()
    const order = orderFor(receiver.url)
    second.carrier.dispatch([order])
    expect(await second.reports.of(order)).toMatchObject({ outcome: { status: 200 } })
    expect(errors).toEqual([])
  })
})

describe('WORK-07: messages lost, unknown, malformed', () => {
  it.each(['malformed', 'no-buffer'])('%s ends that thread, nothing throws here', async (hurt) => {
    const { receiver, start } = await stage()
    const { carrier, ended } = await start()
    carrier.dispatch([hurting(receiver.url, hurt)])
    expect((await ended).reason).toMatch(/malformed/)
  })
  it('a report of an attempt that it was not given is dropped', async () => {
    const { receiver, start } = await stage()
    const { carrier, reports } = await start()
    carrier.dispatch([hurting(receiver.url, 'unknown', 30_000)])
    // In a frame of its own: the hurt one is swallowed.
    await setImmediate()
    const order = orderFor(receiver.url)
    carrier.dispatch([order])
    expect(await reports.of(order)).toMatchObject({ outcome: { status: 200 } })
    expect(reports.all).toHaveLength(1)
    expect(carrier).toMatchObject({ strays: 1 })
  })
  it('a report that comes twice is taken once, and the other one counted', async () => {
    const { receiver, start } = await stage()
    const { carrier, reports } = await start()
    const doubled = hurting(receiver.url, 'twice', 30_000)
    carrier.dispatch([doubled])
    await setImmediate()
    const order = orderFor(receiver.url)
    carrier.dispatch([order])
    expect(await reports.of(order)).toMatchObject({ outcome: { status: 200 } })
    expect(reports.all.map(({ attemptId }) => attemptId)).toEqual([doubled.attemptId, order.attemptId])
    expect(carrier).toMatchObject({ strays: 1 })
  })
  it('a lost report ends a thread that lives, long past the deadline', async () => {
    const { receiver, start } = await stage()
    const { carrier, reports, ended } = await start()
    carrier.dispatch([hurting(receiver.url, 'silent', 100)])
    expect((await ended).reason).toBe('silent past a deadline')
    expect(reports.all).toEqual([])
  })
})
