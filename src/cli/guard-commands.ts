/** `guards`, `guards <domain>`, `explain <id>`, `pause`, `resume`. */
import type { Command } from 'commander'
import type { Results } from '#client/node.ts'
import { span } from './drawing.ts'
import { type GlobalOptions, type Surroundings, withClient } from './session.ts'
import { shortInstant, table } from './table.ts'
import { UsageError } from './usage.ts'
import { crowdInWords, limitInWords, pausedInWords } from './words.ts'

type Figures = Results['listGuards']['guards'][number]

export const addGuardCommands = (program: Command, around: Surroundings): void => {
  addPauses(program, around)
  program
    .command('guards [domain]')
    .description('shows the guards that are at work, or the guard of one domain')
    .action((domain: string | undefined, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>()
      return domain === undefined
        ? withClient(
            options,
            around,
            (client) => client.listGuards({}),
            ({ guards, crowd }, width) =>
              guards.length === 0
                ? 'no guard is at work: nothing waits and nothing runs\n'
                : `${crowd === undefined ? '' : `${crowdInWords(crowd)}\n\n`}${figuresText(guards, width)}`,
          )
        : withClient(options, around, (client) => client.getGuard({ domain }), guardText)
    })
  program
    .command('explain <id>')
    .description('says what a webhook waits for, and until when')
    .action((id: string, _options: unknown, command: Command) =>
      withClient(
        command.optsWithGlobals<GlobalOptions>(),
        around,
        (client) => client.explainWebhook({ id }),
        explainText,
      ),
    )
}

interface PauseOptions extends GlobalOptions {
  readonly brand?: string
  readonly reason?: string
}

const addPauses = (program: Command, around: Surroundings): void => {
  for (const verb of ['pause', 'resume'] as const) {
    const command = program
      .command(`${verb} [domain]`)
      .description(
        verb === 'pause' ? 'holds a domain, or a brand, until it is resumed' : 'lets a domain, or a brand, go on',
      )
      .option('--brand <brand>')
    if (verb === 'pause') command.option('--reason <text>', 'shown beside who paused it')
    command.action((domain: string | undefined, _options: unknown, self: Command) => {
      const { brand, reason, ...options } = self.optsWithGlobals<PauseOptions>()
      if ((domain === undefined) === (brand === undefined)) throw new UsageError(`${verb} needs a domain or --brand`)
      const why = reason === undefined ? {} : { reason }
      return withClient(
        options,
        around,
        (client) => {
          if (domain !== undefined)
            return verb === 'pause' ? client.pauseDomain({ domain, ...why }) : client.resumeDomain({ domain })
          const of = brand === undefined ? {} : { brand }
          return verb === 'pause' ? client.pauseBrand({ ...of, ...why }) : client.resumeBrand(of)
        },
        ({ paused }) => `${domain ?? brand} is ${paused ? 'paused' : 'resumed'}\n`,
      )
    })
  }
}

const of = (current: number, limit: number | null): string => `${current} of ${limit ?? 'any'}`

const figuresText = (guards: readonly Figures[], width: number | null): string =>
  table(
    [
      { name: 'domain', least: 16 },
      { name: 'state', least: 9 },
      'open',
      { name: 'starts /s', drop: 3 },
      'waiting',
      { name: 'oldest', short: shortInstant, drop: 1 },
      { name: 'drains in', drop: 2 },
    ],
    guards.map((one) => [
      one.domain,
      one.state,
      of(one.concurrency.current, one.concurrency.limit),
      of(one.rate.startsLastSecond, one.rate.limit),
      one.queueDepth,
      one.oldestWaitingAt,
      one.drainMs === undefined ? undefined : span(one.drainMs),
    ]),
    width,
  )

const guardText = (guard: Results['getGuard'], width: number | null): string => {
  const rows = guard.depths.map((one) => [one.brand, one.priority, one.first, one.retry, one.more ? 'and more' : ''])
  const held = guard.blockedOn === undefined ? '' : `held: ${limitInWords(guard.blockedOn)}\n`
  const closed = guard.closedUntil === undefined ? '' : `closed until ${guard.closedUntil}\n`
  const { state, until } = guard.breaker
  const breaker = state === 'closed' ? '' : `breaker ${state}${until === undefined ? '' : ` until ${until}`}\n`
  const adaptive = guard.adaptive === undefined ? '' : `found a limit of ${guard.adaptive} by itself\n`
  const notes = `${held}${pausedInWords(guard.paused)}${closed}${breaker}${adaptive}`
  const waiting =
    rows.length === 0 ? '' : `\n${table(['brand', 'priority', 'first tries', 'retries', 'on disk'], rows, width)}`
  return `${figuresText([guard], width)}${notes === '' ? '' : `\n${notes}`}${waiting}`
}

const explainText = (one: Results['explainWebhook']): string => {
  const lines = [
    `${one.id} is ${one.state}`,
    ...(one.blockedOn === undefined ? [] : [`held: ${limitInWords(one.blockedOn.limit)} (${one.blockedOn.key})`]),
    ...(one.since === undefined ? [] : [`waiting since ${one.since}`]),
    ...(one.place === undefined
      ? []
      : [`${one.place.ahead} domains get a guard before its own, ${one.place.perSecond} did in the last second`]),
    ...(one.position === undefined
      ? []
      : [`place ${one.position.lane} in its lane, ${one.position.domain} at ${one.domain}`]),
    ...(one.expectedAt === undefined ? [] : [`expected to start at ${one.expectedAt}`]),
  ]
  return `${lines.join('\n')}\n${pausedInWords(one.paused)}`
}
