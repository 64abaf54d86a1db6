/** `limits`, `limits domain`, `limits brand`, `limits group`, `limits weight`, `limits backlog`, `limits breaker`. */
import type { Command } from 'commander'
import type { Client, ParamsIn, Results } from '#client/node.ts'
import { type GlobalOptions, type Surroundings, withClient } from './session.ts'
import { table } from './table.ts'
import { readDuration, readLimit, readNumber, UsageError } from './usage.ts'

interface LimitOptions extends GlobalOptions {
  readonly concurrency?: string
  readonly rate?: string
  readonly burst?: string
  readonly brand?: string
  readonly domain?: string
  readonly adaptive?: boolean
}
type Limits = Results['getLimits']['limits'][number]
type Group = NonNullable<Results['getLimits']['groups']>[number]

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
        (result, width) =>
          [
            limitsText(result.limits, width),
            ...(result.groups === undefined ? [] : [groupsText(result.groups, width)]),
          ].join('\n'),
      )
    })
  limits
    .command('domain <domain>')
    .description('sets limits of a domain, over all brands unless --brand is given')
    .option('--concurrency <n>', 'requests open at once; none removes')
    .option('--rate <n>', 'requests per second; none removes')
    .option('--burst <n>', 'requests that may start at once')
    .option('--adaptive', 'the guard finds the limit by itself, up to --concurrency')
    .option('--no-adaptive')
    .option('--brand <brand>')
    .action((domain: string, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<LimitOptions>()
      if (options.concurrency === undefined && options.rate === undefined)
        throw new UsageError('limits domain needs --concurrency or --rate')
      if (options.adaptive !== undefined && options.concurrency === undefined)
        throw new UsageError('--adaptive needs --concurrency, its ceiling')
      if (options.burst !== undefined && options.rate === undefined)
        throw new UsageError('--burst needs --rate: it says how many of these may start at once')
      const limits = domainLimitsOf(domain, options)
      return withClient(options, around, (client) => setDomain(client, limits), limitsText)
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
        (one, width) => limitsText([one], width),
      )
    })
  addGroup(limits, around)
  addWeight(limits, around)
  addBacklog(limits, around)
  addBreaker(limits, around)
}

const addGroup = (limits: Command, around: Surroundings): void => {
  limits
    .command('group <name> [members...]')
    .description('puts hosts under one guard, named group:<name>; `*.example.org` is every host below it')
    .option('--dissolve', 'each host has a guard of its own again')
    .action((group: string, members: readonly string[], _options: unknown, command: Command) => {
      const { dissolve, ...options } = command.optsWithGlobals<GlobalOptions & { readonly dissolve?: boolean }>()
      if (members.length > 0 === (dissolve === true))
        throw new UsageError('limits group needs the members, all of them, or --dissolve')
      return withClient(
        options,
        around,
        (client) => client.configureDomainGroup({ group, members: [...members] }),
        (one, width) =>
          [
            groupsText([one], width),
            ...one.resting.map((domain) => `limits of ${domain} do not count while it is in the group\n`),
          ].join(''),
      )
    })
}
/** `admin key_a25e…`: the beginning tells whose it was. */
const SET_BY = { name: 'set by', least: 12, drop: 1 } as const
const groupsText = (groups: readonly Group[], width: number | null): string =>
  table(
    [{ name: 'domain', least: 16 }, { name: 'members', least: 16 }, { name: 'version', drop: 2 }, SET_BY],
    groups.map((one) => [one.domain, one.members.join(' ') || 'none', one.version, one.setBy]),
    width,
  )

const addWeight = (limits: Command, around: Surroundings): void => {
  limits
    .command('weight <weight> [brand]')
    .description('sets the share of the starts that a brand has among brands that wait; none resets to 1')
    .option('--domain <domain>', 'at this domain only')
    .action((weight: string, brand: string | undefined, _options: unknown, command: Command) => {
      const { domain, ...options } = command.optsWithGlobals<LimitOptions>()
      const of = { ...(brand === undefined ? {} : { brand }), ...(domain === undefined ? {} : { domain }) }
      const params = { weight: readLimit('weight', weight), ...of }
      return withClient(
        options,
        around,
        (client) => client.configureBrandWeight(params),
        (one, width) => limitsText([one], width),
      )
    })
}

const addBacklog = (limits: Command, around: Surroundings): void => {
  limits
    .command('backlog <webhooks> [brand]')
    .description('sets how many unfinished webhooks a brand may have; none removes the bound')
    .action((webhooks: string, brand: string | undefined, _options: unknown, command: Command) => {
      const params = { limit: readLimit('webhooks', webhooks), ...(brand === undefined ? {} : { brand }) }
      return withClient(
        command.optsWithGlobals<GlobalOptions>(),
        around,
        (client) => client.configureBrandBacklog(params),
        (one, width) => limitsText([one], width),
      )
    })
}

interface BreakerOptions extends GlobalOptions {
  readonly enabled?: boolean
  readonly open?: string
  readonly closure?: string
  readonly retryBudget?: string
}
const CLOSURES = ['off', 'brand', 'domain'] as const

const addBreaker = (limits: Command, around: Surroundings): void => {
  limits
    .command('breaker <domain>')
    .description('shows or sets what the guard of a domain makes of failures')
    .option('--enabled', 'the breaker opens when most attempts fail')
    .option('--no-enabled')
    .option('--open <duration>', 'how long it opens the first time, like 30s')
    .option('--closure <what>', 'what a 429 closes: off, brand or domain')
    .option('--retry-budget <n>', 'retries per first try while the domain fails; 0.1 by default, 100 is as good as off')
    .action((domain: string, _options: unknown, command: Command) => {
      const { enabled, open, closure, retryBudget, ...options } = command.optsWithGlobals<BreakerOptions>()
      const params = {
        domain,
        ...(enabled === undefined ? {} : { enabled }),
        ...(open === undefined ? {} : { openMs: readDuration('--open', open) }),
        ...(closure === undefined ? {} : { closure: closureOf(closure) }),
        ...(retryBudget === undefined ? {} : { retryBudget: readNumber('--retry-budget', retryBudget) }),
      }
      return withClient(options, around, (client) => client.configureBreaker(params), breakerText)
    })
}
const closureOf = (text: string): (typeof CLOSURES)[number] => {
  const closure = CLOSURES.find((one) => one === text)
  if (closure !== undefined) return closure
  throw new UsageError(`--closure must be ${CLOSURES.join(', ')}; got ${JSON.stringify(text)}`)
}
const breakerText = (one: Results['configureBreaker'], width: number | null): string =>
  table(
    [
      { name: 'domain', least: 16 },
      'breaker',
      'opens for',
      'a 429 closes',
      'retries per first try',
      { name: 'version', drop: 1 },
    ],
    [[one.domain, one.enabled ? 'on' : 'off', `${one.openMs} ms`, one.closure, one.retryBudget, one.version]],
    width,
  )

interface DomainLimits {
  readonly concurrency: ParamsIn<'configureDomainConcurrencyLimit'> | null
  readonly rate: ParamsIn<'configureRateLimit'> | null
}
/** Read whole before anything is set: what was typed wrong changes nothing. */
const domainLimitsOf = (domain: string, options: LimitOptions): DomainLimits => {
  const brand = options.brand === undefined ? {} : { brand: options.brand }
  const burst = options.burst === undefined ? {} : { burst: readNumber('--burst', options.burst) }
  const adaptive = options.adaptive === undefined ? {} : { adaptive: options.adaptive }
  const { concurrency, rate } = options
  return {
    concurrency:
      concurrency === undefined
        ? null
        : { domain, limit: readLimit('--concurrency', concurrency), ...adaptive, ...brand },
    rate: rate === undefined ? null : { domain, requestsPerSecond: readLimit('--rate', rate), ...burst, ...brand },
  }
}
const setDomain = async (client: Client, { concurrency, rate }: DomainLimits): Promise<readonly Limits[]> => {
  const said: Limits[] = []
  if (concurrency !== null) said.push(await client.configureDomainConcurrencyLimit(concurrency))
  if (rate !== null) said.push(await client.configureRateLimit(rate))
  return said.slice(-1)
}

const limitsText = (limits: readonly Limits[], width: number | null): string =>
  table(
    [
      { name: 'domain', least: 16 },
      { name: 'brand', least: 8 },
      'concurrency',
      'rate /s',
      { name: 'burst', drop: 6 },
      { name: 'weight', drop: 5 },
      { name: 'backlog', drop: 4 },
      { name: 'adaptive', drop: 3 },
      { name: 'version', drop: 2 },
      SET_BY,
    ],
    limits.map((one) => [
      one.domain ?? 'all',
      one.brand ?? 'all',
      one.concurrency?.value,
      one.rate?.value,
      one.rate?.burst,
      one.weight,
      one.backlog,
      one.adaptive === undefined ? undefined : one.adaptive ? 'yes' : 'no',
      one.version,
      one.setBy ?? one.concurrency?.setBy ?? one.rate?.setBy,
    ]),
    width,
  )
