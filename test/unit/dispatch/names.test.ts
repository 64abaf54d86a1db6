/** RECV-16 with the resolver that the daemon uses, against a name server that misbehaves. The tests wait beside one another. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, it } from 'vitest'
import { JudgedResolver, systemQuery } from '#dispatch/resolver.ts'
import type { DispatchSettings } from '#dispatch/settings.ts'
import { LOCAL_SETTINGS } from '#test/support/dispatching.ts'
import { type DnsRecord, type DnsScript, DnsStub } from '#test/support/dns-stub.ts'
import { httpClient } from '#test/support/http-client.ts'
import { Receiver } from '#test/support/receiver.ts'
import { PUBLIC_ONLY, parseAllowedTarget } from '#webhook/address.ts'
import { isInDoubt } from '#webhook/outcome.ts'
import { DEFAULT_RETRY_POLICY, decideNext } from '#webhook/retry.ts'
import type { Outcome } from '#webhook/webhook.ts'
import { VirtualWorld } from '#world/virtual-world.ts'

const POLICY = { ...PUBLIC_ONLY, allowTargets: [parseAllowedTarget('127.0.0.1')].filter((one) => one !== null) }
const LOCAL: DnsRecord = { type: 'A', address: '127.0.0.1' }
const alias = (name: string, to: string): DnsRecord => ({ type: 'CNAME', name, to })
const MANY = Array<DnsRecord>(500).fill(LOCAL)

const script: DnsScript = (name, family, asked) => {
  if (name.startsWith('silent')) return null
  switch (name) {
    case 'nobody.acme.com':
      return 'NXDOMAIN'
    case 'broken.acme.com':
      return 'SERVFAIL'
    case 'refusing.acme.com':
      return 'REFUSED'
    case 'loop.acme.com':
    case 'pool.acme.com':
      return [alias('loop.acme.com', 'pool.acme.com'), alias('pool.acme.com', 'loop.acme.com')]
    case 'endless.acme.com':
      return Array.from({ length: 50 }, (_, i) => alias(i === 0 ? name : `a${i}.acme.com`, `a${i + 1}.acme.com`))
    default:
  }
  if (family === 6) return []
  switch (name) {
    case 'many.acme.com':
      return MANY
    case 'trap.acme.com':
      return [...MANY, { type: 'A', address: '127.0.0.2' }]
    case 'alias.acme.com':
      return [alias(name, 'inside.acme.com'), { type: 'A', name: 'inside.acme.com', address: '10.0.0.1' }]
    case 'flip.acme.com':
      return [asked % 2 === 0 ? LOCAL : { type: 'A', address: '127.0.0.2' }]
    default:
      return [LOCAL]
  }
}

const stage = async (
  onTestFinished: (cleanup: () => Promise<void>) => void,
  settings: Partial<DispatchSettings> = {},
) => {
  const stub = await DnsStub.start(script)
  const receiver = await Receiver.start()
  const { http, send } = httpClient({ policy: POLICY, dnsServers: [stub.server], ...settings })
  onTestFinished(async () => void (await Promise.all([http.close(), receiver.stop(), stub.stop()])))
  const call = (name: string, timeoutMs = 30_000) => send(`http://${name}:${receiver.port}/`, { timeoutMs })
  return { stub, receiver, call }
}
/** What becomes of a first attempt that ended so, even where nothing in doubt is tried again. */
const stateAfter = (outcome: Outcome, sent: boolean): string => {
  const policy = { ...DEFAULT_RETRY_POLICY, inDoubt: 'stop' } as const
  const inDoubt = isInDoubt(outcome, sent)
  return decideNext({ attempt: 1, outcome, policy, firstAt: 0, expiresAt: null, endedAt: 0, inDoubt, random: 0 }).state
}

describe.concurrent('RECV-16: a name server that misbehaves', () => {
  it.for([
    ['says that there is no such name', 'nobody.acme.com', 'dns_nxdomain'],
    ['fails', 'broken.acme.com', 'dns_error'],
    ['refuses', 'refusing.acme.com', 'dns_error'],
    ['leads aliases in a circle', 'loop.acme.com', 'dns_nxdomain'],
    ['leads from alias to alias, fifty times, to nowhere', 'endless.acme.com', 'dns_nxdomain'],
  ] as const)(
    '%s: a failure of its class, tried again, after a few questions',
    async ([, name, error], { expect, onTestFinished }) => {
      const { stub, call, receiver } = await stage(onTestFinished)
      const { outcome, sent } = await call(name)
      expect({ outcome, sent }).toMatchObject({ outcome: { kind: 'error', error }, sent: false })
      expect(stateAfter(outcome, sent)).toBe('retrying')
      expect(stub.asked.length).toBeLessThanOrEqual(8)
      expect(receiver.connections).toBe(0)
    },
  )

  it('says nothing: two tries of two seconds in each family, then a failure of its class, before a connection’s deadline', async ({
    expect,
    onTestFinished,
  }) => {
    const { stub, call } = await stage(onTestFinished)
    const report = await call('silent.acme.com')
    expect(report).toMatchObject({ outcome: { kind: 'error', error: 'dns_error' }, sent: false })
    expect(report.outcome).toMatchObject({ detail: expect.stringContaining('ETIMEOUT') })
    expect(stateAfter(report.outcome, report.sent)).toBe('retrying')
    expect(stub.askedFor('silent.acme.com')).toBe(4)
  })

  it('says nothing of some names: the others do not wait for them', async ({ expect, onTestFinished }) => {
    const { call, receiver } = await stage(onTestFinished)
    const order: string[] = []
    const slow = Array.from({ length: 20 }, async (_, i) => {
      const report = await call(`silent${i}.acme.com`)
      order.push('slow')
      return report
    })
    for (let i = 0; i < 20; i++)
      expect(await call(`good${i}.acme.com`), 'libuv has four threads').toMatchObject({ outcome: { status: 200 } })
    order.push('good')
    for (const report of await Promise.all(slow))
      expect(report).toMatchObject({ outcome: { kind: 'error', error: 'dns_error' }, sent: false })
    expect(order[0]).toBe('good')
    expect(receiver.connections).toBe(20)
  })

  it('gives 500 addresses, which need TCP: called; where one of 501 is denied, refused', async ({
    expect,
    onTestFinished,
  }) => {
    const { stub, call, receiver } = await stage(onTestFinished)
    expect(await call('many.acme.com')).toMatchObject({ outcome: { status: 200 } })
    expect(stub.asked).toContain('many.acme.com 4 tcp')
    expect(await call('trap.acme.com')).toMatchObject({ outcome: { error: 'blocked_target' }, sent: false })
    expect(receiver.connections).toBe(1)
  })

  it('gives a denied address behind an alias: refused', async ({ expect, onTestFinished }) => {
    const { call } = await stage(onTestFinished)
    expect(await call('alias.acme.com')).toMatchObject({ outcome: { error: 'blocked_target' }, sent: false })
  })

  it('says something else each time: asked again after a second and judged again, by no other memory than ours', async ({
    expect,
    onTestFinished,
  }) => {
    const { stub } = await stage(onTestFinished)
    const world = new VirtualWorld()
    const settings = { ...LOCAL_SETTINGS, policy: POLICY }
    const resolver = new JudgedResolver(world, settings, systemQuery([stub.server]))
    const found = () =>
      new Promise((done) => resolver.resolve('flip.acme.com', 80, (error) => done(error?.error ?? 'called')))
    for (const expected of ['called', 'blocked_target', 'called', 'blocked_target']) {
      expect(await found()).toBe(expected)
      await world.advance(999)
      expect(await found()).toBe(expected)
      await world.advance(1)
    }
    expect(stub.asked).toHaveLength(8)
  })

  it('is asked for the ASCII form of an international name', async ({ expect, onTestFinished }) => {
    const { stub, call, receiver } = await stage(onTestFinished)
    expect(await call('bücher.acme.com')).toMatchObject({ outcome: { status: 200 } })
    expect(stub.asked.map((one) => one.split(' ')[0])).toEqual(['xn--bcher-kva.acme.com', 'xn--bcher-kva.acme.com'])
    expect(receiver.arrivals[0]?.host).toBe(`xn--bcher-kva.acme.com:${receiver.port}`)
  })

  it('is not asked for a name of more than 253 characters', async ({ expect, onTestFinished }) => {
    const { stub, call } = await stage(onTestFinished)
    const of = (length: number): string => `${'a'.repeat(length - 249)}.${`${'b'.repeat(59)}.`.repeat(4)}acme.com`
    expect([of(253).length, of(254).length]).toEqual([253, 254])
    expect(await call(of(254))).toMatchObject({ outcome: { error: 'blocked_target' }, sent: false })
    expect(stub.asked).toEqual([])
    expect(await call(of(253))).toMatchObject({ outcome: { status: 200 } })
  })

  it('cannot be asked since no descriptor is left: our lack, not in doubt and not the receiver’s, as where a connection finds none (LOAD-09)', async ({
    expect,
    onTestFinished,
  }) => {
    const { stub, receiver } = await stage(onTestFinished)
    const child = join(import.meta.dirname, 'names-child.ts')
    const bounded = ['-c', 'ulimit -n 256 && exec "$0" "$@"', process.execPath, child, stub.server, receiver.url]
    const { stdout } = await promisify(execFile)('sh', bounded)
    const reports = JSON.parse(stdout) as { readonly outcome: Outcome; readonly sent: boolean }[]
    expect(reports).toHaveLength(2)
    for (const { outcome, sent } of reports) {
      expect({ outcome, sent }).toMatchObject({ outcome: { kind: 'error', error: 'in_doubt' }, sent: false })
      expect(outcome.kind === 'error' && outcome.detail).toContain('EMFILE')
      expect(isInDoubt(outcome, sent)).toBe(false)
      expect(stateAfter(outcome, sent)).toBe('retrying')
    }
    expect(stub.asked).toEqual([])
    expect(receiver.connections).toBe(0)
  })
})
