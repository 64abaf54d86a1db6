/** `backup` (beside a running daemon), `restore` and `check` (beside a stopped one). */
import { resolve } from 'node:path'
import type { Command } from 'commander'
import {
  dataOf,
  type GlobalOptions,
  json,
  type OfflineStore,
  printable,
  type Surroundings,
  withClient,
} from './session.ts'
import { CommandFailure } from './usage.ts'

interface RestoreOptions extends GlobalOptions {
  readonly replace?: boolean
}

export const addStoreCommands = (program: Command, around: Surroundings): void => {
  program
    .command('backup <file>')
    .description("copies a running daemon's store into a new file on its machine, and checks the copy")
    .action((file: string, _options: unknown, command: Command) =>
      withClient(
        command.optsWithGlobals<GlobalOptions>(),
        around,
        // The daemon's working directory is not the caller's.
        (client) => client.backupStore({ path: resolve(file) }),
        ({ path, bytes, webhooks }) =>
          `${printable(path)}: ${bytes} bytes, ${webhooks} webhooks, checked. The admin key is not in it: keep admin.key too\n`,
      ),
    )
  program
    .command('restore <file>')
    .description('makes the data directory (--data) of a backup; no daemon may run on it')
    .option('--replace', 'moves the store that is there aside, into replaced-<n>')
    .action((file: string, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<RestoreOptions>()
      const done = offlineOf(around).restore(file, dataOf(options, around), options.replace === true)
      around.out(options.json === true ? `${json(done, 2)}\n` : restoredText(file, done))
    })
  program
    .command('check')
    .description("looks through a stopped daemon's store (--data) for damage; changes nothing")
    .action((_options: unknown, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>()
      const found = offlineOf(around).check(dataOf(options, around))
      const { dir, webhooks, problems } = found
      if (options.json === true) around.out(`${json(found, 2)}\n`)
      else if (problems.length === 0) around.out(`${printable(dir)}: ${webhooks} webhooks, no problem found\n`)
      else for (const problem of problems) around.out(`${printable(problem)}\n`)
      if (problems.length > 0) throw new CommandFailure(`${dir}: ${problems.length} problems found; restore a backup`)
    })
}

const offlineOf = ({ offline }: Surroundings): OfflineStore => {
  if (offline === undefined) throw new CommandFailure('this needs the executable: hookpulse')
  return offline
}

const restoredText = (file: string, done: ReturnType<OfflineStore['restore']>): string => {
  const { dir, webhooks, replaced, adminKey } = done
  const aside = replaced === null ? '' : `what was there is in ${printable(replaced)}\n`
  return `${printable(dir)}: ${webhooks} webhooks of ${printable(file)}, checked before and after\n${aside}${KEYS[String(adminKey)] ?? ''}`
}
const KEYS: Readonly<Record<string, string>> = {
  true: 'the API keys of the backup are good, the one in admin.key too\n',
  false: 'admin.key there is not a key of this backup: put the one of its daemon there, or use --key\n',
  null: 'the API keys of the backup are good; put the admin.key of its daemon there (mode 0600), or use --key\n',
}
