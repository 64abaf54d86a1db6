import fc from 'fast-check'
import { expect, it } from 'vitest'
import { httpClient } from '#test/support/http-client.ts'
import { RawReceiver } from '#test/support/raw-receiver.ts'
import { PUBLIC_ONLY } from '#webhook/address.ts'
import { parseHeaders } from '#webhook/headers.ts'
import { parseTarget } from '#webhook/url.ts'

/** Whatever a client might try: line breaks, other spellings, names of ours, bytes of all kinds. */
const nasty = fc.oneof(
  fc.string({ maxLength: 30 }),
  fc.string({ unit: 'binary', maxLength: 30 }),
  fc.constantFrom(
    'a\r\nx-injected: 1',
    'a\nb',
    '\r\n\r\nGET / HTTP/1.1',
    '\u0000',
    '\u010D\u010A',
    'é',
    ' ',
    '\t',
    '%0d%0a',
    '',
    '✓',
  ),
)
const name = fc.oneof(
  fc.stringMatching(/^[A-Za-z0-9-]{1,20}$/),
  nasty,
  fc.constantFrom(
    'Host',
    'content-length',
    'Transfer-Encoding',
    'Webhook-Id',
    'x-a',
    'X-A',
    'connection',
    '__proto__',
    'constructor',
  ),
)
const headers = fc.array(fc.tuple(name, nasty), { maxLength: 8 })
const path = fc.oneof(fc.webPath(), nasty)

it('SSRF-06: what is accepted goes out as exactly the intended lines, and nothing beside them', async () => {
  const receiver = await RawReceiver.start((connection) =>
    connection.write('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n'),
  )
  const client = httpClient({ connectionReuse: false })
  let accepted = 0
  try {
    await fc.assert(
      fc.asyncProperty(path, headers, fc.uint8Array({ maxLength: 50 }), async (somePath, someHeaders, body) => {
        const target = parseTarget(`${receiver.url}/${somePath}`, { ...PUBLIC_ONLY, allowPrivate: true })
        const parsed = parseHeaders(Object.fromEntries(someHeaders))
        fc.pre(target.ok && parsed.ok)
        accepted += 1
        const before = receiver.connections.length
        const report = await client.send(target.target.url, { headers: parsed.headers, body })
        expect(report.outcome, JSON.stringify(report)).toMatchObject({ kind: 'response', status: 200 })
        const connection = receiver.connections[before] ?? expect.fail('no connection')
        const text = connection.received.toString('latin1')
        const end = text.indexOf('\r\n\r\n')
        const [request, ...lines] = text.slice(0, end).split('\r\n')
        expect(request).toBe(`POST ${target.target.url.slice(receiver.url.length)} HTTP/1.1`)
        const own = ['webhook-id', 'webhook-timestamp', 'user-agent', 'accept-encoding', 'content-length']
        expect(lines.slice(2, -own.length)).toEqual(parsed.headers.map(([header, value]) => `${header}: ${value}`))
        expect(lines.slice(-own.length).map((line) => line.split(':')[0])).toEqual(own)
        expect(lines.at(-1)).toBe(`content-length: ${body.length}`)
        expect(connection.received.subarray(end + 4).equals(body)).toBe(true)
        expect(receiver.connections).toHaveLength(before + 1)
      }),
      { numRuns: 300 },
    )
  } finally {
    await client.http.close()
    await receiver.stop()
  }
  expect(accepted).toBeGreaterThan(30)
}, 60_000)
