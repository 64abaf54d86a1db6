/**
 * ingest: owns the thread that reads large frames. Started by root.
 *
 * State: frames that wait, by brand, and the bytes that are held, by brand and in all (D-19), the latter in a table for the door. Brands take turns. On restart
 * a new thread is started; sessions learn of the death as an answer and ask again. A crash costs milliseconds, and frames
 * above 1 MiB that were being read: they had been handed over, and their senders are told to send them again.
 */
import { MANY } from '#actors/mailboxes.ts'
import { INGEST_BRAND_BYTES_MAX, INGEST_BYTES_MAX } from '#config/limits.ts'
import type { Caller } from '#control/caller.ts'
import type { Ingest, IngestedFrame, IngestJob, StartIngest } from '#control/ingest.ts'
import { type IngestLoad, newIngestLoad, readRows } from '#overload/ingest-load.ts'
import { INGEST_LOAD_TABLE, LOAD_HEIR, ONE } from '#overload/tables.ts'
import { type Behaviour, keep, ok, stop } from '#runtime/behaviour.ts'
import type { Context } from '#runtime/context.ts'
import type { From } from '#runtime/from.ts'
import type { Pid } from '#runtime/pid.ts'
import { type Answer, type Call, type Name, name } from '#runtime/protocol.ts'
import type { Instant } from '#webhook/webhook.ts'

/** The frame, in a box: a message that is copied must not copy twelve megabytes. */
export class FrameBox {
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly startedMono: number
  constructor(bytes: Uint8Array<ArrayBuffer>, startedMono: number) {
    this.bytes = bytes
    this.startedMono = startedMono
  }
}

export type IngestProtocol = {
  readonly call: Call<
    {
      readonly type: 'read'
      readonly box: FrameBox
      readonly caller: Caller
      readonly now: Instant
      readonly session: Pid
    },
    IngestedFrame
  >
  readonly cast: never
  readonly info: Answer<'read', IngestedFrame, Reading> | { readonly type: 'thread-ended'; readonly reason: string }
  readonly continue: never
}
export const ingest: Name<IngestProtocol> = name('ingest')

/** To sessions, as plain messages: read nothing more from the socket; go on. */
export type IngestSays = { readonly type: 'ingest-full' } | { readonly type: 'ingest-free' }

class Reading {
  readonly from: From<IngestedFrame>
  readonly job: IngestJob
  readonly lane: string
  readonly bytes: number
  constructor(from: From<IngestedFrame>, job: IngestJob, lane: string) {
    this.from = from
    this.job = job
    this.lane = lane
    this.bytes = job.bytes.length
  }
}

interface State {
  readonly thread: Ingest
  /** Waiting frames by brand; a Map keeps the order of turns. */
  readonly waiting: Map<string, Reading[]>
  readonly held: Map<string, number>
  /** Shown to the door; `heldBytes` are those of all brands. */
  readonly load: IngestLoad
  /** At the thread; two, so that it never idles between answers. */
  reading: number
  readonly paused: Map<Pid, string>
}
export interface IngestArgs {
  readonly start: StartIngest
}
type Ctx = Context<IngestProtocol>

const READING_MAX = 2

export const ingestActor: Behaviour<IngestProtocol, IngestArgs, State> = {
  name: 'ingest',
  version: 1,
  mailbox: MANY,
  async init({ start }, ctx) {
    const load = newIngestLoad()
    ctx.createTable<string, IngestLoad>(INGEST_LOAD_TABLE, { heir: LOAD_HEIR }).set(ONE, load)
    const thread = await start({ ended: (reason) => ctx.send(ctx.self, { type: 'thread-ended', reason }) })
    ctx.own(() => thread.close())
    return ok({ thread, waiting: new Map(), held: new Map(), load, reading: 0, paused: new Map() })
  },
  call: {
    read: ({ box, caller, now, session }, from, state, ctx) => {
      const reading = new Reading(from, { bytes: box.bytes, caller, now }, caller.brand ?? '(admin)')
      hold(reading, session, state, ctx)
      const lane = state.waiting.get(reading.lane)
      if (lane === undefined) state.waiting.set(reading.lane, [reading])
      else lane.push(reading)
      readNext(state, ctx)
      return keep
    },
  },
  info(message, state, ctx) {
    if (message.type === 'thread-ended') return stop({ type: 'term', term: message.reason }, state)
    if (message.type !== 'read') return keep
    if (!message.ok) return stop(message.reason, state)
    state.reading -= 1
    learn(message.data, message.value, state)
    release(message.data, state, ctx)
    ctx.reply(message.data.from, message.value)
    readNext(state, ctx)
    return keep
  },
}

/** Brands take turns: who was served goes to the end. */
const readNext = (state: State, ctx: Ctx): void => {
  while (state.reading < READING_MAX) {
    const turn = state.waiting.entries().next()
    if (turn.done === true) return
    const [lane, waiting] = turn.value
    state.waiting.delete(lane)
    const reading = waiting.shift()
    if (waiting.length > 0) state.waiting.set(lane, waiting)
    if (reading === undefined) continue
    state.reading += 1
    ctx.pipe(state.thread.read(reading.job), 'read', reading)
  }
}

/** How many webhooks such frames hold. */
const learn = ({ bytes }: Reading, { items }: IngestedFrame, { load }: State): void => {
  let rows = 0
  for (const item of items) if (item.kind === 'append') rows += item.heads.nextAt.length
  if (rows > 0) readRows(load, rows, bytes)
}

const hold = ({ lane, bytes }: Reading, session: Pid, state: State, ctx: Ctx): void => {
  state.held.set(lane, (state.held.get(lane) ?? 0) + bytes)
  state.load.heldBytes += bytes
  if (isFree(lane, state) || state.paused.has(session)) return
  state.paused.set(session, lane)
  ctx.send(session, { type: 'ingest-full' })
}

const release = ({ lane, bytes }: Reading, state: State, ctx: Ctx): void => {
  const held = (state.held.get(lane) ?? 0) - bytes
  if (held > 0) state.held.set(lane, held)
  else state.held.delete(lane)
  state.load.heldBytes -= bytes
  for (const [session, of] of state.paused) {
    if (!isFree(of, state)) continue
    state.paused.delete(session)
    ctx.send(session, { type: 'ingest-free' })
  }
}

const isFree = (lane: string, state: State): boolean =>
  (state.held.get(lane) ?? 0) <= INGEST_BRAND_BYTES_MAX && state.load.heldBytes <= INGEST_BYTES_MAX
