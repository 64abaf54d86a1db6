/** Takes every descriptor that it may have (its parent bounds them), sends to a name and to an address, and tells how that ended. */
import { closeSync, openSync } from 'node:fs'
import { devNull } from 'node:os'
import { httpClient } from '#test/support/http-client.ts'

const [server = '', address = ''] = process.argv.slice(2)
const { send } = httpClient({ dnsServers: [server] })
const taken: number[] = []
try {
  for (;;) taken.push(openSync(devNull, 'r'))
} catch (error) {
  if (!(error instanceof Error && 'code' in error && error.code === 'EMFILE')) throw error
}
const reports = await Promise.all(['http://good.acme.com/', address].map((url) => send(url)))
for (const one of taken) closeSync(one)
// What is left are deadlines of seconds.
process.stdout.write(JSON.stringify(reports), () => process.exit())
