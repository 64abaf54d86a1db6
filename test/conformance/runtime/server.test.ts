/** E. gen_server (runtime-cases.md; rules G, N5). */
import { describe, it } from 'vitest'
import type { From } from '#runtime/from.ts'
import { CallExit, caught, exit, expect, inT, type Module, type Proc, raises, responseTerm } from './adapter.ts'

const forever = (p: Proc): Promise<unknown> => p.recv(() => false)
const push = (state: unknown, item: unknown): unknown[] => [...(Array.isArray(state) ? state : []), item]
/** Keeps what it sees, in order; `get` answers it. */
const recorder: Module = {
  init: () => ['ok', []],
  handleCall: (m, _from, s) => (m === 'get' ? ['reply', s, s] : ['reply', 'ok', push(s, m)]),
  handleCast: (m, s) => ['noreply', push(s, m)],
  handleInfo: (m, s) => ['noreply', push(s, m)],
}

describe('calls', () => {
  it(
    'C059 an immediate and a delayed reply; a return timeout within and beyond',
    inT(async (t, env) => {
      let from: From<unknown> = {}
      const module: Module = {
        handleCall: (m, f, s) => {
          if (m === 'now') return ['reply', 'ok', s]
          from = f
          return ['noreply', s, typeof m === 'number' ? m : 1]
        },
        handleInfo: (m, s, p) => {
          p.ctx.reply(from, m === 'timeout' ? 'delayed' : 'woken')
          return ['noreply', s]
        },
      }
      const server = await t.gen.pid(module, null, { name: 'n' })
      expect(await t.gen.call('n', 'now')).toBe('ok')
      expect(await t.gen.call('n', 'later')).toBe('delayed')
      const within = t.gen.call(server, 50)
      await env.sleep(20)
      t.send(server, 'wake')
      expect(await within).toBe('woken')
      const beyond = t.gen.call(server, 50)
      await env.sleep(60)
      expect(await beyond).toBe('delayed')
    }),
  )

  it(
    'C060 after a timeout the late reply never comes, and the work is done all the same (SUPV-04)',
    inT(async (t, env) => {
      const module: Module = {
        init: () => ['ok', 0],
        handleCall: async (m, _f, s) => {
          if (m === 'get') return ['reply', s, s]
          await env.sleep(60)
          return ['reply', 'late', Number(s) + 1]
        },
      }
      const server = await t.gen.pid(module)
      expect(await caught(() => t.gen.call(server, 'slow', 20))).toEqual(['exit', 'timeout'])
      await env.sleep(120)
      expect(await t.drain()).toEqual([])
      expect(await t.gen.call(server, 'get')).toBe(1)
    }),
  )

  it(
    'C061 a call fails with why, target, request and timeout',
    inT(async (t) => {
      const dead = await t.dead()
      t.register('me', t.self)
      const cases: [() => Promise<unknown>, string, string][] = [
        [() => t.gen.call(dead, 'x', 10), 'noproc', String(dead)],
        [() => t.gen.call('unknown', 'x', 10), 'noproc', 'unknown'],
        [() => t.gen.call(t.self, 'x', 10), 'calling_self', String(t.self)],
        [() => t.gen.call('me', 'x', 10), 'calling_self', 'me'],
      ]
      for (const [work, why, target] of cases) {
        const error = await work().catch((failure: unknown) => failure)
        expect(error).toBeInstanceOf(CallExit)
        expect(error).toMatchObject({ reason: why, call: { target, request: 'm', timeoutMs: 10 } })
      }
      const server = await t.gen.pid({ handleCall: async (_m, _f, s) => t.env.sleep(5).then(() => ['reply', 1, s]) })
      expect(await caught(() => t.gen.call(server, 'x', 0))).toEqual(['exit', 'timeout'])
    }),
  )

  it(
    'G1 a caller that does not catch it dies with a reason that is never benign',
    inT(async (t) => {
      const server = await t.gen.pid({ handleCall: (_m, _f, s) => ['stop', 'normal', s] })
      const { pid, ref } = t.spawnMonitor((p) => p.gen.call(server, 'x'))
      expect(await t.drain()).toEqual([['DOWN', ref, pid, ['normal', 'call']]])
    }),
  )

  it(
    'G2 a call never hangs when its target dies, before or during it',
    inT(async (t, env) => {
      const server = await t.gen.pid({ handleCall: (_m, _f, s) => ['noreply', s] })
      const asked = caught(() => t.gen.call(server, 'x', Number.POSITIVE_INFINITY))
      await env.settle()
      t.exitSignal(server, 'shutdown')
      expect(await asked).toEqual(['exit', 'shutdown'])
    }),
  )

  it(
    'G2 who waits for the dead hears of it in the order of asking',
    inT(async (t, env) => {
      const server = await t.gen.pid({ handleCall: (_m, _f, s) => ['noreply', s] })
      const order: number[] = []
      for (const n of [1, 2, 3]) void caught(() => t.gen.call(server, n)).then(() => order.push(n))
      await env.settle()
      t.exitSignal(server, 'boo')
      await env.settle()
      expect(order).toEqual([1, 2, 3])
    }),
  )

  it(
    'J4 a caller that is dead but for what it owns is not resumed by the answer',
    inT(async (t, env) => {
      let from: From<unknown> = {}
      const server = await t.gen.pid({
        handleCall: (_m, f, s) => {
          from = f
          return ['noreply', s]
        },
      })
      let resumed = false
      const caller = t.spawn(async (p) => {
        p.ctx.own(() => env.sleep(100))
        await p.gen.call(server, 'x')
        resumed = true
      })
      await env.settle()
      t.exitSignal(caller, 'kill')
      t.gen.reply(from, 'late')
      await env.sleep(200)
      expect(resumed).toBe(false)
    }),
  )

  it(
    'C063 a bad return: the caller, terminate and the process get bad_return_value, with the last good state',
    inT(async (t) => {
      const seen: unknown[] = []
      const module: Module = {
        init: () => ['ok', 'good'],
        handleCall: () => 'garbage',
        terminate: (reason, state) => seen.push(reason, state),
      }
      const server = await t.gen.pid(module)
      expect(await caught(() => t.gen.call(server, 'x'))).toEqual(['exit', ['bad_return_value', 'garbage']])
      expect(seen).toEqual([['bad_return_value', 'garbage'], 'good'])
    }),
  )

  it(
    'C066 stop without a reply: the caller exits with the reason',
    inT(async (t) => {
      const seen: unknown[] = []
      const server = await t.gen.pid({ handleCall: (_m, _f, s) => ['stop', 'why', s], terminate: (r) => seen.push(r) })
      expect(await caught(() => t.gen.call(server, 'x'))).toEqual(['exit', 'why'])
      expect(seen).toEqual(['why'])
    }),
  )

  it(
    'G10 stop with a reply: terminate runs first, the reply goes out also if it crashes',
    inT(async (t) => {
      const order: string[] = []
      const module: Module = {
        handleCall: (_m, _f, s) => ['stop', 'normal', 'bye', s],
        terminate: () => {
          order.push('terminate')
          exit('crash')
        },
      }
      const server = await t.gen.pid(module)
      const ref = t.monitor(server)
      expect(await t.gen.call(server, 'x')).toBe('bye')
      expect(order).toEqual(['terminate'])
      expect(await t.drain()).toEqual([['DOWN', ref, server, 'crash']])
    }),
  )

  it(
    'G13 an exception: terminate sees the state from before the failing callback',
    inT(async (t) => {
      const seen: unknown[] = []
      const module: Module = {
        init: () => ['ok', 'before'],
        handleCast: () => {
          throw new Error('e')
        },
        terminate: (reason, state) => seen.push(reason, state),
      }
      const server = await t.gen.pid(module)
      t.gen.cast(server, 'x')
      expect(await t.deathOf(server)).toEqual(['error', 'e'])
      expect(seen).toEqual([['error', 'e'], 'before'])
    }),
  )

  it(
    'C087 G14 a throw is an error, never a return value: the documented choice',
    inT(async (t) => {
      const server = await t.gen.pid({
        handleCall: () => {
          throw ['reply', 'x', null]
        },
      })
      expect(await caught(() => t.gen.call(server, 'x'))).toEqual(['exit', ['nocatch', ['reply', 'x', null]]])
    }),
  )

  it(
    'C084 a reply may come later and from any process; one to a dead or timed-out caller vanishes (SUPV-04)',
    inT(async (t, env) => {
      let from: From<unknown> = {}
      const server = await t.gen.pid({
        handleCall: (_m, f, s) => {
          from = f
          return ['noreply', s]
        },
      })
      const asked = t.gen.call(server, 'x')
      await env.settle()
      t.spawn(async (p) => {
        await env.sleep(20)
        p.gen.reply(from, 'late')
      })
      expect(await asked).toBe('late')
      expect(await caught(() => t.gen.call(server, 'x', 10))).toEqual(['exit', 'timeout'])
      t.gen.reply(from, 'too late')
      const caller = t.spawn((p) => p.gen.call(server, 'x'))
      await env.settle()
      t.exitSignal(caller, 'kill')
      t.gen.reply(from, 'nobody')
      expect(await t.drain()).toEqual([])
    }),
  )

  it(
    'C085 a second reply to one From never shows',
    inT(async (t) => {
      const module: Module = {
        handleCall: (_m, from, s, p) => {
          p.ctx.reply(from, 'first')
          return ['reply', 'second', s]
        },
      }
      const server = await t.gen.pid(module)
      expect(await t.gen.call(server, 'x')).toBe('first')
      expect(await t.drain()).toEqual([])
    }),
  )

  it(
    'C086 calls, casts and sends of one process are handled in sending order',
    inT(async (t) => {
      const server = await t.gen.pid(recorder)
      t.gen.cast(server, 1)
      t.send(server, 'two')
      await t.gen.call(server, 3)
      expect(await t.gen.call(server, 'get')).toEqual([1, 'two', 3])
    }),
  )

  it(
    'C088 a name follows a restart, a pid does not; the mailbox is lost',
    inT(async (t, env) => {
      const crasher: Module = {
        ...recorder,
        handleCast: (m, s) => (m === 'crash' ? exit('crash') : ['noreply', push(s, m)]),
      }
      const old = await t.gen.pid(crasher, null, { name: 'n' })
      t.gen.cast('n', 'crash')
      t.gen.cast('n', 'queued at the crash')
      await env.settle()
      await t.gen.pid(crasher, null, { name: 'n' })
      expect(await t.gen.call('n', 'get')).toEqual([])
      expect(await caught(() => t.gen.call(old, 'get'))).toEqual(['exit', 'noproc'])
    }),
  )

  it(
    'C089 a thousand timed-out calls leave nothing behind',
    inT(async (t, env) => {
      const server = await t.gen.pid({ handleCall: (_m, _f, s) => ['noreply', s] })
      const before = env.counts()
      const calls = Array.from({ length: 1_000 }, () => caught(() => t.gen.call(server, 'x', 10)))
      expect(new Set((await Promise.all(calls)).map(String)).size).toBe(1)
      await env.settle()
      expect(env.counts()).toEqual(before)
    }),
  )
})

describe('casts, infos, timeouts, continue', () => {
  it(
    'C067 cast and info: handled, delayed, stopped',
    inT(async (t, env) => {
      const module: Module = {
        handleCast: (m, s) => (m === 'delay' ? ['noreply', s, 1] : m === 'stop' ? ['stop', 'normal', s] : tell(m, s)),
        handleInfo: (m, s) => tell(m === 'timeout' ? 'delayed' : m, s),
        terminate: () => t.send(t.self, 'stopped'),
      }
      const tell = (m: unknown, s: unknown): unknown => {
        t.send(t.self, m)
        return ['noreply', s]
      }
      const server = await t.gen.pid(module)
      t.gen.cast(server, 'handled')
      t.gen.cast(server, 'delay')
      await env.sleep(5)
      t.send(server, 'info')
      t.gen.cast(server, 'stop')
      expect(await t.drain()).toEqual(['handled', 'delayed', 'info', 'stopped'])
    }),
  )

  it(
    'G21 any message cancels a return timeout, which holds for one return only',
    inT(async (t, env) => {
      const module: Module = {
        init: () => ['ok', [], 50],
        handleCast: (m, s) => ['noreply', push(s, m)],
        handleInfo: (m, s) => ['noreply', push(s, m)],
        handleCall: (_m, _f, s) => ['reply', s, s],
      }
      const server = await t.gen.pid(module)
      await env.sleep(40)
      t.gen.cast(server, 'cancels')
      await env.sleep(200)
      expect(await t.gen.call(server, 'get')).toEqual(['cancels'])
    }),
  )

  it(
    'G23 a timeout of 0 loses to a queued message',
    inT(async (t) => {
      const module: Module = {
        init: () => ['ok', []],
        handleCast: (m, s) => (m === 'zero' ? ['noreply', push(s, m), 0] : ['noreply', push(s, m)]),
        handleInfo: (m, s) => ['noreply', push(s, m)],
        handleCall: (_m, _f, s) => ['reply', s, s],
      }
      const server = await t.gen.pid(module)
      t.gen.cast(server, 'zero')
      t.gen.cast(server, 'queued')
      expect(await t.gen.call(server, 'get')).toEqual(['zero', 'queued'])
      t.gen.cast(server, 'zero')
      await t.env.settle()
      expect(await t.gen.call(server, 'get')).toEqual(['zero', 'queued', 'zero', 'timeout'])
    }),
  )

  it(
    'C078 a continue runs before any queued message, may chain and may stop',
    inT(async (t) => {
      const module: Module = {
        init: () => ['ok', []],
        handleCall: (m, _f, s) => (m === 'get' ? ['reply', s, s] : ['reply', 'ok', s, ['continue', m]]),
        handleCast: (m, s) => ['noreply', s, ['continue', m]],
        handleInfo: (m, s) =>
          m === 'after' ? ['noreply', push(s, 'after_continue')] : ['noreply', s, ['continue', m]],
        handleContinue: (m, s) => {
          if (m === 'stop') return ['stop', 'normal', s]
          if (m === 'chain') return ['noreply', push(s, 'before'), ['continue', 'continue']]
          return ['noreply', push(s, m)]
        },
      }
      const server = await t.gen.pid(module)
      const asked = t.gen.call(server, 'continue')
      t.send(server, 'after')
      t.gen.cast(server, 'chain')
      t.send(server, 'after')
      t.send(server, 'continue')
      await asked
      const seen = ['continue', 'after_continue', 'before', 'continue', 'after_continue', 'continue']
      expect(await t.gen.call(server, 'get')).toEqual(seen)
      const ref = t.monitor(server)
      t.gen.cast(server, 'stop')
      expect(await t.drain()).toEqual([['DOWN', ref, server, 'normal']])
    }),
  )

  it(
    'C076 no handleInfo: a warning, and it lives',
    inT(async (t, env) => {
      const server = await t.gen.pid({ name: 'mute', handleCall: (_m, _f, s) => ['reply', 'ok', s] })
      t.send(server, { type: 'hej' })
      expect(await t.gen.call(server, 'x')).toBe('ok')
      expect(env.logs).toMatchObject([{ type: 'info-unhandled', behaviour: 'mute', message: 'hej' }])
    }),
  )

  it(
    'C077 a missing callback when it is needed is undef',
    inT(async (t) => {
      const bare = await t.gen.pid({})
      expect(await caught(() => t.gen.call(bare, 'x'))).toEqual(['exit', ['undef', 'call m']])
      const bare2 = await t.gen.pid({})
      t.gen.cast(bare2, 'x')
      expect(await t.deathOf(bare2)).toEqual(['undef', 'cast m'])
      const bare3 = await t.gen.linked({ init: () => ['ok', null, ['continue', 'c']] })
      expect(await t.drain()).toEqual([['EXIT', bare3, ['undef', 'continue']]])
      const nothing: unknown = undefined
      const broken = await t.gen.pid({ handleInfo: () => (nothing as () => void)() })
      t.send(broken, 'x')
      expect(await t.deathOf(broken)).toEqual(['error', expect.stringContaining('not a function')])
    }),
  )
})

describe('stop and terminate', () => {
  it(
    'C068 stop ends it through terminate, by pid and by name',
    inT(async (t) => {
      const ended: unknown[] = []
      const module: Module = { terminate: (reason) => ended.push(reason) }
      const server = await t.gen.pid(module)
      expect(await t.gen.stop(server)).toBe('ok')
      await t.gen.pid(module, null, { name: 'n' })
      expect(await t.gen.stop('n', 'other_reason', Number.POSITIVE_INFINITY)).toBe('ok')
      const lives = await t.gen.pid(module)
      expect(await raises(() => t.gen.stop(lives, 'normal', -1))).toBe(true)
      expect(t.alive(lives)).toBe(true)
      expect(await caught(() => t.gen.stop(server))).toEqual(['exit', 'noproc'])
      expect(ended).toEqual(['normal', 'other_reason'])
    }),
  )

  it(
    'G19 stop tells the real reason if it is another; after a timeout the server still ends',
    inT(async (t, env) => {
      const stubborn = await t.gen.pid({ terminate: () => exit('real') })
      expect(await caught(() => t.gen.stop(stubborn))).toEqual(['exit', 'real'])
      const slow = await t.gen.pid({ handleCast: async (_m, s) => env.sleep(100).then(() => ['noreply', s]) })
      t.gen.cast(slow, 'work')
      await env.settle()
      expect(await caught(() => t.gen.stop(slow, 'normal', 20))).toEqual(['exit', 'timeout'])
      expect(t.alive(slow)).toBe(true)
      await env.sleep(200)
      expect(t.alive(slow)).toBe(false)
    }),
  )

  it(
    'C071 stop of oneself is calling_self; of an unknown name noproc',
    inT(async (t) => {
      const server = await t.gen.pid({
        handleCall: async (_m, _f, s, p) => ['reply', await caught(() => p.ctx.stop(p.self)), s],
      })
      expect(await t.gen.call(server, 'x')).toEqual(['exit', 'calling_self'])
      expect(await caught(() => t.gen.stop('unknown'))).toEqual(['exit', 'noproc'])
    }),
  )

  it(
    'C073 G17 an EXIT from anyone but the parent is an info for one that traps',
    inT(async (t, env) => {
      const got: unknown[] = []
      const server = await t.gen.pid({
        init: (_a, p) => {
          p.ctx.trapExit(true)
          return ['ok', null]
        },
        handleInfo: (m, s) => {
          got.push(m)
          return ['noreply', s]
        },
      })
      const z = t.spawn((p) => p.link(server) && p.recv().then(() => p.exitSelf('die')))
      await env.settle()
      t.send(z, 'go')
      await env.settle()
      const z2 = t.spawn((p) => p.exitSignal(server, 'die'))
      await env.settle()
      expect(got).toEqual([
        ['EXIT', z, 'die'],
        ['EXIT', z2, 'die'],
      ])
      expect(t.alive(server)).toBe(true)
    }),
  )

  it(
    'G15 the parent’s EXIT ends one that traps, through terminate, even with normal',
    inT(async (t, env) => {
      const ended: unknown[] = []
      const module: Module = {
        init: (_a, p) => {
          p.ctx.trapExit(true)
          return ['ok', null]
        },
        terminate: (reason) => ended.push(reason),
      }
      for (const reason of ['normal', 'boo']) {
        t.spawn(async (p) => {
          await p.gen.startLink(module)
          p.exitSelf(reason)
        })
        await env.settle()
      }
      expect(ended).toEqual(['normal', 'boo'])
      expect(env.runtime.processes()).toEqual([t.self])
    }),
  )

  it(
    'G16 no terminate for a kill, nor for a signal to one that does not trap',
    inT(async (t, env) => {
      const ended: unknown[] = []
      const module: Module = { terminate: (reason) => ended.push(reason) }
      t.exitSignal(await t.gen.pid(module), 'kill')
      t.exitSignal(await t.gen.pid(module), 'boo')
      await env.settle()
      expect(ended).toEqual([])
    }),
  )

  it(
    'C074 what terminate raises becomes the reason',
    inT(async (t, env) => {
      const server = await t.gen.pid({ handleCast: (_m, s) => ['stop', 'orig', s], terminate: () => exit('t_crash') })
      t.gen.cast(server, 'x')
      expect(await t.deathOf(server)).toBe('t_crash')
      const report = env.logs.find(({ type }) => type === 'server-terminated')
      expect(report).toMatchObject({ reason: { type: 'term', term: 't_crash' } })
    }),
  )

  it(
    'C075 terminate is optional',
    inT(async (t) => {
      for (const reason of ['normal', ['error', 'test']]) {
        const server = await t.gen.pid({})
        const ref = t.monitor(server)
        expect(await t.gen.stop(server, reason)).toBe('ok')
        expect(await t.drain()).toEqual([['DOWN', ref, server, reason]])
      }
    }),
  )
})

describe('requests whose answers are fetched later', () => {
  it(
    'C081 wait keeps the request alive; death and bad returns are answers',
    inT(async (t, env) => {
      const module: Module = {
        handleCall: async (m, _f, s) => (m === 'bad' ? 'garbage' : env.sleep(50).then(() => ['reply', m, s])),
      }
      const server = await t.gen.pid(module)
      const request = t.gen.sendRequest(server, 'x')
      expect(t.gen.checkResponse(request)).toBe('no_reply')
      expect(await t.gen.waitResponse(request, 0)).toBe('timeout')
      expect(await t.gen.waitResponse(request, Number.POSITIVE_INFINITY)).toEqual(['reply', 'x'])
      expect(t.gen.checkResponse(request)).toEqual(['reply', 'x'])
      const dead = t.gen.sendRequest(await t.dead(), 'x')
      expect(await t.gen.receiveResponse(dead, 10)).toEqual(['error', 'noproc'])
      const bad = t.gen.sendRequest(server, 'bad')
      expect(await t.gen.waitResponse(bad, 10)).toEqual(['error', ['bad_return_value', 'garbage']])
    }),
  )

  it(
    'C082 a collection gives the answers as they arrive, with their labels',
    inT(async (t, env) => {
      const after = (ms: number): Module => ({
        handleCall: async (m, _f, s) => env.sleep(ms).then(() => ['reply', m, s]),
      })
      const collection = t.gen.collection()
      const requests: ReturnType<typeof t.gen.sendRequest>[] = []
      for (const [label, ms] of Object.entries({ req1: 400, req2: 1, req3: 200 })) {
        const request = t.gen.sendRequest(await t.gen.pid(after(ms)), ms)
        requests.push(request)
        collection.add(request, label)
      }
      expect(await raises(() => collection.add(requests[0] ?? t.gen.sendRequest('x', 1), 'again'))).toBe(true)
      const got: unknown[] = []
      while (collection.size > 0) {
        const next = await collection.receive(1_000)
        if (typeof next === 'object') got.push([next.label, responseTerm(next.response), collection.size])
      }
      expect(got).toEqual([
        ['req2', ['reply', 1], 2],
        ['req3', ['reply', 200], 1],
        ['req1', ['reply', 400], 0],
      ])
      expect(await collection.receive(10)).toBe('no_request')
      forever satisfies unknown
    }),
  )
})
