/** Each of many hosts is called once, all of them one receiver: what is kept of them afterwards is what a test looks at. */
import { expect } from 'vitest'
import type { Query } from '#dispatch/resolver.ts'
import { type HttpClient, httpClient } from './http-client.ts'

const AT_ONCE = 100
export const everyNameIsHere: Query = (_, family, answered) =>
  family === 4 ? answered(null, [{ address: '127.0.0.1', ttlMs: 60_000 }]) : answered({ code: 'ENODATA' }, [])

/** `count` is a multiple of 100. The connections are left as they are. */
export const callEachHostOnce = async (count: number, port: number): Promise<HttpClient> => {
  const client = httpClient({}, everyNameIsHere)
  for (let from = 0; from < count; from += AT_ONCE) {
    const all = Array.from({ length: AT_ONCE }, (_, i) => client.send(`http://h${from + i}.acme.com:${port}/`))
    for (const { outcome } of await Promise.all(all)) expect(outcome).toMatchObject({ status: 200 })
  }
  return client
}
