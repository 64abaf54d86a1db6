import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { ControlStage } from '#test/support/control-stage.ts'
import { BINARY, CLOSE, CONTINUATION, PING, PONG, RawClient, TEXT } from '#test/support/raw-client.ts'

describe('hostile sockets', () => {
  let stage: ControlStage
  const clients: RawClient[] = []
  beforeAll(async () => {
    stage = await ControlStage.start()
  })
  afterEach(() => {
    for (const client of clients.splice(0)) client.socket.destroy()
  })
  afterAll(() => stage.stop())

  const raw = async (): Promise<RawClient> => {
    const client = new RawClient(await stage.dial())
    clients.push(client)
    return client
  }
  const keyed = async (): Promise<RawClient> => {
    const client = await raw()
    expect(await client.upgrade({ authorization: `Bearer ${stage.adminKey}` })).toBe(101)
    return client
  }
  const plain = async (): Promise<RawClient> => {
    const client = await raw()
    expect(await client.upgrade()).toBe(101)
    return client
  }
  const info = '{"jsonrpc":"2.0","id":1,"method":"getInfo"}'
  const alive = async (): Promise<void> => {
    const client = await keyed()
    client.text(info)
    await client.until(() => client.texts().length === 1)
  }

  describe('CTRL-02: frames', () => {
    it.each([
      ['a length of 2^63 - 1', { opcode: TEXT, claimedBytes: 2n ** 63n - 1n }, 1009],
      ['100 MB without a key', { opcode: TEXT, claimedBytes: 100_000_000n }, 1009],
      ['a byte more than 256 KiB without a key', { opcode: TEXT, claimedBytes: 262_145n }, 1009],
      ['reserved bits', { opcode: TEXT, rsv: 2, payload: Buffer.from('x') }, 1002],
      ['the bit of compression, which was never agreed', { opcode: TEXT, rsv: 4, payload: Buffer.from('x') }, 1002],
      ['no mask', { opcode: TEXT, mask: false, payload: Buffer.from('x') }, 1002],
      ['an unknown opcode', { opcode: 5, payload: Buffer.from('x') }, 1002],
      ['a continuation of nothing', { opcode: CONTINUATION, payload: Buffer.from('x') }, 1002],
      ['a ping in fragments', { opcode: PING, fin: false, payload: Buffer.from('x') }, 1002],
      ['a ping of 126 bytes', { opcode: PING, payload: Buffer.alloc(126) }, 1002],
      ['bytes that are no UTF-8', { opcode: TEXT, payload: Buffer.from([0xff, 0xfe]) }, 1007],
      ['a close reason that is no UTF-8', { opcode: CLOSE, payload: Buffer.from([3, 232, 0xff]) }, 1007],
      ['a close of one byte', { opcode: CLOSE, payload: Buffer.from([3]) }, 1002],
      ['a binary frame', { opcode: BINARY, payload: Buffer.from(info) }, 1003],
    ])('closes the socket on %s, and nothing else', async (_what, frame, code) => {
      const client = await plain()
      client.send(frame)
      expect(await client.closed).toBe(code)
      await alive()
    })

    it('takes 12 MiB with a key and no byte more', async () => {
      const client = await keyed()
      client.send({ opcode: TEXT, claimedBytes: 12_582_913n })
      expect(await client.closed).toBe(1009)
    })

    it('closes a flood of empty messages as protocol errors', async () => {
      const client = await keyed()
      for (let i = 0; i < 200; i++) client.text('')
      expect(await client.closed).toBe(1008)
    })

    it('answers pings, but not ten thousand a second', async () => {
      const client = await keyed()
      client.send({ opcode: PING, payload: Buffer.from('hello') })
      await client.until(() => client.received.some(({ opcode }) => opcode === PONG))
      for (let i = 0; i < 2_000; i++) client.send({ opcode: PING })
      // By us, or by ws itself where the pongs pile up.
      expect([1008, 1006]).toContain(await client.closed)
      await alive()
    })
  })

  it('CTRL-03: never agrees to compression', async () => {
    const client = await raw()
    await client.upgrade({
      authorization: `Bearer ${stage.adminKey}`,
      'sec-websocket-extensions': 'permessage-deflate; client_max_window_bits',
    })
    expect(client.head.toLowerCase()).not.toContain('sec-websocket-extensions')
  })

  it('CTRL-04: closes a message of more than 64 fragments', async () => {
    const client = await keyed()
    client.send({ opcode: TEXT, fin: false, payload: Buffer.from('{') })
    for (let i = 0; i < 100; i++) client.send({ opcode: CONTINUATION, fin: false, payload: Buffer.from(' ') })
    expect(await client.closed).toBe(1008)
    await alive()
  })

  it('reads a message in fragments, with a ping between them', async () => {
    const client = await keyed()
    client.send({ opcode: TEXT, fin: false, payload: Buffer.from(info.slice(0, 10)) })
    client.send({ opcode: PING })
    client.send({ opcode: CONTINUATION, payload: Buffer.from(info.slice(10)) })
    await client.until(() => client.texts().length === 1)
    expect(client.texts()[0]).toContain('"result"')
  })

  it('CTRL-05: closes a socket after 50 protocol errors within a minute, not before', async () => {
    const client = await keyed()
    for (let i = 0; i < 49; i++) client.text('{')
    client.text(info)
    await client.until(() => client.texts().length === 50)
    client.text('{')
    expect(await client.closed).toBe(1008)
  })

  describe('CTRL-07: origins', () => {
    const upgradeFrom = async (origin: string): Promise<number> => {
      const client = await raw()
      return client.upgrade({ origin, cookie: 'session=stolen' })
    }
    it.each(['https://evil.example', 'null', 'http://127.0.0.1', 'file://'])(
      'refuses the origin %s',
      async (origin) => {
        expect(await upgradeFrom(origin)).toBe(403)
      },
    )
    it('refuses look-alikes of its own', async () => {
      expect(await upgradeFrom(`http://127.0.0.1:${stage.port}.evil.example`)).toBe(403)
      expect(await upgradeFrom(`https://127.0.0.1:${stage.port}`)).toBe(403)
    })
    it('takes its own, and none', async () => {
      expect(await upgradeFrom(`http://127.0.0.1:${stage.port}`)).toBe(101)
      await plain()
    })
    it('asks a POST the same', async () => {
      expect((await stage.post(info, stage.adminKey, { origin: 'https://evil.example' })).status).toBe(403)
    })
  })

  describe('CTRL-10: keys', () => {
    const wrong = (change: (key: string) => string): Promise<Response> => stage.post(info, change(stage.adminKey))
    it('refuses a key that is cut, mistyped, or of another kind', async () => {
      expect((await wrong((key) => key.slice(0, -1))).status).toBe(401)
      expect((await wrong((key) => `${key.slice(0, -1)}${key.endsWith('0') ? '1' : '0'}`)).status).toBe(401)
      expect((await wrong((key) => key.replace('hp_admin_', 'hp_brand_'))).status).toBe(401)
    })
    it('tells who has no key what to give, in the same shape as every error', async () => {
      const response = await stage.post(info, null)
      expect(response.status).toBe(401)
      expect(await response.json()).toMatchObject({
        id: null,
        error: { code: -32_000, data: { code: 'UNAUTHENTICATED', message: expect.stringContaining('authorization') } },
      })
    })
    it('refuses a key in the URL, and two headers', async () => {
      const client = await raw()
      expect(await client.upgrade({}, `/rpc?key=${stage.adminKey}`)).toBe(400)
      const twice = await raw()
      twice.socket.write(
        `GET /rpc HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n` +
          `sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\nauthorization: Bearer ${stage.adminKey}\r\nauthorization: Bearer x\r\n\r\n`,
      )
      await twice.until(() => twice.head !== '')
      expect(twice.head).toMatch(/^HTTP\/1\.1 4(01|29)/)
    })
    it('lets the right key in while wrong ones are slowed down (CTRL-01)', async () => {
      const statuses: number[] = []
      for (let i = 0; i < 12; i++) statuses.push((await wrong((key) => key.slice(1))).status)
      expect(statuses.at(-1)).toBe(429)
      const last = await wrong((key) => key.slice(1))
      expect(Number(last.headers.get('retry-after'))).toBeGreaterThan(0)
      await alive()
    })
    it('never says a key back', async () => {
      const guess = 'hp_admin_canary0000000000000000000000000000000000000000000000'
      expect(await (await stage.post(info, guess)).text()).not.toContain('canary')
      const client = await plain()
      client.text(JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'authenticate', params: { key: guess } }))
      await client.until(() => client.texts().length === 1)
      expect(client.texts()[0]).not.toContain('canary')
    })
  })

  describe('authenticate', () => {
    it('is asked for before anything else', async () => {
      const client = await plain()
      client.text(info)
      await client.until(() => client.texts().length === 1)
      expect(client.texts()[0]).toContain('UNAUTHENTICATED')
      client.text(JSON.stringify({ jsonrpc: '2.0', id: 2, method: 'authenticate', params: { key: stage.adminKey } }))
      client.text(info)
      await client.until(() => client.texts().length === 3)
      expect(client.texts()[1]).toContain('"role":"admin"')
      expect(client.texts()[2]).toContain('"result"')
    })
    it('is not read from a large frame of somebody unknown', async () => {
      const client = await plain()
      client.text(JSON.stringify({ jsonrpc: '2.0', id: 2, method: 'getInfo', params: { x: 'y'.repeat(20_000) } }))
      await client.until(() => client.texts().length === 1)
      expect(client.texts()[0]).toContain('UNAUTHENTICATED')
    })
    it('is waited for 5 s', { timeout: 10_000 }, async () => {
      const client = await plain()
      expect(await client.closed).toBe(4401)
    })
  })

  it('CTRL-09: closes the sockets of a key that is revoked or has expired, at their next word', async () => {
    const { key, stored } = stage.brandKey('acme')
    const client = await raw()
    await client.upgrade({ authorization: `Bearer ${key}` })
    client.text(info)
    await client.until(() => client.texts().length === 1)
    stage.revoke(stored)
    client.text(info)
    expect(await client.closed).toBe(4401)
    const expired = stage.brandKey('acme', 1)
    expect([401, 429]).toContain((await stage.post(info, expired.key)).status)
  })

  it('knows no other path and no other method', async () => {
    expect((await fetch(`${stage.url}/nothing`)).status).toBe(404)
    expect((await fetch(`${stage.url}/rpc`)).status).toBe(405)
    expect((await fetch(`${stage.url}/healthz`, { method: 'POST' })).status).toBe(405)
    const client = await raw()
    expect(await client.upgrade({}, '/other')).toBe(404)
  })

  it('says how it is', async () => {
    expect(await (await fetch(`${stage.url}/healthz`)).text()).toBe('ok\n')
    expect((await fetch(`${stage.url}/readyz`)).status).toBe(200)
    const metrics = await (await fetch(`${stage.url}/metrics`)).text()
    expect(metrics).toContain('hookpulse_attempts_started_total')
  })
})
