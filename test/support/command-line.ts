import { type ParseArgsConfig, parseArgs } from 'node:util'

/** As `parseArgs`; for `--help`, and for a word that is not known, the usage on standard error and exit 2. */
export const commandLine = <Config extends ParseArgsConfig>(
  usage: string,
  config: Config,
): ReturnType<typeof parseArgs<Config>> => {
  try {
    if (process.argv.includes('--help')) throw new TypeError('')
    return parseArgs(config)
  } catch (error) {
    if (!(error instanceof TypeError)) throw error
    process.stderr.write(`${error.message}\nusage: ${usage}\n`.trimStart())
    return process.exit(2)
  }
}
