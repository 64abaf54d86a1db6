/** `configureDomainGroup`, and what is shown of groups. */
import { GROUPS_MAX } from '#config/limits.ts'
import { type DomainGroup, groupKeyOf, guardKeyOf, type Member, memberOf } from '#webhook/domain-group.ts'
import { parseDomain } from '#webhook/url.ts'
import type { Domain } from '#webhook/webhook.ts'
import type { Backend } from './backend.ts'
import type { Caller } from './caller.ts'
import { formatInstant } from './instant.ts'
import { refused } from './new-webhook.ts'
import { Refusal } from './refusal.ts'
import type { DomainGroupView } from './results.ts'

/** The key of what people type: `api.acme.com`, or `group:payments`. Throws Refusal. */
export const domainOf = (text: string): Domain => {
  const group = text.startsWith('group:') ? groupKeyOf(text) : null
  if (group !== null) return group
  const parsed = parseDomain(text)
  if (!parsed.ok) throw refused(parsed.refusal)
  return parsed.domain
}

export const configureDomainGroup = async (
  said: { readonly group: string; readonly members: readonly string[] | null },
  caller: Caller,
  backend: Backend,
): Promise<DomainGroupView & { readonly resting: readonly string[] }> => {
  const group = groupKeyOf(said.group)
  if (group === null)
    throw new Refusal(
      'INVALID_PARAMS',
      `group ${JSON.stringify(said.group)} is not a name; use 1 to 63 of a-z, 0-9, _ and -, starting with a letter`,
      { field: 'group' },
    )
  const members = [...new Set((said.members ?? []).map(readMember))].sort()
  const { groups } = backend.groups()
  if (members.length > 0 && !groups.has(group) && groups.size >= GROUPS_MAX)
    throw new Refusal('RESOURCE_EXHAUSTED', `there are ${GROUPS_MAX} groups; dissolve one first`, { field: 'group' })
  const setBy = `${caller.role} ${caller.keyId}`
  const set = await backend.setGroup({ group, members, setBy, setAt: backend.now() })
  return { ...groupView(set.group), resting: set.resting }
}

/** Throws Refusal. */
const readMember = (text: string, at: number): Member => {
  const field = `members[${at}]`
  const wild = text.startsWith('*.')
  if (text.replace(/^\*\./, '').includes('*'))
    throw new Refusal(
      'INVALID_PARAMS',
      `${field} ${JSON.stringify(text)}: a wildcard is a whole beginning, like "*.acme.com"`,
      {
        field,
      },
    )
  const parsed = parseDomain(wild ? text.slice(2) : text, field)
  if (!parsed.ok) throw refused(parsed.refusal)
  if (wild && /^(\d|\[)/.test(parsed.domain) && !/[a-z]/.test(parsed.domain.replace(/:\d+$/, '')))
    throw new Refusal('INVALID_PARAMS', `${field} ${JSON.stringify(text)}: an address has no hosts below it`, { field })
  return wild ? `*.${parsed.domain}` : parsed.domain
}

export const groupView = ({ group, members, version, setBy, setAt }: DomainGroup): DomainGroupView => ({
  group: group.slice('group:'.length),
  domain: group,
  members,
  version,
  setBy,
  setAt: formatInstant(setAt),
})

/** What a caller sees of groups: an admin all, or that of a domain; a brand only by which member a domain is in its group. */
export const groupsSeen = (domain: Domain | null, caller: Caller, backend: Backend): readonly DomainGroupView[] => {
  const book = backend.groups()
  if (domain === null) return caller.role === 'admin' ? [...book.groups.values()].map(groupView) : []
  const found = book.groups.get(guardKeyOf(book, domain))
  if (found === undefined) return []
  if (caller.role === 'admin') return [groupView(found)]
  const member = memberOf(book, domain)
  return [groupView({ ...found, members: member === null ? [] : [member] })]
}
