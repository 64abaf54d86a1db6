/** `schedule`, `list`, `show`. */
import type { Command } from 'commander'
import type { Client, ParamsIn, Results } from '#client/node.ts'
import { LIST_LIMIT_DEFAULT } from '#config/limits.ts'
import { type GlobalOptions, printable, type Surroundings, withClient } from './session.ts'
import { shortInstant, shortUrl, table } from './table.ts'
import { readDuration, readHeaders, readJson, readNumber, UsageError } from './usage.ts'
import { addFilter, type FilterOptions, filterOf } from './webhook-filter.ts'

interface ScheduleOptions extends GlobalOptions {
  readonly method?: string
  readonly body?: string
  readonly bodyText?: string
  readonly header?: readonly string[]
  readonly in?: string
  readonly at?: string
  readonly name?: string
  readonly tag?: readonly string[]
  readonly priority?: string
  readonly brand?: string
  readonly idempotencyKey?: string
  readonly predict?: boolean
}

const collect = (text: string, texts: readonly string[] = []): readonly string[] => [...texts, text]

export const addWebhookCommands = (program: Command, around: Surroundings): void => {
  addSchedule(program, around)
  addList(program, around)
  addShow(program, around)
}

const addSchedule = (program: Command, around: Surroundings): void => {
  program
    .command('schedule <url>')
    .description('schedules one webhook')
    .option('--method <method>', 'POST by default')
    .option('--body <json>', 'body, as JSON')
    .option('--body-text <text>', 'body, as text')
    .option('--header <name: value>', 'may be repeated', collect)
    .option('--in <duration>', 'due after, like 500ms, 2s, 5m, 1h')
    .option('--at <instant>', 'due at, like 2027-01-31T09:00:00Z')
    .option('--name <name>')
    .option('--tag <tag>', 'may be repeated', collect)
    .option('--priority <priority>', 'high, normal or low')
    .option('--idempotency-key <key>', 'the same key again is the same webhook')
    .option('--predict', 'tells when it should start')
    .option('--brand <brand>', 'with an admin key')
    .action((url: string, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<ScheduleOptions>()
      return withClient(
        options,
        around,
        (client) => client.scheduleWebhook(paramsOf(url, options)),
        ({ id, at, expectedAt, duplicate }) => {
          const expected = expectedAt === undefined ? '' : `  expected to start at ${expectedAt}`
          return `${id}  due ${at}${expected}${duplicate ? '  (was scheduled before)' : ''}\n`
        },
      )
    })
}

const paramsOf = (url: string, options: ScheduleOptions): ParamsIn<'scheduleWebhook'> => {
  const { method, body, bodyText, header, at, name, tag, priority, brand, idempotencyKey, predict } = options
  return {
    url,
    ...(method === undefined ? {} : { method }),
    ...(body === undefined ? {} : { body: readJson('--body', body) }),
    ...(bodyText === undefined ? {} : { bodyText }),
    ...(header === undefined ? {} : { headers: readHeaders(header) }),
    ...(options.in === undefined ? {} : { delayMs: readDuration('--in', options.in) }),
    ...(at === undefined ? {} : { at }),
    ...(name === undefined ? {} : { name }),
    ...(tag === undefined ? {} : { tags: [...tag] }),
    ...(priority === undefined ? {} : { priority: priorityOf(priority) }),
    ...(brand === undefined ? {} : { brand }),
    ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
    ...(predict === undefined ? {} : { predict }),
  }
}

const priorityOf = (text: string): 'high' | 'normal' | 'low' => {
  if (text === 'high' || text === 'normal' || text === 'low') return text
  throw new UsageError(`--priority must be high, normal or low; got ${JSON.stringify(text)}`)
}

const addList = (program: Command, around: Surroundings): void => {
  const list = program.command('list').description('lists webhooks')
  addFilter(list, 'scheduled, waiting, executing, retrying, delivered, dead, cancelled, expired or quarantined')
    .option('--limit <n>', 'at most this many; 50 by default')
    .action((_options: unknown, command: Command) => {
      const { limit, ...options } = command.optsWithGlobals<FilterOptions & { readonly limit?: string }>()
      const filter = {
        ...filterOf<'scheduled'>(options),
        ...(limit === undefined ? {} : { limit: readNumber('--limit', limit) }),
      }
      return withClient(options, around, (client) => listed(client, filter), listText)
    })
}

/** A page may be short where few match: it is filled up to its limit, so that what is shown are the newest ones. */
const listed = async (client: Client, filter: ParamsIn<'listWebhooks'>): Promise<Results['listWebhooks']> => {
  const first = await client.listWebhooks(filter)
  const webhooks = [...first.webhooks]
  const { limit = LIST_LIMIT_DEFAULT } = filter
  let cursor = first.nextCursor
  while (cursor !== undefined && webhooks.length < limit) {
    const page = await client.listWebhooks({ ...filter, cursor, limit: limit - webhooks.length })
    webhooks.push(...page.webhooks)
    cursor = page.nextCursor
  }
  return cursor === undefined ? { webhooks } : { webhooks, nextCursor: cursor }
}

const listText = ({ webhooks, nextCursor }: Results['listWebhooks'], width: number | null): string =>
  table(
    [
      'id',
      'state',
      { name: 'at', short: shortInstant, drop: 3 },
      { name: 'attempts', drop: 1 },
      { name: 'last', least: 9, drop: 2 },
      { name: 'url', short: shortUrl, least: 10 },
    ],
    webhooks.map((one) => [one.id, one.state, one.at, one.attemptCount, one.lastStatus ?? one.lastError, one.url]),
    width,
  ) + (nextCursor === undefined ? '' : 'there are more; narrow the filter or raise --limit\n')

const addShow = (program: Command, around: Surroundings): void => {
  program
    .command('show <id>')
    .description('shows one webhook and its attempts')
    .action((id: string, _options: unknown, command: Command) =>
      withClient(
        command.optsWithGlobals<GlobalOptions>(),
        around,
        async (client) => {
          const [webhook, { attempts }] = await Promise.all([client.getWebhook({ id }), client.getAttempts({ id })])
          return { webhook, attempts }
        },
        ({ webhook, attempts }, width) => showText(webhook, attempts, width),
      ),
    )
}

const showText = (
  webhook: Results['getWebhook'],
  attempts: Results['getAttempts']['attempts'],
  width: number | null,
): string => {
  const lines = Object.entries(webhook).map(([name, value]) => {
    const text = typeof value === 'object' ? JSON.stringify(value) : String(value)
    return `${name.padEnd(14)} ${printable(text)}\n`
  })
  const rows = attempts.map((one) => [
    one.number,
    one.startedAt,
    one.status ?? one.error ?? (one.inDoubt ? 'in doubt' : 'running'),
    one.timerMs,
    one.guardMs,
    one.networkMs,
    one.excerpt?.slice(0, 60),
  ])
  const head = [
    'attempt',
    { name: 'started', short: shortInstant },
    'result',
    { name: 'timer ms', drop: 1 },
    { name: 'guard ms', drop: 2 },
    { name: 'network ms', drop: 3 },
    { name: 'answer', least: 10, drop: 4 },
  ]
  return `${lines.join('')}\n${rows.length === 0 ? 'no attempt yet\n' : table(head, rows, width)}`
}
