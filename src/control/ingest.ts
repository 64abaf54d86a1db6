/**
 * The contract between the ingest actor and what reads large frames: a thread in production (`ingest-thread.ts`), the
 * same code in place in tests. Frames above 16 KiB never cost main more than their heads (architecture.md, hot path).
 */
import type { DeniedTarget } from '#webhook/address.ts'
import type { Instant } from '#webhook/webhook.ts'
import type { Caller } from './caller.ts'
import type { PackedHeads } from './heads.ts'
import type { RpcId } from './json-rpc.ts'

export interface IngestJob {
  /** Detached by the hand-over where it is large. */
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly caller: Caller
  readonly now: Instant
}
export type IngestedItem =
  /** The answer stands already: an error. Null: a notification, which gets none. */
  | { readonly kind: 'answer'; readonly text: string | null; readonly protocolError: boolean }
  | {
      readonly kind: 'append'
      readonly id: RpcId | undefined
      /** False: `scheduleWebhook`. */
      readonly many: boolean
      /** In shared memory where it is large (`#store/rows.ts`). */
      readonly rows: Uint8Array
      readonly heads: PackedHeads
      readonly brands: readonly string[]
      /** One of them wants to know when it should start. */
      readonly predict: boolean
      /** The instant asked for of the first one. */
      readonly at: Instant
    }
  | {
      readonly kind: 'request'
      readonly id: RpcId | undefined
      readonly method: string
      readonly params: object | undefined
    }
export interface IngestedFrame {
  readonly batch: boolean
  readonly items: readonly IngestedItem[]
}

/** Addresses of our own that may not be scheduled for; they become known, and change, while the daemon runs. */
export interface OwnAddresses {
  readonly current: readonly DeniedTarget[]
  /** Calls back after every change; returns a function that ends it. */
  follow(changed: () => void): () => void
}

export interface Ingest {
  /** Frames are read in order. Rejects if the thread has ended. */
  read(job: IngestJob): Promise<IngestedFrame>
  /** Resolves when the thread has exited. Idempotent. */
  close(): Promise<void>
}
/** Starts one. `ended` is said once, when it ended without `close`. */
export type StartIngest = (events: { readonly ended: (reason: string) => void }) => Promise<Ingest>
