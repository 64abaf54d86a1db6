/** `reschedule`, `run-now`, `replay`, `cancel`: other instants for webhooks, one by one or all that the flags pick. */
import type { Command } from 'commander'
import type { Client, Results } from '#client/node.ts'
import { type GlobalOptions, type Surroundings, withClient } from './session.ts'
import { readDuration, UsageError } from './usage.ts'
import { addFilter, type FilterOptions, filterOf, isNarrowed } from './webhook-filter.ts'

export const addRetimingCommands = (program: Command, around: Surroundings): void => {
  addReschedule(program, around)
  addRunNow(program, around)
  addReplay(program, around)
  addCancel(program, around)
}

interface RescheduleOptions extends GlobalOptions {
  readonly at?: string
  readonly in?: string
}

const addReschedule = (program: Command, around: Surroundings): void => {
  program
    .command('reschedule <id>')
    .description('gives a webhook that waits another instant')
    .option('--at <instant>', 'like 2027-01-31T09:00:00Z')
    .option('--in <duration>', 'from now, like 500ms, 2s, 5m, 1h')
    .action((id: string, _options: unknown, command: Command) => {
      const { at, in: after, ...options } = command.optsWithGlobals<RescheduleOptions>()
      if ((at === undefined) === (after === undefined)) throw new UsageError('give --at or --in, one of them')
      const when = at === undefined ? { delayMs: readDuration('--in', after ?? '') } : { at }
      return withClient(options, around, (client) => client.rescheduleWebhook({ id, ...when }), stateText)
    })
}

const addRunNow = (program: Command, around: Surroundings): void => {
  program
    .command('run-now <id>')
    .description('makes a webhook that waits due now; through the guard like any other')
    .action((id: string, _options: unknown, command: Command) =>
      withClient(command.optsWithGlobals<GlobalOptions>(), around, (client) => client.runWebhookNow({ id }), stateText),
    )
}

const addReplay = (program: Command, around: Surroundings): void => {
  const replay = program
    .command('replay [id]')
    .description(
      'sends a finished webhook again, or all that the flags pick (dead ones, unless --state says otherwise)',
    )
    .option('--new-id', 'as a new webhook; without it under the same id')
  addFilter(replay, 'delivered, dead, cancelled, expired or quarantined').action(
    (id: string | undefined, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<FilterOptions & { readonly newId?: boolean }>()
      const newId = options.newId === undefined ? {} : { newId: options.newId }
      const filter = filterOf<'dead'>(options)
      if (oneOf(id, filter) === 'id')
        return withClient(options, around, (client) => client.replayWebhook({ id: id ?? '', ...newId }), stateText)
      const some = async (client: Client, cursor: string | undefined): Promise<Some> => {
        const from = cursor === undefined ? {} : { cursor }
        const { replayed, more, nextCursor } = await client.replayWebhooks({ ...filter, ...newId, ...from })
        return { done: replayed, more, nextCursor }
      }
      return withClient(options, around, (client) => all((cursor) => some(client, cursor)), someText('replayed'))
    },
  )
}

const addCancel = (program: Command, around: Surroundings): void => {
  const cancel = program
    .command('cancel [id]')
    .description('cancels a webhook that is not running, or all that wait and that the flags pick')
  addFilter(cancel, 'scheduled, waiting or retrying').action(
    (id: string | undefined, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<FilterOptions>()
      const filter = filterOf<'scheduled'>(options)
      if (oneOf(id, filter) === 'id')
        return withClient(
          options,
          around,
          (client) => client.cancelWebhook({ id: id ?? '' }),
          ({ outcome }) => `${outcome}\n`,
        )
      const some = async (client: Client): Promise<Some> => {
        const { cancelled, more } = await client.cancelWebhooks(filter)
        return { done: cancelled, more }
      }
      return withClient(options, around, (client) => all(() => some(client)), someText('cancelled'))
    },
  )
}

const oneOf = (id: string | undefined, filter: Readonly<Record<string, unknown>>): 'id' | 'filter' => {
  if ((id === undefined) === !isNarrowed(filter))
    throw new UsageError('give the id of a webhook, or flags that pick some (--state, --domain, --tag, ...)')
  return id === undefined ? 'filter' : 'id'
}

interface Some {
  readonly done: number
  readonly more: boolean
  readonly nextCursor?: string | undefined
}
/** Call after call, as long as there is more and something is done; each goes on where the one before it has stopped. */
const all = async (some: (cursor: string | undefined) => Promise<Some>): Promise<Some> => {
  let done = 0
  let cursor: string | undefined
  for (;;) {
    const step = await some(cursor)
    done += step.done
    cursor = step.nextCursor
    if (!step.more || step.done === 0) return { done, more: step.more }
  }
}
const someText =
  (what: string) =>
  ({ done, more }: Some): string =>
    `${done} ${what}${more ? '; there are more, run it again' : ''}\n`

const stateText = ({ id, state, nextAttemptAt }: Results['getWebhook']): string =>
  `${id}  ${state}${nextAttemptAt === undefined ? '' : `, due ${nextAttemptAt}`}\n`
