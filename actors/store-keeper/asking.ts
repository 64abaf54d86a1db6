import { type ReadQuery, type Store, StoreError, type StoreErrorCode } from '#store/store.ts'
import type { Pending, ReadOutcome, Written } from './state.ts'

export const writingOf = (store: Store, group: readonly Pending[]): Promise<Written> =>
  store.write(group.map((pending) => pending.op)).then(
    (results): Written => ({ ok: true, results }),
    (error: unknown): Written => ({ ok: false, ...failureOf(error) }),
  )
export const readingOf = (store: Store, query: ReadQuery): Promise<ReadOutcome> =>
  store.read(query).then(
    (value) => ({ ok: true, value }) as const,
    (error: unknown) => ({ ok: false, failed: failureOf(error).failed }) as const,
  )
/** An error that is no StoreError is a bug in the store: it is opened anew. */
const failureOf = (error: unknown): { failed: StoreErrorCode; op: number | null; detail: string } => {
  if (error instanceof StoreError)
    return { failed: error.code, op: error.op, detail: `${error.code}: ${error.message}` }
  return { failed: 'io', op: null, detail: String(error) }
}
