/** Where a result was taken: without it a figure says nothing. */
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { availableParallelism, cpus, release, totalmem } from 'node:os'
import { fileURLToPath } from 'node:url'

export interface Machine {
  readonly cpu: string
  readonly cores: number
  readonly memoryGiB: number
  readonly os: string
  readonly node: string
  readonly commit: string
  readonly changed: boolean
  readonly packages: Readonly<Record<string, string>>
  readonly takenAt: string
}

const root = fileURLToPath(new URL('../', import.meta.url))
const git = (...args: string[]): string => {
  const run = spawnSync('git', args, { cwd: root, encoding: 'utf8' })
  return run.status === 0 ? run.stdout.trim() : ''
}
const versionOf = (name: string): string => {
  const about: { version: string } = JSON.parse(readFileSync(`${root}node_modules/${name}/package.json`, 'utf8'))
  return about.version
}

export const describeMachine = (): Machine => ({
  cpu: cpus()[0]?.model ?? 'unknown',
  cores: availableParallelism(),
  memoryGiB: Math.round(totalmem() / 2 ** 30),
  os: `${process.platform} ${release()}`,
  node: process.versions.node,
  commit: git('rev-parse', '--short', 'HEAD') || 'unknown',
  changed: git('status', '--porcelain', '--untracked-files=no') !== '',
  packages: Object.fromEntries(['undici', 'piscina', 'better-sqlite3', 'ws'].map((name) => [name, versionOf(name)])),
  takenAt: new Date().toISOString(),
})

const PROC_STAT = '/proc/stat'
/** `USER_HZ` of Linux. */
const TICK_MS = 10
/** Milliseconds of all cores together that a hypervisor has given to others since the start of the machine (proc(5), `steal`); null: nobody says. */
export const stolenMs = (): number | null => {
  if (!existsSync(PROC_STAT)) return null
  const ticks = Number(readFileSync(PROC_STAT, 'utf8').split('\n')[0]?.trim().split(/ +/)[8])
  return Number.isFinite(ticks) ? ticks * TICK_MS : null
}
