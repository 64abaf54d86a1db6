/** The short way past the schema takes nothing that the schema would refuse or change. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isPlainDefaults, isPlainWebhook } from '#control/plain-webhook.ts'
import { webhook, webhookDefaults } from '#control/schema.ts'

/** Values around every bound, and of every wrong kind. */
const ODD: readonly unknown[] = [
  ...[null, true, false, '', ' ', 0, 1, -1, 0.5, 1e21, 253_402_300_799_999, 253_402_300_800_000, [], {}, [1]],
  ...[120_000, 120_001, 316_224_000_000, 316_224_000_001, '2027-01-31T09:00:00.000Z', 'high', 'urgent', 'Acme', '-a'],
  ...[1, 16, 17, 64, 65, 128, 129, 255, 256, 2_048, 2_049].map((chars) => 'a'.repeat(chars)),
  ...['a\u0000b', 'a\u007fb', 'a\u0085b', '\ud800', 'ü', 'line\nline', 'a\n'],
]
const odd = fc.oneof(
  fc.constantFrom(...ODD),
  fc.string({ unit: 'binary', maxLength: 10 }),
  fc.jsonValue({ maxDepth: 1 }),
)
const usual = {
  url: fc.constantFrom('https://api.example.com/hooks', 'not an URL', ''),
  method: fc.constantFrom('POST', 'get', 'DELETE'),
  body: fc.jsonValue({ maxDepth: 2 }),
  bodyText: fc.string(),
  bodyBase64: fc.base64String(),
  headers: fc.dictionary(fc.string({ maxLength: 5 }), fc.string({ maxLength: 5 }), { maxKeys: 3 }),
  at: fc.integer({ min: 0, max: 4_000_000_000_000 }),
  delayMs: fc.nat(),
  priority: fc.constantFrom('high', 'normal', 'low'),
  timeoutMs: fc.integer({ min: 1, max: 120_000 }),
  idempotencyKey: fc.string({ minLength: 1, maxLength: 20 }),
  name: fc.string({ minLength: 1, maxLength: 20 }),
  brand: fc.stringMatching(/^[a-z][a-z0-9_-]{0,9}$/),
  tags: fc.array(fc.string({ minLength: 1, maxLength: 3 }), { maxLength: 3 }),
  predict: fc.boolean(),
  expiresAt: fc.integer({ min: 0, max: 4_000_000_000_000 }),
  retry: fc.constant({ maxAttempts: 3 }),
}
const PLAIN = ['url', 'method', 'body', 'at', 'priority', 'idempotencyKey', 'name', 'brand', 'timeoutMs'] as const
/** Mostly right, with one field more, or one that is odd or unknown, now and then; as it comes from the wire. */
const said = fc
  .tuple(
    fc.record(usual),
    fc.subarray([...PLAIN]),
    fc.option(fc.constantFrom(...Object.keys(usual)), { freq: 2 }),
    fc.option(fc.tuple(fc.constantFrom(...Object.keys(usual), 'unknown', '__proto__', 'constructor'), odd)),
  )
  .map(([all, names, one, more]): unknown => {
    const chosen = Object.entries(all).filter(([name]) => name === one || names.some((other) => other === name))
    const fields = Object.fromEntries([...chosen, ...(more === null ? [] : [more])])
    const members = Object.entries(fields)
    return JSON.parse(`{${members.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`).join()}}`)
  })

describe('a webhook that is taken as it is', () => {
  it.each([
    ['alone', isPlainWebhook, webhook],
    ['beside defaults', isPlainDefaults, webhookDefaults],
  ])('%s, is one that the schema gives back unchanged', (_how, isPlain, schema) => {
    let taken = 0
    fc.assert(
      fc.property(fc.oneof({ weight: 9, arbitrary: said }, odd), (value) => {
        if (!isPlain(value)) return
        taken += 1
        const parsed = schema.safeParse(value)
        expect(parsed.error).toBeUndefined()
        expect(parsed.data).toStrictEqual(value)
      }),
      { numRuns: 2_000 },
    )
    expect(taken).toBeGreaterThan(50)
  })

  it('keeps to every bound of the schema, field by field', () => {
    for (const field of Object.keys(usual)) {
      for (const value of ODD) {
        const whole = { url: 'https://api.example.com/', [field]: value }
        if (isPlainWebhook(whole)) expect(webhook.safeParse(whole).data).toStrictEqual(whole)
      }
    }
  })

  it('is what most clients send', () => {
    const usual = {
      url: 'https://api.example.com/',
      body: { a: [1] },
      at: 1_900_000_000_000,
      idempotencyKey: 'order-1',
    }
    expect(isPlainWebhook(usual)).toBe(true)
    expect(isPlainWebhook({ ...usual, brand: 'acme', priority: 'high', delayMs: 0, method: 'PUT' })).toBe(true)
  })
})
