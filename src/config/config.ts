/**
 * The daemon's configuration: flags over HOOKPULSE_* variables over a config file over defaults; parsed once, frozen, with
 * where each value came from. Errors name the flag, the value, and what would be right.
 */
import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { CONTROL_HOST_DEFAULT, CONTROL_PORT_DEFAULT } from './limits.ts'

export const CONFIG_LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const

export interface Config {
  /** Directory of the store, the admin key and the lock. */
  readonly data: string
  readonly host: string
  /** 0: a free one. */
  readonly port: number
  /** Dispatch threads. */
  readonly threads: number
  /** Targets on loopback, RFC 1918 and ULA addresses may be called. */
  readonly allowPrivate: boolean
  /** `<cidr>[:ports]`, checked by the address policy. */
  readonly allowTarget: readonly string[]
  /** Origins of web pages that may open the control channel, beside the daemon's own. */
  readonly allowOrigin: readonly string[]
  readonly logLevel: (typeof CONFIG_LOG_LEVELS)[number]
}
export type ConfigKey = keyof Config
export type ConfigSource = 'flag' | 'environment' | 'file' | 'default'
export interface ConfigRead {
  readonly config: Config
  readonly sources: Readonly<Record<ConfigKey, ConfigSource>>
}

/** Exit code 2: the message is for the person who typed it. */
export class ConfigError extends Error {}

interface Option<V> {
  readonly flag: string
  readonly variable: string
  readonly value: string
  readonly help: string
  /** A text of a flag or a variable; throws a sentence's end ("must be ..."). */
  readonly read: (text: string) => V
  readonly fallback: () => V
  /** May be given several times; in a variable separated by commas. */
  readonly list?: true
  /** A flag without a value. */
  readonly bare?: true
}

const THREADS_MAX = 64

const OPTIONS: { readonly [K in ConfigKey]: Option<Config[K]> } = {
  data: {
    flag: '--data',
    variable: 'HOOKPULSE_DATA',
    value: '<dir>',
    help: 'directory for everything that must survive',
    read: (text) => required(text, 'a directory'),
    fallback: () => './hookpulse-data',
  },
  host: {
    flag: '--host',
    variable: 'HOOKPULSE_HOST',
    value: '<address>',
    help: 'address to listen on',
    read: (text) => required(text, 'an address, like 127.0.0.1'),
    fallback: () => CONTROL_HOST_DEFAULT,
  },
  port: {
    flag: '--port',
    variable: 'HOOKPULSE_PORT',
    value: '<n>',
    help: 'port to listen on; 0 picks a free one and prints it',
    read: (text) => wholeNumber(text, 0, 65_535),
    fallback: () => CONTROL_PORT_DEFAULT,
  },
  threads: {
    flag: '--threads',
    variable: 'HOOKPULSE_THREADS',
    value: '<n>',
    help: 'dispatch threads; by default one less than there are cores, at most 4',
    read: (text) => wholeNumber(text, 1, THREADS_MAX),
    fallback: () => Math.min(4, Math.max(1, availableParallelism() - 1)),
  },
  allowPrivate: {
    flag: '--allow-private',
    variable: 'HOOKPULSE_ALLOW_PRIVATE',
    value: '',
    help: 'webhooks may go to loopback and private addresses',
    read: (text) => truth(text),
    fallback: () => false,
    bare: true,
  },
  allowTarget: {
    flag: '--allow-target',
    variable: 'HOOKPULSE_ALLOW_TARGET',
    value: '<cidr>[:ports]',
    help: 'webhooks may go to these addresses; may be repeated',
    read: (text) => texts(text),
    fallback: () => [],
    list: true,
  },
  allowOrigin: {
    flag: '--allow-origin',
    variable: 'HOOKPULSE_ALLOW_ORIGIN',
    value: '<origin>',
    help: 'web pages of this origin may open the control channel; may be repeated',
    read: (text) => texts(text),
    fallback: () => [],
    list: true,
  },
  logLevel: {
    flag: '--log-level',
    variable: 'HOOKPULSE_LOG_LEVEL',
    value: '<level>',
    help: CONFIG_LOG_LEVELS.join(', '),
    read: (text) => level(text),
    fallback: () => 'info',
  },
}

const KEYS: readonly ConfigKey[] = [
  'data',
  'host',
  'port',
  'threads',
  'allowPrivate',
  'allowTarget',
  'allowOrigin',
  'logLevel',
]
const FILE_FLAG = '--config'
const FILE_VARIABLE = 'HOOKPULSE_CONFIG'

export const SERVE_HELP = [
  'hookpulse serve: runs the daemon',
  '',
  ...KEYS.map((key) => {
    const { flag, value, help } = OPTIONS[key]
    return `  ${`${flag} ${value}`.padEnd(32)}${help}`
  }),
  `  ${`${FILE_FLAG} <file>`.padEnd(32)}JSON with the same names in camel case`,
  '',
  'Each flag has a variable: --log-level is HOOKPULSE_LOG_LEVEL. Flags win over variables, variables over the file.',
  '',
].join('\n')

/** `argv` is what follows `serve`. Throws ConfigError. */
export const readConfig = (
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  readFile: (path: string) => string = (path) => readFileSync(path, 'utf8'),
): ConfigRead => {
  const flags = readFlags(argv)
  const path = flags.get(FILE_FLAG)?.at(-1) ?? env[FILE_VARIABLE]
  const file = path === undefined ? new Map<string, unknown>() : readConfigFile(path, readFile)
  const found = <K extends ConfigKey>(key: K) => find(key, flags, env, file)
  const data = found('data')
  const host = found('host')
  const port = found('port')
  const threads = found('threads')
  const allowPrivate = found('allowPrivate')
  const allowTarget = found('allowTarget')
  const allowOrigin = found('allowOrigin')
  const logLevel = found('logLevel')
  return Object.freeze({
    config: Object.freeze({
      data: data.value,
      host: host.value,
      port: port.value,
      threads: threads.value,
      allowPrivate: allowPrivate.value,
      allowTarget: Object.freeze(allowTarget.value),
      allowOrigin: Object.freeze(allowOrigin.value),
      logLevel: logLevel.value,
    }),
    sources: Object.freeze({
      data: data.source,
      host: host.source,
      port: port.source,
      threads: threads.source,
      allowPrivate: allowPrivate.source,
      allowTarget: allowTarget.source,
      allowOrigin: allowOrigin.source,
      logLevel: logLevel.source,
    }),
  })
}

const readFlags = (argv: readonly string[]): Map<string, string[]> => {
  const flags = new Map<string, string[]>()
  const options = Object.values(OPTIONS)
  for (let i = 0; i < argv.length; i++) {
    const [flag = '', inline] = splitFlag(argv[i] ?? '')
    const option = options.find((one) => one.flag === flag)
    if (option === undefined && flag !== FILE_FLAG)
      throw new ConfigError(
        `unknown argument ${flag}; known are ${options.map((one) => one.flag).join(', ')}, ${FILE_FLAG}`,
      )
    const value = inline ?? (option?.bare === true ? 'true' : argv[++i])
    if (value === undefined) throw new ConfigError(`${flag} needs a value: ${flag} ${option?.value ?? '<file>'}`)
    flags.set(flag, [...(flags.get(flag) ?? []), value])
  }
  return flags
}

const splitFlag = (argument: string): readonly [string, string | undefined] => {
  const at = argument.indexOf('=')
  return argument.startsWith('--') && at > 0 ? [argument.slice(0, at), argument.slice(at + 1)] : [argument, undefined]
}

const find = <K extends ConfigKey>(
  key: K,
  flags: ReadonlyMap<string, readonly string[]>,
  env: Readonly<Record<string, string | undefined>>,
  file: ReadonlyMap<string, unknown>,
): { readonly value: Config[K]; readonly source: ConfigSource } => {
  const option: Option<Config[K]> = OPTIONS[key]
  const given = flags.get(option.flag)
  if (given !== undefined) {
    const text = option.list === true ? given.join(',') : (given.at(-1) ?? '')
    return { value: named(option.flag, text, option.read), source: 'flag' }
  }
  const variable = env[option.variable]
  if (variable !== undefined) return { value: named(option.variable, variable, option.read), source: 'environment' }
  const filed = file.get(key)
  if (filed === undefined) return { value: option.fallback(), source: 'default' }
  const text = Array.isArray(filed) ? filed.join(',') : String(filed)
  return { value: named(`${key} in the config file`, text, option.read), source: 'file' }
}

const named = <V>(name: string, text: string, read: (text: string) => V): V => {
  try {
    return read(text)
  } catch (error) {
    if (error instanceof ConfigError) throw new ConfigError(`${name} ${error.message}; got ${JSON.stringify(text)}`)
    throw error
  }
}

const readConfigFile = (path: string, readFile: (path: string) => string): Map<string, unknown> => {
  let json: unknown
  try {
    json = JSON.parse(readFile(path))
  } catch (error) {
    throw new ConfigError(
      `${FILE_FLAG} ${path} cannot be read: ${error instanceof Error ? error.message : String(error)}`,
    )
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json))
    throw new ConfigError(`${FILE_FLAG} ${path} must hold a JSON object`)
  const entries = Object.entries(json)
  const unknown = entries.find(([key]) => !KEYS.some((known) => known === key))
  if (unknown !== undefined)
    throw new ConfigError(`${FILE_FLAG} ${path} has an unknown ${unknown[0]}; known are ${KEYS.join(', ')}`)
  return new Map(entries)
}

const required = (text: string, what: string): string => {
  if (text.trim() === '') throw new ConfigError(`must be ${what}`)
  return text
}
const wholeNumber = (text: string, min: number, max: number): number => {
  const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN
  if (!(value >= min && value <= max)) throw new ConfigError(`must be a whole number from ${min} to ${max}`)
  return value
}
const truth = (text: string): boolean => {
  if (text === 'true' || text === '1') return true
  if (text === 'false' || text === '0') return false
  throw new ConfigError('must be true or false')
}
const texts = (text: string): readonly string[] =>
  text
    .split(',')
    .map((one) => one.trim())
    .filter((one) => one !== '')
const level = (text: string): Config['logLevel'] => {
  const found = CONFIG_LOG_LEVELS.find((one) => one === text)
  if (found === undefined) throw new ConfigError(`must be one of ${CONFIG_LOG_LEVELS.join(', ')}`)
  return found
}
