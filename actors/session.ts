/**
 * session: one client at the other end of a WebSocket (or of one POST). Started by the listener under `sessions`, temporary.
 *
 * State: what is being answered, the subscriptions, and who the client is. It ends with its connection, and its connection
 * with it; a crash costs the client a reconnect, and its idempotency keys make the repetition harmless.
 *
 * The fast way: schedule calls that were read in one go become one append; large frames are read by the ingest thread.
 */
import { ASK_AGAIN_MS, backendOf, KEYS_TABLE, timedOut, unavailable } from '#actors/backend.ts'
import { FrameBox, ingest } from '#actors/ingest.ts'
import { FEW } from '#actors/mailboxes.ts'
import { refusedMethod, refusedUnread } from '#actors/session/door.ts'
import { sample, subscribe, tellNews, tellSample, unsubscribe } from '#actors/session/events.ts'
import {
  admit,
  append,
  appended,
  backlogsCounted,
  foreseen,
  groupOf,
  refuseGroup,
  submit,
} from '#actors/session/scheduling.ts'
import {
  type Ctx,
  callerOf,
  countRequests,
  type Info,
  refusalOf,
  refuse,
  type SessionArgs,
  type SessionProtocol,
  type State,
  settle,
  settleText,
} from '#actors/session/state.ts'
import {
  AUTHENTICATE_WITHIN_MS,
  HEARTBEAT_MS,
  INGEST_FRAME_BYTES,
  PROTOCOL_ERRORS_PER_MINUTE_MAX,
  REFUSED_REST_MS,
  REQUEST_MS_MAX,
  REQUESTS_AGAIN_MS,
  REQUESTS_IN_FLIGHT_MAX,
  REQUESTS_NODE_MAX,
  SOCKET_BUFFERED_END_BYTES,
  SOCKET_BUFFERED_GAP_BYTES,
  SOCKET_DRAIN_MS_MAX,
} from '#config/limits.ts'
import type { Caller } from '#control/caller.ts'
import { readParams } from '#control/explain.ts'
import { type Asked, Group, Slot } from '#control/flight.ts'
import { noKeyData } from '#control/gate.ts'
import { unpackHeads } from '#control/heads.ts'
import type { IngestedFrame, IngestedItem } from '#control/ingest.ts'
import { readSchedule, readSchedules } from '#control/intake.ts'
import { errorText, type RpcItem, readFrame, unknownMethod } from '#control/json-rpc.ts'
import { isLive } from '#control/keys.ts'
import { isAskingMethod, runMethod } from '#control/methods.ts'
import { News } from '#control/news.ts'
import { isMethodName, METHODS, type MethodName } from '#control/protocol.ts'
import { Refusal } from '#control/refusal.ts'
import { CLOSE_GOING_AWAY, CLOSE_POLICY, CLOSE_UNAUTHENTICATED } from '#control/socket-transport.ts'
import { Subscriptions } from '#control/subscriptions.ts'
import { ONE, REQUESTS_TABLE, type RequestsRow } from '#overload/tables.ts'
import { type Behaviour, keep, ok, stop } from '#runtime/behaviour.ts'
import type { StoredKey } from '#store/store.ts'

const DRAIN_CHECK_MS = 1_000
const ERROR_WINDOW_MS = 60_000

export const sessionActor: Behaviour<SessionProtocol, SessionArgs, State> = {
  name: 'session',
  version: 1,
  mailbox: FEW,
  init({ transport, caller, shared }, ctx) {
    ctx.trapExit(true)
    ctx.own(() => transport.terminate())
    transport.attach({
      frames: () => ctx.send(ctx.self, { type: 'frames' }),
      closed: () => ctx.send(ctx.self, { type: 'closed' }),
    })
    watchExpiry(caller, ctx)
    if (caller === null) ctx.sendAfter(AUTHENTICATE_WITHIN_MS, { type: 'authenticate-by' })
    if (!transport.oneShot) ctx.sendAfter(HEARTBEAT_MS, { type: 'heartbeat' })
    const state: State = {
      shared,
      transport,
      backend: backendOf(ctx, shared),
      node: nodeRequests(ctx),
      subscriptions: new Subscriptions(),
      caller,
      inFlight: 0,
      requests: 0,
      awaitsRoom: false,
      asked: [],
      taken: [],
      out: [],
      ingestFull: false,
      resting: false,
      errorsSinceMono: ctx.world.monoNow(),
      errors: 0,
      clogged: null,
      news: new News(),
      watches: new Set(),
      samples: false,
      samplesThinned: 0,
      bug: null,
    }
    ctx.own(() => countRequests(-state.requests, state))
    return ok(state)
  },
  info(message, state, ctx) {
    if (message.type === 'closed') return stop('normal', state)
    if (message.type !== 'DOWN' && message.type !== 'EXIT' && message.type !== 'timeout') hear(message, state, ctx)
    takeFrames(state, ctx)
    speak(state, ctx)
    if (state.bug !== null) return stop(state.bug, state)
    if (!state.transport.oneShot || state.inFlight > 0) return keep
    state.transport.close(CLOSE_GOING_AWAY, 'answered')
    return stop('normal', state)
  },
  terminate(reason, state) {
    if (reason === 'shutdown') state.transport.close(CLOSE_GOING_AWAY, 'the daemon stops; connect again')
  },
  formatStatus: ({ caller, inFlight }) => ({ caller, inFlight }),
}

const hear = (message: Info, state: State, ctx: Ctx): void => {
  switch (message.type) {
    case 'frames':
    case 'closed':
      return
    case 'appended':
      return appended(message, state, ctx)
    case 'brands-known':
      return message.ok
        ? admit(message.data, state, ctx)
        : refuseGroup(message.data, refusalOf(message.reason, state), state)
    case 'append-again':
      return append(message.group, ctx)
    case 'backlogs-counted':
      return backlogsCounted(message, state, ctx)
    case 'foreseen':
      return foreseen(message, state, ctx)
    case 'ingested':
      return ingested(message, state, ctx)
    case 'ingest-again':
      return askIngest(message.box, state, ctx)
    case 'ingest-full':
    case 'ingest-free':
      state.ingestFull = message.type === 'ingest-full'
      return
    case 'rested':
      state.resting = false
      return
    case 'done':
      if (message.ok) settle(message.data, JSON.stringify(message.value), state)
      else refuse(message.data, refusalOf(message.reason, state), state)
      return
    case 'news':
      return tellNews(state)
    case 'requests-again':
      state.awaitsRoom = false
      return
    case 'sample':
      return sample(state, ctx)
    case 'sampled':
      if (message.ok) tellSample(message.data, message.value, state, ctx)
      return
    case 'heartbeat':
      if (!state.transport.ping()) return state.transport.terminate()
      ctx.sendAfter(HEARTBEAT_MS, { type: 'heartbeat' })
      return
    case 'authenticate-by':
      if (state.caller === null) state.transport.close(CLOSE_UNAUTHENTICATED, 'no key within 5 s')
      return
    case 'keys-changed':
      if (isRevoked(state, ctx)) state.transport.close(CLOSE_UNAUTHENTICATED, 'the key is no longer valid')
      return
    case 'drain-check':
      return checkDrain(state, ctx)
    default:
      message satisfies never
  }
}

// ---------------------------------------------------------------- frames in, answers out

/** Reads on while there is room; what was scheduled in this go leaves as one append. */
const takeFrames = (state: State, ctx: Ctx): void => {
  while (mayRead(state)) {
    if (!hasRoom(state)) {
      lookAgain(state, ctx)
      break
    }
    const bytes = state.transport.take()
    if (bytes === undefined) break
    readOne(bytes, state, ctx)
  }
  if (state.asked.length > 0) {
    submit(Group.ofSingles(state.asked, state.taken, ctx.world.monoNow()), state, ctx)
    state.asked = []
    state.taken = []
  }
  if (mayRead(state) && hasRoom(state)) state.transport.resume()
  else state.transport.pause()
}

const mayRead = (state: State): boolean =>
  state.inFlight < REQUESTS_IN_FLIGHT_MAX && !state.ingestFull && !state.resting && state.clogged === null

/** Who has nothing under way is read longer: a few who ask very much keep nobody out who asks a little. */
const hasRoom = ({ requests, node }: State): boolean =>
  node.inFlight < (requests === 0 ? 2 * REQUESTS_NODE_MAX : REQUESTS_NODE_MAX)
const lookAgain = (state: State, ctx: Ctx): void => {
  if (!state.awaitsRoom) ctx.sendAfter(REQUESTS_AGAIN_MS, { type: 'requests-again' })
  state.awaitsRoom = true
}
const nodeRequests = (ctx: Ctx): RequestsRow => {
  const table = ctx.table<string, RequestsRow>(REQUESTS_TABLE)
  const row = table.get(ONE) ?? { inFlight: 0 }
  table.set(ONE, row)
  return row
}

const speak = (state: State, ctx: Ctx): void => {
  if (state.out.length > 0) {
    state.transport.send(state.out)
    state.out = []
    ctx.world.failpoint('control.answered')
  }
  const bytes = state.transport.buffered()
  if (bytes <= SOCKET_BUFFERED_GAP_BYTES || state.clogged !== null) return
  state.clogged = { sinceMono: ctx.world.monoNow(), bytes }
  state.transport.pause()
  ctx.sendAfter(DRAIN_CHECK_MS, { type: 'drain-check' })
}

/** A client that does not read for 30 s, or lets 4 MiB stand, is let go (reliability.md C7). */
const checkDrain = (state: State, ctx: Ctx): void => {
  const bytes = state.transport.buffered()
  if (state.clogged === null) return
  if (bytes <= SOCKET_BUFFERED_GAP_BYTES) {
    state.clogged = null
    return
  }
  const tooLong = ctx.world.monoNow() - state.clogged.sinceMono > SOCKET_DRAIN_MS_MAX
  const tooMuch = bytes > SOCKET_BUFFERED_END_BYTES && bytes >= state.clogged.bytes
  if (tooLong || tooMuch) return state.transport.terminate()
  state.clogged.bytes = bytes
  ctx.sendAfter(DRAIN_CHECK_MS, { type: 'drain-check' })
}

const readOne = (bytes: Uint8Array, state: State, ctx: Ctx): void => {
  if (isRevoked(state, ctx)) return state.transport.close(CLOSE_UNAUTHENTICATED, 'the key is no longer valid')
  state.inFlight += 1
  if (bytes.length > INGEST_FRAME_BYTES) {
    countRequests(1, state)
    if (state.caller !== null) return readLarge(bytes, state, ctx)
    return refuse({ slot: new Slot(false, 1), id: null }, noKeyData, state)
  }
  const frame = readFrame(bytes)
  ctx.world.failpoint('control.decoded')
  countRequests(frame.items.length, state)
  const slot = new Slot(frame.batch, frame.items.length)
  for (const item of frame.items) answerItem(item, slot, state, ctx)
}

/**
 * What is refused is refused before it costs the reading. Who sends on all the same is read more slowly: taking megabytes off sockets in one turn
 * of the loop is what keeps main from feeding the store with those that fit.
 */
const readLarge = (bytes: Uint8Array, state: State, ctx: Ctx): void => {
  const refused = refusedUnread(bytes, ctx)
  if (refused === null) return askIngest(new FrameBox(ownBytes(bytes), ctx.world.monoNow()), state, ctx)
  refuse({ slot: new Slot(false, 1), id: refused.head.id }, refused.data, state)
  if (!state.resting) ctx.sendAfter(REFUSED_REST_MS, { type: 'rested' })
  state.resting = true
}

/** A key that expires closes its sockets at that instant. */
const watchExpiry = (caller: Caller | null, ctx: Ctx): void => {
  if (caller === null) return
  const expiresAt = ctx.table<string, StoredKey>(KEYS_TABLE).get(caller.keyId)?.expiresAt ?? null
  if (expiresAt !== null) ctx.sendAfter(Math.max(0, expiresAt - ctx.world.wallNow()), { type: 'keys-changed' })
}

const isRevoked = ({ caller }: State, ctx: Ctx): boolean => {
  if (caller === null) return false
  const key = ctx.table<string, StoredKey>(KEYS_TABLE).get(caller.keyId)
  return key === undefined || !isLive(key, ctx.world.wallNow())
}

/** Handed to a thread whole, so never a part of somebody else's memory. */
const ownBytes = (bytes: Uint8Array): Uint8Array<ArrayBuffer> =>
  bytes.buffer instanceof ArrayBuffer && bytes.buffer.byteLength === bytes.length
    ? new Uint8Array(bytes.buffer)
    : new Uint8Array(bytes)

const answerItem = (item: RpcItem, slot: Slot, state: State, ctx: Ctx): void => {
  if (item.kind === 'invalid') {
    countError(state, ctx)
    return settleText({ slot, id: item.id }, errorText(item.id, item.error), state)
  }
  answerRequest(item.method, item.params, { slot, id: item.id }, state, ctx)
}

const answerRequest = (method: string, params: object | undefined, asked: Asked, state: State, ctx: Ctx): void => {
  try {
    if (state.caller === null && method !== 'authenticate') throw new Refusal('UNAUTHENTICATED', noKeyData.message)
    if (isMethodName(method)) return run(method, params, asked, state, ctx)
    countError(state, ctx)
    settleText(asked, errorText(asked.id ?? null, unknownMethod(method)), state)
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    refuse(asked, error.data, state)
  }
}

const run = (method: MethodName, params: object | undefined, asked: Asked, state: State, ctx: Ctx): void => {
  if (method === 'authenticate') return authenticate(params, asked, state, ctx)
  const caller = callerOf(state)
  const refused = refusedMethod(method, ctx)
  if (refused !== null) return refuse(asked, refused, state)
  const { reader, ids } = state.shared
  const randomBytes = (length: number): Uint8Array => ctx.world.randomBytes(length)
  const given = { caller, reader, ids, randomBytes, now: ctx.world.wallNow() }
  if (method === 'scheduleWebhook' || method === 'scheduleWebhooks') whileOpen(state)
  if (method === 'scheduleWebhook') {
    state.taken.push(readSchedule(params, given))
    state.asked.push(asked)
  } else if (method === 'scheduleWebhooks') submit(groupOf(asked, readSchedules(params, given), ctx), state, ctx)
  else if (method === 'subscribe') subscribe(params, asked, state, ctx)
  else if (method === 'unsubscribe') unsubscribe(params, asked, state)
  else if (isAskingMethod(method)) ctx.pipe(runMethod(method, params, caller, state.backend), 'done', asked)
}

/** What is stored now would wait for the next start; better that its sender knows. Cancels and reads go on. */
const whileOpen = (state: State): void => {
  if (state.shared.host.stopping()) throw shuttingDown()
}
const shuttingDown = (): Refusal =>
  new Refusal('SHUTTING_DOWN', 'the daemon is stopping; connect again in a moment', { retryAfterMs: 5_000 })

const countError = (state: State, ctx: Ctx): void => {
  const now = ctx.world.monoNow()
  if (now - state.errorsSinceMono > ERROR_WINDOW_MS) {
    state.errorsSinceMono = now
    state.errors = 0
  }
  state.errors += 1
  if (state.errors >= PROTOCOL_ERRORS_PER_MINUTE_MAX) state.transport.close(CLOSE_POLICY, 'too many protocol errors')
}

// ---------------------------------------------------------------- large frames

const askIngest = (box: FrameBox, state: State, ctx: Ctx): void => {
  const read = { type: 'read', box, caller: callerOf(state), now: ctx.world.wallNow(), session: ctx.self } as const
  ctx.request(ingest, read, 'ingested', box, REQUEST_MS_MAX)
}

const ingested = (message: Extract<Info, { type: 'ingested' }>, state: State, ctx: Ctx): void => {
  const box = message.data
  if (message.ok) return answerIngested(message.value, state, ctx)
  // The one that is coming knows nothing of a pause.
  state.ingestFull = false
  const isWhole = box.bytes.length > 0
  if (message.reason !== 'timeout' && isWhole && ctx.world.monoNow() - box.startedMono < REQUEST_MS_MAX) {
    ctx.sendAfter(ASK_AGAIN_MS, { type: 'ingest-again', box })
    return
  }
  const { data } = message.reason === 'timeout' ? timedOut() : unavailable('restarting')
  refuse({ slot: new Slot(false, 1), id: null }, data, state)
}

const answerIngested = (frame: IngestedFrame, state: State, ctx: Ctx): void => {
  countRequests(frame.items.length - 1, state)
  const slot = new Slot(frame.batch, frame.items.length)
  for (const item of frame.items) answerIngestedItem(item, slot, state, ctx)
}

const answerIngestedItem = (item: IngestedItem, slot: Slot, state: State, ctx: Ctx): void => {
  switch (item.kind) {
    case 'answer':
      if (item.protocolError) countError(state, ctx)
      return settleText({ slot, id: item.text === null ? undefined : null }, item.text ?? '', state)
    case 'request':
      return answerRequest(item.method, item.params, { slot, id: item.id }, state, ctx)
    case 'append': {
      if (state.shared.host.stopping()) return refuse({ slot, id: item.id }, shuttingDown().data, state)
      const refused = refusedMethod(item.many ? 'scheduleWebhooks' : 'scheduleWebhook', ctx)
      if (refused !== null) return refuse({ slot, id: item.id }, refused, state)
      const { rows, brands, many, predict, at } = item
      const packed = { rows, brands, many, predict, at, heads: unpackHeads(item.heads) }
      return submit(Group.ofPacked({ slot, id: item.id }, packed, ctx.world.monoNow()), state, ctx)
    }
    default:
      item satisfies never
  }
}

// ---------------------------------------------------------------- who it is

const authenticate = (params: object | undefined, asked: Asked, state: State, ctx: Ctx): void => {
  const { key } = readParams(METHODS.authenticate.params, params ?? {})
  const { gate } = state.shared
  const caller = gate.callerOf(key)
  if (caller === null) return refuse(asked, gate.wrongKey(state.transport.address).data, state)
  state.caller = caller
  watchExpiry(caller, ctx)
  settle(asked, JSON.stringify({ role: caller.role, brand: caller.brand }), state)
}
