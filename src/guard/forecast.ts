/** What the calendar already holds against the limits of one domain: arithmetic over buckets of time. */
export interface ForecastBucket {
  /** Wall instant of its beginning. */
  readonly fromAt: number
  readonly due: number
  readonly admitted: number
  /** Left waiting at its end. */
  readonly backlog: number
}
export interface ForecastInput {
  readonly fromAt: number
  readonly bucketMs: number
  /** Webhooks that fall due in each bucket. */
  readonly due: readonly number[]
  /** Waiting at `fromAt`. */
  readonly backlog: number
  /** Starts per second, or null: none set. */
  readonly ratePerSecond: number | null
  readonly slots: number
  /** Measured; 0: not known, then slots are no bound. */
  readonly serviceMs: number
}
export interface Forecast {
  readonly buckets: readonly ForecastBucket[]
  /** When the last of them will have started; null: not at these limits, or nothing is due. */
  readonly lastAt: number | null
}

/** Starts per millisecond that the limits allow. */
const throughput = ({ ratePerSecond, slots, serviceMs }: ForecastInput): number =>
  Math.min(
    ratePerSecond === null ? Number.POSITIVE_INFINITY : ratePerSecond / 1_000,
    serviceMs === 0 ? (slots === 0 ? 0 : Number.POSITIVE_INFINITY) : slots / serviceMs,
  )

export const forecast = (input: ForecastInput): Forecast => {
  const perMs = throughput(input)
  const buckets: ForecastBucket[] = []
  let backlog = input.backlog
  let lastAt: number | null = null
  for (const [at, due] of input.due.entries()) {
    const fromAt = input.fromAt + at * input.bucketMs
    const room = perMs * input.bucketMs
    const admitted = Math.min(backlog + due, room)
    if (admitted > 0) lastAt = fromAt + (room === Number.POSITIVE_INFINITY ? 0 : admitted / perMs)
    backlog = backlog + due - admitted
    buckets.push({ fromAt, due, admitted: Math.round(admitted), backlog: Math.round(backlog) })
  }
  if (backlog > 0.5) {
    const endAt = input.fromAt + input.due.length * input.bucketMs
    lastAt = perMs === 0 ? null : endAt + backlog / perMs
  }
  return { buckets, lastAt: lastAt === null ? null : Math.ceil(lastAt) }
}
