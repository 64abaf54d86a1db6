/**
 * Are the simulator's eyes open? Each planted bug is put into a copy of the tree and hunted there by a process of its own.
 * A bug that no longer fits the source counts as not found: the list has to be kept.
 */
import { spawn } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { PLANTED, type PlantedBug } from './planted-bugs.ts'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const COPIED = ['src', 'actors', 'supervisors', 'test/simulation', 'test/support', 'package.json']
/** Of 45. */
const FOUND_MIN = 38

export interface Hunted {
  readonly bug: PlantedBug
  /** What it was found by; null: it was not. */
  readonly found: string | null
}

/** `seeds`: how many are tried before it counts as not found. */
export const huntOne = async (bug: PlantedBug, seeds: number): Promise<Hunted> => {
  const dir = mkdtempSync(join(tmpdir(), 'planted-'))
  try {
    for (const path of COPIED) cpSync(join(ROOT, path), join(dir, path), { recursive: true })
    symlinkSync(join(ROOT, 'node_modules'), join(dir, 'node_modules'))
    const file = join(dir, bug.file)
    const source = readFileSync(file, 'utf8')
    if (source.split(bug.from).length !== 2) return { bug, found: null }
    writeFileSync(
      file,
      source.replace(bug.from, () => bug.to),
    )
    return { bug, found: await sim(dir, seeds) }
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

/** The first finding of a hunt in that tree. */
const sim = (dir: string, seeds: number): Promise<string | null> =>
  new Promise((resolve, reject) => {
    const args = ['test/simulation/main.ts', `--seeds=${seeds}`, '--once', '--stop-at=1']
    const child = spawn(process.execPath, args, { cwd: dir, stdio: ['ignore', 'pipe', 'pipe'] })
    let text = ''
    child.stdout.on('data', (chunk: Buffer) => {
      text += chunk.toString('utf8')
    })
    child.stderr.on('data', (chunk: Buffer) => {
      text += chunk.toString('utf8')
    })
    child.on('error', reject)
    // Only a verdict counts: a hunt that was killed, or did not start, has found nothing.
    child.on('close', () => resolve(/^seed \d+: .*$/m.exec(text)?.[0] ?? null))
  })

export const fits = ({ file, from }: PlantedBug): boolean =>
  readFileSync(join(ROOT, file), 'utf8').split(from).length === 2

export const huntPlanted = async (say: (line: string) => void, only: number | null): Promise<boolean> => {
  let found = 0
  const chosen = PLANTED.filter((_, index) => only === null || index === only)
  for (const bug of chosen) {
    const hunted = fits(bug) ? await huntOne(bug, SEEDS) : { bug, found: null }
    if (hunted.found !== null) found += 1
    const how = hunted.found ?? (fits(bug) ? `not found in ${SEEDS} seeds` : 'its text is not in the source any more')
    say(`${hunted.found === null ? 'MISSED' : 'found '} ${bug.name}: ${how.slice(0, 140)}`)
  }
  say(`${found} of ${chosen.length} planted bugs found`)
  return found >= Math.min(FOUND_MIN, chosen.length)
}
/** Nothing is found in these without a bug: `npm run sim` says so. */
const SEEDS = 600
