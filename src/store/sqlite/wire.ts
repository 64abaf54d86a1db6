/**
 * What goes between the main thread and the store's threads: one message per group each way, its bytes in one transferred
 * buffer (`./group-frame.ts`). A batch in shared memory is not copied.
 */
import type { ReadQuery, StoreErrorCode, WriteOp, WriteResult } from '#store/store.ts'
import type { PackedGroup } from './group-frame.ts'

export type ToStore =
  | { readonly type: 'open' }
  | ({ readonly type: 'write'; readonly id: number } & PackedGroup<WriteOp>)
  | { readonly type: 'read'; readonly id: number; readonly query: ReadQuery }
  /** To the maintenance thread: a passive checkpoint. To the writer: finish it. */
  | { readonly type: 'checkpoint' }
  /** To the writer: empty the log's file, if all of it is in the database. */
  | { readonly type: 'truncate' }
  | { readonly type: 'close' }
export type FromStore =
  | { readonly type: 'opened' }
  | ({ readonly type: 'written'; readonly id: number } & PackedGroup<WriteResult<WriteOp>>)
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
