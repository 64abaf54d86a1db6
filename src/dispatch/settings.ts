/** What a dispatch thread is told at its start. Plain data: it is cloned into the thread. */
import type { AddressPolicy } from '#webhook/address.ts'

export interface DispatchSettings {
  readonly policy: AddressPolicy
  readonly userAgent: string
  /** Keep connections for the next request of the same brand and origin. */
  readonly connectionReuse: boolean
  /** The hosts file, read at boot; looked at only where `policy.allowPrivate` (reliability.md, "How to read this file"). */
  readonly hosts: Readonly<Record<string, readonly string[]>>
  /** `address[:port]` of the resolvers; null: those of the system. */
  readonly dnsServers: readonly string[] | null
  /** Certificates trusted beside the built-in ones, in PEM. */
  readonly extraCertificates: readonly string[]
  /** Text of `HOOKPULSE_FAILPOINTS` (world/failpoints.ts); only for tests. */
  readonly failpoints: string | undefined
}

/** As a thread holds them: the policy may change while it runs. */
export interface LiveSettings extends Omit<DispatchSettings, 'policy'> {
  policy: AddressPolicy
}

/** Entries of an `/etc/hosts` text: name in lower case to addresses, in order. */
export const parseHosts = (text: string): Record<string, string[]> => {
  const hosts = new Map<string, string[]>()
  for (const line of text.split('\n')) {
    const [address = '', ...names] = line.replace(/#.*/, '').trim().split(/\s+/)
    for (const name of names.map((n) => n.toLowerCase())) hosts.set(name, [...(hosts.get(name) ?? []), address])
  }
  return Object.fromEntries(hosts)
}
