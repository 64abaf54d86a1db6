/** How a command reaches the daemon: where, with which key, and how it shows what it got. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Client, connect } from '#client/node.ts'
import type { OnQuit, Terminal } from './terminal.ts'
import { UsageError } from './usage.ts'

/** A broken pipe, a closed terminal: the text has nowhere to go, and that is no failure of the command. */
export type Write = (text: string) => void

export interface GlobalOptions {
  readonly url?: string
  readonly key?: string
  readonly data?: string
  readonly json?: boolean
}
export interface Surroundings {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly out: Write
  readonly err: Write
  /** Where live views are drawn; left out or null: there is none. */
  readonly terminal?: Terminal | null
  /** How a person ends what would go on. */
  readonly onQuit?: OnQuit
  /** The executable and its first arguments, for commands that start a daemon of their own. */
  readonly program?: readonly string[]
  /** What is done beside a stopped daemon. */
  readonly offline?: OfflineStore
}
/** Both throw CommandFailure with what a person can mend. `dir`: the daemon's data directory. */
export interface OfflineStore {
  /** Makes `dir` of a backup; with `replace` what was there is moved aside. */
  restore(
    file: string,
    dir: string,
    replace: boolean,
  ): {
    /** Its real path. */
    readonly dir: string
    readonly webhooks: number
    readonly replaced: string | null
    /** Whether the admin key that lies in the directory opens the restored store; null where none lies there. */
    readonly adminKey: boolean | null
  }
  check(dir: string): { readonly dir: string; readonly webhooks: number; readonly problems: readonly string[] }
}

const URL_DEFAULT = 'http://127.0.0.1:7411'
const DATA_DEFAULT = './hookpulse-data'
/** A person waits in front of it: a daemon that is not there should be told soon. */
const TRIES = 3

/** Runs `work` with a connection and shows its result: as JSON for programs, as `show` says for people. `width`: of the terminal, if there is one. */
export const withClient = <R>(
  options: GlobalOptions,
  around: Surroundings,
  work: (client: Client) => Promise<R>,
  show: (result: R, width: number | null) => string,
): Promise<void> =>
  withConnection(options, around, async (client) => {
    const result = await work(client)
    around.out(options.json === true ? `${json(result, 2)}\n` : show(result, around.terminal?.columns() ?? null))
  })

/** For commands that print by themselves. */
export const withConnection = async (
  options: GlobalOptions,
  around: Surroundings,
  work: (client: Client) => Promise<void>,
): Promise<void> => {
  const url = options.url ?? around.env['HOOKPULSE_URL'] ?? URL_DEFAULT
  if (!/^https?:\/\//.test(url)) throw new UsageError(`--url must be like ${URL_DEFAULT}; got ${JSON.stringify(url)}`)
  const client = await connect({ url, key: keyOf(options, around), tries: TRIES })
  try {
    await work(client)
  } finally {
    client.close()
  }
}

/** The flag, the variable, or what the daemon on this machine keeps beside its data. */
export const dataOf = (options: GlobalOptions, { env }: Surroundings): string =>
  options.data ?? env['HOOKPULSE_DATA'] ?? DATA_DEFAULT
const keyOf = (options: GlobalOptions, around: Surroundings): string => {
  const { env } = around
  const given = options.key ?? env['HOOKPULSE_KEY']
  if (given !== undefined) return given
  const path = join(dataOf(options, around), 'admin.key')
  try {
    return readFileSync(path, 'utf8').trim()
  } catch {
    throw new UsageError(
      `no key: give --key, set HOOKPULSE_KEY, or name the daemon's --data directory (${path} is not readable)`,
    )
  }
}

/** What a receiver or another client said must not move the cursor. */
export const printable = (text: string): string => text.replace(/[\p{Cc}\p{Cf}]/gu, escaped)

/** JSON whose reader gets every character back, and whose terminal none that moves the cursor: JSON.stringify leaves some as they are. */
export const json = (value: unknown, indent = 0): string =>
  JSON.stringify(value, null, indent).replace(/(?!\n)[\p{Cc}\p{Cf}]/gu, escaped)

const escaped = (char: string): string =>
  Array.from({ length: char.length }, (_, i) => `\\u${char.charCodeAt(i).toString(16).padStart(4, '0')}`).join('')
