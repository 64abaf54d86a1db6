/** `demo`: a fragile receiver without and with the guard, on a daemon of its own. */
import type { Command } from 'commander'
import colors from 'picocolors'
import { connect } from '#client/node.ts'
import { RealWorld } from '#world/real-world.ts'
import { type DemoOptions, type Round, type RoundGiven, runRound } from './demo-round.ts'
import { bar, cell, course, grouped, span } from './drawing.ts'
import { type OwnDaemon, startOwnDaemon } from './own-daemon.ts'
import type { GlobalOptions, Surroundings } from './session.ts'
import { table } from './table.ts'
import { Screen, type Terminal } from './terminal.ts'
import { readNumber, UsageError } from './usage.ts'

interface Options extends GlobalOptions {
  readonly webhooks: string
  readonly capacity: string
}
const WEBHOOKS_MAX = 10_000
const CAPACITY_MAX = 1_000

export const addDemoCommand = (program: Command, around: Surroundings): void => {
  program
    .command('demo')
    .description(
      'shows the guard protecting a receiver that falls over: on a daemon of its own, nothing is left behind',
    )
    .option('--webhooks <n>', 'at one instant', '2000')
    .option('--capacity <n>', 'open requests above which the receiver falls over', '20')
    .action(async (_options: unknown, command: Command) => {
      const options = command.optsWithGlobals<Options>()
      const webhooks = within('--webhooks', options.webhooks, WEBHOOKS_MAX)
      const capacity = within('--capacity', options.capacity, CAPACITY_MAX)
      const rounds = await demo({ webhooks, capacity }, around, options.json === true)
      around.out(
        options.json === true
          ? `${JSON.stringify({ rounds }, null, 2)}\n`
          : summary(rounds, around.terminal?.columns() ?? null),
      )
    })
}

const within = (option: string, text: string, most: number): number => {
  const count = readNumber(option, text)
  if (Number.isInteger(count) && count >= 1 && count <= most) return count
  throw new UsageError(`${option} must be a whole number from 1 to ${most}; got ${JSON.stringify(text)}`)
}

const demo = async (options: DemoOptions, around: Surroundings, silent: boolean): Promise<readonly Round[]> => {
  let hasQuit = false
  const forget = around.onQuit?.(() => {
    hasQuit = true
  })
  const say = (text: string): void => (silent ? undefined : around.out(`${text} ...\n`))
  try {
    say('starting a daemon in a temporary directory')
    const daemon = await startOwnDaemon(around.program ?? [])
    try {
      return await runRounds(daemon, options, silent ? null : (around.terminal ?? null), say, () => hasQuit)
    } finally {
      await daemon.stop()
    }
  } finally {
    forget?.()
  }
}

const runRounds = async (
  { url, key }: OwnDaemon,
  options: DemoOptions,
  terminal: Terminal | null,
  say: (text: string) => void,
  quit: () => boolean,
): Promise<readonly Round[]> => {
  const client = await connect({ url, key })
  const screen = terminal === null ? null : new Screen(terminal)
  const done: Round[] = []
  const look = (round: Round): void =>
    screen?.draw(demoLines(options, [...done, round], terminal?.columns() ?? WIDTH_MAX))
  const given: RoundGiven = { client, world: new RealWorld(), options, look, quit }
  try {
    for (const guarded of [false, true]) {
      if (quit()) break
      if (screen === null) say(titleOf(guarded))
      done.push(await runRound(guarded, given))
    }
    return done
  } finally {
    screen?.close()
    client.close()
  }
}

const titleOf = (guarded: boolean): string => (guarded ? 'with the guard' : 'without the guard')

const LABEL_WIDTH = 12
/** Of bars and courses; beside them stand a label and figures. */
const WIDTH_MAX = 50
const BESIDE = 32
const WIDTH_MIN = 4

/** One view, a text a line; `columns`: of the terminal. */
export const demoLines = (
  { webhooks, capacity }: DemoOptions,
  rounds: readonly Round[],
  columns: number,
): readonly string[] => [
  `${colors.bold('HookPulse demo')}  ${grouped(webhooks)} webhooks at one instant,`,
  `to a receiver that falls over above ${capacity} open`,
  ...rounds.flatMap((round) => roundLines(round, Math.max(WIDTH_MIN, Math.min(WIDTH_MAX, columns - BESIDE)))),
]

const roundLines = (round: Round, width: number): readonly string[] => {
  const line = (label: string, text: string): string => `  ${cell(label, LABEL_WIDTH)} ${text}`
  const { webhooks, capacity, delivered, dead, open, openMost, falls, tookMs } = round
  return [
    '',
    `${colors.bold(titleOf(round.guarded))}  ${span(tookMs)}`,
    line('open now', `${bar(open, capacity, width)} ${grouped(open)} of ${capacity}`),
    line('over time', `${course(round.course, width)} at most ${grouped(openMost)}`),
    line('delivered', `${bar(delivered, webhooks + 1, width)} ${grouped(delivered)} of ${grouped(webhooks)}`),
    line('given up', dead === 0 ? '0' : colors.red(grouped(dead))),
    line('fell over', falls === 0 ? 'never' : colors.red(`${falls} times`)),
  ]
}

const summary = (rounds: readonly Round[], width: number | null): string => {
  if (rounds.length === 0) return 'stopped before the first round\n'
  const rows = rounds.map((one) => [
    titleOf(one.guarded),
    grouped(one.delivered),
    grouped(one.dead),
    grouped(one.requests),
    one.falls,
    grouped(one.openMost),
    span(one.tookMs),
  ])
  return table(['', 'delivered', 'given up', 'requests', 'fell over', 'open at most', 'took'], rows, width)
}
