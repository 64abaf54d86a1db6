/** What takes the seconds that the design names, each test waiting beside the others. */
import { createServer } from 'node:net'
import { describe, it } from 'vitest'
import { CONNECT_MS_MAX, ORIGINS_MAX } from '#config/limits.ts'
import { httpClient } from '#test/support/http-client.ts'
import { callEachHostOnce, everyNameIsHere } from '#test/support/many-hosts.ts'
import { RawReceiver } from '#test/support/raw-receiver.ts'
import { SilentListener } from '#test/support/silent-listener.ts'

/** Far beyond what is waited for here. */
const timeoutMs = 60_000
/** undici's clock ticks twice a second; the rest is for a busy machine. */
const LATE_MS_MAX = 10_000

describe.concurrent('in seconds', () => {
  it('RECV-02: a full backlog, where a SYN is never answered: connect_timeout after five seconds, nothing sent', async ({
    expect,
    onTestFinished,
  }) => {
    const silent = await SilentListener.start()
    const { http, send } = httpClient()
    onTestFinished(async () => void (await Promise.all([http.close(), silent.stop()])))
    const report = await send(silent.url, { timeoutMs })
    expect(report).toMatchObject({ outcome: { kind: 'error', error: 'connect_timeout' }, sent: false })
    expect(CONNECT_MS_MAX).toBe(5_000)
    expect(report.networkMs).toBeGreaterThanOrEqual(CONNECT_MS_MAX - 1)
    expect(report.networkMs).toBeLessThan(CONNECT_MS_MAX + LATE_MS_MAX)
  })

  it('RECV-11: a handshake that stalls ends with the connection’s five seconds, not with the attempt', async ({
    expect,
    onTestFinished,
  }) => {
    const server = createServer((socket) => void socket.on('error', () => {}).resume())
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { http, send } = httpClient()
    onTestFinished(async () => {
      await http.close()
      await new Promise((resolve) => server.close(resolve))
    })
    const address = server.address()
    const port = typeof address === 'object' ? address?.port : 0
    const report = await send(`https://127.0.0.1:${port}/`, { timeoutMs })
    expect(report).toMatchObject({ outcome: { kind: 'error', error: 'connect_timeout' }, sent: false })
    expect(report.networkMs).toBeGreaterThanOrEqual(CONNECT_MS_MAX - 1)
    expect(report.networkMs).toBeLessThan(CONNECT_MS_MAX + LATE_MS_MAX)
  })

  it.for([
    ['a status line', ''],
    ['headers', 'HTTP/1.1 200 OK\r\n'],
  ] as const)(
    'RECV-03: %s dripped at a byte a second: the total deadline ends it',
    async ([, first], { expect, onTestFinished }) => {
      const receiver = await RawReceiver.start((connection) => {
        connection.write(first)
        connection.drip('HTTP/1.1: 200 OK\r\n'.repeat(100), 1_000)
      })
      const { http, send } = httpClient()
      onTestFinished(async () => void (await Promise.all([http.close(), receiver.stop()])))
      const report = await send(receiver.url, { timeoutMs: 4_000 })
      expect(report).toMatchObject({ outcome: { kind: 'error', error: 'timeout' }, sent: true })
      expect(report.networkMs).toBeGreaterThanOrEqual(4_000)
      expect(report.networkMs).toBeLessThan(4_000 + LATE_MS_MAX)
      await receiver.until(() => receiver.open === 0)
    },
  )

  it('RECV-17: of 1,200 hosts, each called once, a bounded number of origins is kept, and every connection is given back when all is idle', async ({
    expect,
    onTestFinished,
  }) => {
    const receiver = await RawReceiver.start((connection) =>
      connection.write('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n'),
    )
    const { http } = await callEachHostOnce(1_200, receiver.port)
    onTestFinished(async () => void (await Promise.all([http.close(), receiver.stop()])))
    expect(http.sizes).toEqual({ attempts: 0, origins: ORIGINS_MAX, names: 1_200 })
    await receiver.until(() => receiver.open === 0)
    expect(receiver.connections).toHaveLength(1_200)
  })

  it('RECV-17: origins that are in use are not counted out by new ones: 1,200 hosts at once are all answered', async ({
    expect,
    onTestFinished,
  }) => {
    const receiver = await RawReceiver.start(() => {
      if (receiver.connections.filter(({ received }) => received.length > 0).length < 1_200) return
      for (const connection of receiver.connections) connection.write('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n')
    })
    const { http, send } = httpClient({}, everyNameIsHere)
    onTestFinished(async () => void (await Promise.all([http.close(), receiver.stop()])))
    const all = Array.from({ length: 1_200 }, (_, n) => send(`http://h${n}.acme.com:${receiver.port}/`, { timeoutMs }))
    expect(http.sizes).toMatchObject({ attempts: 1_200, origins: 1_200 })
    const reports = await Promise.all(all)
    expect(reports.filter(({ outcome }) => outcome.kind !== 'response')).toEqual([])
    expect(http.sizes).toMatchObject({ attempts: 0, origins: ORIGINS_MAX })
  })
})
