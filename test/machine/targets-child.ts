/** Calls what may not be called, in every way there is, and once what may; tells how each attempt ended. */
import { DENIED } from '#test/support/denied-addresses.ts'
import { type DnsRecord, DnsStub } from '#test/support/dns-stub.ts'
import { httpClient } from '#test/support/http-client.ts'
import { Receiver } from '#test/support/receiver.ts'
import { PUBLIC_ONLY, parseAllowedTarget } from '#webhook/address.ts'

const recordOf = (address: string): DnsRecord => ({ type: address.includes(':') ? 'AAAA' : 'A', address })
const NUMBERED = /^[am](\d+)\.acme\.com$/
/** `a<n>`: the nth denied address alone; `m<n>`: beside one that is allowed. */
const recordsOf = (name: string): readonly DnsRecord[] => {
  const denied = DENIED[Number(NUMBERED.exec(name)?.[1])]
  const allowed = name.startsWith('a') ? [] : [ALLOWED]
  return [...allowed, ...(denied === undefined ? [] : [denied])].map(recordOf)
}

/** Stands for a public one. */
const ALLOWED = '127.0.0.9'
const receiver = await Receiver.start(() => ({}), ALLOWED)
const stub = await DnsStub.start((name, family) =>
  recordsOf(name).filter(({ type }) => (type === 'AAAA') === (family === 6)),
)
const target = parseAllowedTarget(`${ALLOWED}:${receiver.port}`)
const allowTargets = target === null ? [] : [target]
const policy = { ...PUBLIC_ONLY, allowTargets }
const strict = httpClient({ policy, dnsServers: [stub.server] })
const hostOf = (address: string): string => (address.includes(':') ? `[${address}]` : address)

const refused = [
  ...DENIED.flatMap((address, n) => [
    `http://${hostOf(address)}/`,
    `https://${hostOf(address)}/`,
    `http://${hostOf(address)}:8080/`,
    `http://a${n}.acme.com/`,
    `https://a${n}.acme.com/`,
    `http://m${n}.acme.com:${receiver.port}/`,
  ]),
  ...['0x7f.1', '2130706433', '0177.0.0.1', '127.1', '①②⑦.0.0.1', '１２７.0.0.1', '%31%32%37.0.0.1', '127.0.0.1.'].map(
    (host) => `http://${host}/`,
  ),
]
const reports: { url: string; error: string | null; sent: boolean }[] = []
const call = async (client: ReturnType<typeof httpClient>, url: string): Promise<void> => {
  const { outcome, sent } = await client.send(url)
  reports.push({ url, error: outcome.kind === 'error' ? outcome.error : null, sent })
}
await Promise.all(refused.map((url) => call(strict, url)))

// Allowed when its origin was opened, denied when it is used again.
const changing = httpClient({ policy, dnsServers: [stub.server], connectionReuse: false })
const late = `http://good.acme.com:${receiver.port}/`
await changing.send(late)
const arrived = receiver.arrivals.length
changing.http.setPolicy(PUBLIC_ONLY)
await call(changing, late)
process.stdout.write(
  JSON.stringify({
    reports,
    arrived,
    arrivedLater: receiver.arrivals.length,
    allowed: [`${ALLOWED}:${receiver.port}`, stub.server],
  }),
  () => process.exit(),
)
