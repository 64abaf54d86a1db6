/**
 * The receiver's own process (started by `counting-receiver.ts`): real HTTP servers that note every arrival and how many
 * requests are open at once, in all, per port, and per first segment of the path (tests put the brand there).
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { performance } from 'node:perf_hooks'
import type { Arrivals, Behaviour, Figures, ReceiverAnswer, ReceiverRequest } from './counting-receiver.ts'

const behaviour: Behaviour = { delayMs: 0, status: 200, hold: false, capacity: null, diesAbove: null, headers: {} }
const counts = { arrivals: 0, answered: 0, aborted: 0, open: 0, openMax: 0, died: false }
const openBy = new Map<string, { now: number; max: number }>()
const distinct = new Set<string>()
interface Seen {
  ids: string[]
  urls: string[]
  ports: number[]
  at: number[]
  statuses: number[]
}
const nothingSeen = (): Seen => ({ ids: [], urls: [], ports: [], at: [], statuses: [] })
let seen = nothingSeen()
const held: (() => void)[] = []
let waiting: { distinct: number; open: number; arrivals: number; answer: () => void }[] = []
const servers: Server[] = []

/** Each look at the edge of a millisecond comes late by what the look took: the greatest difference is the nearest. */
const wallOffset = ((): number => {
  let most = Number.NEGATIVE_INFINITY
  for (let round = 0; round < 5; round += 1) {
    const before = Date.now()
    let now = before
    while (now === before) now = Date.now()
    most = Math.max(most, now - performance.now())
  }
  return most
})()
/**
 * Wall clock with fractions: the milliseconds are `Date.now()`'s own, the clock by which a daemon on this machine judges what is
 * due, so that "early" is exact; only the fraction is the monotonic clock's.
 */
const wallNow = (): number => {
  const now = Date.now()
  return Math.min(now + 0.999, Math.max(now, wallOffset + performance.now()))
}

const enter = (key: string): (() => void) => {
  const entry = openBy.get(key) ?? { now: 0, max: 0 }
  openBy.set(key, entry)
  entry.now += 1
  entry.max = Math.max(entry.max, entry.now)
  return () => {
    entry.now -= 1
  }
}

const tellWaiting = (): void => {
  const reached = waiting.filter(
    (one) => distinct.size >= one.distinct && counts.open >= one.open && counts.arrivals >= one.arrivals,
  )
  if (reached.length === 0) return
  waiting = waiting.filter((one) => !reached.includes(one))
  for (const one of reached) one.answer()
}

const die = (): void => {
  counts.died = true
  for (const server of servers) {
    server.close()
    server.closeAllConnections()
  }
}

/** Says how its status is noted when it is over. */
const note = (request: IncomingMessage, port: number): ((status: number) => void) => {
  const id = String(request.headers['webhook-id'] ?? request.url)
  seen.ids.push(id)
  seen.urls.push(request.url ?? '')
  seen.ports.push(port)
  seen.at.push(wallNow())
  const { statuses } = seen
  const index = statuses.push(0) - 1
  distinct.add(id)
  counts.arrivals += 1
  counts.open += 1
  counts.openMax = Math.max(counts.openMax, counts.open)
  return (status) => {
    statuses[index] = status
  }
}

const answer = (response: ServerResponse, status = behaviour.status): void => {
  if (response.destroyed) return
  response.writeHead(status, { 'content-length': 2, ...behaviour.headers })
  response.end('ok')
}

/** A backend with a hidden capacity: so many workers, a queue before them, and errors when that is too long. */
const backend = { working: 0, queue: [] as ServerResponse[] }
const serve = (response: ServerResponse): void => {
  const capacity = behaviour.capacity ?? Number.POSITIVE_INFINITY
  if (counts.open > 2 * capacity) return answer(response, 503)
  backend.queue.push(response)
  work()
}
const work = (): void => {
  while (backend.working < (behaviour.capacity ?? Number.POSITIVE_INFINITY)) {
    const next = backend.queue.shift()
    if (next === undefined) return
    backend.working += 1
    setTimeout(() => {
      backend.working -= 1
      answer(next)
      work()
    }, behaviour.delayMs)
  }
}

/** Number of the port -> what to do with its requests. */
const takes = (port: number) => (request: IncomingMessage, response: ServerResponse) => {
  const noteStatus = note(request, port)
  const leave = [enter(`port ${port}`), enter(`path ${(request.url ?? '').split('/')[1] ?? ''}`)]
  response.once('close', () => {
    counts.open -= 1
    if (response.headersSent) noteStatus(response.statusCode)
    if (response.writableFinished) counts.answered += 1
    else counts.aborted += 1
    for (const one of leave) one()
  })
  if (behaviour.diesAbove !== null && counts.open > behaviour.diesAbove) die()
  request.resume()
  request.once('end', () => {
    if (behaviour.hold) held.push(() => answer(response))
    else if (behaviour.capacity !== null) serve(response)
    else if (behaviour.delayMs === 0) answer(response)
    else setTimeout(() => answer(response), behaviour.delayMs)
  })
  tellWaiting()
}

const listen = async (port: number): Promise<number> => {
  const server = createServer({ keepAliveTimeout: 60_000 }, takes(port))
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', 4_096, resolve))
  const address: AddressInfo | string | null = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}

const figures = (): Figures => ({
  ...counts,
  distinct: distinct.size,
  openMaxBy: Object.fromEntries([...openBy].map(([key, { max }]) => [key, max])),
  cpuMicros: ((usage) => usage.user + usage.system)(process.cpuUsage()),
})
const arrivals = (): Arrivals => ({
  ...seen,
  at: Float64Array.from(seen.at),
  statuses: Uint16Array.from(seen.statuses),
})
const forget = (): void => {
  seen = nothingSeen()
  distinct.clear()
  openBy.clear()
  Object.assign(counts, { arrivals: 0, answered: 0, aborted: 0, openMax: counts.open })
}

const say = (message: ReceiverAnswer): void => {
  process.send?.(message)
}
const release = (count: number): number => {
  const let_go = held.splice(0, count)
  for (const one of let_go) one()
  return let_go.length
}

const handle = async (request: ReceiverRequest): Promise<void> => {
  const { seq } = request
  switch (request.type) {
    case 'listen': {
      const ports: number[] = []
      for (let port = 0; port < request.ports; port += 1) ports.push(await listen(port))
      return say({ seq, value: ports })
    }
    case 'behave':
      Object.assign(behaviour, request.behaviour)
      return say({ seq, value: null })
    case 'release':
      return say({ seq, value: release(request.count) })
    case 'figures':
      return say({ seq, value: figures() })
    case 'arrivals':
      return say({ seq, value: arrivals() })
    case 'forget':
      forget()
      return say({ seq, value: null })
    case 'wait':
      waiting.push({ ...request.until, answer: () => say({ seq, value: null }) })
      return tellWaiting()
    default:
      return request satisfies never
  }
}

process.on('message', (request: ReceiverRequest) => void handle(request))
process.on('disconnect', () => process.exit(0))
