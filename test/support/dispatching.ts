/** Settings and orders for tests of the dispatch room. */
import type { AttemptOrder, AttemptReport } from '#dispatch/dispatch.ts'
import type { DispatchSettings } from '#dispatch/settings.ts'
import { PUBLIC_ONLY } from '#webhook/address.ts'
import type { Method } from '#webhook/headers.ts'
import { packRequest } from '#webhook/request.ts'
import { attemptIdOf } from '#webhook/webhook.ts'

/** Everything local may be called: receivers of tests listen on loopback. */
export const LOCAL_SETTINGS: DispatchSettings = {
  policy: { ...PUBLIC_ONLY, allowPrivate: true },
  userAgent: 'HookPulse/test',
  connectionReuse: true,
  hosts: {},
  dnsServers: null,
  extraCertificates: [],
  failpoints: undefined,
}

export interface RequestOptions {
  readonly method?: Method
  readonly headers?: readonly (readonly [string, string])[]
  readonly body?: string | Uint8Array
}

export const packed = (url: string, options: RequestOptions = {}): Uint8Array =>
  packRequest({
    url: new URL(url).href,
    method: options.method ?? 'POST',
    headers: options.headers ?? [['content-type', 'application/json']],
    body: typeof options.body === 'object' ? options.body : Buffer.from(options.body ?? '{"n":1}'),
  })

let count = 0
export const orderFor = (
  url: string,
  options: RequestOptions & { readonly timeoutMs?: number; readonly brand?: string; readonly id?: string } = {},
): AttemptOrder => {
  count += 1
  const webhookId = options.id ?? `msg_${String(count).padStart(26, '0')}`
  return {
    attemptId: attemptIdOf(webhookId, 1),
    webhookId,
    attempt: 1,
    brand: options.brand ?? 'default',
    domain: new URL(url).host,
    request: packed(url, options),
    lonelyDeaths: null,
    timeoutMs: options.timeoutMs ?? 5_000,
  }
}

/** Collects reports and lets a test wait for some of them. */
export class Reports {
  readonly all: AttemptReport[] = []
  #waiting: { readonly reached: () => boolean; readonly resolve: () => void }[] = []

  add = (reports: readonly AttemptReport[]): void => {
    this.all.push(...reports)
    const waiting = this.#waiting
    this.#waiting = waiting.filter(({ reached }) => !reached())
    for (const { reached, resolve } of waiting) if (reached()) resolve()
  }
  until(reached: () => boolean): Promise<void> {
    if (reached()) return Promise.resolve()
    return new Promise((resolve) => this.#waiting.push({ reached, resolve }))
  }
  async of(order: AttemptOrder): Promise<AttemptReport> {
    const find = () => this.all.find((report) => report.attemptId === order.attemptId)
    await this.until(() => find() !== undefined)
    return find() as AttemptReport
  }
}
