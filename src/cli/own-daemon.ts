/** A daemon of one command's own: in a fresh directory, on a free port, gone with the command. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CommandFailure } from './usage.ts'

export interface OwnDaemon {
  readonly url: string
  readonly key: string
  /** Stops it and removes its directory. */
  stop(): Promise<void>
}

const SAID_CHARS_MAX = 4_000

/** Rejects with CommandFailure and what it said, if it does not come up. */
export const startOwnDaemon = async (program: readonly string[]): Promise<OwnDaemon> => {
  const [executable = process.execPath, ...first] = program
  const data = mkdtempSync(join(tmpdir(), 'hookpulse-demo-'))
  const flags = ['serve', '--data', data, '--port', '0', '--allow-private', '--log-level', 'error']
  // In a process group of its own: a ctrl-c is the command's to hear, which then stops it in order.
  const child = spawn(executable, [...first, ...flags], {
    env: ownEnvironment(),
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()))
  const killed = (): boolean => child.kill('SIGKILL')
  process.once('exit', killed)
  const stop = async (): Promise<void> => {
    child.kill('SIGTERM')
    await ended
    process.off('exit', killed)
    rmSync(data, { recursive: true, force: true, maxRetries: 3 })
  }
  try {
    const url = await listeningOf(child)
    return { url, key: readFileSync(join(data, 'admin.key'), 'utf8').trim(), stop }
  } catch (error) {
    await stop()
    throw error
  }
}

/** The variables of another daemon are not meant for this one. */
const ownEnvironment = (): NodeJS.ProcessEnv =>
  Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('HOOKPULSE_')))

const listeningOf = (child: ChildProcess): Promise<string> =>
  new Promise((resolve, reject) => {
    let said = ''
    const hear = (chunk: Buffer): void => {
      said = (said + chunk.toString()).slice(-SAID_CHARS_MAX)
      const url = /listening on (http:\S+)\n/.exec(said)?.[1]
      if (url !== undefined) resolve(url)
    }
    child.stdout?.on('data', hear)
    child.stderr?.on('data', hear)
    child.once('error', (error) => reject(new CommandFailure(`the demo's daemon did not start: ${error.message}`)))
    child.once('close', () => reject(new CommandFailure(`the demo's daemon ended at once and said: ${said.trim()}`)))
  })
