/** `keys`, `keys create`, `keys revoke`; `brands`. */
import type { Command } from 'commander'
import { type GlobalOptions, type Surroundings, withClient } from './session.ts'
import { shortInstant, table } from './table.ts'
import { UsageError } from './usage.ts'

interface KeyOptions extends GlobalOptions {
  readonly brand?: string
  readonly admin?: boolean
  readonly expiresAt?: string
}

export const addKeyCommands = (program: Command, around: Surroundings): void => {
  const keys = program
    .command('keys')
    .description('lists API keys; `keys create` and `keys revoke` change them')
    .option('--brand <brand>')
    .action((_options: unknown, command: Command) => {
      const { brand, ...options } = command.optsWithGlobals<KeyOptions>()
      return withClient(
        options,
        around,
        (client) => client.listApiKeys(brand === undefined ? {} : { brand }),
        (result, width) =>
          table(
            [
              'id',
              'role',
              { name: 'brand', least: 8 },
              { name: 'created', short: shortInstant, drop: 3 },
              { name: 'expires', short: shortInstant, drop: 2 },
              { name: 'revoked', short: shortInstant, drop: 1 },
            ],
            result.keys.map((key) => [
              key.id,
              key.role,
              key.brand ?? 'all',
              key.createdAt,
              key.expiresAt,
              key.revokedAt,
            ]),
            width,
          ),
      )
    })
  addCreate(keys, around)
  keys
    .command('revoke <id>')
    .description('ends a key for good, on open sockets too')
    .action((id: string, _options: unknown, command: Command) =>
      withClient(
        command.optsWithGlobals<GlobalOptions>(),
        around,
        (client) => client.revokeApiKey({ id }),
        (key) => `${key.id} is revoked\n`,
      ),
    )
  program
    .command('brands')
    .description('lists brands')
    .action((_options: unknown, command: Command) =>
      withClient(
        command.optsWithGlobals<GlobalOptions>(),
        around,
        (client) => client.listBrands({}),
        ({ brands }, width) =>
          table(
            [
              { name: 'brand', least: 8 },
              { name: 'created', short: shortInstant },
            ],
            brands.map((one) => [one.brand, one.createdAt]),
            width,
          ),
      ),
    )
}

const addCreate = (keys: Command, around: Surroundings): void => {
  keys
    .command('create')
    .description('makes a key and shows it, this once')
    .option('--brand <brand>', 'speaks for this brand; default by default')
    .option('--admin', 'speaks for all brands')
    .option('--expires-at <instant>', 'like 2027-01-31T09:00:00Z')
    .action((_options: unknown, command: Command) => {
      const { brand, admin, expiresAt, ...options } = command.optsWithGlobals<KeyOptions>()
      if (admin === true && brand !== undefined) throw new UsageError('give --admin or --brand, one of them')
      const params = {
        role: admin === true ? ('admin' as const) : ('brand' as const),
        ...(brand === undefined ? {} : { brand }),
        ...(expiresAt === undefined ? {} : { expiresAt }),
      }
      return withClient(
        options,
        around,
        (client) => client.createApiKey(params),
        (key) => `${key.key}\n`,
      )
    })
}
