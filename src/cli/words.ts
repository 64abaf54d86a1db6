/** What stands in a webhook's way, in words. A name that is not here is shown as it came: the daemon may be newer. */
const LIMITS: Readonly<Record<string, string>> = {
  stopping: 'the daemon is stopping',
  'domain-paused': 'the domain is paused',
  'brand-paused': 'the brand is paused',
  closed: 'its receiver has asked for a pause',
  breaker: 'its receiver fails, and its breaker is open',
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
