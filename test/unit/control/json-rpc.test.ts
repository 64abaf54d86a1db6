import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ControlStage } from '#test/support/control-stage.ts'

/** https://www.jsonrpc.org/specification, section 7, and CTRL-05. */
describe('JSON-RPC 2.0', () => {
  let stage: ControlStage
  beforeAll(async () => {
    stage = await ControlStage.start()
  })
  afterAll(() => stage.stop())

  const say = async (frame: string | Uint8Array): Promise<unknown> => {
    const text = await (await stage.post(frame)).text()
    return text === '' ? null : JSON.parse(text)
  }
  const info = (id: unknown): string => JSON.stringify({ jsonrpc: '2.0', id, method: 'getInfo' })
  const failed = (code: number, id: unknown = null): object => ({
    jsonrpc: '2.0',
    id,
    error: { code, message: expect.any(String), data: { code: expect.any(String), message: expect.any(String) } },
  })

  it.each([
    ['not JSON', '{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]', -32_700],
    ['an empty text', '', -32_700],
    ['a BOM', `\ufeff${info(1)}`, -32_700],
    ['a raw NUL in a string', '{"jsonrpc":"2.0","id":"a\u0000","method":"getInfo"}', -32_700],
    ['half a batch', '[{"jsonrpc":"2.0","method":"getInfo","id":"1"},{"jsonrpc":"2.0","method"', -32_700],
    ['a number', '1', -32_600],
    ['a string', '"getInfo"', -32_600],
    ['an empty batch', '[]', -32_600],
    ['a batch of 101', `[${Array(101).fill(info(1)).join(',')}]`, -32_600],
    ['a method that is no string', '{"jsonrpc":"2.0","method":1,"id":null}', -32_600],
    ['the wrong version', '{"jsonrpc":"1.0","method":"getInfo","id":null}', -32_600],
    ['an id that is an object', info({}), -32_600],
    ['an id that is 1e400', '{"jsonrpc":"2.0","id":1e400,"method":"getInfo"}', -32_600],
    ['an id beyond 2^53', '{"jsonrpc":"2.0","id":9007199254740993,"method":"getInfo"}', -32_600],
    ['an id with a fraction', info(1.5), -32_600],
    ['an id of 65 characters', info('x'.repeat(65)), -32_600],
    ['an id that is true', info(true), -32_600],
  ])('answers %s with an error and no id', async (_what, frame, code) => {
    expect(await say(frame)).toEqual(failed(code))
  })

  it('answers bytes that are no UTF-8 with a parse error', async () => {
    expect(await say(Buffer.from([0x22, 0xff, 0xfe, 0x22]))).toEqual(failed(-32_700))
  })

  it.each([1, 0, -7, 'a', '', 'x'.repeat(64), Number.MAX_SAFE_INTEGER, null])('gives the id %j back', async (id) => {
    expect(await say(info(id))).toMatchObject({ jsonrpc: '2.0', id, result: { name: 'hookpulse' } })
  })

  it.each([[[1, 2]], ['text'], [null], [5]])('refuses params that are %j: they have names here', async (params) => {
    expect(await say(JSON.stringify({ jsonrpc: '2.0', id: 3, method: 'getInfo', params }))).toEqual(failed(-32_600, 3))
  })

  it('says which method it does not have, with code NOT_FOUND in the data', async () => {
    const answer = await say('{"jsonrpc":"2.0","id":"1","method":"foobar"}')
    expect(answer).toMatchObject({ id: '1', error: { code: -32_601, data: { code: 'NOT_FOUND' } } })
  })

  it.each(['toString', '__proto__', 'constructor', 'hasOwnProperty'])('has no method %s', async (method) => {
    expect(await say(JSON.stringify({ jsonrpc: '2.0', id: 1, method }))).toEqual(failed(-32_601, 1))
  })

  it('answers nothing to a notification, not even an error', async () => {
    const response = await stage.post('{"jsonrpc":"2.0","method":"getInfo"}')
    expect(response.status).toBe(204)
    expect((await stage.post('{"jsonrpc":"2.0","method":"nothing"}')).status).toBe(204)
    expect(
      (await stage.post('[{"jsonrpc":"2.0","method":"getInfo"},{"jsonrpc":"2.0","method":"getInfo"}]')).status,
    ).toBe(204)
  })

  it('carries a notification out: the webhook is stored', async () => {
    const before = stage.disk.byId.size
    await stage.post(
      '{"jsonrpc":"2.0","method":"scheduleWebhook","params":{"url":"http://10.0.0.1:8080/","delayMs":3600000}}',
    )
    expect(stage.disk.byId.size).toBe(before + 1)
  })

  it('answers a batch with one array, each item by itself', async () => {
    const batch = `[${info(1)},{"foo":"boo"},1,{"jsonrpc":"2.0","method":"getInfo"},{"jsonrpc":"2.0","id":"5","method":"no"},${info('9')}]`
    const answers = await say(batch)
    expect(answers).toHaveLength(5)
    expect(answers).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ id: 1, result: expect.anything() }),
        failed(-32_600),
        failed(-32_601, '5'),
        expect.objectContaining({ id: '9', result: expect.anything() }),
      ]),
    )
  })

  it('answers two requests with the same id twice', async () => {
    expect(await say(`[${info(7)},${info(7)}]`)).toMatchObject([{ id: 7 }, { id: 7 }])
  })

  it('takes the last of duplicate keys, as JSON.parse does', async () => {
    expect(await say('{"jsonrpc":"2.0","id":1,"id":2,"method":"getInfo"}')).toMatchObject({ id: 2 })
  })

  it('describes itself: every method with its params as JSON Schema', async () => {
    const document = (await stage.call('rpc.discover')).result
    expect(document?.['openrpc']).toBe('1.3.2')
    expect(JSON.stringify(document)).toContain('"name":"scheduleWebhook"')
    const page = await (await fetch(`${stage.url}/openrpc.json`)).json()
    expect(page).toEqual(document)
  })
})
