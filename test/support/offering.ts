/** Offers schedules at a rate over several sockets, from a thread of its own, whether they are answered or not (an open loop). */
import { parentPort, workerData } from 'node:worker_threads'
import { connectControl, RpcError } from './control-client.ts'

export interface Offer {
  readonly url: string
  readonly key: string
  readonly sockets: number
  readonly perSecond: number
  readonly seconds: number
}
export interface Offered {
  readonly offered: number
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

const offer = async ({ url, key, sockets, perSecond, seconds }: Offer): Promise<Offered> => {
  const clients = await Promise.all(Array.from({ length: sockets }, () => connectControl(url, key)))
  const ids: string[] = []
  const acceptedBySecond = Array.from({ length: seconds + 60 }, () => 0)
  const refused: Record<string, number> = {}
  let [offered, withoutHint, lost] = [0, 0, 0]
  const open = new Set<Promise<void>>()
  const startMono = performance.now()
  const send = async (client: (typeof clients)[number]): Promise<void> => {
    try {
      const { id } = await client.schedule({
        url: `http://127.0.0.1:${9_000 + (offered % 50)}/later`,
        delayMs: 3_600_000,
      })
      ids.push(id)
      const second = Math.floor((performance.now() - startMono) / 1_000)
      acceptedBySecond[second] = (acceptedBySecond[second] ?? 0) + 1
    } catch (error) {
      if (!(error instanceof RpcError) || error.data === undefined) lost += 1
      else {
        refused[error.data.code] = (refused[error.data.code] ?? 0) + 1
        if (error.data.retryAfterMs === undefined) withoutHint += 1
      }
    }
  }
  for (;;) {
    const passedMs = performance.now() - startMono
    if (passedMs >= seconds * 1_000) break
    const wanted = Math.floor((passedMs / 1_000) * perSecond)
    for (; offered < wanted; offered++) {
      const client = clients[offered % sockets]
      if (client === undefined) break
      const one = send(client)
      open.add(one)
      void one.then(() => open.delete(one))
    }
    await new Promise((resolve) => setTimeout(resolve, TICK_MS))
  }
  await Promise.all(open)
  await Promise.all(clients.map((client) => client.close()))
  return { offered, ids, acceptedBySecond: acceptedBySecond.slice(0, seconds), refused, withoutHint, lost }
}

const asked: Offer = workerData
parentPort?.postMessage(await offer(asked))
