/** The sequences of decisions.md that break a naive guard, each as a test. */
import { describe, expect, it } from 'vitest'
import { guardOf, holdPermits } from '#actors/guard.ts'
import {
  bookIn,
  CONDITIONS_TABLE,
  type ConditionsRow,
  FIGURES_TABLE,
  GROUPS_TABLE,
  HOLDS_TABLE,
  NODE_SUM,
  NODE_TABLE,
  type NodeLoad,
  putBook,
  RATES_TABLE,
} from '#guard/tables.ts'
import { type Behaviour, ok } from '#runtime/behaviour.ts'
import type { Context } from '#runtime/context.ts'
import { GuardStage, rateViolations } from '#test/support/guard-stage.ts'
import { type GroupBook, regroup } from '#webhook/domain-group.ts'
import type { Due, Outcome } from '#webhook/webhook.ts'

const API = 'api.example.com'
const respond = (status: number, retryAfterMs: number | null = null): Outcome => ({
  kind: 'response',
  status,
  retryAfterMs,
  excerpt: null,
})
const TIMEOUT: Outcome = { kind: 'error', error: 'timeout', detail: '' }

type PeekProtocol = { readonly call: never; readonly cast: never; readonly info: never; readonly continue: never }
/** Runs once inside a process of the stage: tables and casts are for processes. */
const inside = async (stage: GuardStage, run: (ctx: Context<PeekProtocol>) => void): Promise<void> => {
  const peek: Behaviour<PeekProtocol, null, null> = {
    name: 'peek',
    version: 1,
    init: (_args, ctx) => {
      run(ctx)
      return ok(null)
    },
  }
  await stage.runtime.start(peek, null)
  await stage.world.settle()
}

describe('D-1: refill has no cursor', () => {
  it('a row that comes before the tail of a full window is started in its order', async () => {
    const stage = await new GuardStage({ serviceMs: () => 10 }).raise()
    await stage.limit('concurrency', { domain: API }, 1)
    const now = stage.world.wallNow()
    for (let n = 0; n < 1_000; n += 1) stage.row(API, 'acme', { nextAt: now - 1_000 + n })
    stage.tell(stage.row(API, 'acme', { nextAt: now }))
    await stage.world.advance(100)
    // Two late ones with an earlier instant: one is told, one is only in the store.
    const told = stage.row(API, 'acme', { nextAt: now - 5_000 })
    const untold = stage.row(API, 'acme', { nextAt: now - 4_000 })
    stage.tell(told)
    await stage.world.advance(20)
    expect(stage.starts.some(({ due }) => due.id === told.id)).toBe(true)
    await stage.world.advance(11_000)
    expect(stage.starts.some(({ due }) => due.id === untold.id)).toBe(true)
    expect(stage.undone()).toBe(0)
  })
  it('a row that is told while the read of its lane is on its way back is not stranded', async () => {
    const stage = await new GuardStage({ serviceMs: () => 30, readMs: 20 }).raise()
    stage.due(1, API)
    await stage.world.advance(100)
    for (let n = 0; n < 60; n += 1) stage.row(API)
    stage.runtime.cast(guardOf(API), {
      type: 'due',
      entries: [],
      more: [{ domain: API, brand: 'acme', priority: 'normal', kind: 'first' }],
    })
    await stage.world.advance(5)
    stage.due(1, API)
    await stage.world.advance(500)
    expect(stage.undone()).toBe(0)
  })
  it('a page that was read before an attempt ended does not start it again', async () => {
    const stage = await new GuardStage({ serviceMs: () => 4, readMs: 25 }).raise()
    await stage.limit('concurrency', { domain: API }, 20)
    for (let n = 0; n < 3_000; n += 1) stage.row(API)
    stage.due(1, API)
    await stage.world.advance(20_000)
    expect(stage.undone()).toBe(0)
    expect(stage.refusedByStore).toBe(0)
  })
  it('a row that was told twice, or is in flight, starts once', async () => {
    const stage = await new GuardStage({ serviceMs: () => 100 }).raise()
    const [due] = stage.due(1, API)
    await stage.world.advance(10)
    stage.tell(due as Due, due as Due)
    await stage.world.advance(500)
    expect(stage.starts).toHaveLength(1)
    expect(stage.refusedByStore).toBe(0)
  })
})

describe('D-2: an idle guard stops only with an empty mailbox', () => {
  it('what is told at the instant of its stop is delivered', async () => {
    const stage = await new GuardStage({ serviceMs: () => 1 }).raise()
    stage.due(1, API)
    await stage.world.advance(50)
    for (let ms = 0; ms < 2_500; ms += 1) {
      await stage.world.advance(1)
      if (ms % 7 === 0 && stage.runtime.whereis(guardOf(API)) !== null && ms > 990) stage.due(1, API)
    }
    await stage.world.advance(3_000)
    expect(stage.undone()).toBe(0)
    expect(stage.runtime.whereis(guardOf(API))).toBeNull()
  })
})

describe('D-7: incarnations', () => {
  it('what an older guard admitted and the pool does not hold is refused, and goes back to waiting', async () => {
    const stage = await new GuardStage({ serviceMs: () => 200, markMs: 30 }).raise()
    await stage.limit('concurrency', { domain: API }, 1)
    stage.due(5, API)
    await stage.world.advance(10)
    stage.kill(guardOf(API))
    await stage.world.advance(3_000)
    expect(stage.refusedByPool).toBe(1)
    expect(stage.openMax.get(API)).toBe(1)
    expect(stage.undone()).toBe(0)
  })
})

describe('D-10: what must outlive a guard', () => {
  it('a killed guard does not forget Retry-After', async () => {
    let first = true
    const outcome = (): Outcome => {
      const answer = first ? respond(429, 3_000) : respond(200)
      first = false
      return answer
    }
    const stage = await new GuardStage({ serviceMs: () => 10, outcome }).raise()
    await stage.limit('concurrency', { domain: API }, 1)
    stage.due(5, API)
    await stage.world.advance(500)
    stage.kill(guardOf(API))
    await stage.world.advance(2_500)
    expect(stage.starts).toHaveLength(1)
    await stage.world.advance(1_000)
    expect(stage.starts).toHaveLength(5)
  })
  it('nor does the next process: a long closure of the whole domain is kept in the store', async () => {
    const before = await new GuardStage({ serviceMs: () => 10, outcome: () => respond(429, 60_000) }).raise()
    before.due(1, API)
    await before.world.advance(100)
    expect(before.stored).toMatchObject([{ kind: 'closed-until', domain: API, value: expect.any(Number) }])
    const after = new GuardStage({ serviceMs: () => 10 })
    after.stored.push(...before.stored)
    await after.raise()
    after.due(3, API)
    await after.world.advance(59_000)
    expect(after.starts).toHaveLength(0)
    await after.world.advance(2_000)
    expect(after.starts).toHaveLength(3)
  })
  it('nor what one brand has heard: its share stays closed, or its breaker open, and the others go on', async () => {
    const outcome = ({ brand }: Due): Outcome =>
      brand === 'acme' ? respond(429, 60_000) : brand === 'bolt' ? TIMEOUT : respond(200)
    const before = await new GuardStage({ serviceMs: () => 10, outcome }).raise()
    for (const brand of ['core', 'acme', 'bolt']) before.due(12, API, brand)
    await before.world.advance(400)
    const kept = before.stored.filter(({ kind }) => kind.endsWith('-until'))
    expect(kept.map(({ kind, brand }) => `${kind} ${brand}`).sort()).toEqual([
      'breaker-until bolt',
      'closed-until acme',
    ])
    const after = new GuardStage({ serviceMs: () => 10 })
    after.stored.push(...before.stored)
    await after.raise()
    for (const brand of ['acme', 'bolt', 'core']) after.due(3, API, brand)
    await after.world.advance(25_000)
    expect(after.starts.map(({ due }) => due.brand)).toEqual(['core', 'core', 'core'])
    await after.world.advance(20_000)
    expect(after.startsOf({ brand: 'bolt' })).toHaveLength(3)
    expect(after.startsOf({ brand: 'acme' })).toHaveLength(0)
    await after.world.advance(20_000)
    expect(after.startsOf({ brand: 'acme' })).toHaveLength(3)
  })
  it.each([
    ['closure', 'Retry-After', respond(429, 3_600_000), 'guard.reopened'],
    ['breaker', 'breaker', TIMEOUT, 'breaker.closed'],
  ] as const)('%s switched off ends a %s that holds, also for the next process', async (kind, _, answer, event) => {
    let well = false
    const stage = await new GuardStage({ serviceMs: () => 10, outcome: () => (well ? respond(200) : answer) }).raise()
    await stage.limit('concurrency', { domain: API }, 1)
    stage.due(40, API)
    await stage.world.advance(5_000)
    const held = stage.starts.length
    expect(held).toBeLessThanOrEqual(10)
    well = true
    await stage.set(kind, { domain: API }, 0)
    await stage.world.advance(1_000)
    expect(stage.starts).toHaveLength(40)
    const told = stage.events.filter(({ type }) => type === event)
    expect(told).toContainEqual(expect.objectContaining({ domain: API, brand: null, cause: 'switched off' }))
    const after = new GuardStage({ serviceMs: () => 10 })
    after.stored.push(...stage.stored)
    await after.raise()
    after.due(3, API)
    await after.world.advance(500)
    expect(after.starts).toHaveLength(3)
  })
  it('a burst is not given again to the next guard', async () => {
    const stage = await new GuardStage({ serviceMs: () => 1 }).raise()
    await stage.limit('concurrency', { domain: API }, 100)
    await stage.limit('rate', { domain: API }, 1, 10)
    await stage.world.advance(60_000)
    stage.due(40, API)
    await stage.world.advance(20)
    stage.kill(guardOf(API))
    await stage.world.advance(5_000)
    expect(
      rateViolations(
        stage.starts.map(({ mono }) => mono),
        1,
        10,
      ),
    ).toBe(0)
    expect(stage.starts).toHaveLength(15)
  })
  it('a raise from 0.001 to 10 a second does not wait for the old instant', async () => {
    const stage = await new GuardStage({ serviceMs: () => 1 }).raise()
    await stage.world.advance(2_000_000)
    await stage.limit('rate', { domain: API }, 0.001)
    stage.due(10, API)
    await stage.world.advance(1_000)
    expect(stage.starts).toHaveLength(1)
    await stage.limit('rate', { domain: API }, 10)
    await stage.world.advance(1_000)
    expect(stage.starts).toHaveLength(10)
  })
  it('history that nobody knows counts as a burst just made', async () => {
    const stage = await new GuardStage({ serviceMs: () => 1 }).raise()
    await stage.limit('rate', { domain: API }, 1, 5)
    stage.due(10, API)
    await stage.world.advance(900)
    expect(stage.starts).toHaveLength(0)
    await stage.world.advance(4_200)
    expect(stage.starts).toHaveLength(5)
  })
})

describe('D-11: brand permits', () => {
  it('a guard whose domain is full does not sit on the permits of a brand', async () => {
    const stage = await new GuardStage({ serviceMs: ({ domain }) => (domain === API ? 10_000 : 10) }).raise()
    await stage.limit('concurrency', { domain: API }, 1)
    await stage.limit('concurrency', { brand: 'acme' }, 2)
    stage.due(10, API, 'acme')
    stage.due(50, 'other.example', 'acme')
    await stage.world.advance(2_000)
    expect(stage.startsOf({ domain: 'other.example' })).toHaveLength(50)
    expect(stage.openMax.get('brand acme')).toBe(2)
  })
  it('waiting guards share a brand in turn', async () => {
    const stage = await new GuardStage({ serviceMs: () => 100 }).raise()
    await stage.limit('concurrency', { brand: 'acme' }, 1)
    const domains = ['a.example', 'b.example', 'c.example']
    for (const domain of domains) stage.due(30, domain, 'acme')
    await stage.world.advance(6_000)
    for (const domain of domains) {
      const count = stage.startsOf({ domain }).length
      expect(count).toBeGreaterThanOrEqual(19)
      expect(count).toBeLessThanOrEqual(21)
    }
  })
  it('a limit set while attempts run counts those as well', async () => {
    const stage = await new GuardStage({ serviceMs: () => 500, markMs: 5 }).raise()
    for (const domain of ['a.example', 'b.example']) stage.due(8, domain, 'acme')
    await stage.world.advance(2)
    await stage.limit('concurrency', { brand: 'acme' }, 10)
    for (const domain of ['c.example', 'a.example']) stage.due(20, domain, 'acme')
    await stage.world.advance(400)
    expect(stage.openMax.get('brand acme')).toBe(16)
    await stage.world.advance(150)
    expect(stage.open.get('brand acme')).toBe(10)
    await stage.world.advance(10_000)
    expect(stage.undone()).toBe(0)
  })
})

describe('D-12: attempts in doubt hold their permits', () => {
  it('for their time, whether their guard lives or not', async () => {
    const stage = await new GuardStage({ serviceMs: () => 100 }).raise()
    await stage.limit('concurrency', { domain: API }, 2)
    await inside(stage, (ctx) => {
      const untilMono = ctx.world.monoNow() + 1_000
      holdPermits(ctx, [{ attemptId: 'msg_old.1', brand: 'acme', domain: API, untilMono }])
    })
    stage.due(40, API)
    await stage.world.advance(900)
    expect(stage.openMax.get(API)).toBe(1)
    await stage.world.advance(600)
    expect(stage.openMax.get(API)).toBe(2)
  })

  it('at the brand-limiter too, when the guard that counts them as well is killed', async () => {
    const stage = await new GuardStage({ serviceMs: () => 5_000 }).raise()
    await stage.limit('concurrency', { brand: 'acme' }, 3)
    await inside(stage, (ctx) => {
      const untilMono = ctx.world.monoNow() + 1_000
      holdPermits(ctx, [{ attemptId: 'msg_old.1', brand: 'acme', domain: API, untilMono }])
    })
    stage.due(1, 'first.example.com')
    await stage.world.advance(50)
    stage.due(1, API)
    await stage.world.advance(50)
    stage.kill(guardOf(API))
    stage.due(5, 'other.example.com')
    await stage.world.advance(500)
    expect(stage.openMax.get('brand acme')).toBe(2)
    await stage.world.advance(1_000)
    expect(stage.openMax.get('brand acme')).toBe(3)
  })
})

describe('D-14: slow domains leave room', () => {
  it('slow attempts hold three quarters of the node; a guard without them goes on', async () => {
    const stage = await new GuardStage({ serviceMs: ({ domain }) => (domain === API ? 20 : 60_000) }).raise()
    const slow = Array.from({ length: 45 }, (_, n) => `slow-${n}.example`)
    for (const domain of slow) {
      await stage.limit('concurrency', { domain }, 100)
      stage.due(50, domain)
    }
    await stage.world.advance(1_500)
    for (const domain of slow) stage.due(50, domain)
    await stage.world.advance(500)
    for (const domain of slow) stage.due(50, domain)
    await stage.world.advance(2_000)
    const after = await nodeLoad(stage)
    expect(after.inFlight).toBe(3_072)
    stage.due(20, API)
    await stage.world.advance(300)
    expect(stage.startsOf({ domain: API })).toHaveLength(20)
  })

  it('what never answers and is not known to be slow yet holds seven eighths; one that was quick goes on, its guard’s stop survived', async () => {
    const stage = await new GuardStage({ serviceMs: ({ domain }) => (domain === API ? 20 : 60_000) }).raise()
    stage.due(1, API)
    await stage.world.advance(3_000)
    expect(stage.runtime.whereis(guardOf(API))).toBeNull()
    for (let n = 0; n < 45; n += 1) {
      await stage.limit('concurrency', { domain: `dead-${n}.example` }, 100)
      stage.due(100, `dead-${n}.example`)
    }
    await stage.world.advance(500)
    expect((await nodeLoad(stage)).inFlight).toBe(3_584)
    stage.due(20, API)
    stage.due(20, 'new.example')
    await stage.world.advance(300)
    expect(stage.startsOf({ domain: API })).toHaveLength(21)
    expect(stage.startsOf({ domain: 'new.example' })).toHaveLength(0)
  })
})
const nodeLoad = async (stage: GuardStage): Promise<NodeLoad> => {
  let load: NodeLoad = { inFlight: 0, slow: 0, unknown: 0, blocked: 0 }
  await inside(stage, (ctx) => {
    load = { ...(ctx.table<string, NodeLoad>(NODE_TABLE).get(NODE_SUM) ?? load) }
  })
  return load
}

describe('D-18: nothing is admitted before the lanes are read', () => {
  it('a guard told of the youngest starts the oldest', async () => {
    const stage = await new GuardStage({ serviceMs: () => 50 }).raise()
    await stage.limit('concurrency', { domain: API }, 1)
    const now = stage.world.wallNow()
    const older = stage.row(API, 'acme', { nextAt: now - 1_000 })
    stage.tell(stage.row(API, 'acme', { nextAt: now }))
    await stage.world.advance(5)
    expect(stage.starts.map(({ due }) => due.id)).toEqual([older.id])
  })
  it('a store that does not answer is asked again, and nothing is admitted meanwhile', async () => {
    const stage = await new GuardStage().raise()
    stage.storeFails = true
    stage.due(3, API)
    await stage.world.advance(500)
    expect(stage.starts).toHaveLength(0)
    stage.storeFails = false
    await stage.world.advance(100)
    expect(stage.starts).toHaveLength(3)
  })
})

describe('what the receiver says', () => {
  it('after 429 with Retry-After: 3 nothing but what was in flight reaches the domain for 3 s, then one probe, then more', async () => {
    const refusedAt = 50
    const outcome = (_due: Due, mono: number): Outcome => (mono <= refusedAt ? respond(429, 3_000) : respond(200))
    const stage = await new GuardStage({ serviceMs: () => 50, outcome }).raise()
    await stage.limit('concurrency', { domain: API }, 8)
    stage.due(100, API, 'acme')
    stage.due(20, API, 'acme', { attempts: 1 })
    await stage.world.advance(3_040)
    expect(stage.starts).toHaveLength(8)
    await stage.world.advance(30)
    expect(stage.open.get(API)).toBe(1)
    await stage.world.advance(50)
    expect(stage.open.get(API)).toBe(2)
    await stage.world.advance(5_000)
    expect(stage.undone()).toBe(0)
    expect(stage.events.map(({ type }) => type)).toContain('guard.closed')
  })
  it('one brand cannot close a shared host for the others; two within a minute can', async () => {
    const limited = new Set(['acme'])
    const outcome = ({ brand }: Due): Outcome => (limited.has(brand) ? respond(429, 5_000) : respond(200))
    const stage = await new GuardStage({ serviceMs: () => 20, outcome }).raise()
    await stage.limit('concurrency', { domain: API }, 4)
    for (const brand of ['bolt', 'acme', 'core']) stage.due(40, API, brand)
    await stage.world.advance(2_000)
    expect(stage.startsOf({ brand: 'bolt' })).toHaveLength(40)
    expect(stage.startsOf({ brand: 'core' })).toHaveLength(40)
    expect(stage.startsOf({ brand: 'acme' }).length).toBeLessThanOrEqual(4)
    limited.add('bolt')
    stage.due(5, API, 'bolt')
    await stage.world.advance(100)
    stage.due(5, API, 'core')
    await stage.world.advance(1_000)
    expect(stage.startsOf({ brand: 'core' })).toHaveLength(40)
  })
  it('ten failures in a row open the breaker: one probe a second, closed after five successes', async () => {
    let healthy = false
    const stage = await new GuardStage({
      serviceMs: () => 10,
      outcome: () => (healthy ? respond(200) : TIMEOUT),
    }).raise()
    await stage.limit('concurrency', { domain: API }, 1)
    stage.due(100, API)
    await stage.world.advance(29_000)
    expect(stage.starts).toHaveLength(10)
    healthy = true
    await stage.world.advance(1_200)
    expect(stage.starts).toHaveLength(11)
    await stage.world.advance(4_100)
    expect(stage.starts.length).toBeGreaterThanOrEqual(15)
    await stage.world.advance(3_000)
    expect(stage.undone()).toBe(0)
    expect(stage.events.map(({ type }) => type)).toEqual(
      expect.arrayContaining(['breaker.opened', 'breaker.half-opened', 'breaker.closed']),
    )
  })
  it('a breaker that is switched off stays closed', async () => {
    const stage = await new GuardStage({ serviceMs: () => 10, outcome: () => TIMEOUT }).raise()
    await stage.set('breaker', { domain: API }, 0)
    stage.due(100, API)
    await stage.world.advance(60_000)
    expect(stage.starts).toHaveLength(100)
  })
  it('while a domain fails, first tries keep half of the starts and retries their budget', async () => {
    const stage = await new GuardStage({ serviceMs: () => 10, outcome: () => respond(500) }).raise()
    await stage.set('breaker', { domain: API }, 0)
    await stage.limit('concurrency', { domain: API }, 1)
    stage.due(200, API, 'acme', { attempts: 1 })
    stage.due(200, API, 'acme')
    await stage.world.advance(2_500)
    const retries = stage.starts.filter(({ due }) => due.attempts > 0).length
    expect(stage.starts.length - retries).toBe(200)
    expect(retries).toBeLessThanOrEqual(0.1 * 200 + 5 + 5)
  })
  it('an adaptive domain without a limit begins small and finds the capacity of its receiver', async () => {
    const capacity = 20
    const refused = new Set<string>()
    const stage = new GuardStage({
      serviceMs: ({ id, domain }) => {
        if ((stage.open.get(domain) ?? 0) <= capacity) return 50
        refused.add(id)
        return 10
      },
      outcome: ({ id }) => (refused.has(id) ? respond(503) : respond(200)),
    })
    await stage.raise()
    await stage.set('adaptive', { domain: API }, 1)
    await stage.set('breaker', { domain: API }, 0)
    stage.due(3_000, API)
    await stage.world.advance(1)
    expect(stage.openMax.get(API)).toBe(4)
    const open: number[] = []
    for (let n = 0; n < 300 && stage.undone() > 100; n += 1) {
      await stage.world.advance(20)
      if (n > 100) open.push(stage.open.get(API) ?? 0)
    }
    const mean = open.reduce((sum, count) => sum + count, 0) / open.length
    expect(mean).toBeGreaterThan(0.8 * capacity)
    expect(mean).toBeLessThan(1.2 * capacity)
    expect(stage.events.some(({ type }) => type === 'guard.adapted')).toBe(true)
  })
  it('a paused domain or brand starts nothing until it is resumed', async () => {
    const stage = await new GuardStage({ serviceMs: () => 10 }).raise()
    await stage.set('pause', { domain: API }, 1)
    await stage.set('pause', { brand: 'bolt' }, 1)
    stage.due(3, API)
    stage.due(3, 'other.example', 'bolt')
    stage.due(3, 'other.example', 'acme')
    await stage.world.advance(1_000)
    expect(stage.starts).toHaveLength(3)
    await stage.set('pause', { domain: API }, null)
    await stage.set('pause', { brand: 'bolt' }, null)
    await stage.world.advance(200)
    expect(stage.starts).toHaveLength(9)
  })
})

describe('backpressure', () => {
  it('is told once for a flapping queue, with its span and peak', async () => {
    const stage = await new GuardStage({ serviceMs: () => 50 }).raise()
    await stage.limit('concurrency', { domain: API }, 1)
    for (let n = 0; n < 10; n += 1) {
      stage.due(3, API)
      await stage.world.advance(400)
    }
    await stage.world.advance(3_000)
    const told = stage.events.filter(({ type }) => type.startsWith('backpressure'))
    expect(told).toHaveLength(2)
    expect(told[1]).toMatchObject({ type: 'backpressure.ended', limit: 'domain-concurrency', spans: 10 })
  })
})

describe('tables', () => {
  it('keep nothing of a killed guard that has no work left, nor of rates and holds that are over', async () => {
    const stage = await new GuardStage({ serviceMs: () => 50 }).raise()
    await stage.limit('rate', { domain: API }, 100)
    stage.due(3, API)
    await inside(stage, (ctx) => {
      const untilMono = ctx.world.monoNow() + 500
      holdPermits(ctx, [{ attemptId: 'msg_old.1', brand: 'acme', domain: API, untilMono }])
    })
    await stage.world.advance(200)
    stage.kill(guardOf(API))
    await stage.world.advance(12_000)
    const sizes: number[] = []
    await inside(stage, (ctx) => {
      for (const table of [FIGURES_TABLE, CONDITIONS_TABLE, HOLDS_TABLE, NODE_TABLE, RATES_TABLE])
        sizes.push(ctx.table(table).size)
    })
    // The node's sum and the instant since which rates are known stay.
    expect(sizes).toEqual([0, 0, 0, 1, 1])
    expect(await nodeLoad(stage)).toEqual({ inFlight: 0, slow: 0, unknown: 0, blocked: 0 })
  })
})

describe('limits', () => {
  it('count their versions, survive the death of their actor, and take effect at once', async () => {
    const stage = await new GuardStage({ serviceMs: () => 1_000 }).raise()
    await stage.limit('concurrency', { domain: API }, 2)
    await stage.limit('concurrency', { domain: API }, 4)
    expect(stage.stored).toMatchObject([{ value: 4, version: 2 }])
    stage.kill('limits')
    stage.due(20, API)
    await stage.world.advance(100)
    expect(stage.open.get(API)).toBe(4)
    await stage.limit('concurrency', { domain: API }, 7)
    await stage.world.advance(10)
    expect(stage.open.get(API)).toBe(7)
    await stage.limit('concurrency', { domain: API }, 0)
    await stage.world.advance(1_500)
    expect(stage.open.get(API)).toBe(0)
    await stage.limit('concurrency', { domain: API }, null)
    await stage.world.advance(10)
    expect(stage.open.get(API)).toBe(10)
  })
})

describe("D-13: a guard whose hosts are another one's by now", () => {
  const GROUP = 'group:backend'
  const group = { group: GROUP, members: [API], version: 1, setBy: 'test', setAt: 0 }
  const regroupNow = (ctx: Context<PeekProtocol>): void => {
    const table = ctx.table<string, GroupBook>(GROUPS_TABLE)
    putBook(table, regroup(bookIn(table), [group], ctx.world.monoNow()).book)
  }

  it('gives no permit in a turn that it owed before', async () => {
    const stage = await new GuardStage({ serviceMs: () => 10 }).raise()
    stage.due(1, API)
    await stage.world.advance(500)
    expect(stage.starts).toHaveLength(1)
    const due = stage.row(API)
    // Only this guard has heard of it; started, the store would refuse it.
    stage.rows.delete(due.id)
    stage.runtime.cast(guardOf(API), { type: 'due', entries: [due], more: [] })
    // More than it hears in one slice: the book changes between that and its turn.
    const asked = Array.from({ length: 200 }, () => stage.runtime.call(guardOf(API), { type: 'figures' }))
    for (const answer of asked) answer.catch(() => 'it has gone')
    await inside(stage, regroupNow)
    await stage.world.advance(5)
    expect(stage.refusedByStore).toBe(0)
    expect(stage.runtime.whereis(guardOf(API))).toBeNull()
  })

  it('hears out its mailbox: a refusal in it closes the domain of the next guard', async () => {
    const stage = await new GuardStage({ serviceMs: () => 10_000 }).raise()
    stage.due(1, API)
    await stage.world.advance(50)
    const attemptId = stage.starts[0]?.attemptId ?? ''
    let until = 0
    await inside(stage, (ctx) => {
      const said = { attemptId, domain: API, brand: 'acme', outcome: respond(429, 3_000) }
      ctx.cast(guardOf(API), { type: 'withdrawn', id: 'nobody' })
      ctx.cast(guardOf(API), { type: 'attempt-ended', ...said })
      regroupNow(ctx)
    })
    await stage.world.advance(5)
    expect(stage.runtime.whereis(guardOf(API))).toBeNull()
    await inside(stage, (ctx) => {
      until = ctx.table<string, ConditionsRow>(CONDITIONS_TABLE).get(GROUP)?.domain.closure.untilMono ?? 0
    })
    expect(until).toBeGreaterThan(stage.world.monoNow() + 2_900)
  })
})
