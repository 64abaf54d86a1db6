/** RECV: hostile and broken receivers, on bare sockets. */
import { setImmediate, setTimeout } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import { BODY_WAIT_MS } from '#config/limits.ts'
import { failureOf } from '#dispatch/failure.ts'
import { ReportFrame, type ThreadReport } from '#dispatch/frames.ts'
import type { DispatchSettings } from '#dispatch/settings.ts'
import { httpClient } from '#test/support/http-client.ts'
import { type Behaviour, type RawConnection, RawReceiver } from '#test/support/raw-receiver.ts'
import { Receiver } from '#test/support/receiver.ts'
import { SilentListener } from '#test/support/silent-listener.ts'
import { errorClassOf, isInDoubt } from '#webhook/outcome.ts'
import { DEFAULT_RETRY_POLICY, decideNext } from '#webhook/retry.ts'

const cleanups: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup()
})

const raw = async (behave: Behaviour, at: 'head' | 'connect' = 'head'): Promise<RawReceiver> => {
  const receiver = await RawReceiver.start(behave, { at })
  cleanups.push(() => receiver.stop())
  return receiver
}
const client = (settings: Partial<DispatchSettings> = {}) => {
  const made = httpClient(settings)
  cleanups.push(() => made.http.close())
  return made
}
const respond =
  (text: string): Behaviour =>
  (connection) =>
    connection.write(text)
const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'

/** What becomes of a first attempt that ended so, under the policy that a webhook has unless it says otherwise. */
const fateOf = ({ outcome, sent }: ThreadReport) => {
  const inDoubt = isInDoubt(outcome, sent)
  const policy = DEFAULT_RETRY_POLICY
  const ended = { attempt: 1, outcome, policy, firstAt: 0, expiresAt: null, endedAt: 0, inDoubt, random: 0 }
  return { inDoubt, state: decideNext(ended).state }
}
const IN_DOUBT_AND_RETRIED = { inDoubt: true, state: 'retrying' }
const RETRIED = { inDoubt: false, state: 'retrying' }

const errorOf = (report: ThreadReport) =>
  report.outcome.kind === 'error' ? report.outcome.error : report.outcome.status

describe('RECV-01: no answer', () => {
  it('ends at the total deadline, its socket destroyed, reported after that', async () => {
    const receiver = await raw(() => {})
    const report = await client().send(receiver.url, { timeoutMs: 300 })
    expect(report).toMatchObject({ outcome: { kind: 'error', error: 'timeout' }, sent: true })
    expect(report.networkMs).toBeGreaterThanOrEqual(300)
    expect(report.networkMs).toBeLessThan(2_000)
    expect(fateOf(report)).toEqual(IN_DOUBT_AND_RETRIED)
    await receiver.until(() => receiver.open === 0)
  })
})

describe('RECV-02: connections that fail', () => {
  it('nobody listens: connect_refused, nothing sent', async () => {
    const receiver = await RawReceiver.start(() => {})
    const { url } = receiver
    await receiver.stop()
    const report = await client().send(url)
    expect(report).toMatchObject({ outcome: { kind: 'error', error: 'connect_refused' }, sent: false })
    expect(fateOf(report)).toEqual(RETRIED)
  })
  it('a SYN that is never answered: connect_timeout, nothing sent', async () => {
    const silent = await SilentListener.start()
    cleanups.push(() => silent.stop())
    const report = await client().send(silent.url, { timeoutMs: 500 })
    expect(report).toMatchObject({ outcome: { kind: 'error', error: 'connect_timeout' }, sent: false })
    expect(fateOf(report)).toEqual(RETRIED)
  })
  it.each([
    ['reset after the request', '', (c: RawConnection) => c.reset()],
    ['closed before any header', '', (c: RawConnection) => c.end()],
    ['closed inside the headers', 'HTTP/1.1 200 OK\r\ncontent-le', (c: RawConnection) => c.end()],
  ] as const)('%s: in doubt, tried again', async (_, first, cut) => {
    const receiver = await raw((connection) => {
      connection.write(first)
      cut(connection)
    })
    const report = await client().send(receiver.url)
    expect(report).toMatchObject({ outcome: { kind: 'error', error: 'reset_after_send' }, sent: true })
    expect(fateOf(report)).toEqual(IN_DOUBT_AND_RETRIED)
  })
  it.each([
    ['reset', (c: { reset(): void }) => c.reset()],
    ['closed', (c: { end(): void }) => c.end()],
  ] as const)('%s inside the body: the status line has decided', async (_, cut) => {
    const receiver = await raw((connection) => {
      connection.write('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\npart')
      void setTimeout(20).then(() => cut(connection))
    })
    const report = await client().send(receiver.url)
    expect(report).toMatchObject({ outcome: { kind: 'response', status: 200 }, sent: true })
  })
})

describe('LOAD-09: no descriptor, memory or port is left here', () => {
  it.each(['EMFILE', 'ENFILE', 'ENOBUFS', 'ENOMEM', 'EADDRNOTAVAIL'])(
    '%s is our lack, not in doubt, retried',
    (code) => {
      const thrown = Object.assign(new Error(`connect ${code} 127.0.0.1:80`), { code })
      for (const error of [thrown, new AggregateError([thrown, thrown])]) {
        const { error: name, detail } = failureOf(error, false)
        expect(name).toBe('in_doubt')
        expect(detail).toContain(code)
        const outcome = { kind: 'error', error: name, detail } as const
        const inDoubt = isInDoubt(outcome, false)
        expect(inDoubt).toBe(false)
        const policy = { ...DEFAULT_RETRY_POLICY, inDoubt: 'stop' } as const
        const ended = { attempt: 1, outcome, policy, firstAt: 0, expiresAt: null, endedAt: 0, inDoubt, random: 0 }
        expect(decideNext(ended).state).toBe('retrying')
      }
    },
  )
})

describe('RECV-03: drips', () => {
  it('a status line dripped for ever ends at the deadline', async () => {
    const receiver = await raw((connection) => connection.drip('HTTP/1.1 200 OK\r\nx-drip: yes\r\n\r\n', 50))
    const report = await client().send(receiver.url, { timeoutMs: 300 })
    expect(report).toMatchObject({ outcome: { error: 'timeout' } })
    expect(report.networkMs).toBeLessThan(2_000)
  })
  it('a body dripped for ever is a delivery, reported soon after its status line', async () => {
    const receiver = await raw((connection) => {
      connection.write('HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n')
      connection.drip('x'.repeat(1_000), 20)
    })
    const started = performance.now()
    const report = await client().send(receiver.url)
    expect(report.outcome).toMatchObject({ kind: 'response', status: 200 })
    expect(performance.now() - started).toBeLessThan(2_000)
    await receiver.until(() => receiver.open === 0)
  })
  it('a flood of 103 ends after twenty', async () => {
    const receiver = await raw((connection) =>
      connection.drip(Array(500).fill('HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n'), 1),
    )
    expect(await client().send(receiver.url)).toMatchObject({ outcome: { error: 'bad_response' } })
  })
  it('a slow trickle of 103 does not move the deadline', async () => {
    const receiver = await raw((connection) => connection.drip(Array(500).fill('HTTP/1.1 103 Early Hints\r\n\r\n'), 50))
    const report = await client().send(receiver.url, { timeoutMs: 400 })
    expect(report).toMatchObject({ outcome: { error: 'timeout' } })
    expect(report.networkMs).toBeLessThan(2_000)
  })
  it('a few 103 before the answer do no harm', async () => {
    const receiver = await raw(respond(`HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n${OK}`))
    expect(await client().send(receiver.url)).toMatchObject({ outcome: { kind: 'response', status: 200 } })
  })
})

describe('RECV-05: a 100 Continue that nobody asked for', () => {
  it('is a bad response, tried again', async () => {
    const receiver = await raw(respond(`HTTP/1.1 100 Continue\r\n\r\n${OK}`))
    const report = await client().send(receiver.url)
    expect(report).toMatchObject({ outcome: { error: 'bad_response' }, sent: true })
    expect(fateOf(report)).toEqual(RETRIED)
  })
})

describe('RECV-07: headers', () => {
  it.each([
    ['a header block over 16 KiB', `HTTP/1.1 200 OK\r\nx-a: ${'a'.repeat(20_000)}\r\n\r\n`, 'too_large_headers'],
    [
      '10,000 tiny headers',
      `HTTP/1.1 200 OK\r\n${'a: b\r\n'.repeat(10_000)}content-length: 0\r\n\r\n`,
      'too_large_headers',
    ],
    ['a reason phrase of 1 MB', `HTTP/1.1 200 ${'R'.repeat(1_000_000)}\r\ncontent-length: 0\r\n\r\n`, null],
    ['200 Set-Cookie', `HTTP/1.1 200 OK\r\n${'set-cookie: a=b\r\n'.repeat(200)}content-length: 0\r\n\r\n`, null],
    ['invalid UTF-8', 'HTTP/1.1 200 OK\r\nx-a: \xff\xfe\xc0\r\ncontent-length: 0\r\n\r\n', null],
    ['CR inside a value', 'HTTP/1.1 200 OK\r\nx-a: a\rb\r\ncontent-length: 0\r\n\r\n', 'bad_response'],
    ['Retry-After twice', 'HTTP/1.1 503 X\r\nretry-after: 1\r\nretry-after: 2\r\ncontent-length: 0\r\n\r\n', null],
    ['65 headers', `HTTP/1.1 200 OK\r\n${'x-a: b\r\n'.repeat(65)}content-length: 0\r\n\r\n`, null],
  ])('%s completes or fails cleanly, and nothing of it is kept', async (name, text, error) => {
    const receiver = await raw(respond(text))
    const report = await client().send(receiver.url)
    const status = name.startsWith('Retry-After') ? 503 : 200
    if (error === null) expect(report.outcome).toEqual({ kind: 'response', status, retryAfterMs: null, excerpt: null })
    else expect(errorOf(report)).toBe(error)
    const frame = new ReportFrame()
    frame.add(report)
    // Its head, and the words of an error: whatever a receiver says beside its body, 4 KiB are far away.
    expect(frame.take().byteLength).toBeLessThan(512)
  })
  it('words of an error that hold what a receiver said are cut', () => {
    const outcome = { kind: 'error', error: 'tls_cert', detail: 'x'.repeat(1_000_000) } as const
    const frame = new ReportFrame()
    frame.add({ handle: 1, outcome, startedAt: 1, endedAt: 2, networkMs: 1, sent: false })
    expect(frame.take().byteLength).toBeLessThan(512)
  })
})

describe('RECV-08: what is not HTTP', () => {
  it.each([
    ['TLS bytes', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'],
    ['HTTP/0.9', '<html>hello</html>'],
    ['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
    ['status 000', 'HTTP/1.1 000 Zero\r\ncontent-length: 0\r\n\r\n'],
    ['status 600', 'HTTP/1.1 600 High\r\ncontent-length: 0\r\n\r\n'],
    ['status 99', 'HTTP/1.1 99 Low\r\ncontent-length: 0\r\n\r\n'],
    ['status 999', 'HTTP/1.1 999 High\r\ncontent-length: 0\r\n\r\n'],
    ['status 2000', 'HTTP/1.1 2000 Long\r\ncontent-length: 0\r\n\r\n'],
    ['101 unasked', 'HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n'],
    [
      'length and chunks together',
      'HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
    ],
    ['two lengths', 'HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello'],
    ['a negative length', 'HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\nhello'],
  ])('%s is a failure and nothing else', async (_, text) => {
    const receiver = await raw((connection) => {
      connection.write(text)
      void setTimeout(30).then(() => connection.end())
    })
    const { send } = client()
    const report = await send(receiver.url, { timeoutMs: 1_000 })
    expect(report).toMatchObject({ outcome: { kind: 'error', error: 'bad_response' }, sent: true })
    expect(fateOf(report)).toEqual(RETRIED)
    const sound = await raw(respond(OK))
    expect(await send(sound.url)).toMatchObject({ outcome: { status: 200 } })
  })
})

describe('RECV-10: redirects', () => {
  it.each([301, 302, 303, 307, 308])(
    '%i is not followed, and neither its target nor its body is kept',
    async (status) => {
      const target = await raw(respond(OK))
      const receiver = await raw(
        respond(`HTTP/1.1 ${status} X\r\nlocation: ${target.url}/secret\r\ncontent-length: 6\r\n\r\nsecret`),
      )
      const report = await client().send(receiver.url, { headers: [['x-api-key', 'k']] })
      expect(report.outcome).toEqual({ kind: 'response', status, retryAfterMs: null, excerpt: null })
      expect(errorClassOf(report.outcome)).toBe('redirect')
      expect(fateOf(report)).toEqual(RETRIED)
      expect(target.connections).toHaveLength(0)
      expect(receiver.connections).toHaveLength(1)
    },
  )
  it('the first of a chain of fifty on one host is the end: one request, one connection', async () => {
    const receiver = await Receiver.start(({ path }) => {
      const step = Number(path.slice(1))
      return step < 50 ? { status: 307, headers: { location: `/${step + 1}` } } : {}
    })
    cleanups.push(() => receiver.stop())
    expect(await client().send(`${receiver.url}/0`)).toMatchObject({ outcome: { status: 307 } })
    await setImmediate()
    expect(receiver.arrivals.map(({ path }) => path)).toEqual(['/0'])
    expect(receiver.connections).toBe(1)
  })
  it.each([
    '',
    '/',
    'http://127.0.0.1:1/',
    'http://169.254.169.254/',
    '/relative',
    'http://user:secret@127.0.0.1/',
    '//evil',
    'http://[',
    `/${'a'.repeat(10_000)}`,
  ])('Location %j does no harm', async (location) => {
    const receiver = await raw(respond(`HTTP/1.1 302 X\r\nlocation: ${location}\r\ncontent-length: 0\r\n\r\n`))
    const { outcome } = await client().send(receiver.url)
    expect(outcome).toEqual({ kind: 'response', status: 302, retryAfterMs: null, excerpt: null })
    expect(receiver.connections).toHaveLength(1)
  })
  it('a Location of 64 KB is more than a header may hold', async () => {
    const receiver = await raw(
      respond(`HTTP/1.1 302 X\r\nlocation: /${'a'.repeat(65_536)}\r\ncontent-length: 0\r\n\r\n`),
    )
    expect(errorOf(await client().send(receiver.url))).toBe('too_large_headers')
  })
})

describe('RECV-13: early answers and receivers that do not read', () => {
  it('200 before the body was read is a delivery', async () => {
    const receiver = await raw((connection) => {
      connection.socket.pause()
      connection.write(OK)
    }, 'connect')
    const report = await client().send(receiver.url, { body: Buffer.alloc(1_000_000), timeoutMs: 3_000 })
    expect(report).toMatchObject({ outcome: { kind: 'response', status: 200 } })
  })
  it('never reading 8 MB ends at the deadline, and costs no more memory than the bodies', async () => {
    const receiver = await raw((connection) => void connection.socket.pause(), 'connect')
    const { http, send } = client()
    const attempts = 8
    const body = Buffer.alloc(8_000_000)
    const held = () => process.memoryUsage().external
    const before = held()
    const all = Promise.all(Array.from({ length: attempts }, () => send(receiver.url, { body, timeoutMs: 600 })))
    let most = 0
    while (http.sizes.attempts > 0) {
      most = Math.max(most, held())
      await setTimeout(10)
    }
    for (const report of await all) expect(report).toMatchObject({ outcome: { error: 'timeout' }, sent: true })
    expect(most, 'one packed request each').toBeGreaterThan(before)
    expect(most - before).toBeLessThan((attempts + 1) * body.length)
  })
  it.each([
    ['says nothing', '', 'reset_after_send'],
    ['has said 200', OK, 200],
  ] as const)(
    'a receiver that %s and closes in the middle of the body: no more than a failure, and the next attempt is not disturbed',
    async (_, first, end) => {
      const receiver = await raw((connection) => {
        connection.write(first)
        void setImmediate().then(() => connection.socket.destroy())
      }, 'head')
      const { send } = client()
      const report = await send(receiver.url, { body: Buffer.alloc(8_000_000), timeoutMs: 5_000 })
      // Its reset may overtake the answer.
      expect([end, 'reset_after_send']).toContain(errorOf(report))
      expect(report.sent).toBe(true)
      const sound = await raw(respond(OK))
      expect(await send(sound.url)).toMatchObject({ outcome: { status: 200 } })
    },
  )
})

describe('RECV-18: answers with odd bodies', () => {
  it.each([
    ['204 with a body', 'HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\nhello', 204],
    ['205', 'HTTP/1.1 205 Reset\r\ncontent-length: 0\r\n\r\n', 205],
    ['304', 'HTTP/1.1 304 Not Modified\r\n\r\n', 304],
    ['a length without a body, as to HEAD', 'HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n', 200],
    ['no length, until the end', 'HTTP/1.1 200 OK\r\n\r\nhello', 200],
    ['a length that never comes', 'HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\nabc', 200],
    [
      'trailers without end',
      `HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n${'a: b\r\n'.repeat(5_000)}`,
      200,
    ],
    [
      'chunk extensions without end',
      `HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5;${'a'.repeat(50_000)}`,
      200,
    ],
    ['chunked garbage', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n', 200],
  ])('%s keeps its status', async (_, text, status) => {
    const receiver = await raw(respond(text))
    const started = performance.now()
    const report = await client().send(receiver.url, { timeoutMs: 30_000 })
    expect(report.outcome).toMatchObject({ kind: 'response', status })
    // The body is waited for a quarter of a second, not for the attempt's deadline.
    expect(performance.now() - started).toBeLessThan(BODY_WAIT_MS + 5_000)
  })
  it('an endless body is a delivery of which 4 KiB are kept', async () => {
    const receiver = await raw((connection) => {
      connection.write('HTTP/1.1 200 OK\r\n\r\n')
      connection.drip(
        (function* () {
          for (;;) yield 'x'.repeat(50_000)
        })(),
        1,
      )
    })
    const report = await client().send(receiver.url)
    expect(report.outcome).toMatchObject({ kind: 'response', status: 200 })
    expect(report.outcome.kind === 'response' ? report.outcome.excerpt?.length : 0).toBe(4_096)
    await receiver.until(() => receiver.open === 0)
  })
  it('never decompresses', async () => {
    const receiver = await raw(
      respond('HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\n\x1f\x8b\x08\x00'),
    )
    const report = await client().send(receiver.url)
    expect(report.outcome).toMatchObject({ excerpt: Buffer.from([0x1f, 0x8b, 8, 0]) })
  })
})

describe('the request on the wire', () => {
  it('SSRF-06: holds exactly the intended lines', async () => {
    const receiver = await raw(respond(OK))
    await client().send(`${receiver.url}/a%0d%0ab?q=%20`, { headers: [['x-key', 'v\u00e9']], body: 'h\u00e9llo' })
    const text = receiver.received.toString('latin1')
    const timestamp = /webhook-timestamp: (\d+)/.exec(text)?.[1] ?? ''
    expect(text).toBe(
      [
        'POST /a%0d%0ab?q=%20 HTTP/1.1',
        `host: 127.0.0.1:${receiver.port}`,
        'connection: keep-alive',
        'x-key: v\u00e9',
        'webhook-id: msg_1',
        `webhook-timestamp: ${timestamp}`,
        'user-agent: HookPulse/test',
        'accept-encoding: identity',
        'content-length: 6',
        '',
        'h\u00c3\u00a9llo',
      ].join('\r\n'),
    )
    expect(Math.abs(Number(timestamp) - Date.now() / 1_000)).toBeLessThan(5)
  })

  it.each(['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD'] as const)(
    '%s goes out as it is, its connection used again',
    async (method) => {
      const receiver = await Receiver.start(() => ({ headers: { 'content-length': '2' } }))
      cleanups.push(() => receiver.stop())
      const { send } = client()
      for (const body of ['', 'body']) {
        expect(await send(receiver.url, { method, body })).toMatchObject({ outcome: { status: 200 } })
        await setImmediate()
      }
      expect(receiver.arrivals.map((arrival) => [arrival.method, arrival.body.toString()])).toEqual([
        [method, ''],
        [method, 'body'],
      ])
    },
  )

  it('reads Retry-After', async () => {
    const receiver = await raw(respond('HTTP/1.1 503 X\r\nretry-after: 120\r\ncontent-length: 0\r\n\r\n'))
    expect(await client().send(receiver.url)).toMatchObject({ outcome: { status: 503, retryAfterMs: 120_000 } })
  })
})

describe('connections', () => {
  it('are used again inside one brand and origin, never across brands', async () => {
    const receiver = await Receiver.start()
    cleanups.push(() => receiver.stop())
    const { send } = client()
    for (const brand of ['a', 'a', 'b', 'a', 'b']) {
      await send(receiver.url, { brand })
      // As in the thread, where the next order comes in a later turn.
      await setImmediate()
    }
    expect(receiver.arrivals.map(({ connection }) => connection)).toEqual([1, 1, 2, 1, 2])
  })
  it('are not used again where that is turned off', async () => {
    const receiver = await Receiver.start()
    cleanups.push(() => receiver.stop())
    const { send } = client({ connectionReuse: false })
    for (let i = 0; i < 3; i++) await send(receiver.url)
    expect(receiver.connections).toBe(3)
  })
  it('D-27: are as many as there are attempts', async () => {
    const receiver = await Receiver.start(() => ({ hold: true }))
    cleanups.push(() => receiver.stop())
    const { send } = client()
    const all = Promise.all(Array.from({ length: 40 }, () => send(receiver.url)))
    await receiver.untilArrived(40)
    expect(receiver.open).toBe(40)
    receiver.release()
    expect((await all).every(({ outcome }) => outcome.kind === 'response')).toBe(true)
  })
  it('WORK-05: cancelling one attempt disturbs no other', async () => {
    const receiver = await Receiver.start(() => ({ hold: true }))
    cleanups.push(() => receiver.stop())
    const { send, abort, reported } = client()
    const all = [send(receiver.url), send(receiver.url), send(receiver.url)]
    await receiver.untilArrived(3)
    abort(2)
    abort(99)
    expect(await all[1]).toMatchObject({ outcome: { error: 'in_doubt' }, sent: true })
    abort(2)
    receiver.release()
    expect(await all[0]).toMatchObject({ outcome: { status: 200 } })
    expect(await all[2]).toMatchObject({ outcome: { status: 200 } })
    expect(reported).toHaveLength(3)
  })
})
