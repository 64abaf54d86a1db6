/** What tests that hurt the machine itself need of it. */
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

/** Root, and the programs by name: those that are not there. Empty: all of it is. */
export const missing = (tools: readonly string[]): readonly string[] => [
  ...(process.getuid?.() === 0 ? [] : ['root']),
  ...tools.filter((tool) => !found(tool)),
]
/** Ends the process with 2 and the list, if something is missing. */
export const mustHave = (who: string, tools: readonly string[], cure: string): void => {
  const list = missing(tools)
  if (list.length === 0) return
  process.stderr.write(`${who} needs: ${list.join(', ')}. ${cure}\n`)
  process.exit(2)
}
