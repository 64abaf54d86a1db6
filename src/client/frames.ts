/** What comes in on the client's socket, taken apart. The daemon is trusted to keep to its own shapes. */
import type { EventNotice } from '#control/protocol.ts'
import { RpcFailure } from './failure.ts'

export type Incoming =
  | { readonly kind: 'answer'; readonly id: number; readonly ok: true; readonly result: unknown }
  | { readonly kind: 'answer'; readonly id: number; readonly ok: false; readonly failure: RpcFailure }
  | { readonly kind: 'event'; readonly notice: EventNotice }
  | { readonly kind: 'other' }

export const readIncoming = (text: string): Incoming => {
  const frame: unknown = JSON.parse(text)
  if (!isRecord(frame)) return { kind: 'other' }
  if (frame['method'] === 'event' && isNotice(frame['params'])) return { kind: 'event', notice: frame['params'] }
  const id = frame['id']
  if (typeof id !== 'number') return { kind: 'other' }
  if (frame['error'] === undefined) return { kind: 'answer', id, ok: true, result: frame['result'] }
  return { kind: 'answer', id, ok: false, failure: failureOf(frame['error']) }
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const isNotice = (value: unknown): value is EventNotice =>
  isRecord(value) && typeof value['subscription'] === 'string' && typeof value['seq'] === 'number'

const failureOf = (error: unknown): RpcFailure => {
  const data = isRecord(error) && isRecord(error['data']) ? error['data'] : {}
  const { code, message, field, retryAfterMs } = data
  return new RpcFailure(
    typeof code === 'string' ? code : 'INTERNAL',
    typeof message === 'string' ? message : 'the daemon gave no reason',
    typeof field === 'string' ? field : undefined,
    typeof retryAfterMs === 'number' ? retryAfterMs : undefined,
  )
}
