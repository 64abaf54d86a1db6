/**
 * What goes between the main thread and the store's threads: one message per group each way, bytes in one transferred buffer.
 * A batch in shared memory is not copied; a smaller one is copied into the group's buffer, so the caller's stays whole.
 */
import type { Append, Marked, ReadQuery, StoreErrorCode, WriteOp, WriteResult } from '#store/store.ts'

/** An append whose rows lie at `at` of the group's buffer. */
type PackedAppend = Omit<Append, 'rows'> & { readonly at: number; readonly length: number }
export type WireOp = WriteOp | PackedAppend
/** A mark's answer whose request lies at `at` of the answers' buffer. */
type PackedMark = Omit<Extract<Marked, { ok: true }>, 'request'> & { readonly at: number; readonly length: number }

export type ToStore =
  | { readonly type: 'open' }
  | { readonly type: 'write'; readonly id: number; readonly ops: readonly WireOp[]; readonly rows: Uint8Array }
  | { readonly type: 'read'; readonly id: number; readonly query: ReadQuery }
  /** To the maintenance thread: a passive checkpoint. To the writer: finish it. */
  | { readonly type: 'checkpoint' }
  | { readonly type: 'close' }
export type FromStore =
  | { readonly type: 'opened' }
  | {
      readonly type: 'written'
      readonly id: number
      readonly results: readonly WireResult[]
      readonly bytes: Uint8Array
    }
  | { readonly type: 'answered'; readonly id: number; readonly value: unknown }
  | ({ readonly type: 'failed'; readonly id: number } & Failure)
  /** Nothing more will come: the connection could not be opened, or cannot be trusted any more. */
  | ({ readonly type: 'ended' } & Failure)
  /** From the writer: enough was written for a checkpoint. */
  | { readonly type: 'checkpoint-wanted' }
  /** From the maintenance thread: frames in the WAL, and how many of them are in the database now. */
  | { readonly type: 'checkpointed'; readonly frames: number; readonly done: number }
export interface Failure {
  readonly code: StoreErrorCode
  readonly message: string
  readonly op: number | null
}
export type WireResult = WriteResult<WriteOp> | PackedMark

export const packGroup = (
  ops: readonly WriteOp[],
): { readonly ops: WireOp[]; readonly rows: Uint8Array<ArrayBuffer> } => {
  const rows = new Uint8Array(sum(ops.map((op) => (isCopied(op) ? op.rows.length : 0))))
  let at = 0
  const packed = ops.map((op): WireOp => {
    if (!isCopied(op)) return op
    rows.set(op.rows, at)
    at += op.rows.length
    return { type: 'append', count: op.count, at: at - op.rows.length, length: op.rows.length }
  })
  return { ops: packed, rows }
}
export const unpackGroup = (ops: readonly WireOp[], rows: Uint8Array): WriteOp[] =>
  ops.map((op) => {
    if (!('at' in op && 'length' in op)) return op
    return { type: 'append', count: op.count, rows: rows.subarray(op.at, op.at + op.length) }
  })

export const packResults = (
  results: readonly WriteResult<WriteOp>[],
): { readonly results: WireResult[]; readonly bytes: Uint8Array<ArrayBuffer> } => {
  const bytes = new Uint8Array(sum(results.map((result) => ('request' in result ? result.request.length : 0))))
  let at = 0
  const packed = results.map((result): WireResult => {
    if (!('request' in result)) return result
    const { request, ...mark } = result
    bytes.set(request, at)
    at += request.length
    return { ...mark, at: at - request.length, length: request.length }
  })
  return { results: packed, bytes }
}
export const unpackResults = (results: readonly WireResult[], bytes: Uint8Array): unknown[] =>
  results.map((result) => {
    if (!('at' in result && 'length' in result)) return result
    const { at, length, ...mark } = result
    return { ...mark, request: bytes.subarray(at, at + length) }
  })

const isCopied = (op: WriteOp): op is Append => op.type === 'append' && !(op.rows.buffer instanceof SharedArrayBuffer)
const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0)
