/** One small actor as an author would write it: what the types know, and what a test of an actor looks like. */
import { describe, expect, it } from 'vitest'
import { type Behaviour, keep, noreply, ok, reply, stop } from '#runtime/behaviour.ts'
import { type Answer, type Call, type Name, name } from '#runtime/protocol.ts'
import { Runtime } from '#runtime/runtime.ts'
import { VirtualWorld } from '#world/virtual-world.ts'

type DiskProtocol = {
  readonly call: Call<{ readonly type: 'save'; readonly n: number }, boolean>
  readonly cast: never
  readonly info: { readonly type: 'wake' }
  readonly continue: never
}
const disk: Name<DiskProtocol> = name('disk')
const diskActor: Behaviour<DiskProtocol, null, { readonly saved: number[] }> = {
  name: 'disk',
  version: 1,
  init: () => ok({ saved: [] }),
  call: {
    save({ n }, _from, state) {
      state.saved.push(n)
      return reply(n < 100, state)
    },
  },
}

type CounterProtocol = {
  readonly call:
    | Call<{ readonly type: 'get' }, number>
    | Call<
        { readonly type: 'add'; readonly n: number },
        { readonly ok: true; readonly n: number } | { readonly ok: false }
      >
    | Call<{ readonly type: 'save' }, boolean>
  readonly cast: { readonly type: 'reset' } | { readonly type: 'end' }
  readonly info: Answer<'saved', boolean, { readonly from: object }> | { readonly type: 'tick' }
  readonly continue: { readonly type: 'load' }
}
const counter: Name<CounterProtocol> = name('counter')
const counterActor: Behaviour<CounterProtocol, { readonly start: number }, { n: number; ticks: number }> = {
  name: 'counter',
  version: 1,
  init: ({ start }) => ok({ n: start, ticks: 0 }, { continue: { type: 'load' } }),
  continue(_message, state, ctx) {
    ctx.sendAfter(1_000, { type: 'tick' })
    return noreply({ ...state, n: state.n + 1 })
  },
  call: {
    get: (_request, _from, state) => reply(state.n, state),
    add({ n }, _from, state) {
      if (n < 0) return reply({ ok: false }, state)
      state.n += n
      return reply({ ok: true, n: state.n }, state)
    },
    save(_request, from, state, ctx) {
      ctx.request(disk, { type: 'save', n: state.n }, 'saved', { from })
      return keep
    },
  },
  cast: {
    reset: (_message, state) => noreply({ ...state, n: 0 }),
    end: (_message, state) => stop('normal', state),
  },
  info(message, state, ctx) {
    switch (message.type) {
      case 'saved':
        ctx.reply(message.data.from, message.ok && message.value)
        return keep
      case 'tick':
        state.ticks += 1
        return keep
      default:
        return keep
    }
  },
}

describe('an actor', () => {
  it('answers calls, continues after init, asks another actor and answers later', async () => {
    const world = new VirtualWorld()
    const runtime = new Runtime(world, { safeMessages: true })
    await runtime.start(diskActor, null, { name: disk })
    await runtime.start(counterActor, { start: 1 }, { name: counter })
    expect(await runtime.call(counter, { type: 'get' })).toBe(2)
    expect(await runtime.call(counter, { type: 'add', n: 5 })).toEqual({ ok: true, n: 7 })
    expect(await runtime.call(counter, { type: 'save' })).toBe(true)
    runtime.cast(counter, { type: 'reset' })
    await world.settle()
    expect(await runtime.call(counter, { type: 'get' })).toBe(0)
    expect(await runtime.stop(counter)).toBe('normal')
    expect(runtime.whereis(counter)).toBeNull()
  })
})
