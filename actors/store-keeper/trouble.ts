/**
 * How often the disk has failed lately (reliability.md D7). Kept in a table of root, so that it outlives the store-keeper: one that
 * is restarted must not begin to count anew.
 */
import { DISK_FAILURES_MAX, DISK_FAILURES_MS } from '#config/limits.ts'
import type { Context } from '#runtime/context.ts'
import type { Protocol } from '#runtime/protocol.ts'
import type { StoreErrorCode } from '#store/store.ts'

/** Failures by their number. Owned by root. */
export const STORE_FAILURES_TABLE = 'store-failures'
interface Failure {
  readonly atMono: number
  readonly detail: string
}

/** Whether a store that answers so is closed and opened again; with the others nothing of the group is durable, and the store is sound. */
export const isLeft = (code: StoreErrorCode): boolean => code !== 'full' && code !== 'busy' && code !== 'invalid'
/** After these nothing that the page cache says may be believed; a thread that died for another reason is no word about the disk. */
const isOfDisk = (code: StoreErrorCode): boolean => code === 'io' || code === 'corrupt'

export const noteFailure = <P extends Protocol>(ctx: Context<P>, code: StoreErrorCode, detail: string): void => {
  if (!isOfDisk(code)) return
  const table = ctx.table<number, Failure>(STORE_FAILURES_TABLE)
  const last = Math.max(0, ...[...table.entries()].map(([number]) => number))
  table.set(last + 1, { atMono: ctx.world.monoNow(), detail })
  table.delete(last + 1 - DISK_FAILURES_MAX)
}

/** Why the process must end (exit 70), or null: the disk has failed too often within DISK_FAILURES_MS. */
export const whyDoomed = <P extends Protocol>(ctx: Context<P>): string | null => {
  const since = ctx.world.monoNow() - DISK_FAILURES_MS
  const rows = [...ctx.table<number, Failure>(STORE_FAILURES_TABLE).entries()].map(([, failure]) => failure)
  const recent = rows.filter(({ atMono }) => atMono >= since)
  if (recent.length < DISK_FAILURES_MAX) return null
  const last = recent.at(-1)?.detail ?? ''
  return `the store's disk failed ${DISK_FAILURES_MAX} times within ${DISK_FAILURES_MS / 60_000} min, at last ${last}`
}
