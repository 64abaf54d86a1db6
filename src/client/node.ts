/** The client for Node: the key travels with the upgrade, so frames up to 12 MiB are taken. */
import { WebSocket } from 'ws'
import { RealWorld } from '#world/real-world.ts'
import { type Client, connect as connectBy } from './client.ts'
import type { OpenSocket } from './socket.ts'

export { type Client, type EventNotice, type ParamsIn, type Results, RpcFailure } from './client.ts'

const ANSWER_BYTES_MAX = 64 * 1_048_576

export const openNodeSocket: OpenSocket = (url, key, events) => {
  const socket = new WebSocket(url, {
    headers: { authorization: `Bearer ${key}` },
    perMessageDeflate: false,
    maxPayload: ANSWER_BYTES_MAX,
  })
  let why = ''
  socket.on('open', events.open)
  socket.on('message', (data) => events.text(data.toString()))
  socket.on('error', (error) => {
    why = error.message
  })
  socket.on('close', (code, reason) => events.closed(why === '' ? `closed by the daemon (${code} ${reason})` : why))
  return { sendsKey: true, send: (text) => socket.send(text), close: () => socket.close() }
}

/** `url` like `http://127.0.0.1:7411`. Rejects with RpcFailure. */
export const connect = (options: {
  readonly url: string
  readonly key: string
  readonly tries?: number
}): Promise<Client> => connectBy({ ...options, open: openNodeSocket, world: new RealWorld() })
