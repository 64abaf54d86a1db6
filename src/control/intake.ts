/** Schedule calls, read whole: what one request asks to be stored, or the refusal of all of it. */
import { z } from 'zod'
import { BATCH_WEBHOOKS_MAX } from '#config/limits.ts'
import type { WebhookIds } from '#webhook/id.ts'
import type { Instant } from '#webhook/webhook.ts'
import { brandForWrite, type Caller } from './caller.ts'
import { readParams } from './explain.ts'
import { type Taken, type WebhookReader, withDefaults } from './new-webhook.ts'
import { isPlainDefaults, isPlainWebhook } from './plain-webhook.ts'
import { brand, type WebhookDefaults, type WebhookParams, webhook, webhookDefaults } from './schema.ts'

export interface IntakeGiven {
  readonly caller: Caller
  readonly now: Instant
  readonly reader: WebhookReader
  readonly ids: WebhookIds
  readonly randomBytes: (length: number) => Uint8Array
}

/** `scheduleWebhook`. Throws Refusal. */
export const readSchedule = (params: unknown, given: IntakeGiven): Taken => {
  const said = isPlainWebhook(params) ? params : readParams(webhook, params ?? {})
  return given.reader.take(said, {
    id: given.ids.next(given.now, given.randomBytes),
    brand: brandForWrite(given.caller, said.brand),
    now: given.now,
    index: null,
  })
}

/** The items are read one by one, so that the first bad one ends it and none is walked twice. */
const shell = z.strictObject({
  webhooks: z
    .array(z.unknown())
    .min(1)
    .max(BATCH_WEBHOOKS_MAX)
    .describe(`a list of 1 to ${BATCH_WEBHOOKS_MAX} webhooks`),
  defaults: webhookDefaults.optional().describe('an object with fields of a webhook'),
  brand: brand.optional(),
})

/** `scheduleWebhooks`. Throws Refusal that names the item: `webhooks[3].url`. */
export const readSchedules = (params: unknown, given: IntakeGiven): readonly Taken[] => {
  const said = readParams(shell, params ?? {})
  const brandOfAll = brandForWrite(given.caller, said.brand)
  return said.webhooks.map((item, index) => {
    const one = readItem(item, index, said.defaults)
    return given.reader.take(one, {
      id: given.ids.next(given.now, given.randomBytes),
      brand: one.brand === undefined ? brandOfAll : brandForWrite(given.caller, one.brand, `webhooks[${index}].brand`),
      now: given.now,
      index,
    })
  })
}

const readItem = (item: unknown, index: number, defaults: WebhookDefaults | undefined): WebhookParams => {
  const prefix = (): string => `webhooks[${index}]`
  if (defaults === undefined) return isPlainWebhook(item) ? item : readParams(webhook, item, prefix)
  const own = isPlainDefaults(item) ? item : readParams(webhookDefaults, item, prefix)
  return withDefaults(defaults, own, index)
}
