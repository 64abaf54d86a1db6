/** The ingest thread's entry: frames in, rows out, one after another. */
import { parentPort, workerData } from 'node:worker_threads'
import type { AddressPolicy, DeniedTarget } from '#webhook/address.ts'
import { WebhookIds } from '#webhook/id.ts'
import { RealWorld } from '#world/real-world.ts'
import type { IngestJob } from './ingest.ts'
import { ingestFrame } from './ingest-frame.ts'
import { WebhookReader } from './new-webhook.ts'

const port = parentPort
if (port === null) throw new Error('ingest-worker.ts is the entry of a thread')
const world = new RealWorld()
const { policy, own }: { policy: AddressPolicy; own: readonly DeniedTarget[] } = workerData
const reader = new WebhookReader(policy)
reader.deny(own)
const given = {
  reader,
  ids: new WebhookIds(),
  randomBytes: (length: number) => world.randomBytes(length),
}

port.on('message', (job: IngestJob | { readonly deny: readonly DeniedTarget[] }) => {
  if ('deny' in job) return reader.deny(job.deny)
  const frame = ingestFrame(job, given)
  const transfer = frame.items.flatMap((item) =>
    item.kind === 'append' ? [item.heads.nextAt.buffer, item.heads.expiresAt.buffer, item.heads.kindOf.buffer] : [],
  )
  port.postMessage(frame, transfer)
})
