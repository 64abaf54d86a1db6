/** D. Starting (runtime-cases.md; rules I). */
import { describe, it } from 'vitest'
import { caught, exit, expect, inPlainT, inT, type Module } from './adapter.ts'

const stopper: Module = {
  handleCall: (message, _from, state) =>
    message === 'stop' ? ['stop', 'stopped', 'ok', state] : ['reply', 'ok', state],
}
const failing = (init: () => unknown): Module => ({ init })

describe('starting', () => {
  it(
    'C047 start, startLink and startMonitor answer when init is done; the end shows as it should',
    inT(async (t) => {
      const server = await t.gen.pid(stopper)
      expect(await t.gen.call(server, 'hej')).toBe('ok')
      expect(await t.gen.call(server, 'stop')).toBe('ok')
      expect(await caught(() => t.gen.call(server, 'hej'))).toEqual(['exit', 'noproc'])
      const linked = await t.gen.linked(stopper)
      await t.gen.call(linked, 'stop')
      expect(await t.drain()).toEqual([['EXIT', linked, 'stopped']])
      const monitored = await t.gen.startMonitor(stopper)
      const [pid, ref] = (monitored as [string, [never, number]])[1]
      await t.gen.call(pid, 'stop')
      expect(await t.drain()).toEqual([['DOWN', ref, pid, 'stopped']])
    }),
  )

  const failures: [string, () => unknown, unknown][] = [
    ['ignore', () => 'ignore', 'ignore'],
    ['stop', () => ['stop', 'stopped'], ['error', 'stopped']],
    ['error', () => ['error', 'foobar'], ['error', 'foobar']],
    ['a bad return', () => 4711, ['error', ['bad_return_value', 4711]]],
    [
      'an error',
      () => {
        throw new Error('bailout')
      },
      ['error', ['error', 'bailout']],
    ],
    ['an exit', () => exit('bailout'), ['error', 'bailout']],
  ]
  for (const [what, init, expected] of failures) {
    it(
      `C049 init gives ${what}: the answer, no EXIT, no DOWN, also when it is async`,
      inT(async (t, env) => {
        for (const module of [failing(init), failing(async () => init())]) {
          expect(await t.gen.start(module)).toEqual(expected)
          expect(await t.gen.startLink(module)).toEqual(expected)
          expect(await t.gen.startMonitor(module)).toEqual(expected)
          expect(await t.drain()).toEqual([])
        }
        const crashes = env.logs.filter((report) => report.type === 'process-crashed')
        expect(crashes.length).toBe(what === 'ignore' || what === 'error' ? 0 : 6)
      }),
    )
  }

  it(
    'I4 a benign stop in init is no crash',
    inT(async (t, env) => {
      expect(await t.gen.start(failing(() => ['stop', ['shutdown', 'x']]))).toEqual(['error', ['shutdown', 'x']])
      expect(env.logs).toEqual([])
    }),
  )

  it(
    'C052 a taken name: already_started, and init does not run',
    inT(async (t) => {
      let inits = 0
      const module: Module = {
        init: () => {
          inits += 1
          return ['ok', null]
        },
      }
      const first = await t.gen.pid(module, null, { name: 'n' })
      expect(await t.gen.start(module, null, { name: 'n' })).toEqual(['error', ['already_started', first]])
      expect([inits, t.alive(first)]).toEqual([1, true])
    }),
  )

  it(
    'N2 a start under the name of one that is ending waits for it, and an orphan that hangs in its end is killed',
    inT(async (t, env) => {
      const hanging: Module = {
        init: (_a, p) => {
          p.ctx.trapExit(true)
          return ['ok', null]
        },
        terminate: () => new Promise(() => {}),
      }
      const parent = t.spawn(async (p) => {
        await p.gen.startLink(hanging, null, { name: 'n' })
        await p.recv()
      })
      await env.settle()
      const orphan = t.whereis('n')
      t.exitSignal(parent, 'kill')
      expect(await t.gen.start({}, null, { name: 'n' })).toEqual(['ok', t.whereis('n')])
      expect([env.now, t.alive(orphan ?? t.self)]).toEqual([10_000, false])
    }),
  )

  it(
    'C053 a failed start has given its name back',
    inT(async (t) => {
      for (let i = 0; i < 100; i++) {
        expect(
          await t.gen.start(
            failing(() => (i % 2 ? 'ignore' : ['stop', 'no'])),
            null,
            { name: 'n' },
          ),
        ).not.toEqual(expect.arrayContaining(['already_started']))
        expect(t.whereis('n')).toBeNull()
      }
    }),
  )

  it(
    'C054 the starter waits for init',
    inT(async (t, env) => {
      let go: (value: unknown) => void = () => {}
      const waiting = new Promise((resolve) => {
        go = resolve
      })
      let returned = false
      const module: Module = { init: async () => waiting.then(() => ['ok', null]) }
      const started = t.gen.start(module).then((result) => {
        returned = true
        return result
      })
      await env.sleep(50)
      expect(returned).toBe(false)
      go(null)
      expect(await started).toEqual(['ok', expect.anything()])
    }),
  )

  it(
    'C055 a continue runs before what was sent during init, and that before what came later',
    inT(async (t) => {
      const module: Module = {
        init: (_arg, p) => {
          p.send(p.self, 'early')
          return ['ok', [], ['continue', 'c']]
        },
        handleContinue: () => ['noreply', ['continue']],
        handleInfo: (message, state) => ['noreply', [...(state as unknown[]), message]],
        handleCall: (_message, _from, state) => ['reply', state, state],
      }
      const server = await t.gen.pid(module)
      t.send(server, 'late')
      expect(await t.gen.call(server, 'get')).toEqual(['continue', 'early', 'late'])
    }),
  )

  it(
    'C056 a crash in the first continue is no start error',
    inT(async (t) => {
      const module: Module = { init: () => ['ok', null, ['continue', 'c']], handleContinue: () => exit('cc') }
      const pid = await t.gen.linked(module)
      expect(await t.drain()).toEqual([['EXIT', pid, 'cc']])
    }),
  )

  it(
    'C057 if the parent dies during init, init completes and then terminate runs with its reason',
    inT(async (t, env) => {
      const ended: unknown[] = []
      const module: Module = {
        init: async (_arg, p) => {
          p.ctx.trapExit(true)
          await env.sleep(60)
          ended.push('init')
          return ['ok', null]
        },
        terminate: (reason) => ended.push(reason),
      }
      const starter = t.spawn((p) => p.gen.startLink(module))
      await env.sleep(20)
      t.exitSignal(starter, 'kill')
      await env.sleep(10)
      expect(ended).toEqual([])
      await env.sleep(60)
      expect(ended).toEqual(['init', 'killed'])
    }),
  )

  it(
    'C058 I13 started without a link it has no parent',
    inT(async (t, env) => {
      const got: unknown[] = []
      const module: Module = {
        init: (_arg, p) => {
          p.ctx.trapExit(true)
          return ['ok', null]
        },
        handleInfo: (message, state) => {
          got.push(message)
          return ['noreply', state]
        },
      }
      const server = await t.gen.pid(module)
      t.exitSignal(server, 'die')
      await env.settle()
      expect(got).toEqual([['EXIT', t.self, 'die']])
      expect(t.alive(server)).toBe(true)
    }),
  )

  it(
    'I10 a failing start_link kills a starter that does not trap',
    inT(async (t) => {
      const { pid, ref } = t.spawnMonitor((p) => p.gen.startLink(failing(() => ['stop', 'oops'])))
      expect(await t.drain()).toEqual([['DOWN', ref, pid, 'oops']])
    }),
  )

  it(
    'I11 an init that takes too long is killed, and nothing strays, also for one that does not trap',
    inPlainT(async (t, env) => {
      const slow: Module = { init: () => env.sleep(1_000).then(() => ['ok', null]) }
      expect(await t.gen.startLink(slow, null, { timeout: 50 })).toEqual(['error', 'timeout'])
      expect(env.now).toBe(50)
      await env.sleep(2_000)
      expect(await t.drain()).toEqual([])
      expect(env.runtime.processes()).toEqual([t.self])
    }),
  )
})
