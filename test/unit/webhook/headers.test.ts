import { describe, expect, it } from 'vitest'
import { parseHeaders, parseMethod } from '#webhook/headers.ts'

describe('SSRF-06: methods and headers', () => {
  it.each(['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD'])('%s is a method', (method) =>
    expect(parseMethod(method)).toEqual({ ok: true, method }),
  )
  it.each(['CONNECT', 'TRACE', 'OPTIONS', 'get', 'POST ', 'PO\r\nST', '', null, ['GET']])('%j is none', (method) =>
    expect(parseMethod(method)).toMatchObject({ ok: false, refusal: { code: 'method', field: 'method' } }),
  )

  it('takes strings, in lower-case names and in order', () => {
    expect(parseHeaders({ 'X-Api-Key': 'a', 'content-type': 'text/plain; charset="é"' })).toEqual({
      ok: true,
      headers: [
        ['x-api-key', 'a'],
        ['content-type', 'text/plain; charset="é"'],
      ],
    })
  })

  it.each([
    [{ 'x\r\ninjected': 'a' }, 'header_name'],
    [{ '': 'a' }, 'header_name'],
    [{ 'x y': 'a' }, 'header_name'],
    [{ 'x:': 'a' }, 'header_name'],
    [{ ['x'.repeat(65)]: 'a' }, 'header_name'],
    [{ 'x-a': '1', 'X-A': '2' }, 'header_name'],
    [{ 'x-a': 'a\r\nb: c' }, 'header_value'],
    [{ 'x-a': 'a\nb' }, 'header_value'],
    [{ 'x-a': 'a\u0000' }, 'header_value'],
    [{ 'x-a': '✓' }, 'header_value'],
    [{ 'x-a': ['a'] }, 'header_value'],
    [{ 'x-a': { toString: () => 'a' } }, 'header_value'],
    [{ 'x-a': 7 }, 'header_value'],
    [{ 'x-a': 'a'.repeat(65_536) }, 'header_value'],
    [{ Host: 'internal' }, 'header_reserved'],
    [{ 'Content-Length': '0' }, 'header_reserved'],
    [{ 'transfer-encoding': 'chunked' }, 'header_reserved'],
    [{ connection: 'x-api-key' }, 'header_reserved'],
    [{ expect: '100-continue' }, 'header_reserved'],
    [{ 'webhook-id': 'msg_1' }, 'header_reserved'],
    [{ 'Webhook-Signature': 'v1,x' }, 'header_reserved'],
    [{ 'proxy-authorization': 'x' }, 'header_reserved'],
    [{ 'user-agent': 'x' }, 'header_reserved'],
    [{ 'accept-encoding': 'gzip' }, 'header_reserved'],
    [Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`x-${i}`, 'a'])), 'headers_size'],
    [Object.fromEntries(Array.from({ length: 8 }, (_, i) => [`x-${i}`, 'a'.repeat(4000)])), 'headers_size'],
    [[['x-a', 'b']], 'headers_shape'],
    [null, 'headers_shape'],
    ['x-a: b', 'headers_shape'],
  ])('refuses %j', (headers, code) => {
    const parsed = parseHeaders(headers)
    const refusal = parsed.ok ? null : parsed.refusal
    expect(refusal).toMatchObject({ code, field: expect.stringMatching(/^headers(?:\.|$)/) })
  })

  it('names the header', () => {
    expect(parseHeaders({ 'x-ok': 'a', 'x-bad': 'a\r\n' })).toMatchObject({ refusal: { field: 'headers.x-bad' } })
  })
})
