/** Runs a program under strace with faults injected into its system calls (strace(1), "Tampering"). */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'

export interface Tampering {
  /** `--inject` expressions, like `fsync:error=EIO:when=5`. */
  readonly inject?: readonly string[]
  /** System calls to log. Those injected into are logged too. */
  readonly trace?: readonly string[]
  /** Only calls on these files. */
  readonly files?: readonly string[]
  /** More flags of strace. */
  readonly flags?: readonly string[]
  /** Where the log goes; default: nowhere. */
  readonly log?: string
}

export const straceArgs = ({
  inject = [],
  trace = [],
  files = [],
  flags = [],
  log = '/dev/null',
}: Tampering): string[] => [
  '-f',
  '-o',
  log,
  ...files.flatMap((file) => ['-P', file]),
  ...flags,
  '-e',
  `trace=${[...new Set([...trace, ...inject.map((text) => text.split(':')[0] ?? '')])].join(',')}`,
  ...inject.flatMap((text) => ['-e', `inject=${text}`]),
]

/** With an IPC channel, as `fork` makes it. Without `--seccomp-bpf`: strace 6.1 overlooks `-P` with it. */
export const forkUnder = (tampering: Tampering, entry: string, args: readonly string[]): ChildProcess =>
  spawn('strace', [...straceArgs(tampering), process.execPath, entry, ...args], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })

/** To its end. Throws if it does not end in peace. */
export const runUnder = (tampering: Tampering, entry: string, args: readonly string[]): string =>
  execFileSync('strace', [...straceArgs(tampering), process.execPath, entry, ...args], { encoding: 'utf8' })
