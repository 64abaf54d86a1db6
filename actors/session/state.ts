/** What a session knows, what it hears, and how it answers: shared by the files of the session actor. */
import type { FrameBox, IngestSays } from '#actors/ingest.ts'
import type { StoreFailed } from '#actors/store-keeper.ts'
import type { Backend, Host } from '#control/backend.ts'
import type { Caller } from '#control/caller.ts'
import type { Asked, Group } from '#control/flight.ts'
import { type Gate, noKeyData } from '#control/gate.ts'
import type { IngestedFrame } from '#control/ingest.ts'
import { errorText, resultText } from '#control/json-rpc.ts'
import type { Taken, WebhookReader } from '#control/new-webhook.ts'
import type { News } from '#control/news.ts'
import { type ErrorData, Refusal, rpcErrorOf } from '#control/refusal.ts'
import type { Subscriptions } from '#control/subscriptions.ts'
import type { Transport } from '#control/transport.ts'
import type { RequestsRow } from '#overload/tables.ts'
import type { Context } from '#runtime/context.ts'
import type { ExitReason } from '#runtime/exit.ts'
import type { Answer } from '#runtime/protocol.ts'
import type { Appended } from '#store/store.ts'
import type { Feed, FeedTopic } from '#telemetry/feed.ts'
import type { Monitor } from '#telemetry/monitor.ts'
import type { WebhookIds } from '#webhook/id.ts'
import type { Instant } from '#webhook/webhook.ts'

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
    | {
        readonly type: 'frames' | 'closed' | 'heartbeat' | 'drain-check' | 'authenticate-by' | 'sample' | 'keys-changed'
      }
    | { readonly type: 'append-again'; readonly group: Group }
    | { readonly type: 'ingest-again'; readonly box: FrameBox }
    | { readonly type: 'rested' }
    /** Something waits in `State.news`; said once until it is taken. */
    | { readonly type: 'news' }
    /** The node had too many requests to answer: look again. */
    | { readonly type: 'requests-again' }
    | IngestSays
    | Answer<'appended', Appended | StoreFailed, Group>
    | Answer<'brands-known', void, Group>
    | Answer<'backlogs-counted', void, Group>
    | Answer<'foreseen', readonly (Instant | null)[], Group>
    | Answer<'ingested', IngestedFrame, FrameBox>
    | Answer<'done', unknown, Asked>
    | Answer<'sampled', unknown, string>
  readonly continue: never
}

export interface State {
  readonly shared: SessionShared
  readonly transport: Transport
  readonly backend: Backend
  /** The node's row of `REQUESTS_TABLE`. */
  readonly node: RequestsRow
  readonly subscriptions: Subscriptions
  caller: Caller | null
  /** Frames being answered. */
  inFlight: number
  /** Requests being answered: a frame may hold a batch of them. */
  requests: number
  /** It has found the node full of requests, and looks again soon. */
  awaitsRoom: boolean
  /** Single schedule calls of this go; they become one group. */
  asked: Asked[]
  taken: Taken[]
  /** What goes out at the end of this go. */
  out: string[]
  ingestFull: boolean
  /** A large frame was refused unread: nothing more is read for a moment. */
  resting: boolean
  errorsSinceMono: number
  errors: number
  /** Set while the client does not read: since when, and how much stood at the last look. */
  clogged: { readonly sinceMono: number; bytes: number } | null
  readonly news: News
  /** Topics of the feed that it listens to. */
  readonly watches: Set<FeedTopic>
  samples: boolean
  /** Samples since the last one that was told. */
  samplesThinned: number
  /** A bug in a method: the client is told, then the session ends with it. */
  bug: ExitReason | null
}
export type Ctx = Context<SessionProtocol>
export type Info = SessionProtocol['info']

export const callerOf = (state: State): Caller => {
  if (state.caller === null) throw new Refusal('UNAUTHENTICATED', noKeyData.message)
  return state.caller
}

/** So many requests more, or fewer, are being answered, here and on the node. */
export const countRequests = (change: number, state: State): void => {
  state.requests += change
  state.node.inFlight += change
}

export const settle = (asked: Asked, result: string, state: State): void =>
  settleText(asked, resultText(asked.id ?? null, result), state)
export const refuse = (asked: Asked, data: ErrorData, state: State): void =>
  settleText(asked, errorText(asked.id ?? null, rpcErrorOf(data)), state)

export const settleText = ({ slot, id }: Asked, text: string, state: State): void => {
  countRequests(-1, state)
  if (!slot.settle(id === undefined ? null : text)) return
  state.inFlight -= 1
  const answer = slot.text()
  if (answer !== null) state.out.push(answer)
}

/** What a rejection tells the client. Anything but a Refusal is a bug of ours, and ends the session after the answer. */
export const refusalOf = (reason: ExitReason, state: State): ErrorData => {
  if (typeof reason === 'object' && reason.type === 'error' && reason.error instanceof Refusal) return reason.error.data
  state.bug = reason
  return { code: 'INTERNAL', message: 'something is wrong in the daemon; its log says what' }
}
