/** Domains by the thousand with a webhook each: their guards stop, lose nothing, and leave nothing behind. */
import { describe, expect, it } from 'vitest'
import { dispatchPool } from '#actors/dispatch-pool.ts'
import { scheduler } from '#actors/scheduler.ts'
import { CONDITIONS_KEPT_MAX, GUARD_IDLE_MS, GUARD_SWEEP_MS } from '#config/limits.ts'
import { CONDITIONS_KEPT_MS, newConditions, restore } from '#guard/conditions.ts'
import { CONDITIONS_TABLE, type ConditionsRow, GUARDS_TABLES, NODE_SUM, RATES_KNOWN_SINCE } from '#guard/tables.ts'
import { type Behaviour, ok } from '#runtime/behaviour.ts'
import type { Context } from '#runtime/context.ts'
import { VirtualDaemon } from '#test/support/virtual-daemon.ts'

const DOMAINS = 3_000
const domainOf = (n: number): string => `d${n}.example.com`

/** Keys of every table of the guards. */
const rowsOf = async (daemon: VirtualDaemon): Promise<readonly string[]> => {
  const rows: string[] = []
  await inside(daemon, (ctx) => {
    for (const table of GUARDS_TABLES)
      for (const [key] of ctx.table<string, unknown>(table).entries()) rows.push(`${table}: ${key}`)
  })
  return rows
}
/** In a process of its own, which sees the tables. */
const inside = async (daemon: VirtualDaemon, look: (ctx: Pick<Context, 'table' | 'world'>) => void): Promise<void> => {
  const peek: Behaviour<{ call: never; cast: never; info: never; continue: never }, null, null> = {
    name: 'peek',
    version: 1,
    init: (_args, ctx) => {
      look(ctx)
      return ok(null)
    },
  }
  await daemon.runtime.start(peek, null)
  await daemon.world.settle()
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

it('RECV-17: of 100,000 hosts that were called within minutes and are closed or failed, 5,000 are remembered, those that are closed for longest', async () => {
  const hosts = 100_000
  const daemon = new VirtualDaemon()
  await daemon.start()
  const remembered = async (): Promise<readonly string[]> => {
    const domains: string[] = []
    await inside(daemon, (ctx) => {
      for (const [domain] of ctx.table<string, ConditionsRow>(CONDITIONS_TABLE).entries()) domains.push(domain)
    })
    return domains
  }
  await inside(daemon, (ctx) => {
    const now = ctx.world.monoNow()
    const table = ctx.table<string, ConditionsRow>(CONDITIONS_TABLE)
    for (let n = 0; n < hosts; n++) {
      const row = newConditions()
      row.domain.lastAttemptMono = now
      // The first tenth is closed, the more so the lower its number; the others have failed.
      if (n < hosts / 10) restore(row, 'closed', null, 3_600_000 - n, now)
      else row.domain.breaker.recent.push(true, true, true)
      table.set(domainOf(n), row)
    }
  })
  // Any guard that ends sees that they are too many; it is not left to the next sweep.
  await daemon.schedule([{ domain: 'quick.example.com' }])
  await daemon.world.advance(GUARD_IDLE_MS + 100)
  expect(daemon.events.map(({ type }) => type)).toContain('guard.stopped')
  const left = new Set(await remembered())
  expect(left.size).toBe(CONDITIONS_KEPT_MAX)
  for (let n = 0; n < CONDITIONS_KEPT_MAX; n++) expect(left.has(domainOf(n))).toBe(true)
  // And their own sweep keeps it so.
  await inside(daemon, (ctx) => {
    const row = newConditions()
    restore(row, 'closed', null, 1_000_000, ctx.world.monoNow())
    ctx.table<string, ConditionsRow>(CONDITIONS_TABLE).set('soon.example.com', row)
  })
  await daemon.world.advance(GUARD_SWEEP_MS)
  expect((await remembered()).length).toBe(CONDITIONS_KEPT_MAX)
  expect((await remembered()).includes('soon.example.com')).toBe(false)
})
