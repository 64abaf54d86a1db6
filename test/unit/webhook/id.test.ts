import { expect, it } from 'vitest'
import { isWebhookId, WebhookIds } from '#webhook/id.ts'

const bytes = (value: number) => (length: number) => new Uint8Array(length).fill(value)

it('gives msg_ and a ULID of the instant and the random bytes', () => {
  const id = new WebhookIds().next(1_469_918_176_385, bytes(0))
  expect(id).toBe('msg_01ARYZ6S410000000000000000')
  expect(isWebhookId(id)).toBe(true)
})

it('ascends strictly, within a millisecond, over its end, and when the clock steps back', () => {
  const ids = new WebhookIds()
  const given = [
    ids.next(1000, bytes(255)),
    ids.next(1000, bytes(7)),
    ids.next(999, bytes(7)),
    ids.next(1001, bytes(9)),
    ids.next(1002, bytes(0)),
  ]
  expect(given.toSorted()).toEqual(given)
  expect(new Set(given).size).toBe(5)
})

it('counts through 100,000 ids of one millisecond in order', () => {
  const ids = new WebhookIds()
  let last = ''
  for (let i = 0; i < 100_000; i++) {
    const id = ids.next(5, bytes(200))
    if (id <= last || id.length !== 30) expect.fail(`${id} after ${last}`)
    last = id
  }
})

it.each([
  '',
  'msg_',
  '01ARYZ6S410000000000000000',
  'msg_01ARYZ6S41000000000000000U',
  'msg_91ARYZ6S410000000000000000',
  'msg_01aryz6s410000000000000000',
])('%j is no webhook id', (text) => expect(isWebhookId(text)).toBe(false))
