/** Domains by the thousand with a webhook each: their guards stop, lose nothing, and leave nothing behind. */
import { describe, expect, it } from 'vitest'
import { dispatchPool } from '#actors/dispatch-pool.ts'
import { scheduler } from '#actors/scheduler.ts'
import { CONDITIONS_KEPT_MS } from '#guard/conditions.ts'
import { GUARDS_TABLES, NODE_SUM, RATES_KNOWN_SINCE } from '#guard/tables.ts'
import { type Behaviour, ok } from '#runtime/behaviour.ts'
import { VirtualDaemon } from '#test/support/virtual-daemon.ts'

const DOMAINS = 3_000
const domainOf = (n: number): string => `d${n}.example.com`

/** Keys of every table of the guards. */
const rowsOf = async (daemon: VirtualDaemon): Promise<readonly string[]> => {
  const rows: string[] = []
  const peek: Behaviour<{ call: never; cast: never; info: never; continue: never }, null, null> = {
    name: 'peek',
    version: 1,
    init: (_args, ctx) => {
      for (const table of GUARDS_TABLES)
        for (const [key] of ctx.table<string, unknown>(table).entries()) rows.push(`${table}: ${key}`)
      return ok(null)
    },
  }
  await daemon.runtime.start(peek, null)
  await daemon.world.settle()
  return rows
}

describe(`${DOMAINS} domains with one webhook each`, () => {
  it('RECV-17: are all served, and some minutes later nothing of them is left but their limits: no breaker, rate, hold or figure', async () => {
    // Every kind of trace that a domain can leave: refusals, failures, rates, brands with limits, a death of the process.
    const daemon = new VirtualDaemon({
      safeMessages: false,
      script: ({ domain, attempt }) => {
        const n = Number(domain.slice(1, domain.indexOf('.')))
        if (attempt > 1) return {}
        return n % 5 === 0 ? { status: 429, retryAfterMs: 1_000 } : n % 7 === 0 ? { status: 500 } : { latencyMs: 40 }
      },
    })
    await daemon.start()
    for (let n = 0; n < 30; n += 1) await daemon.setLimit({ kind: 'rate', domain: domainOf(n), value: 5 })
    for (let n = 0; n < 30; n += 1) await daemon.setLimit({ kind: 'concurrency', brand: `b${n}`, value: 3 })
    const before = daemon.runtime.processes().length
    const retry = { maxAttempts: 5, backoff: 'fixed', initialDelayMs: 500, maxDelayMs: 500, jitter: 0 } as const
    await daemon.schedule(
      Array.from({ length: DOMAINS }, (_, n) => ({
        domain: domainOf(n),
        brand: `b${n % 60}`,
        inMs: n % 400,
        retry: { ...retry, inDoubt: 'retry' as const },
      })),
    )
    await daemon.world.advance(300)
    await daemon.crash()
    await daemon.start()
    await daemon.world.advance(20_000)
    expect(daemon.acknowledged.filter((id) => daemon.stateOf(id) !== 'delivered')).toEqual([])
    await daemon.world.advance(CONDITIONS_KEPT_MS + 60_000)
    expect(daemon.runtime.processes().length).toBeLessThanOrEqual(before)
    expect((await daemon.runtime.call(scheduler, { type: 'figures' })).guards).toBe(0)
    expect(await daemon.runtime.call(dispatchPool, { type: 'figures' })).toMatchObject({ inFlight: 0, queued: 0 })
    expect(await rowsOf(daemon)).toEqual(['groups: book', `rates: ${RATES_KNOWN_SINCE}`, `node-load: ${NODE_SUM}`])
  }, 60_000)
})
