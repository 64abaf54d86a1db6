import { describe, expect, it } from 'vitest'
import { DNS_NAMES_MAX } from '#config/limits.ts'
import { JudgedResolver, type Query, type ResolvedAddress } from '#dispatch/resolver.ts'
import { parseHosts } from '#dispatch/settings.ts'
import { LOCAL_SETTINGS } from '#test/support/dispatching.ts'
import { PUBLIC_ONLY } from '#webhook/address.ts'
import { VirtualWorld } from '#world/virtual-world.ts'

const world = () => new VirtualWorld()
const settings = { ...LOCAL_SETTINGS, policy: PUBLIC_ONLY }
const answering = (ttlMs: number | string) => {
  const asked: string[] = []
  const query: Query = (name, family, answered) => {
    asked.push(name)
    if (typeof ttlMs === 'string') answered({ code: ttlMs }, [])
    else if (family === 4) answered(null, [{ address: '8.8.8.8', ttlMs }])
    else answered({ code: 'ENODATA' }, [])
  }
  return { query, asked }
}
const resolve = (resolver: JudgedResolver, name = 'api.acme.com') =>
  new Promise<readonly ResolvedAddress[]>((done, failed) =>
    resolver.resolve(name, 443, (error, addresses) => (error === null ? done(addresses) : failed(error))),
  )

describe('judged resolver', () => {
  it.each([
    ['its time to live', 30_000, 30_000],
    ['at least a second', 0, 1_000],
    ['at most a minute', 86_400_000, 60_000],
  ])('keeps an answer for %s', async (_, ttlMs, keptMs) => {
    const clock = world()
    const { query, asked } = answering(ttlMs)
    const resolver = new JudgedResolver(clock, settings, query)
    expect(await resolve(resolver)).toEqual([{ address: '8.8.8.8', family: 4 }])
    await clock.advance(keptMs - 1)
    await resolve(resolver)
    expect(asked).toHaveLength(2)
    await clock.advance(1)
    await resolve(resolver)
    expect(asked).toHaveLength(4)
  })

  it('keeps "no such name" for five seconds, and any other failure not at all', async () => {
    const clock = world()
    const unknown = answering('ENOTFOUND')
    const nobody = new JudgedResolver(clock, settings, unknown.query)
    for (let i = 0; i < 3; i++) await expect(resolve(nobody)).rejects.toMatchObject({ error: 'dns_nxdomain' })
    expect(unknown.asked).toHaveLength(2)
    await clock.advance(5_000)
    await expect(resolve(nobody)).rejects.toMatchObject({ error: 'dns_nxdomain' })
    expect(unknown.asked).toHaveLength(4)
    const broken = answering('ESERVFAIL')
    const failing = new JudgedResolver(clock, settings, broken.query)
    for (let i = 0; i < 3; i++) await expect(resolve(failing)).rejects.toMatchObject({ error: 'dns_error' })
    expect(broken.asked).toHaveLength(6)
  })

  it('gives up a question that is never answered, for everybody who waits, and asks anew the next time', async () => {
    const clock = world()
    let asked = 0
    const resolver = new JudgedResolver(clock, settings, () => {
      asked += 1
    })
    const both = [resolve(resolver), resolve(resolver)].map((one) =>
      expect(one).rejects.toMatchObject({ error: 'dns_error' }),
    )
    await clock.advance(5_000)
    await Promise.all(both)
    expect(asked).toBe(2)
    const third = expect(resolve(resolver)).rejects.toMatchObject({ error: 'dns_error' })
    expect(asked).toBe(4)
    await clock.advance(5_000)
    await third
  })

  it('forgets the name that was looked up longest ago', async () => {
    const { query, asked } = answering(60_000)
    const resolver = new JudgedResolver(world(), settings, query)
    await resolve(resolver, 'kept.acme.com')
    for (let i = 0; i < DNS_NAMES_MAX - 1; i++) await resolve(resolver, `h${i}.acme.com`)
    await resolve(resolver, 'kept.acme.com')
    await resolve(resolver, 'one-more.acme.com')
    expect(resolver.size).toBe(DNS_NAMES_MAX)
    const before = asked.length
    await resolve(resolver, 'kept.acme.com')
    expect(asked).toHaveLength(before)
    await resolve(resolver, 'h0.acme.com')
    expect(asked).toHaveLength(before + 2)
  })

  it('reads a hosts file as the system does', () => {
    expect(
      parseHosts('127.0.0.1\tlocalhost # here\r\n\n# ::1 no\n::1 localhost ip6-localhost\n10.0.0.1 A.internal a\n'),
    ).toEqual({
      localhost: ['127.0.0.1', '::1'],
      'ip6-localhost': ['::1'],
      'a.internal': ['10.0.0.1'],
      a: ['10.0.0.1'],
    })
  })
})
