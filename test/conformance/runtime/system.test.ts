/** F. System messages and code change (runtime-cases.md; rules Y, C). */
import { describe, it } from 'vitest'
import { caught, exit, expect, inT, type Module, sys } from './adapter.ts'

const push = (state: unknown, item: unknown): unknown[] => [...(Array.isArray(state) ? state : []), item]
const recorder: Module = {
  init: () => ['ok', []],
  handleCall: (m, _from, s) => (m === 'get' ? ['reply', s, s] : ['reply', 'ok', push(s, m)]),
  handleCast: (m, s) => ['noreply', push(s, m)],
  handleInfo: (m, s) => ['noreply', push(s, m)],
}

describe('system messages', () => {
  it(
    'C090 a suspended server serves nobody; afterwards it handles what it missed once',
    inT(async (t, env) => {
      const server = await t.gen.pid(recorder)
      await sys.suspend(env.runtime, server)
      await sys.suspend(env.runtime, server)
      expect(await caught(() => t.gen.call(server, 'missed', 20))).toEqual(['exit', 'timeout'])
      expect((await sys.getStatus(env.runtime, server)).status).toBe('suspended')
      await sys.resume(env.runtime, server)
      await sys.resume(env.runtime, server)
      expect((await sys.getStatus(env.runtime, server)).status).toBe('running')
      expect(await t.gen.call(server, 'get')).toEqual(['missed'])
      expect(await t.drain()).toEqual([])
    }),
  )

  it(
    'C091 what comes while it is suspended waits in order',
    inT(async (t, env) => {
      const server = await t.gen.pid(recorder)
      await sys.suspend(env.runtime, server)
      t.send(server, 'm1')
      t.send(server, 'm2')
      t.gen.cast(server, 'c')
      await env.settle()
      expect(await sys.getState(env.runtime, server)).toEqual([])
      await sys.resume(env.runtime, server)
      expect(await t.gen.call(server, 'get')).toEqual(['m1', 'm2', 'c'])
    }),
  )

  it(
    'C092 getState works running and suspended; of the dead it exits noproc',
    inT(async (t, env) => {
      const server = await t.gen.pid(recorder)
      expect(await sys.getState(env.runtime, server)).toEqual([])
      await sys.suspend(env.runtime, server)
      expect(await sys.getState(env.runtime, server)).toEqual([])
      expect(await caught(async () => sys.getState(env.runtime, await t.dead()))).toEqual(['exit', 'noproc'])
    }),
  )

  it(
    'Y1 a busy server answers after its callback; the asker waits no longer than it said',
    inT(async (t, env) => {
      const server = await t.gen.pid({ handleCast: async () => env.sleep(100).then(() => ['noreply', 'new']) })
      t.gen.cast(server, 'work')
      await env.settle()
      expect(await caught(() => sys.getState(env.runtime, server, 20))).toEqual(['exit', 'timeout'])
      expect(await sys.getState(env.runtime, server)).toBe('new')
    }),
  )

  it(
    'C093 replaceState is atomic; if the function raises, nothing changed',
    inT(async (t, env) => {
      const server = await t.gen.pid(recorder)
      const replaced = await sys.replaceState(env.runtime, server, (s) => push(s, 'new'))
      expect(replaced).toEqual({ ok: true, state: ['new'] })
      const failed = await sys.replaceState(env.runtime, server, () => exit('no'))
      expect(failed).toMatchObject({ ok: false, error: { type: 'callback_failed' } })
      await sys.suspend(env.runtime, server)
      await sys.replaceState(env.runtime, server, (s) => push(s, 'suspended'))
      await sys.resume(env.runtime, server)
      expect(await t.gen.call(server, 'get')).toEqual(['new', 'suspended'])
    }),
  )

  it(
    'Y4 the parent’s EXIT ends a suspended server',
    inT(async (t, env) => {
      const ended: unknown[] = []
      const module: Module = {
        init: (_a, p) => {
          p.ctx.trapExit(true)
          return ['ok', null]
        },
        terminate: (reason) => ended.push(reason),
      }
      let server: unknown = null
      const parent = t.spawn(async (p) => {
        server = await p.gen.linked(module)
        await p.recv()
      })
      await env.settle()
      await sys.suspend(env.runtime, server as never)
      t.exitSignal(parent, 'bye')
      await env.settle()
      expect(ended).toEqual(['bye'])
    }),
  )

  it(
    'Y6 terminate ends it through its terminate callback',
    inT(async (t, env) => {
      const ended: unknown[] = []
      const server = await t.gen.pid({ terminate: (reason) => ended.push(reason) })
      const ref = t.monitor(server)
      await sys.terminate(env.runtime, server, 'shutdown')
      expect(await t.drain()).toEqual([['DOWN', ref, server, 'shutdown']])
      expect(ended).toEqual(['shutdown'])
    }),
  )

  it(
    'G22 a system message starts a return timeout anew',
    inT(async (t, env) => {
      let at = 0
      const module: Module = {
        init: () => ['ok', null, 60],
        handleInfo: (_m, s) => {
          at = env.now
          return ['noreply', s]
        },
      }
      const server = await t.gen.pid(module)
      await env.sleep(40)
      await sys.getState(env.runtime, server)
      await env.sleep(100)
      expect(at).toBe(100)
    }),
  )

  it(
    'C094 statistics count what came in and the replies made by return value',
    inT(async (t, env) => {
      const server = await t.gen.pid(recorder)
      await sys.statistics(env.runtime, server, true)
      await t.gen.call(server, 'call')
      t.gen.cast(server, 'cast')
      t.send(server, 'info')
      const statistics = await sys.getStatistics(env.runtime, server)
      expect(statistics).toMatchObject({ messagesIn: 3, messagesOut: 1, startTime: expect.any(Number) })
      await sys.statistics(env.runtime, server, false)
      expect(await sys.getStatistics(env.runtime, server)).toBe('no_statistics')
    }),
  )

  it(
    'C095 the log keeps the last events; trace gets each',
    inT(async (t, env) => {
      const server = await t.gen.pid(recorder)
      const traced: string[] = []
      await sys.trace(env.runtime, server, (event) => traced.push(event.type))
      await sys.log(env.runtime, server)
      for (let i = 0; i < 15; i++) t.gen.cast(server, i)
      await env.settle()
      expect((await sys.getLog(env.runtime, server)).length).toBe(10)
      await sys.log(env.runtime, server, 3)
      await t.gen.call(server, 'x')
      const events = await sys.getLog(env.runtime, server)
      expect(events.map((event) => event.type)).toEqual(['noreply', 'in', 'out'])
      expect(events[2]).toMatchObject({ reply: 'ok', to: t.self })
      expect(traced.length).toBe(32)
    }),
  )

  it(
    'C096 an installed function is installed once, and gone after noDebug and remove',
    inT(async (t, env) => {
      const server = await t.gen.pid(recorder)
      const seen: unknown[] = []
      const spy = (own: unknown, event: { readonly type: string }): unknown => {
        if (event.type === 'in') seen.push(event)
        return own
      }
      const call = (n: number) => t.gen.call(server, n)
      await sys.install(env.runtime, server, 'spy', spy, null)
      await sys.install(env.runtime, server, 'spy', spy, null)
      await call(1)
      await sys.noDebug(env.runtime, server)
      await call(2)
      await sys.install(env.runtime, server, 'spy', spy, null)
      await call(3)
      await sys.remove(env.runtime, server, 'spy')
      await call(4)
      expect(seen).toMatchObject([{ message: { term: 1 } }, { message: { term: 3 } }])
    }),
  )

  it(
    'C097 an installed function that raises is gone; the server lives',
    inT(async (t, env) => {
      const server = await t.gen.pid(recorder)
      let runs = 0
      const spy = (): unknown => {
        runs += 1
        return exit('spy')
      }
      await sys.install(env.runtime, server, 'spy', spy, null)
      t.send(server, 1)
      t.send(server, 2)
      expect(await t.gen.call(server, 'get')).toEqual([1, 2])
      expect(runs).toBe(1)
    }),
  )
})

describe('hot code', () => {
  const v1: Module = {
    name: 'hot',
    vsn: 1,
    init: () => ['ok', { n: 1 }],
    handleCall: (m, _f, s) => (m === 'stop' ? ['stop', 'normal', 'ok', s] : ['reply', ['v1', s], s]),
  }
  const v2 = (codeChange?: Module['codeChange']): Module => ({
    ...v1,
    vsn: 2,
    handleCall: (_m, _f, s) => ['reply', ['v2', s], s],
    ...(codeChange && { codeChange }),
  })

  it(
    'C100 changeCode migrates a suspended process; pid, links, monitors, name stay',
    inT(async (t, env) => {
      const server = await t.gen.linked(v1, null, { name: 'hot' })
      await sys.suspend(env.runtime, server)
      t.env.loadCode(v2((_vsn, s, extra) => ['ok', { ...(s as object), extra }]))
      expect(await sys.changeCode(env.runtime, server, { version: 1, down: false }, 'new')).toEqual({ ok: true })
      await sys.resume(env.runtime, server)
      expect(await t.gen.call('hot', 'x')).toEqual(['v2', { n: 1, extra: 'new' }])
      expect(t.whereis('hot')).toBe(server)
      t.exitSignal(server, 'bye')
      expect(await t.drain()).toEqual([['EXIT', server, 'bye']])
    }),
  )

  it(
    'C4 changeCode of a running process is refused',
    inT(async (t, env) => {
      const server = await t.gen.pid(v1)
      const changed = await sys.changeCode(env.runtime, server, { version: 1, down: false }, null)
      expect(changed).toMatchObject({ ok: false, error: { type: 'unknown_system_msg' } })
    }),
  )

  it(
    'C5 where a migration fails the process lives, suspended, with its old state',
    inT(async (t, env) => {
      const fails: [Module['codeChange'], string][] = [
        [() => exit('no'), 'exit'],
        [() => 'garbage', 'refused'],
        [undefined, 'undef'],
      ]
      for (const [codeChange, type] of fails) {
        const module: Module = { ...v1, name: `hot ${type}` }
        const server = await t.gen.pid(module)
        await sys.suspend(env.runtime, server)
        env.loadCode({ ...v2(codeChange), name: `hot ${type}` })
        const changed = await sys.changeCode(env.runtime, server, { version: 1, down: false }, null)
        expect(changed).toMatchObject({ ok: false, error: { type } })
        expect((await sys.getStatus(env.runtime, server)).status).toBe('suspended')
        await sys.resume(env.runtime, server)
        expect(await t.gen.call(server, 'x')).toEqual(['v2', { n: 1 }])
      }
    }),
  )

  it(
    'C103 the next callback runs the loaded version with the state as it is; a running one finishes in the old',
    inT(async (t, env) => {
      const slow: Module = {
        ...v1,
        name: 'slow',
        handleCall: async (_m, _f, s) => env.sleep(50).then(() => ['reply', ['v1', s], s]),
      }
      const server = await t.gen.pid(slow)
      const running = t.gen.call(server, 'x')
      await env.settle()
      env.loadCode({ ...v2(), name: 'slow' })
      expect(await running).toEqual(['v1', { n: 1 }])
      expect(await t.gen.call(server, 'x')).toEqual(['v2', { n: 1 }])
    }),
  )

  it(
    'C104 loading a third version kills who still runs the first, or is refused (soft)',
    inT(async (t, env) => {
      const endless: Module = { ...v1, name: 'endless', handleCast: () => new Promise(() => {}) }
      const server = await t.gen.pid(endless)
      t.gen.cast(server, 'x')
      await env.settle()
      expect(env.loadCode({ ...endless, vsn: 2 })).toEqual({ ok: true })
      expect(env.loadCode({ ...endless, vsn: 3 }, 'soft')).toEqual({ ok: false })
      expect(t.alive(server)).toBe(true)
      const ref = t.monitor(server)
      expect(env.loadCode({ ...endless, vsn: 3 })).toEqual({ ok: true })
      expect(await t.drain()).toEqual([['DOWN', ref, server, 'killed']])
    }),
  )

  it(
    'C2 a restart with the old object starts the loaded version',
    inT(async (t, env) => {
      await t.gen.pid(v1)
      env.loadCode(v2())
      expect(await t.gen.call(await t.gen.pid(v1), 'x')).toEqual(['v2', { n: 1 }])
    }),
  )
})
