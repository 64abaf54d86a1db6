/** The contract of `dispatch.ts`, over real threads with a real receiver and over the scripted network of the simulation. */
import { setTimeout } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import type { AttemptOrder, AttemptReport, Carrier, Dispatch } from '#dispatch/dispatch.ts'
import { FakeNetwork } from '#dispatch/fake.ts'
import { openDispatchPool } from '#dispatch/pool.ts'
import { LOCAL_SETTINGS, orderFor, Reports } from '#test/support/dispatching.ts'
import { Receiver } from '#test/support/receiver.ts'
import { RealWorld } from '#world/real-world.ts'

interface Ground {
  readonly dispatch: Dispatch
  /** Answered with 200 at once, with 503 and Retry-After, never. */
  order(kind: 'ok' | 'busy' | 'never', timeoutMs?: number): AttemptOrder
  /** Requests open at the receiver. */
  open(): number
  close(): Promise<void>
}
const RETRY_AFTER_MS = 7_000

const threads = async (): Promise<Ground> => {
  const receiver = await Receiver.start(({ path }) => {
    if (path === '/busy') return { status: 503, headers: { 'retry-after': '7' } }
    return path === '/never' ? { hold: true } : {}
  })
  const dispatch = openDispatchPool({ world: new RealWorld(), settings: LOCAL_SETTINGS, threads: 1, failed: () => {} })
  return {
    dispatch,
    order: (kind, timeoutMs = 5_000) => orderFor(`${receiver.url}/${kind}`, { timeoutMs }),
    open: () => receiver.open,
    close: () => dispatch.close().then(() => receiver.stop()),
  }
}
const fake = async (): Promise<Ground> => {
  const network = new FakeNetwork(new RealWorld(), (order) => {
    if (order.webhookId.startsWith('busy')) return { status: 503, retryAfterMs: RETRY_AFTER_MS }
    return order.webhookId.startsWith('never') ? { never: true } : {}
  })
  const dispatch = network.openDispatch()
  let count = 0
  return {
    dispatch,
    order: (kind, timeoutMs = 5_000) => {
      count += 1
      return orderFor('http://api.acme.com/', { timeoutMs, id: `${kind}${count}` })
    },
    open: () => network.open(),
    close: () => dispatch.close(),
  }
}

/** The receiver shares this process: where it was held up, it reads the close after the report. */
const closedAt = async (open: () => number): Promise<void> => {
  while (open() > 0) await setTimeout(1)
}

let ground: Ground | null = null
afterEach(async () => {
  await ground?.close()
  ground = null
})

describe.each([
  ['threads', threads],
  ['the scripted network', fake],
] as const)('Dispatch over %s', (_, open) => {
  const start = async () => {
    const opened = await open()
    ground = opened
    const reports = new Reports()
    const ends: string[] = []
    const inside: string[] = []
    let within = false
    const carrier: Carrier = await opened.dispatch.startCarrier({
      reported: (some: readonly AttemptReport[]) => {
        if (within) inside.push('reported')
        reports.add(some)
      },
      ended: (reason) => {
        if (within) inside.push('ended')
        ends.push(reason)
      },
    })
    /** Runs a method of the carrier and sees whether it called back inside. */
    const during = <T>(call: () => T): T => {
      within = true
      const result = call()
      within = false
      return result
    }
    return { ...opened, carrier, reports, ends, inside, during }
  }

  it('reports each order once, in groups, never inside a call', async () => {
    const { order, carrier, reports, inside, during } = await start()
    const orders = Array.from({ length: 50 }, () => order('ok'))
    during(() => carrier.dispatch(orders))
    await reports.until(() => reports.all.length === 50)
    expect(new Set(reports.all.map(({ attemptId }) => attemptId)).size).toBe(50)
    for (const report of reports.all) {
      expect(report).toMatchObject({ outcome: { kind: 'response', status: 200, retryAfterMs: null }, sent: true })
      expect(report.endedAt).toBeGreaterThanOrEqual(report.startedAt)
      expect(report.networkMs).toBeGreaterThanOrEqual(0)
    }
    expect(inside).toEqual([])
  })

  it('tells status and Retry-After of a refusal', async () => {
    const { order, carrier, reports } = await start()
    const busy = order('busy')
    carrier.dispatch([busy])
    expect(await reports.of(busy)).toMatchObject({
      outcome: { kind: 'response', status: 503, retryAfterMs: RETRY_AFTER_MS },
    })
  })

  it('ends an attempt at its deadline as a timeout, with nothing of it open', async () => {
    const { order, carrier, reports, open: isOpen } = await start()
    const never = order('never', 200)
    carrier.dispatch([never])
    const report = await reports.of(never)
    expect(report).toMatchObject({ outcome: { kind: 'error', error: 'timeout' }, sent: true })
    expect(report.networkMs).toBeGreaterThanOrEqual(200)
    await closedAt(isOpen)
  })

  it('aborts what it holds, reports it as in doubt, and ignores what it does not hold', async () => {
    const { order, carrier, reports, inside, during, open: isOpen } = await start()
    const [kept, aborted] = [order('ok'), order('never')]
    carrier.dispatch([aborted])
    while (isOpen() === 0) await setTimeout(1)
    during(() => carrier.abort([aborted.attemptId, 'msg_unknown.1']))
    expect(await reports.of(aborted)).toMatchObject({ outcome: { kind: 'error', error: 'in_doubt' }, sent: true })
    await closedAt(isOpen)
    carrier.abort([aborted.attemptId])
    carrier.dispatch([kept])
    expect(await reports.of(kept)).toMatchObject({ outcome: { status: 200 } })
    expect(reports.all).toHaveLength(2)
    expect(inside).toEqual([])
  })

  it('says its end once, after which nothing is open and nothing is reported', async () => {
    const { order, carrier, reports, ends, inside, during, open: isOpen } = await start()
    carrier.dispatch([order('never'), order('never')])
    while (isOpen() < 2) await setTimeout(1)
    await during(() => carrier.end())
    expect(ends).toHaveLength(1)
    await closedAt(isOpen)
    carrier.dispatch([order('ok')])
    carrier.abort(['msg_unknown.1'])
    await carrier.end()
    expect(ends).toHaveLength(1)
    expect(reports.all).toEqual([])
    expect(inside).toEqual([])
  })

  it('closes with all its carriers, and starts none any more', async () => {
    const { dispatch, order, carrier, ends, open: isOpen } = await start()
    const other: string[] = []
    await dispatch.startCarrier({ reported: () => {}, ended: (reason) => other.push(reason) })
    carrier.dispatch([order('never')])
    while (isOpen() === 0) await setTimeout(1)
    await dispatch.close()
    expect([ends.length, other.length]).toEqual([1, 1])
    await closedAt(isOpen)
    await expect(dispatch.startCarrier({ reported: () => {}, ended: () => {} })).rejects.toThrow('closed')
  })
})
