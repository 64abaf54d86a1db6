/** The flags that pick webhooks, the same in every command that takes them. */
import type { Command } from 'commander'
import type { GlobalOptions } from './session.ts'

export interface FilterOptions extends GlobalOptions {
  readonly state?: string
  readonly domain?: string
  readonly tag?: string
  readonly name?: string
  readonly from?: string
  readonly to?: string
  readonly brand?: string
}

export const addFilter = (command: Command, states: string): Command =>
  command
    .option('--state <state>', states)
    .option('--domain <domain>')
    .option('--tag <tag>')
    .option('--name <name>')
    .option('--from <instant>', 'due from, like 2027-01-31T09:00:00Z')
    .option('--to <instant>', 'due to')
    .option('--brand <brand>', 'with an admin key')

/** What was said, and nothing else; the daemon says what is wrong with it. */
export const filterOf = <S extends string>({ state, domain, tag, name, from, to, brand }: FilterOptions) => ({
  ...(state === undefined ? {} : { state: state as S }),
  ...(domain === undefined ? {} : { domain }),
  ...(tag === undefined ? {} : { tag }),
  ...(name === undefined ? {} : { name }),
  ...(from === undefined ? {} : { from }),
  ...(to === undefined ? {} : { to }),
  ...(brand === undefined ? {} : { brand }),
})
/** True: some flag narrows it. */
export const isNarrowed = (filter: Readonly<Record<string, unknown>>): boolean =>
  Object.keys(filter).some((name) => name !== 'brand')
