import { describe, expect, it } from 'vitest'
import { frameHead } from '#control/frame-head.ts'

const headOf = (text: string) => frameHead(Buffer.from(text))
const rest = `"params":{"webhooks":[${'{"id":7,"method":"x"},'.repeat(2_000)}{}]}}`

describe('the head of a large frame', () => {
  it('tells id and method, in any order and with any space, without what follows', () => {
    const wanted = { id: 7, method: 'scheduleWebhooks' }
    expect(headOf(`{"jsonrpc":"2.0","id":7,"method":"scheduleWebhooks",${rest}`)).toEqual(wanted)
    expect(headOf(`{"method":"scheduleWebhooks","id":7,"jsonrpc":"2.0",${rest}`)).toEqual(wanted)
    expect(headOf(` {\n "jsonrpc" : "2.0" ,\t"id": 7 , "method": "scheduleWebhooks" , ${rest}`)).toEqual(wanted)
    expect(headOf(`{"jsonrpc":"2.0","id":"a-1","method":"m",not json at all`)).toEqual({ id: 'a-1', method: 'm' })
    expect(headOf(`{"jsonrpc":"2.0","id":null,"method":"m",${rest}`)).toEqual({ id: null, method: 'm' })
  })

  const unknown: Readonly<Record<string, string>> = {
    'a batch': `[{"jsonrpc":"2.0","id":7,"method":"m",${rest}]`,
    'an id behind the params': `{"jsonrpc":"2.0","method":"m",${rest}`,
    'a method behind the params': `{"jsonrpc":"2.0","id":7,${rest}`,
    'no version': `{"id":7,"method":"m",${rest}`,
    'another version': `{"jsonrpc":"1.0","id":7,"method":"m",${rest}`,
    'an id that is no id': `{"jsonrpc":"2.0","id":1.5,"method":"m",${rest}`,
    'an id beyond what a number holds': `{"jsonrpc":"2.0","id":9999999999999999,"method":"m",${rest}`,
    'a long id': `{"jsonrpc":"2.0","id":"${'x'.repeat(65)}","method":"m",${rest}`,
    'an escaped id': `{"jsonrpc":"2.0","id":"\\u0041","method":"m",${rest}`,
    'an id that is not ASCII, which one byte at a time would spoil': `{"jsonrpc":"2.0","id":"é","method":"m",${rest}`,
    'an object as id': `{"jsonrpc":"2.0","id":{"a":1},"method":"m",${rest}`,
    'a head longer than is looked at': `{"jsonrpc":"2.0","padding":"${'x'.repeat(600)}","id":7,"method":"m",${rest}`,
    nothing: '',
  }
  for (const [what, text] of Object.entries(unknown))
    it(`says nothing about ${what}: then the frame is read`, () => expect(headOf(text)).toBeNull())
})
