/** Where a result was taken: without it a figure says nothing. */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
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
