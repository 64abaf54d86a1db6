import type { ControlClient } from '#test/support/control-client.ts'

export interface WantedLimits {
  readonly concurrency?: number | null
  readonly rate?: number | null
  readonly burst?: number
  readonly brand?: string
}

/** Sets what is named of a domain's limits. */
export const domainLimits = async (client: ControlClient, domain: string, wanted: WantedLimits): Promise<void> => {
  const { concurrency, rate, burst, brand } = wanted
  const of = { domain, ...(brand === undefined ? {} : { brand }) }
  if (concurrency !== undefined) await client.call('configureDomainConcurrencyLimit', { ...of, limit: concurrency })
  if (rate !== undefined)
    await client.call('configureRateLimit', {
      ...of,
      requestsPerSecond: rate,
      ...(burst === undefined ? {} : { burst }),
    })
}
