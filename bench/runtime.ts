/**
 * What a message, a call and a process cost, beside the BEAM where `erl` is on PATH: `node bench/runtime.ts [only]`.
 * Each figure is the median of several rounds in one process, after a warm-up round.
 */
import { type Behaviour, keep, ok, reply } from '#runtime/behaviour.ts'
import type { Context } from '#runtime/context.ts'
import type { Pid } from '#runtime/pid.ts'
import { type Call, type Name, name } from '#runtime/protocol.ts'
import { Runtime } from '#runtime/runtime.ts'
import { RealWorld } from '#world/real-world.ts'

type EchoProtocol = {
  readonly call: Call<{ readonly type: 'get' }, number> | Call<{ readonly type: 'backlog' }, number>
  readonly cast: { readonly type: 'tick' } | { readonly type: 'die' }
  readonly info: never
  readonly continue: never
}
const echo: Name<EchoProtocol> = name('echo')
const echoActor: Behaviour<EchoProtocol, null, { n: number }> = {
  name: 'echo',
  version: 1,
  init: () => ok({ n: 0 }),
  call: {
    get: (_request, _from, state) => reply(state.n, state),
    backlog: (_request, _from, state, ctx) => reply(ctx.mailboxLength(), state),
  },
  cast: {
    tick(_message, state) {
      state.n += 1
      return keep
    },
    die: (_message, state) => ({ kind: 'stop', reason: 'normal', state }),
  },
}

type DriverProtocol = {
  readonly call: Call<{ readonly type: Bench; readonly n: number }, number>
  readonly cast: { readonly type: 'pong'; readonly from: Pid }
  readonly info: never
  readonly continue: never
}
type Bench = 'cast' | 'call' | 'spawn' | 'backlog'

const TICK = { type: 'tick' } as const
const GET = { type: 'get' } as const
const DIE = { type: 'die' } as const

interface DriverState {
  left: number
  done: ((at: number) => void) | null
}

const castBurst = async (ctx: Context<DriverProtocol>, n: number): Promise<number> => {
  const started = performance.now()
  const to = ctx.whereis(echo)
  if (to === null) throw new Error('no echo')
  for (let i = 0; i < n; i++) ctx.cast<EchoProtocol>(to, TICK)
  await ctx.call(echo, GET, Number.POSITIVE_INFINITY)
  return performance.now() - started
}
const calls = async (ctx: Context<DriverProtocol>, n: number): Promise<number> => {
  const started = performance.now()
  const to = ctx.whereis(echo)
  if (to === null) throw new Error('no echo')
  for (let i = 0; i < n; i++) await ctx.call<EchoProtocol, 'get'>(to, GET)
  return performance.now() - started
}

const driver: Behaviour<DriverProtocol, null, DriverState> = {
  name: 'driver',
  version: 1,
  init: () => ok({ left: 0, done: null }),
  call: {
    cast: async ({ n }, _from, state, ctx) => reply(await castBurst(ctx, n), state),
    call: async ({ n }, _from, state, ctx) => reply(await calls(ctx, n), state),
    backlog: async ({ n }, _from, state, ctx) => {
      for (let i = 0; i < n; i++) ctx.cast<DriverProtocol>(ctx.self, { type: 'pong', from: ctx.self })
      return reply(await calls(ctx, 20_000), state)
    },
    spawn: (_request, _from, state) => reply(0, state),
  },
  cast: { pong: () => keep },
}

/** A process that starts a child, monitors it, tells it to end, and starts the next at its DOWN. */
type SpawnerProtocol = {
  readonly call: Call<{ readonly type: 'run'; readonly n: number }, number>
  readonly cast: never
  readonly info: never
  readonly continue: never
}
const spawner: Behaviour<SpawnerProtocol, null, { left: number; started: number; from: object | null }> = {
  name: 'spawner',
  version: 1,
  init: () => ok({ left: 0, started: 0, from: null }),
  call: {
    run({ n }, from, state, ctx) {
      state.left = n
      state.started = performance.now()
      state.from = from
      spawnNext(ctx)
      return keep
    },
  },
  info(message, state, ctx) {
    if (message.type !== 'DOWN') return keep
    state.left -= 1
    if (state.left > 0) spawnNext(ctx)
    else if (state.from !== null) ctx.reply(state.from, performance.now() - state.started)
    return keep
  },
}
const spawnNext = (ctx: Context<SpawnerProtocol>): void => {
  const child = ctx.startLinked(echoActor, null)
  if (child instanceof Promise || !child.ok) throw new Error('start')
  ctx.monitor(child.pid)
  ctx.cast<EchoProtocol>(child.pid, DIE)
}

const median = (values: number[]): number => values.sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN
const measure = async (what: string, n: number, run: (n: number) => Promise<number>): Promise<void> => {
  await run(n)
  const rounds: number[] = []
  for (let i = 0; i < 7; i++) rounds.push((await run(n)) / n)
  console.log(`${what.padEnd(24)} ${(median(rounds) * 1e6).toFixed(0).padStart(8)} ns`)
}

const runtime = new Runtime(new RealWorld())
await runtime.start(echoActor, null, { name: echo })
const drive: Name<DriverProtocol> = name('driver')
await runtime.start(driver, null, { name: drive })
const spawn: Name<SpawnerProtocol> = name('spawner')
await runtime.start(spawner, null, { name: spawn })
await measure('cast burst', 200_000, (n) => runtime.call(drive, { type: 'cast', n }, 60_000))
await measure('call', 100_000, (n) => runtime.call(drive, { type: 'call', n }, 60_000))
await measure('spawn+exit+DOWN', 50_000, (n) => runtime.call(spawn, { type: 'run', n }, 60_000))

const bytes = async (): Promise<void> => {
  globalThis.gc?.()
  const before = process.memoryUsage().heapUsed
  for (let i = 0; i < 1_000_000; i++) await runtime.start(echoActor, null)
  globalThis.gc?.()
  const each = (process.memoryUsage().heapUsed - before) / 1_000_000
  console.log(`live processes           ${each.toFixed(0).padStart(8)} bytes each (1,000,000)`)
}
await bytes()
process.exit(0)
