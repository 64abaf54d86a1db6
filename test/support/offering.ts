/**
 * Offers schedules over several sockets, from a thread of its own: at a rate, whether they are answered or not (an open loop), or each
 * as soon as an earlier one is answered (a closed loop, which finds what the daemon can take).
 */
import { parentPort, workerData } from 'node:worker_threads'
import { type ControlClient, connectControl, RpcError } from './control-client.ts'

export interface Offer {
  readonly url: string
  readonly key: string
  readonly sockets: number
  /** Webhooks of one request; 1 (the default): `scheduleWebhook`. */
  readonly batch?: number
  /** Webhooks per second, or requests that each socket always has under way. */
  readonly pace: { readonly perSecond: number } | { readonly inFlight: number }
  readonly seconds: number
}
export interface Offered {
  readonly offered: number
  /** Of these: not even begun, since the socket had taken so little of what was offered before. */
  readonly heldBack: number
  readonly ids: readonly string[]
  /** Accepted, by the second in which the answer came. */
  readonly acceptedBySecond: readonly number[]
  /** Refusals, by `code`, and how many of them carried no hint when to come back. */
  readonly refused: Readonly<Record<string, number>>
  readonly withoutHint: number
  /** Neither accepted nor refused when it was over: the socket had closed. */
  readonly lost: number
}

const TICK_MS = 10
const PORTS = 50
const UNSENT_BYTES_MAX = 4_194_304

const urlOf = (n: number): string => `http://127.0.0.1:${9_000 + (n % PORTS)}/later`
const DELAY_MS = 3_600_000

const offer = async ({ url, key, sockets, batch = 1, pace, seconds }: Offer): Promise<Offered> => {
  const clients = await Promise.all(Array.from({ length: sockets }, () => connectControl(url, key)))
  const many = JSON.stringify({
    webhooks: Array.from({ length: batch }, (_, n) => ({ url: urlOf(n), delayMs: DELAY_MS })),
  })
  const ask = async (client: ControlClient): Promise<readonly string[]> =>
    batch === 1
      ? [(await client.schedule({ url: urlOf(offered), delayMs: DELAY_MS })).id]
      : (await client.callJson<{ readonly ids: readonly string[] }>('scheduleWebhooks', many)).ids
  const ids: string[] = []
  const acceptedBySecond = Array.from({ length: seconds + 60 }, () => 0)
  const refused: Record<string, number> = {}
  let [offered, heldBack, withoutHint, lost] = [0, 0, 0, 0]
  const open = new Set<Promise<void>>()
  const startMono = performance.now()
  const send = async (client: ControlClient): Promise<void> => {
    try {
      const accepted = await ask(client)
      for (const id of accepted) ids.push(id)
      const second = Math.floor((performance.now() - startMono) / 1_000)
      acceptedBySecond[second] = (acceptedBySecond[second] ?? 0) + accepted.length
    } catch (error) {
      if (!(error instanceof RpcError) || error.data === undefined) lost += batch
      else {
        refused[error.data.code] = (refused[error.data.code] ?? 0) + batch
        if (error.data.retryAfterMs === undefined) withoutHint += batch
      }
    }
  }
  const isOver = (): boolean => performance.now() - startMono >= seconds * 1_000
  const atRate = async (perSecond: number): Promise<void> => {
    while (!isOver()) {
      const wanted = Math.floor(((performance.now() - startMono) / 1_000) * perSecond)
      for (; offered + batch <= wanted; offered += batch) {
        const client = clients[(offered / batch) % sockets]
        if (client === undefined || client.unsentBytes() > UNSENT_BYTES_MAX) {
          heldBack += batch
          continue
        }
        const one = send(client)
        open.add(one)
        void one.then(() => open.delete(one))
      }
      await new Promise((resolve) => setTimeout(resolve, TICK_MS))
    }
    await Promise.all(open)
  }
  const oneByOne = async (client: ControlClient): Promise<void> => {
    while (!isOver()) {
      offered += batch
      await send(client)
    }
  }
  if ('perSecond' in pace) await atRate(pace.perSecond)
  else await Promise.all(clients.flatMap((client) => Array.from({ length: pace.inFlight }, () => oneByOne(client))))
  await Promise.all(clients.map((client) => client.close()))
  return { offered, heldBack, ids, acceptedBySecond: acceptedBySecond.slice(0, seconds), refused, withoutHint, lost }
}

const asked: Offer = workerData
parentPort?.postMessage(await offer(asked))
