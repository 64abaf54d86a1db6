/** `npm run test:machine`: the rows that need root and tracing tools. Exits 2 with the list of what is missing. */
import { spawnSync } from 'node:child_process'
import { mustHave } from '#test/chaos/needs.ts'

mustHave(
  'npm run test:machine',
  ['strace', 'unshare', 'mount', 'ip'],
  'On Debian: apt-get install strace util-linux mount iproute2',
)
const run = spawnSync('vitest', ['run', '--project', 'machine', '--passWithNoTests'], { stdio: 'inherit' })
process.exit(run.status ?? 1)
