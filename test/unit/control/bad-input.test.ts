import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { METHODS } from '#control/protocol.ts'
import { ControlStage } from '#test/support/control-stage.ts'
import { PUBLIC_ONLY } from '#webhook/address.ts'

/** Method, params, data.code, data.field, and what the message must hold: the value or the cure. */
type Row = readonly [method: string, params: unknown, code: string, field: string | undefined, says: RegExp]

const URL = 'https://api.acme.com/hook'
const one = (more: object): object => ({ url: URL, ...more })
const nested = (levels: number): unknown => {
  let value: unknown = 1
  for (let i = 0; i < levels; i++) value = [value]
  return value
}

const WEBHOOKS: readonly Row[] = [
  ['scheduleWebhook', {}, 'INVALID_PARAMS', 'url', /missing.*http or https URL/],
  ['scheduleWebhook', { url: 7 }, 'INVALID_PARAMS', 'url', /got 7/],
  ['scheduleWebhook', one({ uri: 'x' }), 'INVALID_PARAMS', 'uri', /unknown parameter "uri"; known are url, method/],
  ['scheduleWebhook', one({ sign: true }), 'INVALID_PARAMS', 'sign', /unknown parameter/],
  ['scheduleWebhook', { url: 'ftp://acme.com/' }, 'INVALID_PARAMS', 'url', /https: or http:/],
  ['scheduleWebhook', { url: 'not a url' }, 'INVALID_PARAMS', 'url', /percent-encode/],
  ['scheduleWebhook', { url: `https://acme.com/${'x'.repeat(65_536)}` }, 'INVALID_PARAMS', 'url', /2048/],
  ['scheduleWebhook', { url: 'http://127.0.0.1/' }, 'BLOCKED_TARGET', 'url', /--allow-private/],
  ['scheduleWebhook', { url: 'http://0x7f.1/' }, 'BLOCKED_TARGET', 'url', /127\.0\.0\.1/],
  ['scheduleWebhook', { url: 'http://169.254.169.254/latest' }, 'BLOCKED_TARGET', 'url', /169\.254/],
  ['scheduleWebhook', { url: 'http://localhost/' }, 'BLOCKED_TARGET', 'url', /--allow-private/],
  ['scheduleWebhook', { url: 'https://acme.com:22/' }, 'INVALID_PARAMS', 'url', /port 22/],
  ['scheduleWebhook', one({ method: 'CONNECT' }), 'INVALID_PARAMS', 'method', /GET, POST/],
  ['scheduleWebhook', one({ headers: { 'x-a': 'b\r\nhost: evil' } }), 'INVALID_PARAMS', 'headers.x-a', /line break/],
  ['scheduleWebhook', one({ headers: { 'x\r\n': 'b' } }), 'INVALID_PARAMS', 'headers.x\r\n', /token characters/],
  ['scheduleWebhook', one({ headers: { host: 'evil' } }), 'INVALID_PARAMS', 'headers.host', /leave it out/],
  [
    'scheduleWebhook',
    one({ headers: { 'webhook-id': 'a.b' } }),
    'INVALID_PARAMS',
    'headers.webhook-id',
    /leave it out/,
  ],
  ['scheduleWebhook', one({ headers: ['a'] }), 'INVALID_PARAMS', 'headers', /object of header names/],
  [
    'scheduleWebhook',
    one({ headers: { 'x-a': { toString: 'b' } } }),
    'INVALID_PARAMS',
    'headers.x-a',
    /^headers\.x-a must be text; got an object$/,
  ],
  ['scheduleWebhook', one({ headers: { a: 5 } }), 'INVALID_PARAMS', 'headers.a', /^headers\.a must be text; got 5$/],
  ['scheduleWebhook', one({ at: 'tomorrow' }), 'INVALID_PARAMS', 'at', /RFC 3339.*or epoch milliseconds/],
  ['scheduleWebhook', one({ at: '2027-01-01T00:00:00' }), 'INVALID_PARAMS', 'at', /with an offset/],
  ['scheduleWebhook', one({ at: '2027-01-01T23:59:60Z' }), 'INVALID_PARAMS', 'at', /00 to 59/],
  ['scheduleWebhook', one({ at: '10000-01-01T00:00:00Z' }), 'INVALID_PARAMS', 'at', /RFC 3339/],
  ['scheduleWebhook', one({ at: '2027-01-01T00:00:00+24:00' }), 'INVALID_PARAMS', 'at', /offset/],
  ['scheduleWebhook', one({ at: '2027-02-30T00:00:00Z' }), 'INVALID_PARAMS', 'at', /28 days/],
  ['scheduleWebhook', one({ at: '2027-W01-1' }), 'INVALID_PARAMS', 'at', /RFC 3339/],
  ['scheduleWebhook', one({ at: 253_402_300_800_000 }), 'INVALID_PARAMS', 'at', /1970 and 9999/],
  ['scheduleWebhook', one({ at: 8_640_000_000_000_001 }), 'INVALID_PARAMS', 'at', /1970 and 9999/],
  ['scheduleWebhook', one({ at: -1 }), 'INVALID_PARAMS', 'at', /1970 and 9999/],
  ['scheduleWebhook', one({ at: 1.5 }), 'INVALID_PARAMS', 'at', /whole milliseconds/],
  ['scheduleWebhook', one({ at: null }), 'INVALID_PARAMS', 'at', /null/],
  ['scheduleWebhook', one({ delayMs: -1 }), 'INVALID_PARAMS', 'delayMs', /got -1/],
  ['scheduleWebhook', one({ delayMs: 1.5 }), 'INVALID_PARAMS', 'delayMs', /whole milliseconds/],
  ['scheduleWebhook', one({ delayMs: '5' }), 'INVALID_PARAMS', 'delayMs', /got "5"/],
  ['scheduleWebhook', one({ at: 1_900_000_000_000, delayMs: 1 }), 'INVALID_PARAMS', 'delayMs', /one of them/],
  ['scheduleWebhook', one({ priority: 'urgent' }), 'INVALID_PARAMS', 'priority', /high, normal or low; got "urgent"/],
  ['scheduleWebhook', one({ timeoutMs: 0 }), 'INVALID_PARAMS', 'timeoutMs', /from 1 to 120000/],
  ['scheduleWebhook', one({ timeoutMs: 120_001 }), 'INVALID_PARAMS', 'timeoutMs', /120000/],
  ['scheduleWebhook', one({ retry: { maxAttempts: 0 } }), 'INVALID_PARAMS', 'retry.maxAttempts', /from 1 to 50/],
  ['scheduleWebhook', one({ retry: { jitter: 2 } }), 'INVALID_PARAMS', 'retry.jitter', /0 to 1/],
  [
    'scheduleWebhook',
    one({ retry: { backoff: 'cubic' } }),
    'INVALID_PARAMS',
    'retry.backoff',
    /exponential, linear, fixed/,
  ],
  ['scheduleWebhook', one({ retry: { tries: 3 } }), 'INVALID_PARAMS', 'retry.tries', /unknown parameter/],
  ['scheduleWebhook', one({ expiresAt: 1 }), 'INVALID_PARAMS', 'expiresAt', /later/],
  ['scheduleWebhook', one({ body: 1, bodyText: 'x' }), 'INVALID_PARAMS', 'bodyText', /one of them/],
  ['scheduleWebhook', one({ bodyBase64: '***' }), 'INVALID_PARAMS', 'bodyBase64', /base64/],
  ['scheduleWebhook', one({ bodyText: '\ud800' }), 'INVALID_PARAMS', 'bodyText', /surrogate/],
  ['scheduleWebhook', one({ method: 'GET', body: {} }), 'INVALID_PARAMS', 'body', /leave it out/],
  ['scheduleWebhook', one({ tags: Array(21).fill('a') }), 'INVALID_PARAMS', 'tags', /at most 20/],
  ['scheduleWebhook', one({ tags: ['x'.repeat(65)] }), 'INVALID_PARAMS', 'tags[0]', /1 to 64/],
  ['scheduleWebhook', one({ name: 'a\u0000b' }), 'INVALID_PARAMS', 'name', /control characters/],
  ['scheduleWebhook', one({ name: '' }), 'INVALID_PARAMS', 'name', /1 to 128/],
  ['scheduleWebhook', one({ idempotencyKey: 'k'.repeat(256) }), 'INVALID_PARAMS', 'idempotencyKey', /1 to 255/],
  ['scheduleWebhook', one({ brand: 'No Brand' }), 'INVALID_PARAMS', 'brand', /a-z/],
  ['scheduleWebhooks', {}, 'INVALID_PARAMS', 'webhooks', /missing/],
  ['scheduleWebhooks', { webhooks: [] }, 'INVALID_PARAMS', 'webhooks', /1 to 10000/],
  ['scheduleWebhooks', { webhooks: 'x' }, 'INVALID_PARAMS', 'webhooks', /list/],
  ['scheduleWebhooks', { webhooks: [one({}), 5] }, 'INVALID_PARAMS', 'webhooks[1]', /5/],
  ['scheduleWebhooks', { webhooks: [one({}), { url: 'x' }] }, 'INVALID_PARAMS', 'webhooks[1].url', /absolute URL/],
  ['scheduleWebhooks', { webhooks: [{}], defaults: { method: 'PUT' } }, 'INVALID_PARAMS', 'webhooks[0].url', /missing/],
  ['scheduleWebhooks', { webhooks: [one({})], defaults: { foo: 1 } }, 'INVALID_PARAMS', 'defaults.foo', /unknown/],
]

const OTHERS: readonly Row[] = [
  ['nothing', {}, 'NOT_FOUND', undefined, /no method "nothing"; rpc.discover/],
  ['getWebhook', {}, 'INVALID_PARAMS', 'id', /missing/],
  ['getWebhook', { id: 'msg_none' }, 'NOT_FOUND', 'id', /msg_none/],
  ['getAttempts', { id: 'msg_none' }, 'NOT_FOUND', 'id', /msg_none/],
  ['cancelWebhook', { id: 'msg_none' }, 'NOT_FOUND', 'id', /msg_none/],
  ['cancelWebhooks', {}, 'INVALID_PARAMS', 'state', /would cancel everything/],
  ['cancelWebhooks', { state: 'delivered' }, 'INVALID_PARAMS', 'state', /scheduled, waiting, retrying/],
  ['replayWebhooks', { brand: 'acme' }, 'INVALID_PARAMS', 'state', /would replay everything/],
  ['replayWebhooks', { state: 'waiting' }, 'INVALID_PARAMS', 'state', /delivered, dead/],
  ['replayWebhook', { id: 'msg_none' }, 'NOT_FOUND', 'id', /msg_none/],
  ['replayWebhook', { id: 'msg_none', newId: 'x' }, 'INVALID_PARAMS', 'newId', /true or false/],
  ['runWebhookNow', { id: 'msg_none' }, 'NOT_FOUND', 'id', /msg_none/],
  ['rescheduleWebhook', { id: 'msg_none' }, 'INVALID_PARAMS', 'at', /at or delayMs/],
  ['rescheduleWebhook', { id: 'msg_none', at: 'soon' }, 'INVALID_PARAMS', 'at', /RFC 3339/],
  ['rescheduleWebhook', { id: 'msg_none', delayMs: 1 }, 'NOT_FOUND', 'id', /msg_none/],
  ['listWebhooks', { state: 'lost' }, 'INVALID_PARAMS', 'state', /scheduled, waiting/],
  ['listWebhooks', { limit: 501 }, 'INVALID_PARAMS', 'limit', /1 to 500/],
  [
    'listWebhooks',
    { cursor: 'nonsense' },
    'INVALID_PARAMS',
    'cursor',
    /nextCursor of an earlier answer.*got "nonsense"/,
  ],
  ['listWebhooks', { cursor: '-1' }, 'INVALID_PARAMS', 'cursor', /got "-1"/],
  ['listWebhooks', { cursor: '1e3' }, 'INVALID_PARAMS', 'cursor', /got "1e3"/],
  ['listWebhooks', { cursor: '' }, 'INVALID_PARAMS', 'cursor', /got ""/],
  ['listWebhooks', { from: 'x' }, 'INVALID_PARAMS', 'from', /RFC 3339/],
  ['configureBrandConcurrencyLimit', {}, 'INVALID_PARAMS', 'limit', /missing/],
  ['configureBrandConcurrencyLimit', { limit: -1 }, 'INVALID_PARAMS', 'limit', /got -1/],
  ['configureBrandConcurrencyLimit', { limit: 2.5 }, 'INVALID_PARAMS', 'limit', /whole number/],
  ['configureBrandConcurrencyLimit', { limit: '5' }, 'INVALID_PARAMS', 'limit', /whole number/],
  ['configureDomainConcurrencyLimit', { domain: 'a b', limit: 1 }, 'INVALID_PARAMS', 'domain', /host/],
  ['configureDomainConcurrencyLimit', { domain: 'acme.com', limit: 1e9 }, 'INVALID_PARAMS', 'limit', /1000000/],
  ['configureRateLimit', { domain: 'acme.com' }, 'INVALID_PARAMS', 'requestsPerSecond', /missing/],
  [
    'configureRateLimit',
    { domain: 'acme.com', requestsPerSecond: -3 },
    'INVALID_PARAMS',
    'requestsPerSecond',
    /got -3/,
  ],
  ['configureRateLimit', { domain: 'acme.com', requestsPerSecond: 1, burst: 0 }, 'INVALID_PARAMS', 'burst', /from 1/],
  ['configureRateLimit', { domain: 'acme.com', requestsPerSecond: 1, burst: 1.5 }, 'INVALID_PARAMS', 'burst', /whole/],
  ['killProcess', {}, 'INVALID_PARAMS', 'name', /pid or name/],
  ['killProcess', { name: 'nobody' }, 'NOT_FOUND', 'name', /nobody/],
  [
    'subscribe',
    { topics: ['weather'] },
    'INVALID_PARAMS',
    'topics[0]',
    /^topics\[0\] must be one of monitor, .*; got "weather"$/,
  ],
  ['getInfo', { verbose: true }, 'INVALID_PARAMS', 'verbose', /it takes none/],
]

describe('bad input', () => {
  let stage: ControlStage
  beforeAll(async () => {
    stage = await ControlStage.start({ policy: PUBLIC_ONLY })
  })
  afterAll(() => stage.stop())

  it.each([...WEBHOOKS, ...OTHERS])(
    '%s %j is refused with %s and the field %s',
    async (method, params, code, field, says) => {
      const { error, result } = await stage.call(method, params)
      expect(result).toBeUndefined()
      expect(error?.data.code).toBe(code)
      expect(error?.data.field).toBe(field)
      expect(error?.data.message).toMatch(says)
      expect(error?.message).toBe(error?.data.message)
      const rpcCode = code === 'INVALID_PARAMS' ? -32_602 : method === 'nothing' ? -32_601 : -32_000
      expect(error?.code).toBe(rpcCode)
    },
  )

  it('has words of its own for every field of every method, so that no library speaks to a client', () => {
    const silent: string[] = []
    const isWrapped = (schema: unknown): schema is z.ZodOptional | z.ZodNullable =>
      schema instanceof z.ZodOptional || schema instanceof z.ZodNullable
    const walk = (schema: unknown, path: string): void => {
      if (isWrapped(schema)) walk(schema.unwrap(), path)
      if (schema instanceof z.ZodObject)
        for (const [name, field] of Object.entries(schema.shape)) said(field, `${path}.${name}`)
      if (schema instanceof z.ZodArray) said(schema.element, `${path}[0]`)
      if (schema instanceof z.ZodRecord) said(schema.valueType, `${path}.x`)
    }
    const said = (schema: unknown, path: string): void => {
      let at = schema
      while (isWrapped(at) && at.description === undefined) at = at.unwrap()
      if (at instanceof z.ZodType && at.description === undefined) silent.push(path)
      walk(schema, path)
    }
    for (const [method, { params }] of Object.entries(METHODS)) walk(params, method)
    expect(silent).toEqual([])
  })

  it('a batch whose item is no object is refused in our words', async () => {
    const { error } = await stage.call('scheduleWebhooks', { webhooks: [5] })
    expect(error?.data).toMatchObject({ code: 'INVALID_PARAMS', field: 'webhooks[0]' })
    expect(error?.message).toBe('webhooks[0] must be an object with url and further fields of a webhook; got 5')
  })

  it('a brand that an admin key mistypes does not come into being by reading', async () => {
    const id = 'msg_none'
    const reads: readonly (readonly [string, object])[] = [
      ['getWebhook', { id }],
      ['getAttempts', { id }],
      ['explainWebhook', { id }],
      ['cancelWebhook', { id }],
      ['listWebhooks', {}],
      ['getLimits', {}],
      ['getMonitor', {}],
      ['listApiKeys', {}],
    ]
    for (const [method, params] of reads) await stage.call(method, { ...params, brand: 'mistyped' })
    const { result } = await stage.call('listBrands')
    expect(JSON.stringify(result)).toContain('default')
    expect(JSON.stringify(result)).not.toContain('mistyped')
    await stage.call('configureBrandConcurrencyLimit', { brand: 'mistyped', limit: 3 })
    expect(JSON.stringify((await stage.call('listBrands')).result)).toContain('mistyped')
  })

  it('takes numbers that JSON can write and JavaScript cannot hold for what they are (TIME-05)', async () => {
    const frame = `{"jsonrpc":"2.0","id":1,"method":"scheduleWebhook","params":{"url":"${URL}","at":1e400}}`
    const answer = JSON.parse(await (await stage.post(frame)).text())
    expect(answer.error.data).toMatchObject({ code: 'INVALID_PARAMS', field: 'at' })
    expect(answer.error.data.message).toMatch(/Infinity/)
  })

  it('refuses a prototype in the params, and keeps one in the body as the data that it is (REL-C6)', async () => {
    const params = (inside: string): string =>
      `{"jsonrpc":"2.0","id":1,"method":"scheduleWebhook","params":{"url":"${URL}",${inside}}}`
    const refused = JSON.parse(await (await stage.post(params('"__proto__":{"priority":"high"}'))).text())
    expect(refused.error.data).toMatchObject({ code: 'INVALID_PARAMS', field: '__proto__' })
    const taken = JSON.parse(await (await stage.post(params('"body":{"__proto__":{"a":1},"constructor":2}'))).text())
    expect(taken.result.duplicate).toBe(false)
  })

  it('refuses what nests deeper than 32 levels', async () => {
    const answer = await stage.call('scheduleWebhook', one({ body: nested(40) }))
    expect(answer.error?.code).toBe(-32_700)
    expect((await stage.call('scheduleWebhook', one({ body: nested(25) }))).result?.['state']).toBe('scheduled')
  })

  it('refuses a body above 256 KiB with the field (CTRL-14)', async () => {
    const { error } = await stage.call('scheduleWebhooks', { webhooks: [one({ bodyText: 'x'.repeat(262_145) })] })
    expect(error?.data).toMatchObject({ code: 'INVALID_PARAMS', field: 'webhooks[0].bodyText' })
    expect(error?.data.message).toMatch(/262145 bytes; at most 262144/)
  })

  it('lets only scheduleWebhooks use a frame above 256 KiB', async () => {
    const { error } = await stage.call('scheduleWebhook', one({ bodyText: 'x'.repeat(270_000) }))
    expect(error?.data.message).toMatch(/only scheduleWebhooks/)
  })

  it('counts what a webhook holds outside its body: 64 values (REL-C6)', async () => {
    const headers = Object.fromEntries(Array.from({ length: 63 }, (_, i) => [`x-${i}`, 'v']))
    const { error } = await stage.call('scheduleWebhook', one({ headers }))
    expect(error?.data.message).toMatch(/at most 64/)
  })
})
