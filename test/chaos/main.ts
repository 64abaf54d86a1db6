/**
 * `npm run chaos -- [--seed=N] [--minutes=M] [--faults=kill,stop,actor,end,full,slow,failing] [--verbose] [--json]`
 * The real daemon, hurt at random under load; every fault is drawn from the seed. Exits 0 without a finding, 1 with one, 2 with the
 * list of what is missing: faults of the disk need root, strace, and unshare for a small file system of its own.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { commandLine } from '#test/support/command-line.ts'
import { runChaos } from './chaos.ts'
import { mustHave } from './needs.ts'
import { DISK_FAULTS, FAULTS, PROCESS_FAULTS } from './plan.ts'

/** Ten minutes need about a third of it. */
const DISK_SIZE = '512m'
const USAGE = `npm run chaos -- [--seed=N] [--minutes=M] [--faults=${FAULTS.join(',')}] [--verbose] [--json]`
const { values } = commandLine(USAGE, {
  options: {
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    minutes: { type: 'string', default: '10' },
    faults: { type: 'string', default: FAULTS.join(',') },
    verbose: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    /** Within a mount namespace of its own: the small file system. */
    dir: { type: 'string' },
  },
})
const faults = FAULTS.filter((type) => values.faults.split(',').includes(type))
const say = (line: string): boolean => process.stdout.write(`${line}\n`)

/** The same words, in a mount namespace of its own with a small file system that ends with it. */
const runOnSmallDisk = (): number => {
  mustHave(
    'npm run chaos',
    ['strace', 'unshare', 'mount'],
    `On Debian: apt-get install strace util-linux mount; or leave the disk alone: --faults=${PROCESS_FAULTS.join(',')}`,
  )
  const dir = mkdtempSync(join(tmpdir(), 'hookpulse-chaos-'))
  const script = `mount -t tmpfs -o size=${DISK_SIZE} none "$1" && shift && exec "$@"`
  const again = [process.execPath, fileURLToPath(import.meta.url), `--seed=${values.seed}`, `--dir=${dir}`]
  const rest = process.argv.slice(2).filter((word) => !word.startsWith('--seed'))
  const run = spawnSync('unshare', ['-m', 'sh', '-c', script, 'sh', dir, ...again, ...rest], { stdio: 'inherit' })
  rmSync(dir, { recursive: true, force: true })
  return run.status ?? 1
}

const run = async (dir: string): Promise<number> => {
  const [seed, ms] = [Number(values.seed), Number(values.minutes) * 60_000]
  if (!values.json) say(`--seed=${seed} --minutes=${values.minutes} --faults=${faults}`)
  const result = await runChaos({ seed, ms, faults, dir, ...(values.verbose ? { say } : {}) })
  if (values.json) say(JSON.stringify(result))
  else {
    const { findings, ...figures } = result
    for (const [name, figure] of Object.entries(figures)) say(`${name.padEnd(14)} ${JSON.stringify(figure)}`)
    for (const finding of findings) say(`FINDING: ${finding}`)
    if (findings.length === 0) say('no finding')
  }
  return result.findings.length === 0 ? 0 : 1
}

const onOwnDisk = async (): Promise<number> => {
  const dir = mkdtempSync(join(tmpdir(), 'hookpulse-chaos-'))
  const code = await run(dir)
  rmSync(dir, { recursive: true, force: true })
  return code
}

const needsDisk = faults.some((type) => DISK_FAULTS.includes(type))
if (values.dir !== undefined) process.exitCode = await run(values.dir)
else process.exitCode = needsDisk ? runOnSmallDisk() : await onOwnDisk()
