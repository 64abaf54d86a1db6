/** `npm run test:machine`: the rows that need root and tracing tools. Exits 2 with the list of what is missing. */
import { spawnSync } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'

const { PATH: path = '' } = process.env
const found = (tool: string): boolean =>
  path.split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, tool), constants.X_OK)
      return true
    } catch (error) {
      if (error instanceof Error) return false
      throw error
    }
  })

const missing = ['strace', 'unshare', 'ip'].filter((tool) => !found(tool))
if (process.getuid?.() !== 0) missing.unshift('root')
if (missing.length > 0) {
  process.stderr.write(
    `npm run test:machine needs: ${missing.join(', ')}. On Debian: apt-get install strace util-linux iproute2\n`,
  )
  process.exit(2)
}
const run = spawnSync('vitest', ['run', '--project', 'machine', '--passWithNoTests'], { stdio: 'inherit' })
process.exit(run.status ?? 1)
