/** SSRF-01 and I10 by what the kernel was asked for, in a network of its own: what is refused is not even tried. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { DENIED } from '#test/support/denied-addresses.ts'
import { straceArgs } from './strace.ts'

/** Each address to which bytes or a connection were asked to go. */
const TRACED = ['connect', 'sendto', 'sendmsg', 'sendmmsg']
const AIMED = /sin6?_port=htons\((\d+)\)[^}]*?(?:inet_addr\("|inet_pton\(AF_INET6, ")([^"]+)"/g

it('SSRF-01: nothing that the policy denies is ever connected to or sent to: strace sees the receiver and the name server, and nobody else', () => {
  const dir = mkdtempSync(join(tmpdir(), 'hookpulse-targets-'))
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
  const log = join(dir, 'trace')
  const child = join(import.meta.dirname, 'targets-child.ts')
  const traced = ['strace', ...straceArgs({ trace: TRACED, log }), process.execPath, child]
  const args = ['-n', 'sh', '-c', 'ip link set lo up && exec "$@"', 'sh', ...traced]
  const said = JSON.parse(execFileSync('unshare', args, { encoding: 'utf8', timeout: 100_000 })) as {
    readonly reports: readonly { readonly url: string; readonly error: string | null; readonly sent: boolean }[]
    readonly arrived: number
    readonly arrivedLater: number
    /** The receiver and the name server. */
    readonly allowed: readonly string[]
  }
  expect(said.reports.length).toBe(DENIED.length * 6 + 9)
  expect(said.reports.filter(({ error, sent }) => error !== 'blocked_target' || sent)).toEqual([])
  expect([said.arrived, said.arrivedLater]).toEqual([1, 1])
  const lines = readFileSync(log, 'latin1').split('\n')
  const aimedBy = (call: RegExp): string[] =>
    lines
      .filter((line) => call.test(line))
      .flatMap((line) => [...line.matchAll(AIMED)].map(([, port, to]) => `${to}:${port}`))
  const connected = aimedBy(/ connect\(/)
  expect([...new Set(connected)].sort()).toEqual([...said.allowed].sort())
  const [receiver = ''] = said.allowed
  expect(connected.filter((to) => to === receiver)).toHaveLength(1)
  // The name server's own answers, back to the ports that asked.
  expect(aimedBy(/ send(?:to|msg|mmsg)\(/).filter((to) => !to.startsWith('127.0.0.1:'))).toEqual([])
})
