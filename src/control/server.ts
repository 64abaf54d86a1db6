/**
 * The port: HTTP with a WebSocket upgrade at `/rpc`. Knows who may come in; what is said then is the sessions' business.
 * Bounds and reasons: reliability.md 3.5, C1 to C3.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import { WebSocketServer } from 'ws'
import {
  AUTHENTICATE_WITHIN_MS,
  CONNECTIONS_MAX,
  FRAME_BYTES_MAX,
  FRAME_BYTES_PLAIN_MAX,
  FRAME_CHUNKS_MAX,
  FRAME_CHUNKS_PLAIN_MAX,
  FRAME_FRAGMENTS_MAX,
} from '#config/limits.ts'
import type { World } from '#world/world.ts'
import type { Caller } from './caller.ts'
import { type Admission, type Gate, RPC_PATH } from './gate.ts'
import { errorText } from './json-rpc.ts'
import { answerJson, PostTransport } from './post-transport.ts'
import { type ErrorData, rpcErrorOf } from './refusal.ts'
import { SocketTransport } from './socket-transport.ts'
import type { Transport } from './transport.ts'

export interface ServerHandlers {
  /** Somebody is to be served. `caller` null: must still say who it is. */
  open(transport: Transport, caller: Caller | null): void
  /** Why the daemon is not ready, or null. */
  notReady(): string | null
  acceptFailed(error: Error): void
  metrics(): Promise<{ readonly contentType: string; readonly text: string }>
  /** JSON text. */
  openRpc(): string
}

export interface ControlServer {
  /** Resolves with the port. Rejects with Node's error, EADDRINUSE above all. */
  listen(port: number, host: string): Promise<number>
  /** Nobody new comes in and the port is free; open WebSockets live on. */
  close(): Promise<void>
}

export const controlServer = (gate: Gate, handlers: ServerHandlers, world: World): ControlServer => {
  const sockets = upgradeServers()
  const server = createServer({
    headersTimeout: 10_000,
    requestTimeout: 15_000,
    connectionsCheckingInterval: 1_000,
    maxHeaderSize: 8_192,
  })
  server.maxHeadersCount = 64
  server.maxConnections = CONNECTIONS_MAX
  server.on('request', (request, response) => route(request, response, gate, handlers))
  // A connection that could not be accepted, for want of descriptors: its sender tries again, and so does libuv.
  server.on('error', (error) => handlers.acceptFailed(error))
  server.on('clientError', (_error, socket) => refuseSocket(socket, 400))
  server.on('upgrade', (request, socket, head) => {
    socket.on('error', () => socket.destroy())
    const admission = gate.admit(request)
    if (!admission.ok) return refuseUpgrade(socket, admission)
    const upgrade = admission.caller === null ? sockets.plain : sockets.keyed
    upgrade.handleUpgrade(request, socket, head, (ws) => {
      handlers.open(new SocketTransport(ws, socket, addressOf(request), world), admission.caller)
    })
  })
  return {
    listen: (port, host) => listen(server, port, host),
    close: () => closePort(server, world),
  }
}

/** Two, because ws fixes the size of a frame per server: large frames only with a key. */
const upgradeServers = () => {
  const common = {
    noServer: true,
    maxFragments: FRAME_FRAGMENTS_MAX,
    perMessageDeflate: false,
    closeTimeout: AUTHENTICATE_WITHIN_MS,
    clientTracking: false,
    skipUTF8Validation: false,
  }
  return {
    keyed: new WebSocketServer({ ...common, maxPayload: FRAME_BYTES_MAX, maxBufferedChunks: FRAME_CHUNKS_MAX }),
    plain: new WebSocketServer({
      ...common,
      maxPayload: FRAME_BYTES_PLAIN_MAX,
      maxBufferedChunks: FRAME_CHUNKS_PLAIN_MAX,
    }),
  }
}

const listen = (server: Server, port: number, host: string): Promise<number> =>
  new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, () => {
      server.off('error', reject)
      const address = server.address()
      resolve(typeof address === 'object' && address !== null ? address.port : port)
    })
  })

/** `server.close` frees the port at once but reports back only when the last socket has gone, which may be never. */
const closePort = (server: Server, world: World): Promise<void> =>
  new Promise((resolve) => {
    server.close()
    server.closeIdleConnections()
    world.yieldToIo(() => world.yieldToIo(resolve))
  })

const route = (request: IncomingMessage, response: ServerResponse, gate: Gate, handlers: ServerHandlers): void => {
  const path = (request.url ?? '/').split('?', 1)[0]
  if (path === RPC_PATH) {
    if (request.method === 'POST') return post(request, response, gate, handlers)
    return answerText(response, 405, `${RPC_PATH} takes a WebSocket upgrade or a POST\n`)
  }
  if (request.method !== 'GET' && request.method !== 'HEAD') return answerText(response, 405, 'use GET\n')
  if (path === '/healthz') return answerText(response, 200, 'ok\n')
  if (path === '/readyz') {
    const why = handlers.notReady()
    return answerText(response, why === null ? 200 : 503, why === null ? 'ready\n' : `not ready: ${why}\n`)
  }
  if (path === '/openrpc.json') return answerJson(response, 200, handlers.openRpc())
  if (path === '/metrics') return metrics(response, handlers)
  if (path === '/')
    return answerText(
      response,
      200,
      `HookPulse. The control channel is ${RPC_PATH}; its methods are in /openrpc.json\n`,
    )
  answerText(response, 404, 'not found\n')
}

const metrics = (response: ServerResponse, handlers: ServerHandlers): void => {
  handlers.metrics().then(
    ({ contentType, text }) => {
      response.writeHead(200, { 'content-type': contentType })
      response.end(text)
    },
    () => answerText(response, 500, 'metrics cannot be read\n'),
  )
}

const post = (request: IncomingMessage, response: ServerResponse, gate: Gate, handlers: ServerHandlers): void => {
  const admission = gate.admit(request)
  if (!admission.ok) return answerRefusal(response, admission)
  const { caller } = admission
  if (caller === null) return answerRefusal(response, gate.withoutKey())
  readBody(request, (frame) => {
    if (frame === null)
      return answerRefusal(response, {
        status: 413,
        data: {
          code: 'INVALID_PARAMS',
          message: `the body is larger than ${FRAME_BYTES_MAX} bytes; send less at once`,
        },
      })
    handlers.open(new PostTransport(frame, response, addressOf(request)), caller)
  })
}

/** Null: larger than a frame may be. Says nothing where the other end went away. */
const readBody = (request: IncomingMessage, done: (frame: Uint8Array | null) => void): void => {
  const chunks: Uint8Array[] = []
  let bytes = 0
  request.on('data', (chunk: Uint8Array) => {
    bytes += chunk.length
    if (bytes > FRAME_BYTES_MAX) chunks.length = 0
    else chunks.push(chunk)
  })
  request.on('error', () => request.destroy())
  request.on('end', () => done(bytes > FRAME_BYTES_MAX ? null : Buffer.concat(chunks)))
}

type Refused = Pick<Extract<Admission, { readonly ok: false }>, 'status' | 'data'>

const answerRefusal = (response: ServerResponse, { status, data }: Refused): void =>
  answerJson(response, status, refusalText(data), { connection: 'close', ...retryAfter(data) })

const retryAfter = (data: ErrorData): Readonly<Record<string, string>> =>
  data.retryAfterMs === undefined ? {} : { 'retry-after': String(Math.ceil(data.retryAfterMs / 1_000)) }

const refusalText = (data: ErrorData): string => errorText(null, rpcErrorOf(data))

const refuseUpgrade = (socket: Duplex, { status, data }: Refused): void => {
  const text = refusalText(data)
  const headers = { 'content-type': 'application/json; charset=utf-8', connection: 'close', ...retryAfter(data) }
  const lines = Object.entries({ ...headers, 'content-length': String(Buffer.byteLength(text)) })
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n${lines.map(([k, v]) => `${k}: ${v}\r\n`).join('')}\r\n${text}`,
  )
}
const refuseSocket = (socket: Duplex, status: number): void => {
  if (socket.writable) socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\nconnection: close\r\n\r\n`)
  else socket.destroy()
}

const answerText = (response: ServerResponse, status: number, text: string): void => {
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8', 'content-length': Buffer.byteLength(text) })
  response.end(text)
}

const addressOf = (request: IncomingMessage): string => request.socket.remoteAddress ?? ''
