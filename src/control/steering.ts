/** Methods that steer the guards: breaker, closure and retry budget of a domain; weight and backlog of a brand. */
import { BREAKER_OPEN_MS_DEFAULT } from '#guard/breaker.ts'
import { limitKey, settingOf } from '#guard/limits.ts'
import { RETRY_SHARE_DEFAULT } from '#guard/retry-budget.ts'
import type { StoredLimit } from '#store/store.ts'
import type { Brand, Domain, LimitKind } from '#webhook/webhook.ts'
import type { Backend } from './backend.ts'
import type { Caller } from './caller.ts'
import type { BreakerView, LimitsView } from './results.ts'
import { CLOSURES } from './schema.ts'
import { limitsView } from './views.ts'

export interface LimitSaid {
  readonly kind: LimitKind
  readonly domain: Domain | null
  readonly value: number | null
  readonly burst: number | null
}

/** Sets one limit; answers every limit of its key. A brand that is named for the first time comes into being. */
export const setLimit = async (
  said: LimitSaid,
  brand: Brand | null,
  caller: Caller,
  backend: Backend,
): Promise<LimitsView> => {
  if (brand !== null) await backend.ensureBrand(brand)
  const stored = await backend.setLimit({
    ...said,
    brand,
    setBy: `${caller.role} ${caller.keyId}`,
    setAt: backend.now(),
  })
  const others = [...backend.limits()].filter(
    (row) => row.domain === said.domain && row.brand === brand && row.kind !== said.kind,
  )
  return limitsView([stored, ...others])
}

type Closure = (typeof CLOSURES)[number]

export interface BreakerSaid {
  readonly enabled?: boolean | null | undefined
  readonly openMs?: number | null | undefined
  readonly closure?: Closure | null | undefined
  readonly retryBudget?: number | null | undefined
}

const KINDS: ReadonlySet<LimitKind> = new Set(['breaker', 'breaker-open-ms', 'closure', 'retry-budget'])

/** What is not said stays as it is; null goes back to the default. Each is durable by itself, in this order. */
export const configureBreaker = async (
  domain: Domain,
  { enabled, openMs, closure, retryBudget }: BreakerSaid,
  caller: Caller,
  backend: Backend,
): Promise<BreakerView> => {
  const set = (kind: LimitKind, value: number | null | undefined): Promise<unknown> =>
    value === undefined ? Promise.resolve() : setLimit({ kind, domain, value, burst: null }, null, caller, backend)
  await set('breaker', enabled == null ? enabled : Number(enabled))
  await set('breaker-open-ms', openMs)
  await set('closure', closure == null ? closure : CLOSURES.indexOf(closure))
  await set('retry-budget', retryBudget)
  return breakerView(domain, backend)
}

const breakerView = (domain: Domain, backend: Backend): BreakerView => {
  const rows = [...backend.limits()].filter((row) => row.domain === domain && row.brand === null && KINDS.has(row.kind))
  const byKey = new Map(rows.map((row): [string, StoredLimit] => [limitKey(row.kind, domain, null), row]))
  const of = (kind: LimitKind, otherwise: number): number => settingOf(byKey, limitKey(kind, domain, null), otherwise)
  return {
    domain,
    enabled: of('breaker', 1) > 0,
    openMs: of('breaker-open-ms', BREAKER_OPEN_MS_DEFAULT),
    closure: CLOSURES[of('closure', 1)] ?? 'brand',
    retryBudget: of('retry-budget', RETRY_SHARE_DEFAULT),
    version: rows.reduce((sum, row) => sum + row.version, 0),
  }
}
