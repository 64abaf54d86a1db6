/** The command line: every command speaks the control channel. Exit codes: 0 done, 1 failed, 2 typed wrong. */
import { Command, CommanderError } from 'commander'
import { RpcFailure } from '#client/node.ts'
import { addDemoCommand } from './demo-command.ts'
import { addForecastCommand } from './forecast-command.ts'
import { addGuardCommands } from './guard-commands.ts'
import { addKeyCommands } from './key-commands.ts'
import { addLimitCommands } from './limit-commands.ts'
import { addRetimingCommands } from './retiming-commands.ts'
import type { Surroundings } from './session.ts'
import { addStoreCommands } from './store-commands.ts'
import { addTailCommand } from './tail-command.ts'
import { onProcessQuit, processTerminal } from './terminal.ts'
import { addTopCommand } from './top-command.ts'
import { addTreeCommand } from './tree-command.ts'
import { CommandFailure, UsageError } from './usage.ts'
import { addWebhookCommands } from './webhook-commands.ts'

const EXIT_OK = 0
const EXIT_FAILED = 1
const EXIT_USAGE = 2

/** What the process itself gives; `main` adds what needs a store. */
export const PROCESS: Surroundings = {
  env: process.env,
  out: (text) => process.stdout.write(text),
  err: (text) => process.stderr.write(text),
  terminal: processTerminal(),
  onQuit: onProcessQuit,
  program: [process.execPath, ...process.execArgv, process.argv[1] ?? ''],
}

/** `argv` without the executable. Resolves with the exit code; prints what went wrong in one line. */
export const runCommand = async (
  argv: readonly string[],
  version: string,
  around: Surroundings = PROCESS,
): Promise<number> => {
  if (around.out === PROCESS.out) endQuietlyWithoutReader()
  try {
    await programOf(version, around).parseAsync(argv, { from: 'user' })
    return EXIT_OK
  } catch (error) {
    return failed(error, around)
  }
}

/** `hookpulse list | head -1`: the reader has what it wanted. */
const endQuietlyWithoutReader = (): void => {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(EXIT_OK)
    throw error
  })
}

const programOf = (version: string, around: Surroundings): Command => {
  const program = new Command('hookpulse')
    .description('schedules webhooks and protects the servers that they call')
    .version(version)
    .option('--url <url>', 'where the daemon listens (HOOKPULSE_URL)')
    .option('--key <key>', 'API key (HOOKPULSE_KEY)')
    .option('--data <dir>', "the daemon's data directory, for its admin key (HOOKPULSE_DATA)")
    .option('--json', 'print JSON')
    .exitOverride()
    .configureOutput({ writeOut: around.out, writeErr: around.err })
    .showHelpAfterError('(hookpulse --help lists the commands)')
  program.command('serve').description('runs the daemon; hookpulse serve --help lists its flags')
  addWebhookCommands(program, around)
  addRetimingCommands(program, around)
  addLimitCommands(program, around)
  addGuardCommands(program, around)
  addKeyCommands(program, around)
  addForecastCommand(program, around)
  addTopCommand(program, around)
  addTailCommand(program, around)
  addTreeCommand(program, around)
  addStoreCommands(program, around)
  addDemoCommand(program, around)
  return program
}

const failed = (error: unknown, around: Surroundings): number => {
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT_OK : EXIT_USAGE
  if (error instanceof UsageError) {
    around.err(`hookpulse: ${error.message}\n`)
    return EXIT_USAGE
  }
  if (error instanceof CommandFailure) {
    around.err(`hookpulse: ${error.message}\n`)
    return EXIT_FAILED
  }
  if (!(error instanceof RpcFailure)) throw error
  const field = error.field === undefined ? '' : ` [${error.field}]`
  around.err(`hookpulse: ${error.code}${field}: ${error.message}\n`)
  return EXIT_FAILED
}
