/** The real daemon as a child process, on a data directory that outlives it. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type ControlClient, connectControl } from './control-client.ts'

export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}
export interface DaemonOptions {
  /** Default: a fresh directory under the system's temporary one. */
  readonly data?: string
  /** More flags of `serve`. */
  readonly args?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** Flags of Node itself. */
  readonly execArgv?: readonly string[]
  /** The program, instead of `node src/main.ts` (or of what HOOKPULSE_UNDER_TEST names, words separated by blanks). */
  readonly command?: readonly string[]
  readonly readyWithinMs?: number
}
export interface Daemon {
  /** `http://127.0.0.1:port` */
  readonly url: string
  readonly pid: number
  readonly data: string
  /** The admin key of `<data>/admin.key`. */
  readonly key: string
  /** From the start of the process to `/readyz`. */
  readonly readyMs: number
  /** Everything it said so far, stdout and stderr. */
  output(): string
  connect(): Promise<ControlClient>
  /** Resolves when the process has ended. */
  readonly ended: Promise<Ended>
  /** Sends the signal; does not wait. */
  signal(signal: NodeJS.Signals): void
  /** Sends the signal (default SIGKILL) and waits for the end. */
  kill(signal?: NodeJS.Signals): Promise<Ended>
  /** Another process on the same data; this one must have ended. */
  restart(options?: Partial<DaemonOptions>): Promise<Daemon>
}

const root = fileURLToPath(new URL('../../', import.meta.url))
const manifest: { readonly scripts: { readonly start: string } } = JSON.parse(
  readFileSync(join(root, 'package.json'), 'utf8'),
)
/** What `npm start` gives Node. */
const FLAGS = manifest.scripts.start.split(' ').filter((word) => word.startsWith('--'))
const MAIN = join(root, 'src/main.ts')

export const freshDataDirectory = (): string => mkdtempSync(join(tmpdir(), 'hookpulse-'))
export const removeDirectory = (path: string): void => rmSync(path, { recursive: true, force: true, maxRetries: 3 })

const running = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

const commandOf = ({ command, execArgv = [] }: DaemonOptions): readonly string[] => {
  const { HOOKPULSE_UNDER_TEST: other } = process.env
  return command ?? other?.split(' ') ?? [process.execPath, ...FLAGS, ...execArgv, MAIN]
}

/** The process, whatever becomes of it; for what must fail to start. */
export const spawnDaemon = (data: string, options: DaemonOptions = {}) => {
  const [program = '', ...first] = commandOf(options)
  const args = [...first, 'serve', '--data', data, '--port', '0', '--allow-private', ...(options.args ?? [])]
  const child = spawn(program, args, {
    cwd: root,
    env: { ...process.env, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  running.add(child)
  let said = ''
  const listeners = new Set<() => void>()
  const hear = (chunk: Buffer): void => {
    said += chunk.toString()
    for (const listener of listeners) listener()
  }
  child.stdout.on('data', hear)
  child.stderr.on('data', hear)
  const ended = new Promise<Ended>((resolve) => {
    child.once('close', (code, signal) => {
      running.delete(child)
      resolve({ code, signal })
    })
  })
  return { child, ended, output: () => said, listeners }
}
export type Spawned = ReturnType<typeof spawnDaemon>

const within = async <Value>(promise: Promise<Value>, ms: number, what: () => string): Promise<Value> => {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(what())), ms)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

const LISTENING = /listening on (http:\/\/[^\s"]+)/
const saidAddress = ({ output, listeners, ended }: Spawned): Promise<string> =>
  new Promise((resolve, reject) => {
    const look = (): void => {
      const [, url] = LISTENING.exec(output()) ?? []
      if (url === undefined) return
      listeners.delete(look)
      resolve(url)
    }
    listeners.add(look)
    look()
    void ended.then((end) => reject(new Error(`the daemon ended (${JSON.stringify(end)}):\n${output()}`)))
  })

const untilReady = async (url: string, process: Spawned): Promise<void> => {
  for (;;) {
    const answer = await fetch(`${url}/readyz`).catch((error: unknown) => error)
    if (answer instanceof Response && answer.status === 200) return
    if (process.child.exitCode !== null || process.child.signalCode !== null)
      throw new Error(`ended before it was ready:\n${process.output()}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

/** Waits for its `/readyz`. Rejects, with what it said, if it ends or is not ready in time; then it is killed. */
export const readyDaemon = async (spawned: Spawned, data: string, options: DaemonOptions = {}): Promise<Daemon> => {
  const startedMono = performance.now()
  const withinMs = options.readyWithinMs ?? 20_000
  const ready = saidAddress(spawned).then(async (url) => {
    await untilReady(url, spawned)
    return url
  })
  const url = await within(ready, withinMs, () => `not ready within ${withinMs} ms:\n${spawned.output()}`).catch(
    (error: unknown) => {
      spawned.child.kill('SIGKILL')
      throw error
    },
  )
  const key = readFileSync(join(data, 'admin.key'), 'utf8').trim()
  return {
    url,
    pid: spawned.child.pid ?? 0,
    data,
    key,
    readyMs: performance.now() - startedMono,
    output: spawned.output,
    connect: () => connectControl(url, key),
    ended: spawned.ended,
    signal: (signal) => void spawned.child.kill(signal),
    kill: (signal = 'SIGKILL') => {
      spawned.child.kill(signal)
      return within(spawned.ended, 60_000, () => `still alive 60 s after ${signal}:\n${spawned.output()}`)
    },
    restart: (change = {}) => startDaemon({ ...options, ...change, data }),
  }
}

/** Starts it and waits for `/readyz`. Rejects, with what the daemon said, if it ends or is not ready in time. */
export const startDaemon = (options: DaemonOptions = {}): Promise<Daemon> => {
  const data = options.data ?? freshDataDirectory()
  return readyDaemon(spawnDaemon(data, options), data, options)
}
