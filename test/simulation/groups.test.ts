/** Domain groups in the whole daemon, in virtual time: what a backend behind several hosts sees while they are regrouped (D-13). */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { limits } from '#actors/limits.ts'
import { rateViolations } from '#test/support/guard-stage.ts'
import { VirtualDaemon } from '#test/support/virtual-daemon.ts'
import { bookOf, guardKeyOf } from '#webhook/domain-group.ts'

const HOSTS = ['a.example.org', 'b.example.org', 'deep.c.example.org', 'api.example.com']
const GROUP = 'group:backend'
const ALL = ['*.example.org', 'api.example.com']

/** Some of them take another with them, and from the sixth restart in ten seconds on root rightly gives up. */
const KILLS_MAX = 3

const regroup = async (daemon: VirtualDaemon, members: readonly string[], group = GROUP) => {
  const change = { group, members, setBy: 'test', setAt: daemon.world.wallNow() }
  const answer = daemon.runtime
    .call(limits, { type: 'set-group', group: change }, Number.POSITIVE_INFINITY)
    .catch((error: unknown) => ({ ok: false as const, error }))
  await daemon.world.settle()
  return answer
}
const open = (daemon: VirtualDaemon): number => HOSTS.reduce((sum, host) => sum + daemon.network.open(host), 0)
const undelivered = (daemon: VirtualDaemon) => daemon.acknowledged.filter((id) => daemon.stateOf(id) !== 'delivered')
const toEach = (count: number) => HOSTS.flatMap((domain) => Array.from({ length: count }, () => ({ domain })))

/** Advances by steps; at each, what is open may not grow while it is above the limit (law of D-13). */
const watch = async (daemon: VirtualDaemon, ms: number, limit: number): Promise<string[]> => {
  const broken: string[] = []
  let before = open(daemon)
  for (let at = 0; at < ms; at += 1) {
    const starts = daemon.network.arrivals.length
    await daemon.world.advance(1)
    const now = open(daemon)
    const started = daemon.network.arrivals.length - starts
    if (now > limit && (now > before || started > 0))
      broken.push(`${before} then ${now} open, ${started} new, limit ${limit}`)
    before = now
  }
  return broken
}

describe('a domain group', () => {
  it('holds several hosts under one limit, and their webhooks start in due order', async () => {
    const daemon = new VirtualDaemon({ script: () => ({ latencyMs: 40 }) })
    await daemon.start()
    await daemon.setLimit({ kind: 'concurrency', domain: GROUP, value: 3 })
    expect(await regroup(daemon, ALL)).toMatchObject({ ok: true, group: { members: ALL, version: 1 } })
    await daemon.schedule(toEach(10))
    await daemon.world.advance(1)
    expect(open(daemon)).toBe(3)
    expect(await watch(daemon, 700, 3)).toEqual([])
    expect(undelivered(daemon)).toEqual([])
    const order = daemon.network.arrivals.map(({ webhookId }) => daemon.acknowledged.indexOf(webhookId))
    expect(order).toEqual([...order].sort((a, b) => a - b))
    expect(daemon.events.flatMap((event) => (event.type === 'guard.started' ? [event.domain] : []))).toEqual([GROUP])
  })

  it('counts what the guards of before have in flight, when hosts come together', async () => {
    const daemon = new VirtualDaemon({ script: () => ({ latencyMs: 200 }) })
    await daemon.start()
    await daemon.setLimit({ kind: 'concurrency', domain: GROUP, value: 3 })
    await daemon.schedule(toEach(30))
    await daemon.world.advance(50)
    expect(open(daemon)).toBe(40)
    await regroup(daemon, ALL)
    expect(await watch(daemon, 400, 3)).toEqual([])
    expect(open(daemon)).toBe(3)
    await daemon.world.advance(60_000)
    expect(undelivered(daemon)).toEqual([])
  })

  it('dissolved, each host is under its own guard and its own limit again', async () => {
    const daemon = new VirtualDaemon({ script: () => ({ latencyMs: 100 }) })
    await daemon.start()
    await daemon.setLimit({ kind: 'concurrency', domain: HOSTS[0] ?? '', value: 1 })
    await daemon.setLimit({ kind: 'concurrency', domain: GROUP, value: 8 })
    expect(await regroup(daemon, ALL)).toMatchObject({ resting: [HOSTS[0]] })
    await daemon.schedule(toEach(40))
    await daemon.world.advance(150)
    expect(open(daemon)).toBe(8)
    await regroup(daemon, [])
    await daemon.world.advance(350)
    expect(HOSTS.map((host) => daemon.network.open(host))).toEqual([1, 10, 10, 10])
    await daemon.world.advance(60_000)
    expect(undelivered(daemon)).toEqual([])
  })

  it('keeps its rate over a change of members: nobody knows the sum, so a burst counts as just made', async () => {
    const daemon = new VirtualDaemon({ script: () => ({ latencyMs: 1 }) })
    await daemon.start()
    await daemon.setLimit({ kind: 'rate', domain: GROUP, value: 10, burst: 1 })
    await regroup(daemon, ALL)
    await daemon.schedule(toEach(30))
    for (let times = 0; times < 6; times += 1) {
      await daemon.world.advance(333)
      await regroup(daemon, times % 2 === 0 ? [ALL[0] ?? ''] : ALL)
    }
    const always = daemon.network.arrivals.filter(({ domain }) => domain.endsWith('.example.org'))
    expect(always.length).toBeGreaterThan(8)
    expect(
      rateViolations(
        always.map(({ at }) => at),
        10,
      ),
    ).toBe(0)
  })

  it("is as closed as any of its hosts, and so is a host that leaves it: also where that is one brand's share only", async () => {
    const script = ({ brand }: { readonly brand: string }) =>
      brand === 'loud' ? { status: 429, retryAfterMs: 30_000 } : {}
    const daemon = new VirtualDaemon({ script })
    await daemon.start()
    const retry = {
      maxAttempts: 1,
      backoff: 'fixed',
      initialDelayMs: 1,
      maxDelayMs: 1,
      jitter: 0,
      inDoubt: 'retry',
    } as const
    const both = (domains: readonly string[]) =>
      domains.flatMap((domain) => ['calm', 'loud', 'calm'].map((brand) => ({ domain, brand, retry })))
    const heard = (brand: string) => daemon.network.arrivals.filter((one) => one.brand === brand).length
    await daemon.schedule(both(HOSTS.slice(0, 1)))
    await daemon.world.advance(20)
    expect([heard('calm'), heard('loud')]).toEqual([2, 1])
    await regroup(daemon, ALL)
    await daemon.schedule(both(HOSTS))
    await daemon.world.advance(500)
    expect([heard('calm'), heard('loud')]).toEqual([10, 1])
    await regroup(daemon, [])
    await daemon.schedule(both(HOSTS))
    await daemon.world.advance(500)
    expect([heard('calm'), heard('loud')]).toEqual([18, 1])
  })

  it('is closed, and so is a host that leaves it, also after a kill -9, if it is for long', async () => {
    const script = ({ domain }: { readonly domain: string }) =>
      domain === HOSTS[0] ? { status: 429, retryAfterMs: 20_000 } : {}
    const daemon = new VirtualDaemon({ script })
    await daemon.start()
    await daemon.schedule([{ domain: HOSTS[0] ?? '' }])
    await daemon.world.advance(20)
    await regroup(daemon, ALL)
    await daemon.schedule(toEach(2))
    await daemon.world.advance(1_000)
    expect(daemon.network.arrivals).toHaveLength(1)
    await regroup(daemon, [])
    await daemon.world.advance(1_000)
    expect(daemon.network.arrivals).toHaveLength(1)
    await daemon.crash()
    await daemon.start()
    await daemon.world.advance(10_000)
    expect(daemon.network.arrivals).toHaveLength(1)
    await daemon.world.advance(60_000)
    expect(daemon.network.arrivals.length).toBeGreaterThan(6)
  })

  it("closed for one brand's share, stays so over its end and a kill -9", async () => {
    const script = ({ brand }: { readonly brand: string }) =>
      brand === 'loud' ? { status: 429, retryAfterMs: 20_000 } : {}
    const daemon = new VirtualDaemon({ script })
    await daemon.start()
    await regroup(daemon, ALL)
    const heard = (brand: string) => daemon.network.arrivals.filter((one) => one.brand === brand).length
    const both = () =>
      daemon.schedule(
        HOSTS.flatMap((domain) => [
          { domain, brand: 'calm' },
          { domain, brand: 'loud' },
        ]),
      )
    await daemon.schedule(['calm', 'loud', 'calm'].map((brand) => ({ domain: HOSTS[0] ?? '', brand })))
    await daemon.world.advance(1_000)
    await regroup(daemon, [])
    await daemon.crash()
    await daemon.start()
    await both()
    await daemon.world.advance(2_000)
    expect([heard('calm'), heard('loud')]).toEqual([6, 1])
  })

  it('refuses a member of another group, a host of its own limit, and a change that would let a paused host go on', async () => {
    const daemon = new VirtualDaemon()
    await daemon.start()
    await regroup(daemon, ALL)
    expect(await regroup(daemon, ['api.example.com'], 'group:other')).toEqual({
      ok: false,
      why: 'taken',
      member: 'api.example.com',
      by: GROUP,
    })
    const limit = {
      kind: 'rate',
      domain: HOSTS[0] ?? '',
      brand: null,
      value: 5,
      burst: 1,
      setBy: 'test',
      setAt: 1,
    } as const
    const set = daemon.runtime.call(limits, { type: 'set', limit })
    await daemon.world.settle()
    expect(await set).toEqual({ ok: false, why: 'in-group', group: GROUP })
    await daemon.setLimit({ kind: 'pause', domain: GROUP, value: 1 })
    expect(await regroup(daemon, [])).toMatchObject({ ok: false, why: 'paused', domain: GROUP })
    await daemon.setLimit({ kind: 'pause', domain: 'x.test', value: 1 })
    expect(await regroup(daemon, [...ALL, 'x.test'])).toMatchObject({ ok: false, why: 'paused', domain: 'x.test' })
  })

  it('a change that the store wrote after its asker had died, and his successor had read, holds a second later', async () => {
    const late = { ms: 0 }
    const daemon = new VirtualDaemon({
      script: () => ({ latencyMs: 40 }),
      faults: {
        beforeWrite: (group) =>
          group.some(({ type }) => type === 'set-group')
            ? new Promise((done) => daemon.world.setTimer(late.ms, done))
            : undefined,
      },
    })
    await daemon.start()
    await daemon.setLimit({ kind: 'concurrency', domain: GROUP, value: 3 })
    late.ms = 50
    const lost = regroup(daemon, ALL)
    await daemon.world.advance(5)
    daemon.runtime.exit(limits, 'kill')
    await lost
    await daemon.world.advance(1_500)
    expect(daemon.events).toContainEqual(expect.objectContaining({ type: 'group.changed', group: GROUP, members: ALL }))
    await daemon.schedule(toEach(10))
    await daemon.world.advance(1)
    expect(open(daemon)).toBe(3)
    await daemon.world.advance(1_000)
    expect(undelivered(daemon)).toEqual([])
  })

  const VICTIMS = [
    'scheduler',
    'executor',
    'dispatch-pool',
    'store-keeper',
    'limits',
    'guards',
    `guard ${GROUP}`,
    `guard ${HOSTS[0]}`,
    'process',
  ]
  it('whoever dies at any moment of any regrouping, no webhook is lost and the group stays within its limit', {
    timeout: 120_000,
  }, async () => {
    const step = fc.oneof(
      {
        weight: 3,
        arbitrary: fc.record({ do: fc.constant('regroup' as const), members: fc.subarray([...ALL, 'b.example.org']) }),
      },
      { weight: 3, arbitrary: fc.record({ do: fc.constant('kill' as const), who: fc.constantFrom(...VICTIMS) }) },
      { weight: 4, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.nat(60) }) },
    )
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 3, maxLength: 14 }), fc.nat(1_000), async (steps, seed) => {
        const broken: string[] = []
        const changes = { underWay: 0, endedAt: 0 }
        /** At each arrival, but for what was on its way to a receiver when a change took hold: the group's hosts together. */
        const judge = (domain: string): void => {
          const now = daemon.world.wallNow()
          if (changes.underWay > 0 || now < changes.endedAt + 5) return
          const book = bookOf(daemon.disk.groups.values())
          const hosts = HOSTS.filter((host) => guardKeyOf(book, host) === guardKeyOf(book, domain))
          const sum = hosts.reduce((all, host) => all + daemon.network.open(host), 0)
          const limit = guardKeyOf(book, domain) === GROUP ? 4 : 10
          if (sum + 1 > limit) broken.push(`${sum + 1} open at ${hosts.join(' ')} at ${now}`)
        }
        const script = ({ domain }: { readonly domain: string }) => {
          judge(domain)
          return { latencyMs: 45 }
        }
        const daemon = new VirtualDaemon({ seed, script })
        await daemon.start()
        await daemon.setLimit({ kind: 'concurrency', domain: GROUP, value: 4 })
        await daemon.schedule(
          HOSTS.flatMap((domain) => Array.from({ length: 15 }, (_, n) => ({ domain, inMs: n * 20 }))),
        )
        let kills = 0
        for (const one of steps) {
          if (one.do === 'kill' && ++kills > KILLS_MAX) continue
          if (one.do === 'wait') await daemon.world.advance(one.ms)
          else if (one.do === 'regroup') {
            const change = { group: GROUP, members: one.members, setBy: 'test', setAt: daemon.world.wallNow() }
            changes.underWay += 1
            const ended = () => {
              changes.underWay -= 1
              changes.endedAt = daemon.world.wallNow()
            }
            void daemon.runtime.call(limits, { type: 'set-group', group: change }).then(ended, ended)
          } else if (one.who !== 'process') daemon.runtime.exit(one.who, 'kill')
          else {
            await daemon.crash()
            await daemon.start()
            daemon.ended = null
          }
        }
        // Whatever was regrouped: from here on all are together.
        await daemon.world.advance(2_000)
        expect(await regroup(daemon, ALL)).toMatchObject({ ok: true })
        await daemon.schedule(toEach(5))
        expect(await watch(daemon, 300, 4)).toEqual([])
        await daemon.world.advance(90_000)
        expect(broken).toEqual([])
        expect(undelivered(daemon)).toEqual([])
        expect(daemon.ended).toBeNull()
      }),
      { numRuns: 40 },
    )
  })
})
