import type { Results } from '#client/node.ts'
import { grouped } from './drawing.ts'
import { printable } from './session.ts'

/** What stands in a webhook's way, in words. A name that is not here is shown as it came: the daemon may be newer. */
const LIMITS: Readonly<Record<string, string>> = {
  stopping: 'the daemon is stopping',
  'domain-paused': 'the domain is paused',
  'brand-paused': 'the brand is paused',
  closed: 'its receiver has asked for a pause',
  breaker: 'its receiver fails, and its breaker is open',
  'live-guards': 'its domain waits for a guard: as many live as may',
  'node-capacity': 'this node is busy',
  'domain-concurrency': 'as many requests are open as the domain may have',
  'adaptive-concurrency': 'as many requests are open as the domain was found to bear',
  'domain-rate': 'the rate of the domain',
  'brand-in-domain-concurrency': 'as many requests are open as the brand may have at this domain',
  'brand-in-domain-rate': 'the rate of the brand at this domain',
  'brand-concurrency': 'as many requests are open as the brand may have',
  'retry-budget': 'the domain fails, and retries are held back',
}
export const limitInWords = (limit: string): string => LIMITS[limit] ?? limit

/** All guards that may live do: one line. */
export const crowdInWords = (crowd: NonNullable<Results['listGuards']['crowd']>): string => {
  const { guards, waiting, more, placesPerSecond, since } = crowd
  const who = `${grouped(waiting)}${more ? ' or more' : ''} domains wait for a guard`
  return `${who}: ${grouped(guards.limit)} may live at once; ${grouped(placesPerSecond)} got one in the last second; since ${since}`
}

/** Who holds it, since when and why, as a line; nothing where nobody does. */
export const pausedInWords = (paused: Results['explainWebhook']['paused']): string =>
  paused === undefined ? '' : `paused by ${printable(paused.setBy)}, since ${paused.setAt}\n`
