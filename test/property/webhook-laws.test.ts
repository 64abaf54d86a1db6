import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { RETRY_AGE_MAX_MS } from '#config/limits.ts'
import { judgeAddress, PUBLIC_ONLY } from '#webhook/address.ts'
import { parseAddress } from '#webhook/address-range.ts'
import { parseHeaders } from '#webhook/headers.ts'
import { packRequest, unpackRequest } from '#webhook/request.ts'
import { decideNext } from '#webhook/retry.ts'
import { parseDomain, parseTarget } from '#webhook/url.ts'

const backoff = fc.oneof(
  fc.constantFrom('exponential' as const, 'linear' as const, 'fixed' as const),
  fc.array(fc.nat(86_400_000), { minLength: 1, maxLength: 20 }),
)
const policy = fc.record({
  maxAttempts: fc.integer({ min: 1, max: 100 }),
  backoff,
  initialDelayMs: fc.nat(86_400_000),
  maxDelayMs: fc.nat(86_400_000),
  jitter: fc.double({ min: 0, max: 1, noNaN: true }),
  inDoubt: fc.constantFrom('retry' as const, 'stop' as const),
})
const outcome = fc.record({
  kind: fc.constant('response' as const),
  status: fc.integer({ min: 300, max: 599 }),
  retryAfterMs: fc.option(fc.nat(86_400_000)),
  excerpt: fc.constant(null),
})

describe('laws of the webhook room', () => {
  it('a retry lies after the attempt, at a whole millisecond, within age and expiry', () => {
    fc.assert(
      fc.property(
        fc.record({
          attempt: fc.integer({ min: 1, max: 120 }),
          outcome,
          policy: fc.option(policy),
          firstAt: fc.nat(1_000_000),
          expiresAt: fc.option(fc.nat(900_000_000)),
          endedAt: fc.nat(500_000_000).map((n) => n + 1_000_000),
          random: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        }),
        (ended) => {
          const next = decideNext(ended)
          if (next.state !== 'retrying') return
          expect(Number.isSafeInteger(next.nextAt)).toBe(true)
          expect(next.nextAt).toBeGreaterThan(ended.endedAt)
          expect(next.nextAt - ended.firstAt).toBeLessThanOrEqual(RETRY_AGE_MAX_MS)
          if (ended.expiresAt !== null) expect(next.nextAt).toBeLessThanOrEqual(ended.expiresAt)
          expect(next.nextAt - ended.endedAt).toBeGreaterThanOrEqual(ended.outcome.retryAfterMs ?? 0)
          expect(ended.attempt).toBeLessThan(ended.policy?.maxAttempts ?? 10)
        },
      ),
    )
  })

  it('a request comes out of its packing as it went in', () => {
    fc.assert(
      fc.property(
        fc.webUrl({ withQueryParameters: true }),
        fc.uint8Array({ maxLength: 2_000 }),
        fc.dictionary(fc.stringMatching(/^x-[a-z]{1,8}$/), fc.stringMatching(/^[ -~\u00a1-\u00ff]{0,20}$/)),
        (text, body, given) => {
          const parsed = parseTarget(text, { ...PUBLIC_ONLY, allowPrivate: true })
          const headers = parseHeaders(given)
          fc.pre(parsed.ok && headers.ok)
          const unpacked = unpackRequest(
            packRequest({ url: parsed.target.url, method: 'POST', headers: headers.headers, body }),
          )
          expect(`${unpacked.origin}${unpacked.path}`).toBe(parsed.target.url)
          expect(unpacked.origin).toBe(new URL(parsed.target.url).origin)
          expect(unpacked.headers).toEqual(headers.headers.flat())
          expect(Buffer.from(unpacked.body).equals(body)).toBe(true)
        },
      ),
    )
  })

  it('parsing a normalised URL again changes nothing, and its domain is its own normal form', () => {
    fc.assert(
      fc.property(fc.webUrl({ withQueryParameters: true, withFragments: true }), (text) => {
        const first = parseTarget(text, PUBLIC_ONLY)
        fc.pre(first.ok)
        expect(parseTarget(first.target.url, PUBLIC_ONLY)).toEqual(first)
        expect(parseDomain(first.target.domain)).toEqual({ ok: true, domain: first.target.domain })
      }),
    )
  })

  it('an address is judged alike in every spelling of it', () => {
    fc.assert(
      fc.property(fc.ipV6(), (text) => {
        const bytes = parseAddress(text) ?? expect.fail(`${text} does not parse`)
        const long = Array.from({ length: 8 }, (_, i) =>
          (((bytes[2 * i] ?? 0) << 8) | (bytes[2 * i + 1] ?? 0)).toString(16),
        ).join(':')
        expect(parseAddress(long)).toEqual(bytes)
        expect(judgeAddress(PUBLIC_ONLY, long, 443).ok).toBe(judgeAddress(PUBLIC_ONLY, text, 443).ok)
        expect(new URL(`http://[${text}]/`).hostname.length).toBeGreaterThan(0)
      }),
    )
  })

  it('headers that are taken hold no line break, whatever was given', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.oneof(fc.string({ unit: 'binary' }), fc.anything())), (given) => {
        const parsed = parseHeaders(given)
        if (parsed.ok) for (const [name, value] of parsed.headers) expect(`${name}${value}`).not.toMatch(/[\r\n\0]/)
      }),
    )
  })
})
