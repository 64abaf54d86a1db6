/**
 * Webhooks of the plainest kind, which the schema would give back as they are: for them its walk and its copy are saved, 1.8 of
 * 12 microseconds a webhook. Whatever this does not know is left to the schema, which alone says what is wrong.
 */
import {
  IDEMPOTENCY_KEY_CHARS_MAX,
  INSTANT_MAX,
  NAME_CHARS_MAX,
  TIMEOUT_MS_MAX,
  URL_CHARS_MAX,
} from '#config/limits.ts'
import { PRIORITIES } from '#webhook/webhook.ts'
import { BRAND, DELAY_MS_MAX, METHOD_CHARS_MAX, type WebhookDefaults, type WebhookParams } from './schema.ts'

type Check = (value: unknown) => boolean

const text =
  (charsMax: number): Check =>
  (value) =>
    typeof value === 'string' && value.length > 0 && value.length <= charsMax
/** No control characters and no surrogates at all. */
const ascii =
  (charsMax: number): Check =>
  (value) =>
    typeof value === 'string' && value.length <= charsMax && /^[\x20-\x7e]+$/.test(value)
const whole =
  (min: number, max: number): Check =>
  (value) =>
    Number.isInteger(value) && Number(value) >= min && Number(value) <= max

const CHECKS: ReadonlyMap<string, Check> = new Map<keyof WebhookParams, Check>([
  ['url', text(URL_CHARS_MAX)],
  ['method', text(METHOD_CHARS_MAX)],
  ['body', () => true],
  ['bodyText', (value) => typeof value === 'string'],
  ['at', whole(0, INSTANT_MAX)],
  ['delayMs', whole(0, DELAY_MS_MAX)],
  ['priority', (value) => PRIORITIES.some((priority) => priority === value)],
  ['timeoutMs', whole(1, TIMEOUT_MS_MAX)],
  ['idempotencyKey', ascii(IDEMPOTENCY_KEY_CHARS_MAX)],
  ['name', ascii(NAME_CHARS_MAX)],
  ['brand', (value) => typeof value === 'string' && BRAND.test(value)],
])

/** As `webhookDefaults` takes it: nothing is required. `value` comes out of `JSON.parse`: it has no fields but its own. */
export const isPlainDefaults = (value: unknown): value is WebhookDefaults => {
  if (!isFields(value)) return false
  for (const name in value) if (CHECKS.get(name)?.(value[name]) !== true) return false
  return true
}
/** As `webhook` takes it. */
export const isPlainWebhook = (value: unknown): value is WebhookParams =>
  isPlainDefaults(value) && value.url !== undefined

const isFields = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
