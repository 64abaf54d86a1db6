/** Ingest in place, for tests and simulation: the same reading, no thread. */
import type { AddressPolicy } from '#webhook/address.ts'
import { WebhookIds } from '#webhook/id.ts'
import type { World } from '#world/world.ts'
import type { StartIngest } from './ingest.ts'
import { ingestFrame } from './ingest-frame.ts'
import { WebhookReader } from './new-webhook.ts'

export const ingestInline =
  (policy: AddressPolicy, world: World): StartIngest =>
  async () => {
    const given = {
      reader: new WebhookReader(policy),
      ids: new WebhookIds(),
      randomBytes: (length: number) => world.randomBytes(length),
    }
    return {
      read: async (job) => ingestFrame(job, given),
      close: async () => undefined,
    }
  }
