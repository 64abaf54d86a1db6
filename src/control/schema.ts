/** The pieces that the methods' schemas are made of. Each description completes the sentence "must be ...". */
import { z } from 'zod'
import {
  CONCURRENCY_LIMIT_MAX,
  IDEMPOTENCY_KEY_CHARS_MAX,
  NAME_CHARS_MAX,
  RATE_LIMIT_MAX,
  RATE_LIMIT_MIN,
  RETRY_AGE_MAX_MS,
  RETRY_ATTEMPTS_MAX,
  TAG_CHARS_MAX,
  TAGS_MAX,
  TIMEOUT_MS_MAX,
  URL_CHARS_MAX,
} from '#config/limits.ts'
import { PRIORITIES } from '#webhook/webhook.ts'
import { BadInstant, readInstant } from './instant.ts'

/** No control characters, no half surrogate pairs: what a database, a log and a terminal show alike (STOR-10). */
const PLAIN = /^[^\p{Cc}\p{Cs}]*$/u
const plainText = (charsMax: number, what: string) =>
  z
    .string()
    .min(1)
    .max(charsMax)
    .regex(PLAIN)
    .describe(`${what} of 1 to ${charsMax} characters without control characters`)
const wholeNumber = (min: number, max: number, what: string) =>
  z.number().int().min(min).max(max).describe(`${what} from ${min} to ${max}`)

export const instant = z
  .custom<string | number>(() => true)
  .transform((value, ctx): number => {
    try {
      return readInstant(value)
    } catch (error) {
      if (!(error instanceof BadInstant)) throw error
      ctx.issues.push({ code: 'custom', message: error.message, input: value })
      return z.NEVER
    }
  })
  .meta({ type: ['string', 'integer'], description: 'an RFC 3339 instant with an offset, or epoch milliseconds' })

export const BRAND = /^[a-z0-9][a-z0-9_-]{0,63}$/
export const brand = z.string().regex(BRAND).describe('1 to 64 of a-z, 0-9, _ and -, starting with a letter or a digit')
export const webhookId = z
  .string()
  .min(1)
  .max(64)
  .regex(PLAIN)
  .describe('the id of a webhook, like msg_01HZX3A7V5B8T2QK9M4N6P7R8S')
/** Normalised where it is used; here only kept short. */
export const domain = z
  .string()
  .min(1)
  .max(262)
  .describe(
    'a host with an optional port, like api.example.com or 127.0.0.1:8080, or a domain group, like group:payments',
  )
/** Of a domain group; normalised where it is used. */
export const member = z
  .string()
  .min(1)
  .max(264)
  .describe('a host like api.example.com, or *.example.org for all below it')
export const tag = plainText(TAG_CHARS_MAX, 'text')
export const name = plainText(NAME_CHARS_MAX, 'text')
export const reason = plainText(NAME_CHARS_MAX, 'text')
export const whole = wholeNumber

const delayMs = wholeNumber(0, RETRY_AGE_MAX_MS, 'whole milliseconds')
const retry = z
  .strictObject({
    maxAttempts: wholeNumber(1, RETRY_ATTEMPTS_MAX, 'a whole number').optional(),
    backoff: z
      .union([
        z.enum(['exponential', 'linear', 'fixed']),
        z
          .array(delayMs)
          .min(1)
          .max(RETRY_ATTEMPTS_MAX - 1),
      ])
      .optional()
      .describe(`exponential, linear, fixed, or a list of 1 to ${RETRY_ATTEMPTS_MAX - 1} delays in milliseconds`),
    initialDelayMs: delayMs.optional(),
    maxDelayMs: delayMs.optional(),
    jitter: z.number().min(0).max(1).optional().describe('a share from 0 to 1, to both sides'),
    inDoubt: z.enum(['retry', 'stop']).optional().describe('retry or stop'),
  })
  .describe('an object with maxAttempts, backoff, initialDelayMs, maxDelayMs, jitter, inDoubt')

export const DELAY_MS_MAX = 10 * 366 * 86_400_000
/** From now. */
export const delay = wholeNumber(0, DELAY_MS_MAX, 'whole milliseconds')
export const METHOD_CHARS_MAX = 16

const webhookFields = {
  url: z.string().min(1).max(URL_CHARS_MAX).describe(`an http or https URL of at most ${URL_CHARS_MAX} characters`),
  method: z.string().min(1).max(METHOD_CHARS_MAX).optional().describe('an HTTP method'),
  headers: z
    .record(z.string(), z.string().describe('text'))
    .optional()
    .describe('an object of header names and text values'),
  body: z.unknown().optional().describe('any JSON'),
  bodyText: z.string().optional().describe('text'),
  bodyBase64: z.string().optional().describe('base64 text'),
  at: instant.optional(),
  delayMs: delay.optional(),
  priority: z.enum(PRIORITIES).optional().describe('high, normal or low'),
  timeoutMs: wholeNumber(1, TIMEOUT_MS_MAX, 'whole milliseconds').optional(),
  retry: retry.optional(),
  expiresAt: instant.optional(),
  idempotencyKey: plainText(IDEMPOTENCY_KEY_CHARS_MAX, 'text').optional(),
  /** Answers `expectedAt` too. */
  predict: z.boolean().optional().describe('true or false'),
  name: name.optional(),
  tags: z.array(tag).max(TAGS_MAX).optional().describe(`a list of at most ${TAGS_MAX} texts`),
  brand: brand.optional(),
}

/** What one webhook is made of, as `scheduleWebhook` takes it. */
export const webhook = z.strictObject(webhookFields).describe('an object with url and further fields of a webhook')
export type WebhookParams = z.output<typeof webhook>
/** What `defaults` may hold: everything, nothing required. */
export const webhookDefaults = z
  .strictObject({ ...webhookFields, url: webhookFields.url.optional() })
  .describe('an object with fields of a webhook')
export type WebhookDefaults = z.output<typeof webhookDefaults>

export const concurrencyLimit = z
  .number()
  .int()
  .min(0)
  .max(CONCURRENCY_LIMIT_MAX)
  .nullable()
  .describe(`a whole number from 0 (pauses) to ${CONCURRENCY_LIMIT_MAX}, or null to remove the limit`)
export const rateLimit = z
  .union([z.literal(0), z.number().min(RATE_LIMIT_MIN).max(RATE_LIMIT_MAX)])
  .nullable()
  .describe(`a number of requests per second from 0 (pauses) to ${RATE_LIMIT_MAX}, or null to remove the limit`)
/** What a 429 closes; in the order of the guard's table: 0, 1, 2. */
export const CLOSURES = ['off', 'brand', 'domain'] as const
export const burst = wholeNumber(1, RATE_LIMIT_MAX, 'a whole number')
