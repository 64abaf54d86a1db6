/** A large frame to rows: runs in the ingest thread, and in place where there is none. */
import { FRAME_BYTES_PLAIN_MAX } from '#config/limits.ts'
import { encodeRows } from '#store/rows.ts'
import { packHeads } from './heads.ts'
import type { IngestedFrame, IngestedItem, IngestJob } from './ingest.ts'
import { type IntakeGiven, readSchedule, readSchedules } from './intake.ts'
import { errorText, type RpcItem, type RpcRequest, readFrame } from './json-rpc.ts'
import type { Taken } from './new-webhook.ts'
import { Refusal, rpcErrorOf } from './refusal.ts'

export type IngestGiven = Omit<IntakeGiven, 'caller' | 'now'>

/** Never throws for what a client sent. */
export const ingestFrame = (job: IngestJob, given: IngestGiven): IngestedFrame => {
  const frame = readFrame(job.bytes)
  const isLarge = job.bytes.length > FRAME_BYTES_PLAIN_MAX
  const items = frame.items.map((item) => ingestItem(item, isLarge, { ...given, caller: job.caller, now: job.now }))
  return { batch: frame.batch, items }
}

const ingestItem = (item: RpcItem, isLarge: boolean, given: IntakeGiven): IngestedItem => {
  if (item.kind === 'invalid') return { kind: 'answer', text: errorText(item.id, item.error), protocolError: true }
  try {
    if (item.method === 'scheduleWebhooks') return append(item, true, readSchedules(item.params, given))
    if (isLarge) throw tooLarge(item.method)
    if (item.method === 'scheduleWebhook') return append(item, false, [readSchedule(item.params, given)])
    return { kind: 'request', id: item.id, method: item.method, params: item.params }
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    const text = item.id === undefined ? null : errorText(item.id, rpcErrorOf(error.data))
    return { kind: 'answer', text, protocolError: false }
  }
}

const tooLarge = (method: string): Refusal =>
  new Refusal(
    'INVALID_PARAMS',
    `${method.slice(0, 64)} came in a frame above ${FRAME_BYTES_PLAIN_MAX} bytes, which only scheduleWebhooks may use`,
  )

const append = (request: RpcRequest, many: boolean, taken: readonly Taken[]): IngestedItem => ({
  kind: 'append',
  id: request.id,
  many,
  rows: encodeRows(taken.map(({ row }) => row)),
  heads: packHeads(taken.map(({ head }) => head)),
  brands: [...new Set(taken.map(({ head }) => head.brand))],
  predict: taken.some(({ predict }) => predict),
  at: taken[0]?.row.at ?? 0,
})
