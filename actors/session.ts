/**
 * session: one client at the other end of a WebSocket (or of one POST). Started by the listener under `sessions`, temporary.
 *
 * State: what is being answered, the subscriptions, and who the client is. It ends with its connection, and its connection
 * with it; a crash costs the client a reconnect, and its idempotency keys make the repetition harmless.
 *
 * The fast way: schedule calls that were read in one go become one append; large frames are read by the ingest thread.
 */
import {
  ASK_AGAIN_MS,
  BRANDS_TABLE,
  backendOf,
  ensureBrand,
  isPassing,
  KEYS_TABLE,
  timedOut,
  unavailable,
} from '#actors/backend.ts'
import { FrameBox, type IngestSays, ingest } from '#actors/ingest.ts'
import { scheduler } from '#actors/scheduler.ts'
import type { StoreFailed } from '#actors/store-keeper.ts'
import {
  AUTHENTICATE_WITHIN_MS,
  HEARTBEAT_MS,
  INGEST_FRAME_BYTES,
  PROTOCOL_ERRORS_PER_MINUTE_MAX,
  REQUEST_MS_MAX,
  REQUESTS_IN_FLIGHT_MAX,
  SOCKET_BUFFERED_END_BYTES,
  SOCKET_BUFFERED_GAP_BYTES,
  SOCKET_DRAIN_MS_MAX,
} from '#config/limits.ts'
import type { Backend, Host } from '#control/backend.ts'
import type { Caller } from '#control/caller.ts'
import { readParams } from '#control/explain.ts'
import { type Asked, Group, Slot, scheduledManyText, scheduledText } from '#control/flight.ts'
import { type Gate, noKeyData } from '#control/gate.ts'
import { unpackHeads } from '#control/heads.ts'
import type { IngestedFrame, IngestedItem } from '#control/ingest.ts'
import { readSchedule, readSchedules } from '#control/intake.ts'
import { errorText, type RpcItem, readFrame, resultText, unknownMethod } from '#control/json-rpc.ts'
import { isLive } from '#control/keys.ts'
import { domainOf, forAdmins, isAskingMethod, runMethod } from '#control/methods.ts'
import type { Taken, WebhookReader } from '#control/new-webhook.ts'
import { isMethodName, METHODS, type MethodName } from '#control/protocol.ts'
import { type ErrorData, Refusal, rpcErrorOf } from '#control/refusal.ts'
import { CLOSE_GOING_AWAY, CLOSE_POLICY, CLOSE_UNAUTHENTICATED } from '#control/socket-transport.ts'
import { eventText, Subscriptions, supervisionData } from '#control/subscriptions.ts'
import type { Transport } from '#control/transport.ts'
import { webhookView } from '#control/views.ts'
import { type Behaviour, keep, ok, stop } from '#runtime/behaviour.ts'
import type { Context } from '#runtime/context.ts'
import type { ExitReason } from '#runtime/exit.ts'
import type { Answer } from '#runtime/protocol.ts'
import { encodeRows } from '#store/rows.ts'
import type { Appended, StoredKey } from '#store/store.ts'
import type { Feed, FeedEntry } from '#telemetry/feed.ts'
import type { Monitor } from '#telemetry/monitor.ts'
import type { WebhookIds } from '#webhook/id.ts'
import type { Brand } from '#webhook/webhook.ts'

/** What all sessions of a daemon share. */
export interface SessionShared {
  readonly gate: Gate
  readonly reader: WebhookReader
  readonly ids: WebhookIds
  readonly monitor: Monitor
  readonly feed: Feed
  readonly host: Host
}
export interface SessionArgs {
  readonly transport: Transport
  /** Null: must still say who it is. */
  readonly caller: Caller | null
  readonly shared: SessionShared
}

export type SessionProtocol = {
  readonly call: never
  readonly cast: never
  readonly info:
    | { readonly type: 'frames' | 'closed' | 'heartbeat' | 'drain-check' | 'authenticate-by' | 'sample' }
    | { readonly type: 'submit'; readonly group: Group }
    | { readonly type: 'ingest-again'; readonly box: FrameBox }
    | { readonly type: 'feed'; readonly entry: FeedEntry }
    | IngestSays
    | Answer<'appended', Appended | StoreFailed, Group>
    | Answer<'brands-known', void, Group>
    | Answer<'ingested', IngestedFrame, FrameBox>
    | Answer<'done', unknown, Asked>
    | Answer<'sampled', unknown, string>
  readonly continue: never
}

interface State {
  readonly shared: SessionShared
  readonly transport: Transport
  readonly backend: Backend
  readonly subscriptions: Subscriptions
  caller: Caller | null
  /** Frames being answered. */
  inFlight: number
  /** Single schedule calls of this go; they become one group. */
  asked: Asked[]
  taken: Taken[]
  /** What goes out at the end of this go. */
  out: string[]
  ingestFull: boolean
  errorsSinceMono: number
  errors: number
  /** Set while the client does not read: since when, and how much stood at the last look. */
  clogged: { readonly sinceMono: number; bytes: number } | null
  watchesFeed: boolean
  samples: boolean
  /** A bug in a method: the client is told, then the session ends with it. */
  bug: ExitReason | null
}
type Ctx = Context<SessionProtocol>
type Info = SessionProtocol['info']

const SAMPLE_MS = 1_000
const DRAIN_CHECK_MS = 1_000
const ERROR_WINDOW_MS = 60_000

export const sessionActor: Behaviour<SessionProtocol, SessionArgs, State> = {
  name: 'session',
  version: 1,
  init({ transport, caller, shared }, ctx) {
    ctx.trapExit(true)
    ctx.own(() => transport.terminate())
    transport.attach({
      frames: () => ctx.send(ctx.self, { type: 'frames' }),
      closed: () => ctx.send(ctx.self, { type: 'closed' }),
    })
    if (caller === null) ctx.sendAfter(AUTHENTICATE_WITHIN_MS, { type: 'authenticate-by' })
    if (!transport.oneShot) ctx.sendAfter(HEARTBEAT_MS, { type: 'heartbeat' })
    return ok({
      shared,
      transport,
      backend: backendOf(ctx, shared),
      subscriptions: new Subscriptions(),
      caller,
      inFlight: 0,
      asked: [],
      taken: [],
      out: [],
      ingestFull: false,
      errorsSinceMono: ctx.world.monoNow(),
      errors: 0,
      clogged: null,
      watchesFeed: false,
      samples: false,
      bug: null,
    })
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
      return message.ok ? append(message.data, ctx) : refuseGroup(message.data, refusalOf(message.reason, state), state)
    case 'submit':
      return submit(message.group, ctx)
    case 'ingested':
      return ingested(message, state, ctx)
    case 'ingest-again':
      return askIngest(message.box, state, ctx)
    case 'ingest-full':
    case 'ingest-free':
      state.ingestFull = message.type === 'ingest-full'
      return
    case 'done':
      if (message.ok) settle(message.data, JSON.stringify(message.value), state)
      else refuse(message.data, refusalOf(message.reason, state), state)
      return
    case 'feed':
      return tellFeed(message.entry, state)
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
    const bytes = state.transport.take()
    if (bytes === undefined) break
    readOne(bytes, state, ctx)
  }
  if (state.asked.length > 0) {
    submit(Group.ofSingles(state.asked, state.taken, ctx.world.monoNow()), ctx)
    state.asked = []
    state.taken = []
  }
  if (mayRead(state)) state.transport.resume()
  else state.transport.pause()
}

const mayRead = (state: State): boolean =>
  state.inFlight < REQUESTS_IN_FLIGHT_MAX && !state.ingestFull && state.clogged === null

const speak = (state: State, ctx: Ctx): void => {
  if (state.out.length > 0) {
    state.transport.send(state.out)
    state.out = []
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
    if (state.caller !== null) return askIngest(new FrameBox(ownBytes(bytes), ctx.world.monoNow()), state, ctx)
    return refuse({ slot: new Slot(false, 1), id: null }, noKeyData, state)
  }
  const frame = readFrame(bytes)
  const slot = new Slot(frame.batch, frame.items.length)
  for (const item of frame.items) answerItem(item, slot, state, ctx)
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
  if (method === 'authenticate') return authenticate(params, asked, state)
  const caller = callerOf(state)
  const { reader, ids } = state.shared
  const randomBytes = (length: number): Uint8Array => ctx.world.randomBytes(length)
  const given = { caller, reader, ids, randomBytes, now: ctx.world.wallNow() }
  if (method === 'scheduleWebhook') {
    state.taken.push(readSchedule(params, given))
    state.asked.push(asked)
  } else if (method === 'scheduleWebhooks') submit(groupOf(asked, readSchedules(params, given), ctx), ctx)
  else if (method === 'subscribe') subscribe(params, asked, state, ctx)
  else if (method === 'unsubscribe') unsubscribe(params, asked, state)
  else if (isAskingMethod(method)) ctx.pipe(runMethod(method, params, caller, state.backend), 'done', asked)
}

const callerOf = (state: State): Caller => {
  if (state.caller === null) throw new Refusal('UNAUTHENTICATED', noKeyData.message)
  return state.caller
}

const settle = (asked: Asked, result: string, state: State): void =>
  settleText(asked, resultText(asked.id ?? null, result), state)
const refuse = (asked: Asked, data: ErrorData, state: State): void =>
  settleText(asked, errorText(asked.id ?? null, rpcErrorOf(data)), state)

const settleText = ({ slot, id }: Asked, text: string, state: State): void => {
  if (!slot.settle(id === undefined ? null : text)) return
  state.inFlight -= 1
  const answer = slot.text()
  if (answer !== null) state.out.push(answer)
}

const countError = (state: State, ctx: Ctx): void => {
  const now = ctx.world.monoNow()
  if (now - state.errorsSinceMono > ERROR_WINDOW_MS) {
    state.errorsSinceMono = now
    state.errors = 0
  }
  state.errors += 1
  if (state.errors >= PROTOCOL_ERRORS_PER_MINUTE_MAX) state.transport.close(CLOSE_POLICY, 'too many protocol errors')
}

/** What a rejection tells the client. Anything but a Refusal is a bug of ours, and ends the session after the answer. */
const refusalOf = (reason: ExitReason, state: State): ErrorData => {
  if (typeof reason === 'object' && reason.type === 'error' && reason.error instanceof Refusal) return reason.error.data
  state.bug = reason
  return { code: 'INTERNAL', message: 'something is wrong in the daemon; its log says what' }
}

// ---------------------------------------------------------------- scheduling

const groupOf = (asked: Asked, taken: readonly Taken[], ctx: Ctx): Group => {
  const heads = taken.map(({ head }) => head)
  const rows = encodeRows(taken.map(({ row }) => row))
  const brands = [...new Set(heads.map((head) => head.brand))]
  return Group.ofPacked(asked, { rows, heads, brands, many: true, at: 0 }, ctx.world.monoNow())
}

/** A brand that is named for the first time comes into being before its webhooks. */
const submit = (group: Group, ctx: Ctx): void => {
  const known = ctx.table<Brand, true>(BRANDS_TABLE)
  const unknown = [...group.brands].filter((brand) => !known.has(brand))
  if (unknown.length === 0) return append(group, ctx)
  ctx.pipe(makeBrands(unknown, ctx), 'brands-known', group)
}

const makeBrands = async (brands: readonly Brand[], ctx: Ctx): Promise<void> => {
  for (const brand of brands) await ensureBrand(brand, ctx)
}

const append = (group: Group, ctx: Ctx): void =>
  ctx.request(
    scheduler,
    { type: 'schedule', append: group.append, heads: group.heads },
    'appended',
    group,
    REQUEST_MS_MAX,
  )

const appended = (message: Extract<Info, { type: 'appended' }>, state: State, ctx: Ctx): void => {
  const group = message.data
  if (!message.ok)
    return message.reason === 'timeout'
      ? refuseGroup(group, timedOut().data, state)
      : again(group, unavailable('restarting').data, state, ctx)
  const { value } = message
  if (value.ok) return stored(group, value, state, ctx)
  if ('failed' in value) {
    const data = unavailable(value.failed).data
    return isPassing(value.failed) ? again(group, data, state, ctx) : refuseGroup(group, data, state)
  }
  if (group.asked.length === 1) return refuseGroup(group, conflictOf(value.conflict, group.many), state)
  for (const single of group.split()) append(single, ctx)
}

/** The same ids again, so what was stored after all is not stored twice (D-3). */
const again = (group: Group, data: ErrorData, state: State, ctx: Ctx): void => {
  if (ctx.world.monoNow() - group.startedMono > REQUEST_MS_MAX) return refuseGroup(group, data, state)
  ctx.sendAfter(ASK_AGAIN_MS, { type: 'submit', group })
}

const conflictOf = (
  conflict: { readonly index: number; readonly idempotencyKey: string; readonly id: string },
  many: boolean,
): ErrorData => ({
  code: 'IDEMPOTENCY_CONFLICT',
  message: `idempotencyKey ${JSON.stringify(conflict.idempotencyKey)} was used for another webhook, ${conflict.id}; use a new key or send the same content`,
  field: many ? `webhooks[${conflict.index}].idempotencyKey` : 'idempotencyKey',
})

const refuseGroup = (group: Group, data: ErrorData, state: State): void => {
  for (const asked of group.asked) refuse(asked, data, state)
}

const stored = (group: Group, { ids, duplicates }: Extract<Appended, { ok: true }>, state: State, ctx: Ctx): void => {
  const [first] = group.asked
  if (group.many && first !== undefined) return settle(first, scheduledManyText(ids, duplicates), state)
  group.asked.forEach((asked, i) => {
    const id = ids[i] ?? ''
    if (duplicates[i] === true) ctx.pipe(earlier(id, state.backend), 'done', asked)
    else settle(asked, scheduledText(id, group.ats[i] ?? 0), state)
  })
}

/** A repetition is answered with what the first one has become. */
const earlier = async (id: string, backend: Backend): Promise<unknown> => {
  const record = await backend.read({ type: 'webhook', id, brand: null })
  if (record === null) throw new Refusal('NOT_FOUND', `the first webhook of this idempotencyKey, ${id}, is gone`)
  const { state, at } = webhookView(record, backend.now())
  return { id, state, at, duplicate: true }
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
      const { rows, brands, many, at } = item
      const packed = { rows, brands, many, at, heads: unpackHeads(item.heads) }
      return submit(Group.ofPacked({ slot, id: item.id }, packed, ctx.world.monoNow()), ctx)
    }
    default:
      item satisfies never
  }
}

// ---------------------------------------------------------------- who it is

const authenticate = (params: object | undefined, asked: Asked, state: State): void => {
  const { key } = readParams(METHODS.authenticate.params, params ?? {})
  const { gate } = state.shared
  const caller = gate.callerOf(key)
  if (caller === null) return refuse(asked, gate.wrongKey(state.transport.address).data, state)
  state.caller = caller
  settle(asked, JSON.stringify({ role: caller.role, brand: caller.brand }), state)
}

// ---------------------------------------------------------------- subscriptions

const subscribe = (params: object | undefined, asked: Asked, state: State, ctx: Ctx): void => {
  const { topics, filter, fromSeq } = readParams(METHODS.subscribe.params, params ?? {})
  if (state.transport.oneShot) throw new Refusal('INVALID_PARAMS', 'events need a WebSocket; a POST has one answer')
  if (topics.includes('supervision')) forAdmins(callerOf(state))
  const domain = filter?.domain === undefined ? null : domainOf(filter.domain)
  const subscribed = state.subscriptions.add(topics, domain)
  settle(asked, JSON.stringify({ subscription: subscribed.id }), state)
  if (topics.includes('supervision')) {
    watchFeed(state, ctx)
    if (fromSeq !== undefined) tellMissed(fromSeq, subscribed, state)
  }
  if (topics.includes('monitor') && !state.samples) {
    state.samples = true
    ctx.send(ctx.self, { type: 'sample' })
  }
}

const unsubscribe = (params: object | undefined, asked: Asked, state: State): void => {
  const { subscription } = readParams(METHODS.unsubscribe.params, params ?? {})
  if (!state.subscriptions.remove(subscription))
    throw new Refusal('NOT_FOUND', `there is no subscription ${JSON.stringify(subscription)} on this socket`, {
      field: 'subscription',
    })
  settle(asked, '{}', state)
}

const watchFeed = (state: State, ctx: Ctx): void => {
  if (state.watchesFeed) return
  state.watchesFeed = true
  ctx.own(state.shared.feed.watch((entry) => ctx.send(ctx.self, { type: 'feed', entry })))
}

const tellMissed = (fromSeq: number, subscribed: ReturnType<Subscriptions['add']>, state: State): void => {
  const { entries, gap } = state.shared.feed.since(fromSeq)
  subscribed.gap = gap
  for (const entry of entries) state.out.push(eventText(subscribed, 'supervision', entry.seq, supervisionData(entry)))
}

const tellFeed = (entry: FeedEntry, state: State): void => {
  const data = supervisionData(entry)
  for (const subscribed of state.subscriptions.of('supervision')) {
    if (state.clogged !== null) subscribed.gap = true
    else state.out.push(eventText(subscribed, 'supervision', entry.seq, data))
  }
}

const sample = (state: State, ctx: Ctx): void => {
  const subscribed = state.subscriptions.of('monitor')
  state.samples = subscribed.length > 0
  if (!state.samples) return
  for (const { id, domain } of subscribed) {
    const params = domain === null ? {} : { domain }
    ctx.pipe(runMethod('getMonitor', params, callerOf(state), state.backend), 'sampled', id)
  }
  ctx.sendAfter(SAMPLE_MS, { type: 'sample' })
}

const tellSample = (id: string, value: unknown, state: State, ctx: Ctx): void => {
  const subscribed = state.subscriptions.of('monitor').find((one) => one.id === id)
  if (subscribed === undefined) return
  if (state.clogged !== null) subscribed.gap = true
  else state.out.push(eventText(subscribed, 'monitor', ctx.world.wallNow(), JSON.stringify(value)))
}
