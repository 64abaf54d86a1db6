/**
 * SSRF and names: 127.0.0.1 stands for a public address here and 127.0.0.2 for a private one; where a target is refused, a
 * listener on both must see not one connection.
 */

import type { AddressInfo } from 'node:net'
import { setImmediate } from 'node:timers/promises'
import { createServer as createTlsServer, type TLSSocket, type TlsOptions } from 'node:tls'
import { afterEach, describe, expect, it, vi } from 'vitest'
import type { Query } from '#dispatch/resolver.ts'
import { type DispatchSettings, parseHosts } from '#dispatch/settings.ts'
import {
  EXPIRED_CERT,
  EXPIRED_KEY,
  GOOD_CERT,
  GOOD_KEY,
  OWN_CERT,
  OWN_KEY,
  TEST_CA,
} from '#test/support/certificates.ts'
import { DENIED } from '#test/support/denied-addresses.ts'
import { httpClient } from '#test/support/http-client.ts'
import { RawReceiver } from '#test/support/raw-receiver.ts'
import { Receiver } from '#test/support/receiver.ts'
import { type AddressPolicy, PUBLIC_ONLY, parseAllowedTarget } from '#webhook/address.ts'

const PUBLIC_IS_127_0_0_1: AddressPolicy = {
  ...PUBLIC_ONLY,
  allowTargets: [parseAllowedTarget('127.0.0.1') ?? expect.fail()],
}
const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'

const cleanups: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})
const client = (query: Query, settings: Partial<DispatchSettings> = {}) => {
  const made = httpClient({ policy: PUBLIC_IS_127_0_0_1, ...settings }, query)
  cleanups.push(() => made.http.close())
  return made
}
const receiver = async () => {
  const made = await Receiver.start()
  cleanups.push(() => made.stop())
  return made
}
/** Listens on every IPv4 address of this machine, so that no connection is overlooked. */
const forbidden = async () => {
  const made = await RawReceiver.start((connection) => connection.write(OK), { host: '0.0.0.0' })
  cleanups.push(() => made.stop())
  return made
}
interface Scripted {
  readonly query: Query
  readonly asked: string[]
}
/** Answers by name: addresses, or an error code, one for each family; a function sees how often it was asked. */
const dns = (
  names: Readonly<Record<string, (asked: number) => { v4: string[] | string; v6?: string[] | string }>>,
): Scripted => {
  const asked: string[] = []
  const counts = new Map<string, number>()
  return {
    asked,
    query: (name, family, answered) => {
      asked.push(`${name} ${family}`)
      const count = counts.get(`${name} ${family}`) ?? 0
      counts.set(`${name} ${family}`, count + 1)
      const entry = names[name.slice(0, -1)]?.(count)
      const records = entry === undefined ? 'ENOTFOUND' : family === 4 ? entry.v4 : (entry.v6 ?? 'ENODATA')
      queueMicrotask(() => {
        if (typeof records === 'string') answered({ code: records }, [])
        else
          answered(
            null,
            records.map((address) => ({ address, ttlMs: 0 })),
          )
      })
    },
  }
}
const nobody = dns({}).query

describe('SSRF-01: literals', () => {
  it.each([
    ...DENIED.filter((address) => address !== '127.0.0.1').map((one) => (one.includes(':') ? `[${one}]` : one)),
    '127.0.0.2',
    '0177.0.0.2',
    '0x7f.2',
    '0x7f000002',
    '2130706434',
    '[::ffff:127.0.0.2]',
    '[::ffff:7f00:2]',
    '[::127.0.0.2]',
    '[64:ff9b::7f00:2]',
    '[2002:7f00:2::]',
  ])('%s is refused without a socket', async (host) => {
    const { port, connections } = await forbidden()
    const report = await client(nobody).send(`http://${host}:${port}/`)
    expect(report).toMatchObject({ outcome: { kind: 'error', error: 'blocked_target' }, sent: false })
    await setImmediate()
    expect(connections).toHaveLength(0)
  })
  it('an allowed one is called', async () => {
    const { url } = await receiver()
    expect(await client(nobody).send(url)).toMatchObject({ outcome: { status: 200 } })
  })
})

describe('SSRF-02: names', () => {
  it('one that resolves to an allowed address is called, with the name as its host', async () => {
    const made = await receiver()
    const { query, asked } = dns({ 'good.acme.com': () => ({ v4: ['127.0.0.1'] }) })
    expect(await client(query).send(`http://good.acme.com:${made.port}/x`)).toMatchObject({ outcome: { status: 200 } })
    expect(made.arrivals[0]?.host).toBe(`good.acme.com:${made.port}`)
    expect(asked, 'no search domains').toEqual(['good.acme.com. 4', 'good.acme.com. 6'])
  })
  it.each([
    ['denied', ['127.0.0.2'], undefined],
    ['allowed and denied', ['127.0.0.1', '127.0.0.2'], undefined],
    ['allowed in one family, denied in the other', ['127.0.0.1'], ['::1']],
    ['a mapped address', 'ENODATA', ['::ffff:127.0.0.1']],
    ['garbage', ['not-an-address'], undefined],
    ['empty text', [''], undefined],
  ])('one that resolves to %s is refused, whole, without a connection', async (_, v4, v6) => {
    const { port, connections } = await forbidden()
    const { query } = dns({ 'bad.acme.com': () => ({ v4, ...(v6 === undefined ? {} : { v6 }) }) })
    const report = await client(query).send(`http://bad.acme.com:${port}/`)
    expect(report).toMatchObject({ outcome: { error: 'blocked_target' }, sent: false })
    await setImmediate()
    expect(connections).toHaveLength(0)
  })
  it('one that is rebound is judged again at its next connection', async () => {
    const made = await receiver()
    const { query } = dns({ 'flip.acme.com': (asked) => ({ v4: [asked === 0 ? '127.0.0.1' : '127.0.0.2'] }) })
    const { send } = client(query, { connectionReuse: false })
    expect(await send(`http://flip.acme.com:${made.port}/`)).toMatchObject({ outcome: { status: 200 } })
    await new Promise((resolve) => setTimeout(resolve, 1_050)) // The shortest time that an answer is kept.
    expect(await send(`http://flip.acme.com:${made.port}/`)).toMatchObject({ outcome: { error: 'blocked_target' } })
  })
  it('the peer is judged once more when the connection is there, before the first byte of the request', async () => {
    const raw = await RawReceiver.start((connection) => connection.write(OK))
    cleanups.push(() => raw.stop())
    const made = client((_, family, answered) => {
      answered(family === 4 ? null : { code: 'ENODATA' }, family === 4 ? [{ address: '127.0.0.1', ttlMs: 0 }] : [])
      if (family === 6) made.http.setPolicy(PUBLIC_ONLY)
    })
    const report = await made.send(`http://late.acme.com:${raw.port}/`)
    expect(report).toMatchObject({ outcome: { error: 'blocked_target' }, sent: false })
    await raw.until(() => raw.open === 0 && raw.connections.length === 1)
    expect(raw.received).toHaveLength(0)
  })
  it('private names are refused without a question, unless the operator calls a private network', async () => {
    const made = await receiver()
    const { query, asked } = dns({})
    expect(await client(query).send(`http://localhost:${made.port}/`)).toMatchObject({
      outcome: { error: 'blocked_target' },
    })
    expect(await client(query).send(`http://db.internal:${made.port}/`)).toMatchObject({
      outcome: { error: 'blocked_target' },
    })
    const policy = { ...PUBLIC_ONLY, allowPrivate: true }
    const hosts = parseHosts('# mine\n127.0.0.1 billing.internal  Billing # both\n\n::1 v6only')
    const open = client(query, { policy, hosts })
    for (const name of ['localhost', 'x.localhost', 'billing', 'billing.internal'])
      expect(await open.send(`http://${name}:${made.port}/`)).toMatchObject({ outcome: { status: 200 } })
    expect(asked).toEqual([])
  })
})

describe('SSRF-08: ports and schemes, when the request goes out', () => {
  it.each([0, 22, 25, 5_432, 6_379])(
    'port %i is refused, of an address and of a name, without a question',
    async (port) => {
      const { query, asked } = dns({ 'good.acme.com': () => ({ v4: ['8.8.8.8'] }) })
      const { send } = client(query)
      for (const host of ['8.8.8.8', 'good.acme.com'])
        expect(await send(`http://${host}:${port}/`)).toMatchObject({
          outcome: { error: 'blocked_target' },
          sent: false,
        })
      expect(asked).toEqual([])
    },
  )
  it.each(['ftp', 'ws', 'wss', 'file'])('the scheme %s is refused', async (scheme) => {
    const { send } = client(nobody)
    expect(await send(`${scheme}://good.acme.com/`)).toMatchObject({
      outcome: { error: 'blocked_target' },
      sent: false,
    })
  })
})

describe('SSRF-04: a resolver that fails never means "go on"', () => {
  it.each([
    ['ENOTFOUND', 'dns_nxdomain'],
    ['ENODATA', 'dns_nxdomain'],
    ['ESERVFAIL', 'dns_error'],
    ['ETIMEOUT', 'dns_error'],
    ['EREFUSED', 'dns_error'],
  ])('%s is %s', async (code, error) => {
    const { query } = dns({ 'x.acme.com': () => ({ v4: code, v6: code }) })
    expect(await client(query).send('http://x.acme.com/')).toMatchObject({ outcome: { error }, sent: false })
  })
  it('throwing, and no records at all', async () => {
    const throwing: Query = () => {
      throw new Error('broken resolver')
    }
    expect(await client(throwing).send('http://x.acme.com/')).toMatchObject({ outcome: { error: 'dns_error' } })
    const { query } = dns({ 'x.acme.com': () => ({ v4: [], v6: [] }) })
    expect(await client(query).send('http://x.acme.com/')).toMatchObject({ outcome: { error: 'dns_nxdomain' } })
  })
  it('never answering ends at the deadline, and delays no other host', async () => {
    const made = await receiver()
    const good = dns({ 'good.acme.com': () => ({ v4: ['127.0.0.1'] }) })
    const query: Query = (name, family, answered) =>
      name.startsWith('slow') ? undefined : good.query(name, family, answered)
    const { send } = client(query)
    const slow = send('http://slow.acme.com/', { timeoutMs: 300 })
    expect(await send(`http://good.acme.com:${made.port}/`)).toMatchObject({ outcome: { status: 200 } })
    expect(await slow).toMatchObject({ outcome: { error: 'connect_timeout' }, sent: false })
  })
  it('one family may fail where the other answers', async () => {
    const made = await receiver()
    const { query } = dns({ 'half.acme.com': () => ({ v4: ['127.0.0.1'], v6: 'ESERVFAIL' }) })
    expect(await client(query).send(`http://half.acme.com:${made.port}/`)).toMatchObject({ outcome: { status: 200 } })
  })
})

describe('RECV-16: what names cost', () => {
  it('asks once for many attempts at a time, and keeps the answer for a second at least', async () => {
    const made = await receiver()
    const { query, asked } = dns({ 'good.acme.com': () => ({ v4: ['127.0.0.1'] }) })
    const { send } = client(query, { connectionReuse: false })
    await Promise.all(Array.from({ length: 20 }, () => send(`http://good.acme.com:${made.port}/`)))
    await send(`http://good.acme.com:${made.port}/`)
    expect(asked).toHaveLength(2)
  })
  it('does not wait long for the second address family', async () => {
    const made = await receiver()
    const query: Query = (_, family, answered) => {
      if (family === 4) answered(null, [{ address: '127.0.0.1', ttlMs: 0 }])
    }
    const report = await client(query).send(`http://half.acme.com:${made.port}/`)
    expect(report).toMatchObject({ outcome: { status: 200 } })
    expect(report.networkMs).toBeLessThan(2_000)
  })
  it('500 records do no harm; all of them are judged', async () => {
    const made = await receiver()
    const many = Array<string>(500).fill('127.0.0.1')
    const { query } = dns({
      'many.acme.com': () => ({ v4: many }),
      'trap.acme.com': () => ({ v4: [...many, '127.0.0.2'] }),
    })
    const { send } = client(query)
    expect(await send(`http://many.acme.com:${made.port}/`)).toMatchObject({ outcome: { status: 200 } })
    expect(await send(`http://trap.acme.com:${made.port}/`)).toMatchObject({ outcome: { error: 'blocked_target' } })
  })
})

const secure = async (
  options: TlsOptions,
  behave: (socket: TLSSocket) => void = (socket) => socket.once('data', () => socket.write(OK)),
) => {
  const server = createTlsServer(options, (socket) => {
    socket.on('error', () => {})
    behave(socket)
  })
  server.on('tlsClientError', () => {})
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const sockets = new Set<{ destroy(): void }>()
  server.on('connection', (socket) => sockets.add(socket))
  cleanups.push(() => {
    for (const socket of sockets) socket.destroy()
    return new Promise((resolve) => server.close(resolve))
  })
  return (server.address() as AddressInfo).port
}
const names = dns({
  'secure.acme.com': () => ({ v4: ['127.0.0.1'] }),
  'other.acme.com': () => ({ v4: ['127.0.0.1'] }),
})
const trusting = { extraCertificates: [TEST_CA] }

describe('RECV-10: redirects of an https receiver', () => {
  it.each([301, 302, 303, 307, 308])(
    '%i down to http, up to another port, to a private address, or to itself: not followed, and nothing is called',
    async (status) => {
      const target = await receiver()
      const port = await secure({ cert: GOOD_CERT, key: GOOD_KEY }, (socket) =>
        socket.on('data', (head) => {
          requests += 1
          const step = Number(/^POST \/(\d)/.exec(head.toString('latin1'))?.[1])
          const location = [
            `http://secure.acme.com:${target.port}/`,
            `http://secure.acme.com:${port}/`,
            `https://other.acme.com:${port}/`,
            `https://127.0.0.1:${target.port}/`,
            'http://10.0.0.1/',
            `https://secure.acme.com:${port}/0`,
          ][step]
          socket.write(`HTTP/1.1 ${status} X\r\nlocation: ${location}\r\ncontent-length: 6\r\n\r\nsecret`)
        }),
      )
      let requests = 0
      const { send } = client(names.query, trusting)
      for (let step = 0; step < 6; step++) {
        const report = await send(`https://secure.acme.com:${port}/${step}`, { headers: [['x-api-key', 'k']] })
        expect(report.outcome).toEqual({ kind: 'response', status, retryAfterMs: null, excerpt: null })
      }
      await setImmediate()
      expect(target.connections, 'the key and the body would have gone over the wire in the clear').toBe(0)
      expect(requests).toBe(6)
    },
  )
})

describe('H11: the failure’s detail, which is the operator’s', () => {
  it.each([
    ['expired', EXPIRED_CERT, EXPIRED_KEY, 'secure.acme.com', 'CERT_HAS_EXPIRED'],
    ['that signs itself', OWN_CERT, OWN_KEY, 'secure.acme.com', 'DEPTH_ZERO_SELF_SIGNED_CERT'],
    ['for another name', GOOD_CERT, GOOD_KEY, 'other.acme.com', 'ERR_TLS_CERT_ALTNAME_INVALID'],
  ])('says what is wrong with a certificate %s', async (_, cert, key, name, code) => {
    const port = await secure({ cert, key })
    const { outcome } = await client(names.query, trusting).send(`https://${name}:${port}/`)
    expect(outcome).toMatchObject({ error: 'tls_cert', detail: expect.stringContaining(code) })
  })
  it('says what the name server said, and which address was refused', async () => {
    const { query } = dns({
      'broken.acme.com': () => ({ v4: 'ESERVFAIL', v6: 'ESERVFAIL' }),
      'inner.acme.com': () => ({ v4: ['10.1.2.3'] }),
    })
    const { send } = client(query)
    const details = await Promise.all(
      ['broken', 'gone', 'inner'].map(async (name) => (await send(`http://${name}.acme.com:8080/`)).outcome),
    )
    expect(details).toMatchObject([
      { error: 'dns_error', detail: 'broken.acme.com: ESERVFAIL' },
      { error: 'dns_nxdomain', detail: 'gone.acme.com: no such name' },
      { error: 'blocked_target', detail: expect.stringContaining('inner.acme.com is 10.1.2.3') },
    ])
  })
})

describe('RECV-11: TLS', () => {
  it('a certificate of a trusted authority for this name is taken', async () => {
    const port = await secure({ cert: GOOD_CERT, key: GOOD_KEY })
    expect(await client(names.query, trusting).send(`https://secure.acme.com:${port}/`)).toMatchObject({
      outcome: { status: 200 },
    })
  })
  it.each([
    ['of an unknown authority', { cert: GOOD_CERT, key: GOOD_KEY }, {}, 'secure.acme.com', 'tls_cert'],
    ['expired', { cert: EXPIRED_CERT, key: EXPIRED_KEY }, trusting, 'secure.acme.com', 'tls_cert'],
    ['that signs itself', { cert: OWN_CERT, key: OWN_KEY }, trusting, 'secure.acme.com', 'tls_cert'],
    [
      'in a chain of more than 100 KB',
      { cert: `${GOOD_CERT}${TEST_CA.repeat(400)}`, key: GOOD_KEY },
      trusting,
      'secure.acme.com',
      'tls_handshake',
    ],
    [
      'refused to the name that was asked for (SNI)',
      { SNICallback: (_name: string, done: (error: Error) => void) => done(new Error('not here')) },
      trusting,
      'secure.acme.com',
      'tls_handshake',
    ],
    [
      'with TLS 1.0 only',
      { cert: GOOD_CERT, key: GOOD_KEY, minVersion: 'TLSv1', maxVersion: 'TLSv1', ciphers: 'ALL@SECLEVEL=0' },
      trusting,
      'secure.acme.com',
      'tls_handshake',
    ],
    ['for another name', { cert: GOOD_CERT, key: GOOD_KEY }, trusting, 'other.acme.com', 'tls_cert'],
    [
      'with TLS 1.1 only',
      { cert: GOOD_CERT, key: GOOD_KEY, minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'ALL@SECLEVEL=0' },
      trusting,
      'secure.acme.com',
      'tls_handshake',
    ],
  ] as const)('one %s fails before any byte of the request', async (_, options, settings, name, error) => {
    const port = await secure(options as TlsOptions)
    const report = await client(names.query, settings).send(`https://${name}:${port}/`)
    expect(report).toMatchObject({ outcome: { kind: 'error', error }, sent: false })
  })
  it.each([
    // In 1.3 the server says so after the handshake, when the request may be on its way; its reset may overtake its reason.
    ['TLSv1.2', ['tls_handshake'], [false]],
    ['TLSv1.3', ['tls_handshake', 'reset_after_send'], [false, true]],
  ] as const)('a client certificate demanded under %s is a failed handshake', async (version, errors, sent) => {
    const port = await secure({
      cert: GOOD_CERT,
      key: GOOD_KEY,
      requestCert: true,
      rejectUnauthorized: true,
      ca: TEST_CA,
      minVersion: version,
      maxVersion: version,
    })
    const report = await client(names.query, trusting).send(`https://secure.acme.com:${port}/`)
    expect(errors).toContain(report.outcome.kind === 'error' ? report.outcome.error : report.outcome.status)
    expect(sent).toContain(report.sent)
  })
  it('a renegotiation in the middle of a request does no harm: it is answered, and so is the next one', async () => {
    let renegotiations = 0
    const port = await secure({ cert: GOOD_CERT, key: GOOD_KEY, maxVersion: 'TLSv1.2' }, (socket) => {
      socket.once('data', () => {
        renegotiations += 1
        socket.renegotiate({}, () => socket.write(OK))
      })
    })
    const { send } = client(names.query, trusting)
    for (let i = 0; i < 2; i++)
      expect(await send(`https://secure.acme.com:${port}/`, { timeoutMs: 2_000 })).toMatchObject({
        outcome: { status: 200 },
      })
    expect(renegotiations).toBeGreaterThan(0)
  })
  it('is verified whatever the environment says', async () => {
    vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0')
    cleanups.push(async () => void vi.unstubAllEnvs())
    const port = await secure({ cert: OWN_CERT, key: OWN_KEY })
    expect(await client(names.query).send(`https://secure.acme.com:${port}/`)).toMatchObject({
      outcome: { error: 'tls_cert' },
      sent: false,
    })
  })
  it('plain HTTP on a TLS port, and a handshake that stalls, end as failures', async () => {
    const plain = await RawReceiver.start((connection) => connection.write('HTTP/1.1 400 Bad\r\n\r\n'), {
      at: 'connect',
    })
    const stalled = await RawReceiver.start(() => {}, { at: 'connect' })
    cleanups.push(
      () => plain.stop(),
      () => stalled.stop(),
    )
    const { send } = client(names.query, trusting)
    expect(await send(`https://secure.acme.com:${plain.port}/`)).toMatchObject({
      outcome: { error: 'tls_handshake' },
      sent: false,
    })
    expect(await send(`https://secure.acme.com:${stalled.port}/`, { timeoutMs: 300 })).toMatchObject({
      outcome: { error: 'connect_timeout' },
      sent: false,
    })
  })
})
