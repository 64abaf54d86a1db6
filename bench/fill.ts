import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const main = fileURLToPath(new URL('fill-process.ts', import.meta.url))

/** Fills a data directory on which no daemon runs (`./fill-process.ts`). */
export const fill = (data: string, count: number, kind: 'far' | 'backlog', url = ''): Promise<void> =>
  new Promise((resolve, reject) => {
    execFile(process.execPath, [main, data, String(count), kind, url], (error) => {
      if (error === null) resolve()
      else reject(error)
    })
  })
