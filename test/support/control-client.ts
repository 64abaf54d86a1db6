/**
 * A small JSON-RPC client of the tests' own, so that they do not lean on `src/client`: one WebSocket, requests by id,
 * notifications kept. Results are taken as the caller says they are: the shapes of the control channel are the tests' subject.
 */
import { WebSocket } from 'ws'

export interface RpcErrorData {
  readonly code: string
  readonly message: string
  readonly field?: string
  readonly retryAfterMs?: number
}
export class RpcError extends Error {
  readonly code: number
  readonly data: RpcErrorData | undefined
  constructor(method: string, error: { code: number; message: string; data?: RpcErrorData }) {
    super(`${method}: ${error.code} ${error.data?.code ?? ''} ${error.data?.message ?? error.message}`)
    this.name = 'RpcError'
    this.code = error.code
    this.data = error.data
  }
}
export class ChannelClosed extends Error {
  readonly closeCode: number
  constructor(closeCode: number) {
    super(`the control channel was closed (${closeCode})`)
    this.name = 'ChannelClosed'
    this.closeCode = closeCode
  }
}

export interface ProcessNode {
  readonly name: string
  readonly pid: number
  readonly kind: 'supervisor' | 'worker'
  readonly behaviour: string
  readonly state: string
  readonly restarts: number
  readonly mailbox: number
  readonly startedAt: string
  readonly children: readonly ProcessNode[]
}
export interface WebhookInput {
  readonly url: string
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: unknown
  readonly at?: string | number
  readonly delayMs?: number
  readonly brand?: string
  readonly idempotencyKey?: string
  readonly name?: string
  readonly timeoutMs?: number
  readonly retry?: Readonly<Record<string, unknown>>
}
export interface Scheduled {
  readonly id: string
  readonly state: string
  readonly at: string
  readonly duplicate: boolean
}
export interface Webhook {
  readonly id: string
  readonly state: string
  readonly at: string
  readonly attemptCount: number
  readonly lateness?: { readonly timerMs: number; readonly guardMs: number; readonly networkMs: number }
}
export interface Totals {
  readonly scheduled: number
  readonly waiting: number
  readonly executing: number
  readonly retrying: number
  readonly delivered: number
  readonly dead: number
}
export interface DomainFigures {
  readonly domain: string
  readonly concurrency: { readonly current: number; readonly limit: number | null }
  readonly rate: { readonly startsLastSecond: number; readonly limit: number | null; readonly burst: number | null }
  readonly queueDepth: number
  readonly overshoot: number
}
export interface Monitor {
  readonly domains: readonly DomainFigures[]
  readonly totals: Totals
}

export interface ControlClient {
  call<Result>(method: string, params?: unknown): Promise<Result>
  /** The frame is written now and sent when the answer is called: a bench measures the daemon, not `JSON.stringify`. */
  prepare<Result>(method: string, params: unknown): () => Promise<Result>
  /** Parameters that are JSON already, so that who floods spends nothing on writing it. */
  callJson<Result>(method: string, params: string): Promise<Result>
  /** Bytes that the socket has not taken yet. */
  unsentBytes(): number
  schedule(webhook: WebhookInput): Promise<Scheduled>
  scheduleAll(
    webhooks: readonly WebhookInput[],
    defaults?: Partial<WebhookInput>,
  ): Promise<{ readonly ids: readonly string[]; readonly duplicates: readonly boolean[] }>
  tree(): Promise<ProcessNode>
  monitor(params?: { readonly domain?: string; readonly brand?: string }): Promise<Monitor>
  /** Notifications so far, oldest first. */
  readonly notifications: readonly unknown[]
  /** Resolves with the close code. */
  readonly closed: Promise<number>
  close(): Promise<void>
}

interface Frame {
  readonly id?: number
  readonly method?: string
  readonly params?: unknown
  readonly result?: unknown
  readonly error?: { readonly code: number; readonly message: string; readonly data?: RpcErrorData }
}
interface Waiting {
  readonly method: string
  readonly resolve: (value: unknown) => void
  readonly reject: (error: Error) => void
}

const settle = (waiting: Map<number, Waiting>, frame: Frame): void => {
  const asked = waiting.get(frame.id ?? -1)
  if (asked === undefined) return
  waiting.delete(frame.id ?? -1)
  if (frame.error === undefined) asked.resolve(frame.result)
  else asked.reject(new RpcError(asked.method, frame.error))
}

/** `url`: `http://127.0.0.1:port` of the daemon. Rejects if the upgrade is refused. */
export const connectControl = async (url: string, key: string): Promise<ControlClient> => {
  const socket = new WebSocket(`${url.replace(/^http/, 'ws')}/rpc`, {
    headers: { authorization: `Bearer ${key}` },
    perMessageDeflate: false,
    maxPayload: 64 * 1024 * 1024,
  })
  const waiting = new Map<number, Waiting>()
  const notifications: unknown[] = []
  socket.on('message', (data) => {
    const frame: Frame = JSON.parse(data.toString())
    if (frame.method === undefined) settle(waiting, frame)
    else notifications.push(frame.params)
  })
  const closed = new Promise<number>((resolve) => {
    socket.on('close', (code) => {
      for (const { reject } of waiting.values()) reject(new ChannelClosed(code))
      waiting.clear()
      resolve(code)
    })
  })
  await new Promise<void>((resolve, reject) => {
    socket.once('open', resolve)
    socket.once('error', reject)
  })
  socket.on('error', () => socket.terminate())

  let last = 0
  const prepareJson = <Result>(method: string, params: string): (() => Promise<Result>) => {
    last += 1
    const id = last
    const frame = `{"jsonrpc":"2.0","id":${id},"method":"${method}","params":${params}}`
    return () =>
      new Promise((resolve, reject) => {
        if (socket.readyState !== WebSocket.OPEN) return reject(new ChannelClosed(1006))
        waiting.set(id, { method, resolve: (value) => resolve(value as Result), reject })
        socket.send(frame)
      })
  }
  const prepare = <Result>(method: string, params: unknown = {}): (() => Promise<Result>) =>
    prepareJson<Result>(method, JSON.stringify(params))
  const call = <Result>(method: string, params?: unknown): Promise<Result> => prepare<Result>(method, params)()

  return {
    call,
    prepare,
    callJson: (method, params) => prepareJson<never>(method, params)(),
    unsentBytes: () => socket.bufferedAmount,
    schedule: (webhook) => call<Scheduled>('scheduleWebhook', webhook),
    scheduleAll: (webhooks, defaults) =>
      call('scheduleWebhooks', defaults === undefined ? { webhooks } : { webhooks, defaults }),
    tree: async () => (await call<{ tree: ProcessNode }>('getSupervisionTree')).tree,
    monitor: (params = {}) => call<Monitor>('getMonitor', params),
    notifications,
    closed,
    close: async () => {
      socket.close()
      await closed
    },
  }
}
