/** The key that the first start makes: kept beside the data for the CLI on the same machine, printed once. */
import { open, rename } from 'node:fs/promises'
import { join } from 'node:path'

export const ADMIN_KEY_FILE = 'admin.key'

/** Only the owner may read it. Whole or not there: a crash in between leaves the old file. */
export const keepAdminKey = async (dataDir: string, key: string): Promise<void> => {
  const path = join(dataDir, ADMIN_KEY_FILE)
  const file = await open(`${path}.new`, 'w', 0o600)
  try {
    await file.chmod(0o600)
    await file.writeFile(`${key}\n`)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(`${path}.new`, path)
}

/** What a new user reads: the key and the three commands to try next, as they work here. `url` is where the daemon listens. */
export const firstStartText = (key: string, url: string, dataDir: string): string => {
  const where = url === 'http://127.0.0.1:7411' ? '' : ` --url ${url}`
  const data = dataDir === './hookpulse-data' ? '' : ` --data ${dataDir}`
  const cli = `npm run -s hookpulse --${where}${data}`
  return `
Your admin key, shown this once (kept in ${join(dataDir, ADMIN_KEY_FILE)}):

  ${key}

Try next, in another terminal (a server on this machine or network needs a daemon with --allow-private):

  ${cli} limits domain api.yourservice.com --concurrency 3 --rate 10
  ${cli} schedule https://api.yourservice.com/hook --body '{"hello":"world"}' --in 2s
  ${cli} list
`
}
