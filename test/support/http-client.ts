/** The dispatch room's HTTP side without its thread, for tests that script DNS and the address policy. */
import type { ThreadReport } from '#dispatch/frames.ts'
import { HttpAttempts } from '#dispatch/http.ts'
import type { Query } from '#dispatch/resolver.ts'
import type { DispatchSettings } from '#dispatch/settings.ts'
import { RealWorld } from '#world/real-world.ts'
import { LOCAL_SETTINGS, packed, type RequestOptions } from './dispatching.ts'

export interface HttpClient {
  readonly http: HttpAttempts
  /** Handles in the order of their reports. */
  readonly reported: readonly number[]
  send(
    url: string,
    options?: RequestOptions & { readonly timeoutMs?: number; readonly brand?: string },
  ): Promise<ThreadReport>
  abort(handle: number): void
}

export const httpClient = (settings: Partial<DispatchSettings> = {}, query?: Query): HttpClient => {
  const waiting = new Map<number, (report: ThreadReport) => void>()
  const reported: number[] = []
  const http = new HttpAttempts(
    new RealWorld(),
    { ...LOCAL_SETTINGS, ...settings },
    (report) => {
      reported.push(report.handle)
      waiting.get(report.handle)?.(report)
    },
    query,
  )
  let handle = 0
  return {
    http,
    reported,
    abort: (which) => http.abort(which),
    send: (url, { brand = 'default', timeoutMs = 5_000, ...options } = {}) => {
      handle += 1
      const report = new Promise<ThreadReport>((resolve) => waiting.set(handle, resolve))
      http.start({ handle, timeoutMs, webhookId: `msg_${handle}`, brand, request: packed(url, options) })
      return report
    },
  }
}
