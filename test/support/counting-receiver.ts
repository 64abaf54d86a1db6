/**
 * A receiver in a process of its own, so that neither the test nor the daemon slows its clock. It counts open requests
 * and remembers every arrival by its `webhook-id`.
 */
import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'

export interface Behaviour {
  /** From the end of the request to the answer. */
  delayMs: number
  status: number
  headers: Readonly<Record<string, string>>
  /** Answers only when released. */
  hold: boolean
  /** Works on so many at once; the others queue, and above twice as many open ones it answers 503. Null: no bound. */
  capacity: number | null
  /** With more open requests than this it dies: every socket destroyed, no port open. */
  diesAbove: number | null
}
export interface Figures {
  readonly arrivals: number
  readonly answered: number
  readonly aborted: number
  readonly open: number
  readonly openMax: number
  readonly distinct: number
  readonly died: boolean
  /** Keys: `port 0`, `path first-segment`. */
  readonly openMaxBy: Readonly<Record<string, number>>
  /** User and system time of the receiver's process since its start. */
  readonly cpuMicros: number
}
/**
 * Columns, in order of arrival. `at`: epoch milliseconds with fractions. `ports`: number of the port, from 0. `statuses`: what it
 * was answered with; 0: it is open, or was cut off before an answer began.
 */
export interface Arrivals {
  readonly ids: readonly string[]
  readonly urls: readonly string[]
  readonly ports: readonly number[]
  readonly at: Float64Array
  readonly statuses: Uint16Array
}
/** All three must be reached. */
export interface Until {
  readonly distinct: number
  readonly arrivals: number
  readonly open: number
}
export type ReceiverRequest = { readonly seq: number } & (
  | { readonly type: 'listen'; readonly ports: number }
  | { readonly type: 'behave'; readonly behaviour: Partial<Behaviour> }
  | { readonly type: 'release'; readonly count: number }
  | { readonly type: 'figures' | 'arrivals' | 'forget' }
  | { readonly type: 'wait'; readonly until: Until }
)
export interface ReceiverAnswer {
  readonly seq: number
  readonly value: unknown
}

export interface CountingReceiver {
  readonly pid: number
  /** `http://127.0.0.1:port` */
  readonly urls: readonly string[]
  readonly url: string
  /** As the daemon keys its guards: `127.0.0.1:port`. */
  readonly domains: readonly string[]
  readonly domain: string
  behave(behaviour: Partial<Behaviour>): Promise<void>
  /** Answers up to `count` held requests, oldest first; how many it answered. */
  release(count: number): Promise<number>
  figures(): Promise<Figures>
  arrivals(): Promise<Arrivals>
  /** Starts counting anew; what is open stays counted as open. */
  forget(): Promise<void>
  /** Resolves when so many were seen; rejects, with the figures, after `withinMs`. */
  until(reached: Partial<Until>, withinMs?: number): Promise<void>
  stop(): Promise<void>
}

const main = fileURLToPath(new URL('receiver-process.ts', import.meta.url))

type Question = ReceiverRequest extends infer R ? (R extends { seq: number } ? Omit<R, 'seq'> : never) : never

export const startCountingReceiver = async (
  options: Partial<Behaviour> & { readonly ports?: number } = {},
): Promise<CountingReceiver> => {
  // One helper of V8: a full collection of this process takes the cores from the daemon beside it otherwise.
  const child = fork(main, { serialization: 'advanced', execArgv: ['--v8-pool-size=1'] })
  const open = new Map<number, (value: unknown) => void>()
  child.on('message', ({ seq, value }: ReceiverAnswer) => {
    open.get(seq)?.(value)
    open.delete(seq)
  })
  let last = 0
  const ask = <Value>(question: Question): Promise<Value> =>
    new Promise((resolve, reject) => {
      last += 1
      open.set(last, (value) => resolve(value as Value))
      child.send({ ...question, seq: last }, (error) => {
        if (error !== null) reject(error)
      })
    })

  const { ports: wanted = 1, ...behaviour } = options
  await ask<null>({ type: 'behave', behaviour })
  const ports = await ask<number[]>({ type: 'listen', ports: wanted })
  const domains = ports.map((port) => `127.0.0.1:${port}`)
  const urls = domains.map((domain) => `http://${domain}`)

  const receiver: CountingReceiver = {
    pid: child.pid ?? 0,
    urls,
    url: urls[0] ?? '',
    domains,
    domain: domains[0] ?? '',
    behave: async (change) => void (await ask<null>({ type: 'behave', behaviour: change })),
    release: (count) => ask<number>({ type: 'release', count }),
    figures: () => ask<Figures>({ type: 'figures' }),
    arrivals: () => ask<Arrivals>({ type: 'arrivals' }),
    forget: async () => void (await ask<null>({ type: 'forget' })),
    until: async (reached, withinMs = 60_000) => {
      let timer: NodeJS.Timeout | undefined
      const late = new Promise<'late'>((resolve) => {
        timer = setTimeout(resolve, withinMs, 'late')
      })
      const wait = ask<null>({ type: 'wait', until: { distinct: 0, arrivals: 0, open: 0, ...reached } })
      const first = await Promise.race([wait, late])
      clearTimeout(timer)
      if (first !== 'late') return
      const got = JSON.stringify(await receiver.figures())
      throw new Error(`the receiver waited ${withinMs} ms for ${JSON.stringify(reached)} and has ${got}`)
    },
    stop: () =>
      new Promise((resolve) => {
        if (child.exitCode !== null || child.signalCode !== null) return resolve()
        child.once('exit', () => resolve())
        child.kill('SIGKILL')
      }),
  }
  return receiver
}
