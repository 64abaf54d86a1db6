/** A. Processes, links, exit signals (runtime-cases.md; rules P, L, S, N, O, R, G). */
import { describe, it } from 'vitest'
import { caught, exit, expect, inPlainT, inT, type Module, type Proc, raises } from './adapter.ts'

const forever = (p: Proc): Promise<unknown> => p.recv(() => false)
const isExit = (term: unknown): boolean => Array.isArray(term) && term[0] === 'EXIT'

describe('processes, links, exit signals', () => {
  it(
    'C001 EXIT and DOWN carry an equal reason, however deep',
    inT(async (t) => {
      const reason = ['deep', { a: [1, { b: 'c' }], d: null }]
      const dying = t.spawnLink((p) => p.recv().then(() => p.exitSelf(reason)))
      const ref = t.monitor(dying)
      t.send(dying, 'go')
      expect(await t.drain()).toEqual([
        ['EXIT', dying, reason],
        ['DOWN', ref, dying, reason],
      ])
      const killed = t.spawnLink(forever)
      const ref2 = t.monitor(killed)
      t.exitSignal(killed, reason)
      expect(await t.drain()).toEqual([
        ['EXIT', killed, reason],
        ['DOWN', ref2, killed, reason],
      ])
    }),
  )

  it(
    'C002 an exit signal normal from another process is dropped',
    inT(async (t, env) => {
      const pid = t.spawnLink(forever)
      t.exitSignal(pid, 'normal')
      await env.sleep(100)
      expect(await t.drain()).toEqual([])
      expect(t.alive(pid)).toBe(true)
      t.exitSignal(pid, 'abnormal')
      expect(await t.drain()).toEqual([['EXIT', pid, 'abnormal']])
    }),
  )

  it(
    'C004 the victim cannot catch an exit signal',
    inT(async (t, env) => {
      let caughtIt = false
      const pid = t.spawn(async (p) => {
        try {
          await forever(p)
        } catch {
          caughtIt = true
        }
      })
      await env.settle()
      t.exitSignal(pid, 'die')
      await env.settle()
      expect(await t.deathOf(pid)).toBe('noproc')
      expect(caughtIt).toBe(false)
    }),
  )

  it(
    'C005 the first exit signal fixes the reason, one EXIT only',
    inT(async (t) => {
      const pid = t.spawnLink(forever)
      t.exitSignal(pid, 'first')
      t.exitSignal(pid, 'second')
      expect(await t.drain()).toEqual([['EXIT', pid, 'first']])
    }),
  )

  it(
    'C008 a link is single and symmetric; one unlink removes it; a link to self is nothing',
    inT(async (t, env) => {
      for (const unlinks of [true, false]) {
        const a = t.spawn((p) => p.recv().then(() => p.exitSelf('boo')))
        const b = t.spawn(async (p) => {
          p.trap(true)
          for (let i = 0; i < 3; i++) p.link(a)
          if (unlinks) p.unlink(a)
          expect(p.link(p.self)).toBe(true)
          t.send(t.self, await p.recv())
          t.send(t.self, await p.recv(null, 50))
        })
        await env.settle()
        expect(t.info(b, ['links'])).toEqual([['links', unlinks ? [] : [a]]])
        t.send(a, 'die')
        await env.settle()
        t.send(b, 'end')
        const got = [await t.recv(), await t.recv()]
        expect(got).toEqual(unlinks ? ['end', 'timeout'] : [['EXIT', a, 'boo'], 'end'])
      }
    }),
  )

  it(
    'C009 linking to a dead pid raises noproc, or sends EXIT noproc to one that traps',
    inT(async (t) => {
      const dead = await t.dead()
      const plain = t.spawn(async (p) => {
        expect(await raises(() => p.link(dead))).toBe(true)
        t.send(t.self, 'lives')
      })
      expect(await t.recv()).toBe('lives')
      expect(await t.deathOf(plain)).toBe('noproc')
      expect(t.link(dead)).toBe(true)
      expect(await t.drain()).toEqual([['EXIT', dead, 'noproc']])
    }),
  )

  it(
    'C010 after unlink no EXIT arrives',
    inT(async (t, env) => {
      const pid = t.spawnLink(forever)
      t.exitSignal(pid, 'bang')
      t.unlink(pid)
      await t.recv(isExit, 0)
      await env.sleep(1_000)
      expect(await t.drain()).toEqual([])
    }),
  )

  it(
    'C011 an EXIT that is queued stays after unlink',
    inT(async (t, env) => {
      const pid = t.spawnLink((p) => p.exitSelf('boo'))
      await env.settle()
      t.unlink(pid)
      expect(await t.drain()).toEqual([['EXIT', pid, 'boo']])
    }),
  )

  it(
    'C012 a message sent after an exit signal is never handled',
    inT(async (t) => {
      for (let round = 0; round < 50; round++) {
        const { pid } = t.spawnMonitor(async (p) => {
          for (;;) if ((await p.recv()) === 'may_not') p.exitSelf('bad')
        })
        for (let i = 0; i < 3; i++) t.send(pid, 'may')
        t.exitSignal(pid, 'good')
        for (let i = 0; i < 3; i++) t.send(pid, 'may_not')
      }
      const downs = await t.drain()
      expect(downs.length).toBe(50)
      expect(downs.every((down) => Array.isArray(down) && down[3] === 'good')).toBe(true)
    }),
  )

  it(
    'C013 what was sent before dying comes before EXIT, and EXIT before DOWN',
    inT(async (t) => {
      const pid = t.spawnLink(async (p) => {
        await p.recv()
        for (const n of [1, 2, 3]) p.send(t.self, n)
        p.exitSelf('bye')
      })
      const ref = t.monitor(pid)
      t.send(pid, 'go')
      expect(await t.drain()).toEqual([1, 2, 3, ['EXIT', pid, 'bye'], ['DOWN', ref, pid, 'bye']])
    }),
  )

  it(
    'C014 a name is free again before DOWN arrives',
    inT(async (t) => {
      for (let round = 0; round < 100; round++) {
        const pid = t.spawn((p) => p.recv())
        t.register('n', pid)
        const ref = t.monitor(pid)
        t.send(pid, 'end')
        await t.recv((term) => Array.isArray(term) && term[1] === ref)
        expect(t.whereis('n')).toBeNull()
        expect(t.register('n', t.self)).toBe(true)
        t.unregister('n')
      }
    }),
  )

  it(
    'C015 a queued EXIT stays a message when trapping is switched off',
    inT(async (t, env) => {
      const pid = t.spawnLink((p) => p.exitSelf('boo'))
      await env.settle()
      t.trap(false)
      expect(await t.drain()).toEqual([['EXIT', pid, 'boo']])
    }),
  )

  it(
    'C017 an exit travels down a chain of links unchanged',
    inT(async (t, env) => {
      const a = t.spawn((p) => p.recv().then(() => p.exitSelf('died')))
      const b = t.spawn((p) => p.link(a) && forever(p))
      const c = t.spawn((p) => p.link(b) && forever(p))
      await env.settle()
      const refs = [t.monitor(a), t.monitor(b), t.monitor(c)]
      t.send(a, 'go')
      const reasons = (await t.drain()).map((down) => (Array.isArray(down) ? down[3] : down))
      expect(reasons).toEqual(refs.map(() => 'died'))
    }),
  )

  it(
    'C018 a child that dies in its first statement has its true reason, never noproc',
    inT(async (t, env) => {
      for (let round = 0; round < 100; round++) {
        const fail = (): never => {
          throw new Error('first')
        }
        const linked = t.spawnLink(fail)
        const { pid, ref } = t.spawnMonitor(fail)
        await env.settle()
        expect(await t.drain()).toEqual(
          expect.arrayContaining([
            ['EXIT', linked, ['error', 'first']],
            ['DOWN', ref, pid, ['error', 'first']],
          ]),
        )
      }
    }),
  )

  it(
    'C019 the reason follows the class of the exception; exit(r) logs nothing',
    inT(async (t, env) => {
      const error = t.spawnMonitor(() => {
        throw new Error('e')
      })
      const exits = t.spawnMonitor((p) => p.exitSelf('r'))
      const throws = t.spawnMonitor(() => {
        throw 'v'
      })
      const reasons = new Map(
        (await t.drain()).map((down) => (Array.isArray(down) ? [down[1], down[3]] : [null, null])),
      )
      expect(reasons.get(error.ref)).toEqual(['error', 'e'])
      expect(reasons.get(exits.ref)).toBe('r')
      expect(reasons.get(throws.ref)).toEqual(['nocatch', 'v'])
      const logged = env.logs.flatMap((report) => (report.type === 'process-error' ? [report.pid] : []))
      expect(logged).toContain(error.pid)
      expect(logged).not.toContain(exits.pid)
    }),
  )

  it(
    'C020 process info gives the items in the order asked, and undefined for the dead',
    inT(async (t, env) => {
      const q = t.spawn(forever)
      const p = t.spawn(async (self) => {
        self.monitor(q)
        await forever(self)
      })
      t.register('p', p)
      await env.settle()
      for (const n of [1, 2, 3]) t.send(p, n)
      await env.settle()
      expect(t.info(p, ['status', 'links', 'message_queue_len', 'registered_name', 'monitors', 'messages'])).toEqual([
        ['status', 'waiting'],
        ['links', []],
        ['message_queue_len', 3],
        ['registered_name', 'p'],
        ['monitors', [q]],
        ['messages', [1, 2, 3]],
      ])
      t.exitSignal(p, 'kill')
      expect(t.info(p, ['status'])).toBeUndefined()
      expect(t.alive(p)).toBe(false)
    }),
  )

  it(
    'C021 register refuses a taken name, a second name, and the dead',
    inT(async (t) => {
      const [p, q, dead] = [t.spawn(forever), t.spawn(forever), await t.dead()]
      t.register('a', p)
      expect(await raises(() => t.register('a', q))).toBe(true)
      expect(await raises(() => t.register('b', p))).toBe(true)
      expect(await raises(() => t.register('c', dead))).toBe(true)
      expect(t.whereis('a')).toBe(p)
    }),
  )

  it(
    'C022 a send to an unregistered name raises; a cast, and a send to the dead, do not (SUPV-04)',
    inT(async (t) => {
      expect(await raises(() => t.send('z', 'm'))).toBe(true)
      expect(t.gen.cast('z', 'm')).toBe('ok')
      expect(t.send(await t.dead(), 'm')).toBe('m')
    }),
  )

  it(
    'C024 a signal kills a server in the middle of an async callback, without terminate',
    inT(async (t, env) => {
      const seen: string[] = []
      const module: Module = {
        handleCast: async () => {
          await env.sleep(1_000)
          seen.push('callback went on')
          return ['noreply', null]
        },
        terminate: () => seen.push('terminate'),
      }
      const server = await t.gen.pid(module)
      const b = t.spawn((p) => p.link(server) && p.recv().then(() => p.exitSelf('boo')))
      await env.settle()
      t.gen.cast(server, 'work')
      const ref = t.monitor(server)
      await env.settle()
      t.send(b, 'die')
      expect(await t.drain()).toEqual([['DOWN', ref, server, 'boo']])
      expect(env.now).toBeLessThan(1_000)
      await env.sleep(2_000)
      expect(seen).toEqual(['callback went on'])
    }),
  )

  it(
    'C025 a mutation after the send is not seen by the receiver',
    inT(async (t) => {
      const message = { value: 1, deep: [1] }
      const pid = t.spawn(async (p) => p.send(t.self, await p.recv()))
      t.send(pid, message)
      message.value = 2
      message.deep.push(2)
      expect(await t.recv()).toEqual({ value: 1, deep: [1] })
    }),
  )
})

describe('exit signals, further', () => {
  it(
    'L5 every row of the reception table',
    inT(async (t, env) => {
      const outcome = async (trapping: boolean, reason: unknown): Promise<unknown> => {
        let got: unknown = null
        const pid = t.spawn(async (p) => {
          p.trap(trapping)
          got = await p.recv()
          await forever(p)
        })
        await env.settle()
        const ref = t.monitor(pid)
        t.exitSignal(pid, reason)
        await env.settle()
        if (t.alive(pid)) {
          t.demonitor(ref)
          return Array.isArray(got) ? ['message', got[2]] : 'dropped'
        }
        const down = await t.recv((term) => Array.isArray(term) && term[1] === ref)
        return Array.isArray(down) ? ['died', down[3]] : down
      }
      expect(await outcome(false, 'r')).toEqual(['died', 'r'])
      expect(await outcome(true, 'r')).toEqual(['message', 'r'])
      expect(await outcome(false, 'normal')).toBe('dropped')
      expect(await outcome(true, 'normal')).toEqual(['message', 'normal'])
      expect(await outcome(false, 'kill')).toEqual(['died', 'killed'])
      expect(await outcome(true, 'kill')).toEqual(['died', 'killed'])
    }),
  )

  it(
    'L5 exit(self, normal) ends one that does not trap, and is a message to one that does',
    inT(async (t) => {
      const plain = t.spawn((p) => p.exitSignal(p.self, 'normal') && forever(p))
      expect(await t.deathOf(plain)).toBe('normal')
      t.exitSignal(t.self, 'normal')
      expect(await t.drain()).toEqual([['EXIT', t.self, 'normal']])
    }),
  )

  it(
    'L6 kill travels on as killed; an exit by oneself with kill stays kill and is trappable',
    inT(async (t, env) => {
      const a = t.spawn(forever)
      const b = t.spawn((p) => p.link(a) && forever(p))
      await env.settle()
      t.link(b)
      t.exitSignal(a, 'kill')
      expect(await t.drain()).toEqual([['EXIT', b, 'killed']])
      const self = t.spawnLink((p) => p.exitSelf('kill'))
      expect(await t.drain()).toEqual([['EXIT', self, 'kill']])
    }),
  )

  it(
    'L5 a link signal normal does nothing to one that does not trap',
    inPlainT(async (t, env) => {
      t.spawnLink(() => 'done')
      await env.settle()
      expect(t.alive(t.self)).toBe(true)
    }),
  )

  it(
    'P1 spawn returns before the body runs',
    inT(async (t, env) => {
      let ran = false
      t.spawn(() => {
        ran = true
      })
      expect(ran).toBe(false)
      await env.settle()
      expect(ran).toBe(true)
    }),
  )

  it(
    'P2 a pid is never used twice',
    inT(async (t) => {
      const pids = new Set(Array.from({ length: 100 }, () => t.spawn(() => null).id))
      expect(pids.size).toBe(100)
    }),
  )

  it(
    'L7 an exit signal to the dead is true and does nothing',
    inT(async (t) => {
      expect(t.exitSignal(await t.dead(), 'r')).toBe(true)
    }),
  )

  it(
    'J2 what a dead process does afterwards has no effect',
    inT(async (t, env) => {
      const module: Module = {
        handleCall: async (_message, _from, state, p) => {
          await env.sleep(100)
          p.send(t.self, 'from the dead')
          return ['reply', 'late', state]
        },
      }
      const server = await t.gen.pid(module)
      const asked = caught(() => t.gen.call(server, 'x'))
      await env.settle()
      t.exitSignal(server, 'kill')
      expect(await asked).toEqual(['exit', 'killed'])
      await env.sleep(200)
      expect(await t.drain()).toEqual([])
    }),
  )

  it(
    'J4 the call of a dead caller leaves nothing behind',
    inT(async (t, env) => {
      const server = await t.gen.pid({ handleCall: (_m, _f, s) => ['noreply', s] })
      const before = env.counts()
      const caller = t.spawn((p) => p.gen.call(server, 'x'))
      await env.settle()
      t.exitSignal(caller, 'kill')
      await env.settle()
      expect(env.counts()).toEqual(before)
      exit satisfies unknown
    }),
  )
})
