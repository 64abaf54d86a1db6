#!/usr/bin/env node
/**
 * The executable and the composition root: the only place that knows concrete implementations.
 * `serve` runs the daemon; anything else is a command of the CLI.
 */
import { readFileSync } from 'node:fs'
import { enableCompileCache, getCompileCacheDir } from 'node:module'
import { ConfigError, readConfig, SERVE_HELP } from '#config/config.ts'
import { StoreError } from '#store/store.ts'

const EXIT_FAILED = 1
const EXIT_USAGE = 2

const serve = async (argv: readonly string[]): Promise<void> => {
  if (argv.includes('--help') || argv.includes('-h')) {
    process.stdout.write(SERVE_HELP)
    return
  }
  const { config } = readConfig(argv, process.env)
  const { startDaemon } = await import('#main/daemon.ts')
  await startDaemon(config, version())
}

/** The nearest manifest that has a version: ours in a clone, the package's above `dist/`. */
const version = (): string => {
  for (const path of ['../package.json', '../../package.json']) {
    const manifest: unknown = JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8'))
    if (typeof manifest === 'object' && manifest !== null && 'version' in manifest) return String(manifest.version)
  }
  return 'unknown'
}

/** A store that cannot be opened, or what the system says of a directory or an address. */
const isForThePerson = (error: unknown): error is Error =>
  error instanceof StoreError || (error instanceof Error && 'syscall' in error)

/** What the person who typed it can mend is one line; anything else is a bug and shows its stack. */
const fail = (error: unknown): never => {
  if (error instanceof ConfigError) {
    process.stderr.write(`hookpulse serve: ${error.message}\n`)
    process.exit(EXIT_USAGE)
  }
  const text = isForThePerson(error) ? error.message : error instanceof Error ? error.stack : String(error)
  process.stderr.write(`hookpulse: ${text}\n`)
  process.exit(EXIT_FAILED)
}

// What is kept is its owner's alone; the store's files and their directories, whoever makes them.
process.umask(0o077)
// Stripping types and compiling a few hundred files is half of a start; threads find the cache by the variable.
enableCompileCache()
const compiled = getCompileCacheDir()
if (compiled !== undefined) process.env['NODE_COMPILE_CACHE'] ??= compiled

const [command, ...rest] = process.argv.slice(2)
try {
  if (command === 'serve') await serve(rest)
  else {
    const { PROCESS, runCommand } = await import('#cli/run-command.ts')
    const { offlineStore } = await import('#main/offline-store.ts')
    process.exitCode = await runCommand(process.argv.slice(2), version(), { ...PROCESS, offline: offlineStore })
  }
} catch (error) {
  fail(error)
}
