/**
 * control: the listener of the control channel. Started by the supervisor `control` after `sessions`.
 *
 * State: the port's server, which it owns: a killed listener frees the port before its death is known, and the next one takes
 * the same port. On restart it reads keys and brands from the store again. A crash costs a moment in which nobody new comes
 * in; the open sockets belong to their sessions and live on.
 */
import {
  ASK_AGAIN_MS,
  BACKLOGS_TABLE,
  BRANDS_TABLE,
  boundBacklog,
  ensureBrand,
  KEYS_TABLE,
  LISTENER_NAME,
  putKey,
  read,
} from '#actors/backend.ts'
import { MANY } from '#actors/mailboxes.ts'
import type { SessionShared } from '#actors/session/state.ts'
import { sessionActor } from '#actors/session.ts'
import { AuthThrottle } from '#control/auth-throttle.ts'
import { BRAND_DEFAULT, type Caller } from '#control/caller.ts'
import { Gate, ownOrigins } from '#control/gate.ts'
import { makeKey, storedKeyOf } from '#control/keys.ts'
import { openRpc } from '#control/open-rpc.ts'
import { type ControlServer, controlServer, type ServerHandlers } from '#control/server.ts'
import type { Transport } from '#control/transport.ts'
import { REQUESTS_TABLE } from '#overload/tables.ts'
import { type Behaviour, keep, ok } from '#runtime/behaviour.ts'
import type { Context } from '#runtime/context.ts'
import {
  type DynamicChildStarted,
  type DynamicSupervisorProtocol,
  startChild,
  whichChildren,
} from '#runtime/dynamic-supervisor.ts'
import { Pid } from '#runtime/pid.ts'
import { type Answer, type Name, name } from '#runtime/protocol.ts'
import type { ChildInfo } from '#runtime/supervisor.ts'
import { worker } from '#runtime/supervisor-spec.ts'
import type { StoredKey } from '#store/store.ts'
import type { Metrics } from '#telemetry/metrics.ts'
import type { Brand } from '#webhook/webhook.ts'

export type ControlProtocol = {
  readonly call: never
  /** A key was made or revoked: the sessions look whether theirs is still good. */
  readonly cast: { readonly type: 'keys-changed' }
  readonly info: Answer<'session-started', DynamicChildStarted, Transport> | Answer<'open', readonly ChildInfo[]>
  readonly continue: never
}
export const listener: Name<ControlProtocol> = name(LISTENER_NAME)
/** One session per connection. */
export const sessions: Name<DynamicSupervisorProtocol> = name('sessions')
/** What the listener must find again after a restart, its supervisor's too: the port that it took. Owned by root. */
export const LISTENER_TABLE = 'listener'
export const CONTROL_TABLES: readonly string[] = [BRANDS_TABLE, KEYS_TABLE, BACKLOGS_TABLE, REQUESTS_TABLE]

export interface ControlArgs {
  readonly host: string
  /** 0: a free one. */
  readonly port: number
  readonly allowOrigin: readonly string[]
  readonly shared: Omit<SessionShared, 'gate'>
  readonly metrics: Metrics
  /** Keeps the admin key of a first start where its owner finds it; done before the store knows the key. */
  readonly keepFirstKey: (key: string) => Promise<void>
  /** Somebody could not be let in for want of descriptors; the port lives on. */
  readonly acceptFailed: (error: Error) => void
  /** Each time that the port is open; with the admin key, if it was made just now. */
  readonly listening: (url: string, firstKey: string | null) => void
}

interface State {
  /** Let in, without a session yet: they go with the listener. */
  readonly pending: Set<Transport>
}
type Ctx = Context<ControlProtocol>

/** A predecessor's port may take a moment to be free. */
const LISTEN_TRIES = 100

export const controlActor: Behaviour<ControlProtocol, ControlArgs, State> = {
  name: 'listener',
  version: 1,
  mailbox: MANY,
  async init(args, ctx) {
    const firstKey = await readDoorBook(args, ctx)
    const { world } = ctx
    const origins = new Set(args.allowOrigin)
    const keys = ctx.table<string, StoredKey>(KEYS_TABLE)
    const gate = new Gate({ keys, throttle: new AuthThrottle(), origins, world })
    const state: State = { pending: new Set() }
    const server = controlServer(gate, handlersOf(args, gate, state, ctx), world)
    ctx.own(() => {
      for (const transport of state.pending) transport.terminate()
      return server.close()
    })
    const port = await listen(server, args, ctx)
    for (const origin of ownOrigins(args.host, port)) origins.add(origin)
    args.listening(`http://${args.host.includes(':') ? `[${args.host}]` : args.host}:${port}`, firstKey)
    return ok(state)
  },
  cast: {
    'keys-changed': (_message, _state, ctx) => {
      ctx.request(sessions, whichChildren, 'open')
      return keep
    },
  },
  info(message, state, ctx) {
    if (message.type === 'open' && message.ok)
      for (const { pid } of message.value) if (pid instanceof Pid) ctx.send(pid, { type: 'keys-changed' })
    if (message.type !== 'session-started') return keep
    state.pending.delete(message.data)
    if (!message.ok || !message.value.ok) message.data.terminate()
    return keep
  },
}

const handlersOf = (args: ControlArgs, gate: Gate, state: State, ctx: Ctx): ServerHandlers => ({
  open: (transport, caller) => open(transport, caller, { ...args.shared, gate }, state, ctx),
  notReady: () => args.shared.host.notReady(),
  acceptFailed: (error) => args.acceptFailed(error),
  metrics: async () => ({ contentType: args.metrics.contentType, text: await args.metrics.page() }),
  openRpc: () => JSON.stringify(openRpc(args.shared.host.version)),
})

const open = (transport: Transport, caller: Caller | null, shared: SessionShared, state: State, ctx: Ctx): void => {
  // A connection that was kept alive may still speak to the server of a listener that has died.
  if (ctx.signal.aborted) return transport.terminate()
  state.pending.add(transport)
  const spec = worker(sessionActor, { transport, caller, shared }, { restart: 'temporary' })
  ctx.request(sessions, startChild(spec), 'session-started', transport)
}

// ---------------------------------------------------------------- keys and brands

/** Fills the tables from the store; on an empty store makes the first brand and its admin key, which it returns. */
const readDoorBook = async (args: ControlArgs, ctx: Ctx): Promise<string | null> => {
  for (const limit of await read({ type: 'limits' }, ctx)) boundBacklog(limit, ctx)
  const brands = ctx.table<Brand, true>(BRANDS_TABLE)
  const keys = ctx.table<string, StoredKey>(KEYS_TABLE)
  for (const { brand } of await read({ type: 'brands' }, ctx)) brands.set(brand, true)
  for (const key of await read({ type: 'keys' }, ctx)) keys.set(key.keyId, key)
  return keys.size === 0 ? makeFirstKey(args, ctx) : null
}

/** The file first: a key that only the store knew would lock its owner out. */
const makeFirstKey = async (args: ControlArgs, ctx: Ctx): Promise<string> => {
  const key = makeKey('admin', (length) => ctx.world.randomBytes(length))
  const stored = storedKeyOf(key, { role: 'admin', brand: null, createdAt: ctx.world.wallNow() })
  await args.keepFirstKey(key)
  await ensureBrand(BRAND_DEFAULT, ctx)
  await putKey(stored, ctx)
  return key
}

const listen = async (server: ControlServer, args: ControlArgs, ctx: Ctx): Promise<number> => {
  const table = ctx.table<'port', number>(LISTENER_TABLE)
  const taken = table.get('port')
  for (let tries = 1; ; tries++) {
    try {
      const port = await server.listen(taken ?? args.port, args.host)
      table.set('port', port)
      return port
    } catch (error) {
      if (taken === undefined || tries >= LISTEN_TRIES) throw error
      await ctx.sleep(ASK_AGAIN_MS)
    }
  }
}
