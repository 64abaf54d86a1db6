import type { Call, Name } from '#runtime/protocol.ts'
import { name } from '#runtime/protocol.ts'
import type { ReadQuery, ReadResult, StoreErrorCode, WriteOp, WriteResult } from '#store/store.ts'

/**
 * The store did not take it (disk full, locked, reopening); nothing of it is durable, try again.
 * Marks, outcomes and hand-backs never get this answer: the keeper holds them until they are written.
 */
export interface StoreFailed {
  readonly ok: false
  readonly failed: StoreErrorCode
}
type Writes<Op> = Op extends WriteOp
  ? Call<
      Op,
      Op extends { type: 'append' | 'cancel' | 'set-limit' | 'put-brand' | 'put-key' }
        ? WriteResult<Op> | StoreFailed
        : WriteResult<Op>
    >
  : never
type Reads<Q> = Q extends ReadQuery
  ? Call<Q, { readonly ok: true; readonly value: ReadResult<Q> } | StoreFailed>
  : never

/** The calls are the store's own operations: `ctx.request(storeKeeper, { type: 'mark-started', ... }, 'marked', data)`. */
export interface StoreKeeperProtocol {
  readonly call: Writes<WriteOp> | Reads<ReadQuery>
  readonly cast: never
  readonly info: never
  readonly continue: never
}
export const storeKeeper: Name<StoreKeeperProtocol> = name('store-keeper')
