/**
 * Measures the actor kernel alone, in a process of its own: one line a figure, nanoseconds (or as the name says). Each is the median of
 * five rounds after a warm-up. Its counterpart on the BEAM is beam.escript. `node --expose-gc bench/runtime-figures.ts [processes]`.
 */
import { type Behaviour, keep, ok, reply } from '#runtime/behaviour.ts'
import type { Context } from '#runtime/context.ts'
import type { Pid } from '#runtime/pid.ts'
import { type Call, type Name, name } from '#runtime/protocol.ts'
import { Runtime } from '#runtime/runtime.ts'
import { RealWorld } from '#world/real-world.ts'
import { median } from './stats.ts'

type EchoProtocol = {
  readonly call: Call<{ readonly type: 'get' }, number>
  readonly cast: { readonly type: 'tick' } | { readonly type: 'die' }
  readonly info: { readonly type: 'ping'; readonly from: Pid }
  readonly continue: never
}
const echo: Name<EchoProtocol> = name('echo')
const echoActor: Behaviour<EchoProtocol, null, { n: number }> = {
  name: 'echo',
  version: 1,
  init: () => ok({ n: 0 }),
  call: { get: (_request, _from, state) => reply(state.n, state) },
  cast: {
    tick(_message, state) {
      state.n += 1
      return keep
    },
    die: (_message, state) => ({ kind: 'stop', reason: 'normal', state }),
  },
  info(message, _state, ctx) {
    if (message.type === 'ping') ctx.send(message.from, PONG)
    return keep
  },
}
const TICK = { type: 'tick' } as const
const GET = { type: 'get' } as const
const DIE = { type: 'die' } as const
const PONG = { type: 'pong' } as const

type Kind = 'spawn' | 'actor' | 'ping'
type DriverProtocol = {
  readonly call:
    | Call<{ readonly type: 'cast'; readonly n: number }, null>
    | Call<{ readonly type: 'calls'; readonly n: number }, null>
    | Call<{ readonly type: 'flood'; readonly n: number }, null>
    | Call<{ readonly type: 'run'; readonly kind: Kind; readonly n: number }, null>
  readonly cast: { readonly type: 'noise' }
  readonly info: { readonly type: 'pong' }
  readonly continue: never
}
interface Driver {
  left: number
  kind: Kind
  from: object
  readonly to: Pid
}
type Ctx = Context<DriverProtocol>

const runtime = new Runtime(new RealWorld())

const next = (state: Driver, ctx: Ctx): void => {
  if (state.kind === 'ping') return ctx.send<EchoProtocol>(state.to, { type: 'ping', from: ctx.self })
  if (state.kind === 'spawn') {
    ctx.monitor(runtime.spawn(() => null))
    return
  }
  const child = ctx.startLinked(echoActor, null)
  if (child instanceof Promise || !child.ok) throw new Error('start')
  ctx.monitor(child.pid)
  ctx.cast<EchoProtocol>(child.pid, DIE)
}
const another = (state: Driver, ctx: Ctx) => {
  state.left -= 1
  if (state.left > 0) next(state, ctx)
  else ctx.reply(state.from, null)
  return keep
}
const driverActor: Behaviour<DriverProtocol, Pid, Driver> = {
  name: 'driver',
  version: 1,
  init: (to) => ok({ left: 0, kind: 'spawn', from: {}, to }),
  call: {
    async cast({ n }, _from, state, ctx) {
      for (let i = 0; i < n; i++) ctx.cast<EchoProtocol>(state.to, TICK)
      await ctx.call<EchoProtocol, 'get'>(state.to, GET, Number.POSITIVE_INFINITY)
      return reply(null, state)
    },
    async calls({ n }, _from, state, ctx) {
      for (let i = 0; i < n; i++) await ctx.call<EchoProtocol, 'get'>(state.to, GET)
      return reply(null, state)
    },
    async flood({ n }, _from, state, ctx) {
      for (let i = 0; i < 500_000; i++) ctx.cast<DriverProtocol>(ctx.self, { type: 'noise' })
      const rounds: number[] = []
      for (let round = 0; round < 6; round++) {
        const started = performance.now()
        for (let i = 0; i < n; i++) await ctx.call<EchoProtocol, 'get'>(state.to, GET)
        if (round > 0) rounds.push(((performance.now() - started) * 1e6) / n)
      }
      flooded = median(rounds)
      return reply(null, state)
    },
    run({ kind, n }, from, state, ctx) {
      Object.assign(state, { left: n, kind, from })
      next(state, ctx)
      return keep
    },
  },
  cast: { noise: () => keep },
  info(message, state, ctx) {
    return message.type === 'pong' || message.type === 'DOWN' ? another(state, ctx) : keep
  },
}
let flooded = 0
const driver: Name<DriverProtocol> = name('driver')

const figure = async (what: string, n: number, run: (n: number) => Promise<unknown>): Promise<number> => {
  await run(n)
  const rounds: number[] = []
  for (let i = 0; i < 5; i++) {
    const started = performance.now()
    await run(n)
    rounds.push(((performance.now() - started) * 1e6) / n)
  }
  console.log(`${what} ${median(rounds).toFixed(1)}`)
  return median(rounds)
}
/** Live, idle actors: what one costs. */
const bytesEach = async (processes: number): Promise<void> => {
  globalThis.gc?.()
  const before = process.memoryUsage().heapUsed
  for (let i = 0; i < processes; i++) await runtime.start(echoActor, null)
  globalThis.gc?.()
  console.log(`bytes-each ${((process.memoryUsage().heapUsed - before) / processes).toFixed(0)}`)
}

const started = await runtime.start(echoActor, null, { name: echo })
if (!started.ok) throw new Error('start')
await runtime.start(driverActor, started.pid, { name: driver })
const run = (kind: Kind) => (n: number) => runtime.call(driver, { type: 'run', kind, n }, 60_000)
await figure('cast', 200_000, (n) => runtime.call(driver, { type: 'cast', n }, 60_000))
await figure('call', 100_000, (n) => runtime.call(driver, { type: 'calls', n }, 60_000))
await figure('ping-pong', 100_000, run('ping'))
await figure('spawn', 50_000, run('spawn'))
await figure('actor', 30_000, run('actor'))
const empty = await figure('call-empty', 20_000, (n) => runtime.call(driver, { type: 'calls', n }, 60_000))
await runtime.call(driver, { type: 'flood', n: 20_000 }, 60_000)
console.log(`call-backlog ${flooded.toFixed(1)}`)
console.log(`backlog-ratio ${(flooded / empty).toFixed(2)}`)
await bytesEach(Number(process.argv[2] ?? 1_000_000))
process.exit(0)
