/** J. Reports (runtime-cases.md; rules O), and what JavaScript adds (rules J). */
import { describe, it } from 'vitest'
import { caught, type Env, exit, expect, inT, type Module, type Proc, sys } from './adapter.ts'
import { Dyn, Sup } from './adapter-supervisors.ts'
import { childOf, die, W, Wp } from './workers.ts'

const types = (env: Env): string[] => env.logs.map(({ type }) => type)
const crasher: Module = {
  name: 'crasher',
  init: () => ['ok', { secret: 'x' }],
  handleCall: () => {
    throw new Error('boom')
  },
  handleCast: (m, s) => ['stop', m, s],
}

describe('reports', () => {
  it(
    'C174 benign ends say nothing; a crash says what, where, on which message, for whom',
    inT(async (t, env) => {
      for (const reason of ['normal', 'shutdown', ['shutdown', 'x']]) {
        const server = await t.gen.pid(crasher)
        t.gen.cast(server, reason)
        await env.settle()
      }
      expect(env.logs).toEqual([])
      const server = await t.gen.linked(crasher, null, { name: 'n' })
      await caught(() => t.gen.call(server, 'x'))
      await env.settle()
      expect(env.logs).toMatchObject([
        {
          type: 'server-terminated',
          pid: server,
          name: 'n',
          behaviour: 'crasher',
          lastMessage: { term: 'x' },
          state: { secret: 'x' },
          client: t.self,
          reason: { type: 'error', error: { message: 'boom', stack: expect.stringContaining('reports.test') } },
        },
        {
          type: 'process-crashed',
          pid: server,
          ancestors: [t.self],
          links: [t.self],
          trapExit: false,
          mailboxLength: 0,
        },
      ])
    }),
  )

  it(
    'O3 a process killed by a signal logs nothing itself',
    inT(async (t, env) => {
      const server = await t.gen.pid(crasher)
      t.exitSignal(server, 'boo')
      await env.settle()
      expect(env.logs).toEqual([])
    }),
  )

  it(
    'O1 one that traps and ends by its parent’s EXIT says so, unless that is benign',
    inT(async (t, env) => {
      const trapping: Module = {
        name: 'trapping',
        init: (_a, p) => {
          p.ctx.trapExit(true)
          return ['ok', null]
        },
      }
      for (const reason of ['shutdown', 'boo']) {
        t.spawn(async (p) => {
          await p.gen.startLink(trapping)
          p.exitSelf(reason)
        })
        await env.settle()
      }
      const told = env.logs.filter(({ type }) => type === 'server-terminated')
      expect(told).toMatchObject([{ behaviour: 'trapping', reason: { term: 'boo' } }])
    }),
  )

  it(
    'C176 O8 formatStatus redacts the status and the report; one that fails shows a placeholder and changes nothing',
    inT(async (t, env) => {
      const redacting: Module = { ...crasher, formatStatus: () => '(redacted)' }
      const server = await t.gen.pid(redacting)
      await sys.log(env.runtime, server)
      expect((await sys.getStatus(env.runtime, server)).state).toBe('(redacted)')
      await caught(() => t.gen.call(server, 'x'))
      expect(env.logs[0]).toMatchObject({ type: 'server-terminated', state: '(redacted)' })
      expect(JSON.stringify(env.logs[0])).not.toContain('secret')
      const failing: Module = { ...crasher, formatStatus: () => exit('no') }
      const broken = await t.gen.pid(failing)
      expect((await sys.getStatus(env.runtime, broken)).state).toBe('(formatStatus failed)')
      expect(await caught(() => t.gen.call(broken, 'x'))).toEqual(['exit', ['error', 'boom']])
    }),
  )

  it(
    'O4 O5 the sequence of a crash and restart, and of giving up',
    inT(async (t, env) => {
      const sup = new Sup(t)
      const pid = await sup.pid({}, [Wp(env, 'a')], 'top')
      expect(env.logs).toMatchObject([{ type: 'process-started', id: 'a', supervisor: 'top' }])
      env.logs.length = 0
      await die(t, childOf(await sup.whichChildren(pid), 'a'), 'x')
      expect(types(env)).toEqual([
        'server-terminated',
        'process-crashed',
        'child-terminated',
        'process-started',
        'process-restarted',
      ])
      env.logs.length = 0
      await die(t, childOf(await sup.whichChildren(pid), 'a'), 'x')
      expect(types(env).slice(2)).toEqual(['child-terminated', 'supervisor-gave-up'])
      expect(env.logs.at(-1)).toMatchObject({
        supervisor: 'top',
        offender: { id: 'a', restart: 'permanent', type: 'worker' },
      })
    }),
  )

  it(
    'O6 every end of a permanent child is told, of the others only what is not benign',
    inT(async (t, env) => {
      const told: string[] = []
      for (const restart of ['permanent', 'transient', 'temporary']) {
        for (const reason of ['normal', 'x']) {
          env.logs.length = 0
          const sup = new Sup(t)
          const pid = await sup.pid({}, [Wp(env, 'a', { restart })])
          await die(t, childOf(await sup.whichChildren(pid), 'a'), reason)
          if (types(env).includes('child-terminated')) told.push(`${restart} ${reason}`)
        }
      }
      expect(told).toEqual(['permanent normal', 'permanent x', 'transient x', 'temporary x'])
    }),
  )

  it(
    'O7 a child that did not stop as it should is told',
    inT(async (t, env) => {
      const sup = new Sup(t)
      const pid = await sup.pid({}, [W(env, 'good'), W(env, 'stubborn', { shutdown: 50, stopMs: 1_000 })])
      t.exitSignal(pid, 'shutdown')
      await env.sleep(100)
      const told = env.logs.filter(({ type }) => type === 'child-shutdown-failed')
      expect(told).toMatchObject([{ offender: { id: 'stubborn' }, reason: 'killed' }])
    }),
  )

  it(
    'O4 a failed start is told',
    inT(async (t, env) => {
      const sup = new Sup(t)
      await sup.startLink({}, [W(env, 'a', { start: () => ['error', 'no'] })])
      expect(env.logs).toMatchObject([{ type: 'child-start-failed', offender: { id: 'a' } }])
    }),
  )

  it(
    'O11 an observer sees every process without asking it',
    inT(async (t, env) => {
      const dyn = new Dyn(t)
      const sup = await dyn.pid()
      await dyn.startChild(sup, W(env, 'x'))
      const busy = await t.gen.pid({ handleCast: () => new Promise(() => {}) }, null, { name: 'busy' })
      t.gen.cast(busy, 'x')
      t.gen.cast(busy, 'waits')
      await env.settle()
      expect(env.runtime.processInfo('busy')).toMatchObject({ state: 'busy', mailbox: 1, name: 'busy' })
      expect(env.runtime.processes().length).toBe(4)
    }),
  )
})

describe('what JavaScript adds', () => {
  it(
    'J1 one callback at a time, across await',
    inT(async (t, env) => {
      const order: string[] = []
      const server = await t.gen.pid({
        handleCast: async (m, s) => {
          order.push(`in ${m}`)
          await env.sleep(10)
          order.push(`out ${m}`)
          return ['noreply', s]
        },
      })
      t.gen.cast(server, 1)
      t.gen.cast(server, 2)
      await env.sleep(50)
      expect(order).toEqual(['in 1', 'out 1', 'in 2', 'out 2'])
    }),
  )

  it(
    'J2 the signal is aborted at death; what the dead do has no effect',
    inT(async (t, env) => {
      let aborted: unknown = null
      const server = await t.gen.pid({
        handleCast: async (_m, s, p) => {
          p.ctx.signal.addEventListener('abort', () => {
            aborted = p.ctx.signal.reason
          })
          await env.sleep(50)
          p.ctx.cast(t.self, { type: 'm' })
          p.ctx.link(t.self)
          p.ctx.exit(t.self, 'kill')
          p.ctx.sendAfter(1, { type: 'm' })
          return ['noreply', s]
        },
      })
      t.gen.cast(server, 'x')
      await env.settle()
      t.exitSignal(server, 'boo')
      expect(aborted).toEqual({ type: 'term', term: 'boo' })
      await env.sleep(100)
      expect(await t.drain()).toEqual([])
      expect(t.info(t.self, ['links'])).toEqual([['links', []]])
    }),
  )

  it(
    'J3 a rejection is its process’s error; of a dead process it is swallowed',
    inT(async (t, env) => {
      const module: Module = {
        handleCast: async (m) => {
          await env.sleep(10)
          throw new Error(String(m))
        },
      }
      const server = await t.gen.pid(module)
      t.gen.cast(server, 'mine')
      expect(await t.deathOf(server)).toEqual(['error', 'mine'])
      const dead = await t.gen.pid(module)
      t.gen.cast(dead, 'nobody’s')
      await env.settle()
      t.exitSignal(dead, 'kill')
      await env.sleep(100)
    }),
  )

  it(
    'J4 a sleep never ends after the death of the sleeper, and leaves no timer',
    inT(async (t, env) => {
      const woke: string[] = []
      const sleeper: Module = {
        handleCast: async (m, s, p) => {
          await p.ctx.sleep(100)
          woke.push(String(m))
          return ['noreply', s]
        },
      }
      const [lives, dies] = [await t.gen.pid(sleeper), await t.gen.pid(sleeper)]
      t.gen.cast(lives, 'lives')
      t.gen.cast(dies, 'dies')
      await env.sleep(50)
      t.exitSignal(dies, 'kill')
      await env.sleep(100)
      expect([woke, env.counts()['timers']]).toEqual([['lives'], 0])
    }),
  )

  it(
    'J5 a flood between two processes does not starve a third',
    inT(async (t, env) => {
      const flooder: Module = {
        handleInfo: (m, s, p) => {
          if (env.now === 0) p.send(m as never, p.self)
          return ['noreply', s]
        },
      }
      const [a, b] = [await t.gen.pid(flooder), await t.gen.pid(flooder)]
      t.send(a, b)
      let turns = 0
      const third = await t.gen.pid({
        handleInfo: (_m, s) => {
          turns += 1
          return ['noreply', s]
        },
      })
      for (let i = 0; i < 100; i++) t.send(third, i)
      await new Promise((resolve) => setImmediate(resolve))
      expect(turns).toBe(100)
      t.exitSignal(a, 'kill')
    }),
  )

  it(
    'J5 plain processes that talk without end leave I/O and timers their turn',
    inT(async (t, env) => {
      const player = async (p: Proc): Promise<unknown> => {
        for (;;) {
          const to = await p.recv()
          p.send(to as never, p.self)
        }
      }
      const [a, b] = [t.spawn(player), t.spawn(player)]
      t.send(a, b)
      for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve))
      t.exitSignal(a, 'kill')
      t.exitSignal(b, 'kill')
      expect(env.now).toBe(0)
    }),
  )

  it(
    'J6 a step of the wall clock moves no timer',
    inT(async (t, env) => {
      t.sendAfter(100, t.self, 'm')
      env.world.stepWall(-3_600_000)
      await t.recv()
      expect(env.now).toBe(100)
    }),
  )

  it(
    'J7 a deadlock ends by timeout',
    inT(async (t) => {
      const request = { type: 'm', term: 'x' }
      const asks = (other: string): Module => ({
        handleCall: async (_m, _f, s, p) => ['reply', await caught(() => p.ctx.call(other, request, 100)), s],
      })
      await t.gen.pid(asks('b'), null, { name: 'a' })
      await t.gen.pid(asks('a'), null, { name: 'b' })
      expect(await t.gen.call('a', 'x')).toEqual(['exit', 'timeout'])
    }),
  )

  it(
    'J8 while a start function is pending, the supervisor handles nothing',
    inT(async (t, env) => {
      const sup = new Sup(t)
      const pid = await sup.pid({ intensity: 5 }, [Wp(env, 'a')])
      const a = childOf(await sup.whichChildren(pid), 'a')
      const slow = W(env, 'slow', { start: async (s) => env.sleep(100).then(() => s.startLink({})) })
      const starting = sup.startChild(pid, slow)
      await env.settle()
      await die(t, a, 'x')
      await env.sleep(50)
      expect(env.ev).toEqual(['start a'])
      await starting
      await env.settle()
      expect(env.ev).toEqual(['start a', 'start a'])
    }),
  )

  it(
    'J9 D-9 what a process owns is closed before EXIT and DOWN, kill included; an async close keeps the name',
    inT(async (t, env) => {
      const closed: string[] = []
      const module: Module = {
        init: (_a, p) => {
          p.ctx.own(() => {
            closed.push('sync')
          })
          p.ctx.own(async () => {
            await env.sleep(100)
            closed.push('async')
          })
          p.ctx.own(() => closed.push('forgotten') as never)()
          return ['ok', null]
        },
      }
      const server = await t.gen.pid(module, null, { name: 'owner' })
      const ref = t.monitor(server)
      t.exitSignal(server, 'kill')
      expect(t.alive(server)).toBe(false)
      const successor = t.gen.start({}, null, { name: 'owner' })
      const asked = caught(() => t.gen.call('owner', 'x'))
      expect(await t.recv()).toEqual(['DOWN', ref, server, 'killed'])
      expect([env.now, closed]).toEqual([100, ['sync', 'async']])
      expect(await successor).toEqual(['ok', t.whereis('owner')])
      expect(await asked).toEqual(['exit', 'killed'])
    }),
  )

  it(
    'J9 D-10 a table goes with its owner, or to its heir and back',
    inT(async (t, env) => {
      const owning = (heir?: string): Module => ({
        init: (_a, p) => {
          p.ctx.createTable('rates', heir === undefined ? {} : { heir })
          return ['ok', null]
        },
      })
      const alone = await t.gen.pid(owning())
      const table = env.runtime.table<string, number>('rates')
      table.set('a', 1)
      expect(env.runtime.table('rates').get('a')).toBe(1)
      t.exitSignal(alone, 'kill')
      expect(() => env.runtime.table('rates')).toThrow('no table rates')
      expect(() => table.get('a')).toThrow('gone with its owner')
      t.register('heir', t.self)
      const first = await t.gen.pid(owning('heir'))
      env.runtime.table<string, number>('rates').set('a', 2)
      t.exitSignal(first, 'kill')
      expect(env.runtime.table('rates').get('a')).toBe(2)
      const second = await t.gen.pid(owning('heir'))
      expect(env.runtime.table('rates').get('a')).toBe(2)
      expect(await t.gen.start(owning('heir'))).toEqual(['error', ['error', expect.stringContaining('belongs to')]])
      t.exitSignal(second, 'kill')
      expect(env.runtime.table('rates').get('a')).toBe(2)
    }),
  )

  it(
    'D-10 a table has another version after each change, and after nothing else, whoever owns it',
    inT(async (t, env) => {
      t.register('heir', t.self)
      const owner = await t.gen.pid({
        init: (_a, p) => {
          p.ctx.createTable('rates', { heir: 'heir' })
          return ['ok', null]
        },
      })
      const table = env.runtime.table<string, number>('rates')
      const versions = [table.version]
      const look = (): void => void versions.push(env.runtime.table('rates').version)
      table.set('a', 1)
      look()
      table.set('a', 2)
      look()
      table.delete('a')
      look()
      expect(new Set(versions).size).toBe(4)
      expect([table.get('a'), table.has('a'), table.size]).toEqual([undefined, false, 0])
      t.exitSignal(owner, 'kill')
      look()
      expect(versions.at(-1)).toBe(versions.at(-2))
    }),
  )

  it(
    'R4 R5 a call costs the same with a long backlog',
    inT(async (t) => {
      const server = await t.gen.pid({ handleCall: (m, _f, s) => ['reply', m, s] })
      const caller = t.spawn(async (p) => {
        await p.recv((term) => term === 'go')
        p.send(t.self, await p.gen.call(server, 'x'))
      })
      for (let i = 0; i < 1_000; i++) t.send(caller, i)
      t.send(caller, 'go')
      expect(await t.recv()).toBe('x')
      const length = t.info(caller, ['message_queue_len'])
      expect(length === undefined || (length[0]?.[1] as number) >= 1_000).toBe(true)
    }),
  )
})
