/** While a domain fails, retries are a share of its first tries over two minutes, and at least one a second. Plain data. */
export interface RetryBudget {
  /** Starts per bucket of ten seconds: first tries, retries. */
  readonly firsts: number[]
  readonly retries: number[]
  newest: number
  lastRetryMono: number
}
const BUCKETS = 12
const BUCKET_MS = 10_000
const AT_LEAST_EVERY_MS = 1_000
export const RETRY_SHARE_DEFAULT = 0.1

export const emptyBudget = (): RetryBudget => ({
  firsts: new Array<number>(BUCKETS).fill(0),
  retries: new Array<number>(BUCKETS).fill(0),
  newest: 0,
  lastRetryMono: Number.NEGATIVE_INFINITY,
})

const moveTo = (budget: RetryBudget, nowMono: number): void => {
  const now = Math.floor(nowMono / BUCKET_MS)
  for (let bucket = Math.max(budget.newest, now - BUCKETS) + 1; bucket <= now; bucket += 1) {
    budget.firsts[bucket % BUCKETS] = 0
    budget.retries[bucket % BUCKETS] = 0
  }
  budget.newest = Math.max(budget.newest, now)
}
const sum = (counts: readonly number[]): number => counts.reduce((total, count) => total + count, 0)

export const countTry = (budget: RetryBudget, isRetry: boolean, nowMono: number): void => {
  moveTo(budget, nowMono)
  const counts = isRetry ? budget.retries : budget.firsts
  const at = budget.newest % BUCKETS
  counts[at] = (counts[at] ?? 0) + 1
  if (isRetry) budget.lastRetryMono = nowMono
}

/** When the next retry may start; at most now if it may. */
export const nextRetry = (budget: RetryBudget, share: number, nowMono: number): number => {
  moveTo(budget, nowMono)
  if (sum(budget.retries) + 1 <= share * sum(budget.firsts)) return nowMono
  return budget.lastRetryMono + AT_LEAST_EVERY_MS
}
