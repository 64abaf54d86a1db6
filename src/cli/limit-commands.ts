/** `limits`, `limits domain`, `limits brand`. */
import type { Command } from 'commander'
import type { Client, Results } from '#client/node.ts'
import { type GlobalOptions, type Surroundings, table, withClient } from './session.ts'
import { readLimit, readNumber, UsageError } from './usage.ts'

interface LimitOptions extends GlobalOptions {
  readonly concurrency?: string
  readonly rate?: string
  readonly burst?: string
  readonly brand?: string
  readonly domain?: string
}
type Limits = Results['getLimits']['limits'][number]

export const addLimitCommands = (program: Command, around: Surroundings): void => {
  const limits = program
    .command('limits')
    .description('shows limits; `limits domain` and `limits brand` set them')
    .option('--domain <domain>')
    .option('--brand <brand>')
    .action((_options: unknown, command: Command) => {
      const { domain, brand, ...options } = command.optsWithGlobals<LimitOptions>()
      const filter = { ...(domain === undefined ? {} : { domain }), ...(brand === undefined ? {} : { brand }) }
      return withClient(
        options,
        around,
        (client) => client.getLimits(filter),
        (result) => limitsText(result.limits),
      )
    })
  limits
    .command('domain <domain>')
    .description('sets limits of a domain, over all brands unless --brand is given')
    .option('--concurrency <n>', 'requests open at once; none removes')
    .option('--rate <n>', 'requests per second; none removes')
    .option('--burst <n>', 'requests that may start at once')
    .option('--brand <brand>')
    .action((domain: string, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<LimitOptions>()
      if (options.concurrency === undefined && options.rate === undefined)
        throw new UsageError('limits domain needs --concurrency or --rate')
      return withClient(
        options,
        around,
        (client) => setDomain(client, domain, options),
        (all) => limitsText(all),
      )
    })
  limits
    .command('brand [brand]')
    .description('sets how many requests of a brand may be open at once, over all domains')
    .requiredOption('--concurrency <n>', 'requests open at once; none removes')
    .action((brand: string | undefined, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<LimitOptions>()
      const limit = readLimit('--concurrency', options.concurrency ?? '')
      const params = { limit, ...(brand === undefined ? {} : { brand }) }
      return withClient(
        options,
        around,
        (client) => client.configureBrandConcurrencyLimit(params),
        (one) => limitsText([one]),
      )
    })
}

const setDomain = async (client: Client, domain: string, options: LimitOptions): Promise<readonly Limits[]> => {
  const brand = options.brand === undefined ? {} : { brand: options.brand }
  const burst = options.burst === undefined ? {} : { burst: readNumber('--burst', options.burst) }
  const said: Limits[] = []
  if (options.concurrency !== undefined) {
    const limit = readLimit('--concurrency', options.concurrency)
    said.push(await client.configureDomainConcurrencyLimit({ domain, limit, ...brand }))
  }
  if (options.rate !== undefined) {
    const requestsPerSecond = readLimit('--rate', options.rate)
    said.push(await client.configureRateLimit({ domain, requestsPerSecond, ...burst, ...brand }))
  }
  return said.slice(-1)
}

const limitsText = (limits: readonly Limits[]): string =>
  table(
    ['domain', 'brand', 'concurrency', 'rate /s', 'burst', 'version', 'set by'],
    limits.map((one) => [
      one.domain ?? 'all',
      one.brand ?? 'all',
      one.concurrency?.value,
      one.rate?.value,
      one.rate?.burst,
      one.version,
      one.concurrency?.setBy ?? one.rate?.setBy,
    ]),
  )
