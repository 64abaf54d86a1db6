import type { StoreFailed } from '#actors/store-keeper.ts'
import { type Call, type Name, name } from '#runtime/protocol.ts'
import type { SetLimit, StoredLimit } from '#store/store.ts'

/** Owns the table `limits`: loads it from the store, changes it live (durable first), tells the guards and limiters that it touches. */
export interface LimitsProtocol {
  readonly call: Call<
    { readonly type: 'set'; readonly limit: Omit<SetLimit, 'type'> },
    { readonly ok: true; readonly limit: StoredLimit } | StoreFailed
  >
  readonly cast: never
  readonly info: never
  readonly continue: never
}
export const limits: Name<LimitsProtocol> = name('limits')
