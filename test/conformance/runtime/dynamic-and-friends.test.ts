/** I. DynamicSupervisor, Registry, groups, tasks (runtime-cases.md; rules D, E, K, W). */
import { describe, it } from 'vitest'
import type { Pid } from '#runtime/pid.ts'
import * as task from '#runtime/task.ts'
import { caught, type Env, exit, expect, fromReason, inT, Pg, type Proc, Reg, raises } from './adapter.ts'
import { Dyn, pidOf } from './adapter-supervisors.ts'
import { die, W, Wp, workerModule } from './workers.ts'

const forever = (p: Proc): Promise<unknown> => p.recv(() => false)
const holding =
  (reg: Reg, key: string) =>
  (p: Proc): Promise<unknown> => {
    reg.register(p, key)
    return forever(p)
  }
const ended = (t: Proc, sup: Pid): Promise<unknown> =>
  t.recv((term) => Array.isArray(term) && term[0] === 'EXIT' && term[1] === sup)

describe('dynamic supervisor', () => {
  it(
    'C162 every answer of a start function; a bad spec is refused',
    inT(async (t, env) => {
      const dyn = new Dyn(t)
      const sup = await dyn.pid()
      const of = (start: () => unknown) => dyn.startChild(sup, { start })
      const child = await t.gen.pid(workerModule(env, 'x'))
      const throws = (value: unknown) => () => {
        throw value
      }
      expect(await of(() => ['ok', child, 'extra'])).toEqual(['ok', child, 'extra'])
      expect(await of(() => 'ignore')).toBe('ignore')
      expect(await of(() => ['error', 'found'])).toEqual(['error', 'found'])
      expect(await of(() => 'unknown')).toEqual(['error', 'unknown'])
      expect(await of(throws('oops'))).toEqual(['error', ['nocatch', 'oops']])
      expect(await of(throws(new Error('e')))).toEqual(['error', ['error', 'e']])
      expect(await of(() => exit('oops'))).toEqual(['error', 'oops'])
      expect(await dyn.startChild(sup, W(env, 'x', { restart: 'transient', significant: true }))).toEqual([
        'error',
        ['bad_combination', expect.anything()],
      ])
      expect(await dyn.startChild(sup, W(env, 'x', { restart: 'wrong' }))).toEqual([
        'error',
        ['invalid_restart_type', 'wrong'],
      ])
      expect(await dyn.whichChildren(sup)).toEqual([['undefined', child, 'worker']])
    }),
  )

  it(
    'C163 D6 a restart may be replaced, ignored, or fail and be tried again',
    inT(async (t, env) => {
      const dyn = new Dyn(t)
      const sup = await dyn.pid({ intensity: 100_000 })
      const then = async (answer: (start: () => unknown) => unknown) => {
        let starts = 0
        const spec = W(env, 'x', {
          start: (s) =>
            starts++ === 0 ? s.startLink(workerModule(env, 'x')) : answer(() => s.startLink(workerModule(env, 'x'))),
        })
        const first = pidOf(await dyn.startChild(sup, spec))
        t.send(first, ['die', 'x'])
        t.monitor(first)
        await t.recv((term) => Array.isArray(term) && term[0] === 'DOWN')
        const children = await dyn.whichChildren(sup)
        for (const [, child] of children)
          await dyn.terminateChild(sup, typeof child === 'string' ? first : (child as Pid))
        return children.map(([, child]) => (typeof child === 'string' ? child : child === first ? 'same' : 'new'))
      }
      expect(await then((start) => start())).toEqual(['new'])
      expect(await then(() => 'ignore')).toEqual([])
      expect(await then(() => ['error', 'no'])).toEqual(['restarting'])
      expect(await dyn.countChildren(sup)).toEqual([0, 0, 0, 0])
      let starts = 0
      const limited = await dyn.pid({ intensity: 10 })
      const failing = W(env, 'x', {
        start: (s) => (starts++ === 0 ? s.startLink(workerModule(env, 'x')) : ['error', 'no']),
      })
      await die(t, pidOf(await dyn.startChild(limited, failing)), 'x')
      expect(await ended(t, limited)).toEqual(['EXIT', limited, 'shutdown'])
      expect(starts).toBe(11)
    }),
  )

  it(
    'C164 D8 at the stop each child ends by its own rule',
    inT(async (t, env) => {
      const dyn = new Dyn(t)
      const sup = await dyn.pid()
      const specs = [
        W(env, 'infinity', { shutdown: 'infinity' }),
        W(env, 'brutal', { shutdown: 'brutal_kill' }),
        W(env, 'quick', { shutdown: 1 }),
        W(env, 'stubborn', { shutdown: 1, stopMs: 1_000 }),
      ]
      const pids: Pid[] = []
      for (const spec of specs) pids.push(pidOf(await dyn.startChild(sup, spec)))
      const refs = pids.map((pid) => t.monitor(pid))
      t.exitSignal(sup, 'shutdown')
      await ended(t, sup)
      const downs = new Map(
        (await t.drain()).map((down) => (Array.isArray(down) ? [down[1], down[3]] : [])) as [number, unknown][],
      )
      expect(refs.map((ref) => downs.get(ref))).toEqual(['shutdown', 'killed', 'shutdown', 'killed'])
    }),
  )

  it(
    'D4 maxChildren counts running and restarting ones; D5 a restarting one is ended by its old pid',
    inT(async (t, env) => {
      const dyn = new Dyn(t)
      const sup = await dyn.pid({ maxChildren: 1, intensity: 100_000 })
      let failing = false
      const spec = W(env, 'x', { start: (s) => (failing ? ['error', 'no'] : s.startLink(workerModule(env, 'x'))) })
      const first = pidOf(await dyn.startChild(sup, spec))
      expect(await dyn.startChild(sup, spec)).toEqual(['error', 'max_children'])
      failing = true
      t.exitSignal(first, 'kill')
      while ((await dyn.countChildren(sup))[1] !== 0) await env.world.settle
      expect(await dyn.countChildren(sup)).toEqual([1, 0, 0, 1])
      expect(await dyn.startChild(sup, spec)).toEqual(['error', 'max_children'])
      expect(await dyn.terminateChild(sup, first)).toBe('ok')
      expect(await dyn.terminateChild(sup, first)).toEqual(['error', 'not_found'])
    }),
  )

  it(
    'D1 the defaults are 3 restarts in 5 s; temporary children are forgotten without a word',
    inT(async (t, env) => {
      const dyn = new Dyn(t)
      const sup = await dyn.pid()
      const temporary = pidOf(await dyn.startChild(sup, Wp(env, 'x', { restart: 'temporary' })))
      await die(t, temporary, 'normal')
      expect(await dyn.whichChildren(sup)).toEqual([])
      await dyn.startChild(sup, Wp(env, 'y'))
      for (let i = 0; i < 4; i++) {
        expect(t.alive(sup)).toBe(true)
        await die(t, ((await dyn.whichChildren(sup))[0]?.[1] ?? null) as Pid | null, 'x')
      }
      expect(await ended(t, sup)).toEqual(['EXIT', sup, 'shutdown'])
    }),
  )

  it(
    'C160 starting and stopping many children grows about linearly',
    inT(async (t, env) => {
      const dyn = new Dyn(t)
      const sup = await dyn.pid()
      for (let i = 0; i < 1_000; i++) await dyn.startChild(sup, Wp(env, 'x', { restart: 'temporary' }))
      t.exitSignal(sup, 'shutdown')
      await ended(t, sup)
      expect(env.runtime.processes()).toEqual([t.self])
    }),
  )
})

describe('registry', () => {
  it(
    'C165 unique: one holder per key, and a failed register leaves nothing',
    inT(async (t) => {
      const reg = await Reg.start(t, 'reg', 'unique')
      expect(reg.register(t, 'hello', 1)).toEqual(['ok', t.whereis('reg')])
      expect(reg.register(t, 'hello', 2)).toEqual(['error', ['already_registered', t.self]])
      const other = t.spawn(async (p) => {
        t.send(t.self, reg.register(p, 'hello', 3))
        await forever(p)
      })
      expect(await t.recv()).toEqual(['error', ['already_registered', t.self]])
      expect([reg.registry.keys(t.self), reg.registry.values('hello', t.self), reg.registry.count()]).toEqual([
        ['hello'],
        [1],
        1,
      ])
      expect(t.info(other, ['links'])).toEqual([['links', []]])
      expect(reg.register(t, ['hello', { a: 1 }])).toEqual(['ok', expect.anything()])
      expect(reg.lookup(['hello', { a: 1 }])).toEqual([[t.self, null]])
      expect([reg.register(t, 1, 'number'), reg.register(t, '1', 'text')]).toEqual([
        ['ok', expect.anything()],
        ['ok', expect.anything()],
      ])
      expect(reg.lookup('1')).toEqual([[t.self, 'text']])
    }),
  )

  it(
    'E3 a key held by the dead blocks nobody',
    inT(async (t, env) => {
      const reg = await Reg.start(t, 'reg', 'unique')
      const holder = t.spawn(holding(reg, 'k'))
      await env.settle()
      t.exitSignal(holder, 'kill')
      expect(reg.registry.whereis('k')).toBeNull()
      expect(reg.register(t, 'k')).toEqual(['ok', expect.anything()])
      await env.settle()
      expect(reg.lookup('k')).toEqual([[t.self, null]])
    }),
  )

  it(
    'C167 via: a name for a server, in a unique registry',
    inT(async (t) => {
      const reg = await Reg.start(t, 'reg', 'unique')
      const module = { handleCall: (m: unknown, _f: unknown, s: unknown) => ['reply', m, s] }
      const via = reg.registry.via('key', 'value')
      const server = await t.gen.pid(module, null, { via })
      expect(await t.gen.call(via, 'x')).toBe('x')
      expect(reg.lookup('key')).toEqual([[server, 'value']])
      expect(await t.gen.start(module, null, { via })).toEqual(['error', ['already_started', server]])
      const duplicate = await Reg.start(t, 'dup', 'duplicate')
      expect(await raises(() => duplicate.registry.via('key'))).toBe(true)
      expect(await caught(() => t.gen.call(reg.registry.via('nobody'), 'x'))).toEqual(['exit', 'noproc'])
    }),
  )

  it(
    'C168 only an own value is updated; the link to the owner stays until the last key goes',
    inT(async (t, env) => {
      const reg = await Reg.start(t, 'reg', 'unique')
      const owner = t.whereis('reg')
      t.spawn(holding(reg, 'foreign'))
      await env.settle()
      reg.register(t, 'a', 1)
      reg.register(t, 'b')
      let calls = 0
      const plus = (value: unknown) => {
        calls += 1
        return Number(value) + 1
      }
      expect(reg.updateValue(t, 'a', plus)).toEqual([2, 1])
      expect([reg.updateValue(t, 'foreign', plus), reg.updateValue(t, 'missing', plus)]).toEqual(['error', 'error'])
      expect(calls).toBe(1)
      const links = () => t.info(t.self, ['links'])
      reg.unregister(t, 'a')
      expect(links()).toEqual([['links', [owner]]])
      reg.unregister(t, 'b')
      expect(links()).toEqual([['links', []]])
      expect(reg.unregister(t, 'never')).toBe('ok')
    }),
  )

  it(
    'C169 duplicate: several entries; dispatch runs in the caller, not at all for none',
    inT(async (t) => {
      const reg = await Reg.start(t, 'dup', 'duplicate')
      reg.register(t, 'hello', 1)
      reg.register(t, 'hello', 2)
      reg.register(t, 'world')
      const seen: unknown[] = []
      reg.registry.dispatch('hello', (entries) => seen.push(entries.map(({ value }) => value)))
      reg.registry.dispatch('none', () => seen.push('none'))
      expect(seen).toEqual([[1, 2]])
      expect(reg.registry.countMatch('hello', (value) => value === 2)).toBe(1)
      reg.registry.unregisterMatch(t.ctx, 'hello', (value) => value === 1)
      expect(reg.lookup('hello')).toEqual([[t.self, 2]])
      reg.unregister(t, 'hello')
      expect([reg.lookup('hello'), reg.lookup('world').length]).toEqual([[], 1])
      expect(reg.registry.select((key) => key === 'world').length).toBe(1)
    }),
  )

  it(
    'C170 E10 listeners hear register and unregister, not a crash; E12 a lock passes on in every case',
    inT(async (t, env) => {
      t.register('listener', t.self)
      const reg = await Reg.start(t, 'reg', 'unique', ['listener'])
      reg.register(t, 'k', 'v')
      reg.unregister(t, 'k')
      const crasher = t.spawn(holding(reg, 'c'))
      await env.settle()
      t.exitSignal(crasher, 'kill')
      const events = (await t.drain()) as { type: string; key: string }[]
      expect(events.map(({ type, key }) => [type, key])).toEqual([
        ['register', 'k'],
        ['unregister', 'k'],
        ['register', 'c'],
      ])

      const order: string[] = []
      const holder = (key: string, what: string, work: (p: Proc) => unknown) =>
        t.spawn((p) =>
          reg.lock(p, key, () => {
            order.push(what)
            return work(p)
          }),
        )
      const first = holder('ok', 'first', forever)
      await env.settle()
      const waiter = holder('ok', 'killed waiter', () => null)
      await env.settle()
      holder('ok', 'raises', () => exit('raised'))
      await env.settle()
      holder('ok', 'last', () => null)
      holder('other', 'other key', () => null)
      await env.settle()
      expect(order).toEqual(['first', 'other key'])
      t.exitSignal(waiter, 'kill')
      t.exitSignal(first, 'kill')
      await env.settle()
      expect(order).toEqual(['first', 'other key', 'raises', 'last'])
      expect(await reg.lock(t, 'ok', () => 'mine')).toBe('mine')
    }),
  )

  it(
    'E11 an unknown registry raises',
    inT(async (t, env) => {
      expect(await raises(() => new Reg(env, 'unknown').lookup('k'))).toBe(true)
      expect(await raises(() => new Reg(env, 'unknown').register(t, 'k'))).toBe(true)
    }),
  )
})

describe('process groups', () => {
  it(
    'C171 joining n times needs n leaves; the dead leave by themselves',
    inT(async (t, env) => {
      const pg = await Pg.start(t)
      expect(await pg.join(t, 'g', [t.self])).toBe('ok')
      await pg.join(t, 'g', [t.self, t.self])
      expect(await pg.members(t, 'g')).toEqual([t.self, t.self, t.self])
      expect(await pg.leave(t, 'missing', [t.self])).toBe('not_joined')
      expect([await pg.leave(t, 'g', [t.self, t.self]), await pg.leave(t, 'g', [t.self])]).toEqual(['ok', 'ok'])
      expect([await pg.members(t, 'g'), await pg.whichGroups(t)]).toEqual([[], []])
      const p = t.spawn(forever)
      await pg.join(t, 'g', [p])
      t.exitSignal(p, 'kill')
      await env.settle()
      expect(await pg.whichGroups(t)).toEqual([])
      for (let i = 0; i < 100; i++) {
        const racer = t.spawn(() => null)
        await pg.join(t, 'race', [racer])
        await pg.leave(t, 'race', [racer])
      }
      await env.settle()
      expect(await pg.whichGroups(t)).toEqual([])
      expect(await pg.join(t, 'g', [t.self, 'no pid' as never])).toBe('not_a_pid')
      expect(await pg.members(t, 'g')).toEqual([])
    }),
  )

  it(
    'C172 a monitor of the scope has the groups and then every change',
    inT(async (t) => {
      const pg = await Pg.start(t)
      const [p, q] = [t.spawn(forever), t.spawn(forever)]
      await pg.join(t, 'one', [p])
      const { ref, groups } = (await pg.monitorScope(t)) as { ref: number; groups: unknown }
      expect(groups).toEqual({ one: [p] })
      expect(await pg.monitor(t, 'one')).toEqual({ ref: expect.any(Number), members: [p] })
      await pg.join(t, 'one', [q])
      t.exitSignal(p, 'kill')
      const events = ((await t.drain()) as { ref: number; change: string; pids: Pid[] }[]).filter(
        (event) => event.ref === ref,
      )
      expect(events.map(({ change, pids }) => [change, pids])).toEqual([
        ['join', [q]],
        ['leave', [p]],
      ])
      expect([await pg.demonitor(t, ref), await pg.demonitor(t, ref)]).toEqual([true, false])
      await pg.join(t, 'two', [q])
      expect(await t.drain()).toEqual([])
    }),
  )
})

describe('tasks', () => {
  const late = (env: Env) => () => env.sleep(50).then(() => 'late')

  it(
    'C173 await: the value; the timeout, and then neither value nor DOWN; the exit, normal included',
    inT(async (t, env) => {
      expect(
        await task.awaitTask(
          t.ctx,
          task.async(t.ctx, () => 42),
        ),
      ).toBe(42)
      const slow = task.async(t.ctx, late(env))
      expect(await caught(() => task.awaitTask(t.ctx, slow, 10))).toEqual(['exit', 'timeout'])
      await env.sleep(100)
      expect((await t.drain()).filter((term) => !(Array.isArray(term) && term[0] === 'EXIT'))).toEqual([])
      const normal = task.asyncNolink(t.ctx, () => exit('normal'))
      expect(await caught(() => task.awaitTask(t.ctx, normal))).toEqual(['exit', 'normal'])
      const boo = task.asyncNolink(t.ctx, () => exit('boo'))
      await env.settle()
      expect(t.alive(t.self)).toBe(true)
      expect(await caught(() => task.awaitTask(t.ctx, boo))).toEqual(['exit', 'boo'])
    }),
  )

  it(
    'W1 only the owner awaits; a linked crash reaches the owner',
    inT(async (t) => {
      const own = task.async(t.ctx, () => 1)
      t.spawn(async (p) => p.send(t.self, await raises(() => task.awaitTask(p.ctx, own))))
      expect(await t.recv((term) => term === true || term === false)).toBe(true)
      const { pid, ref } = t.spawnMonitor((p) => {
        task.async(p.ctx, () => exit('boo'))
        return forever(p)
      })
      const down = await t.recv((term) => Array.isArray(term) && term[1] === ref)
      expect(down).toEqual(['DOWN', ref, pid, 'boo'])
    }),
  )

  it(
    'W3 yield may be repeated; shutdown gives a result that is there, else stops the task',
    inT(async (t, env) => {
      const slow = task.async(t.ctx, late(env))
      expect(await task.yieldTask(t.ctx, slow, 10)).toBeNull()
      expect(await task.yieldTask(t.ctx, slow, 100)).toEqual({ type: 'value', value: 'late' })
      const quick = task.async(t.ctx, () => 'done')
      await env.settle()
      expect(await task.shutdownTask(t.ctx, quick)).toEqual({ type: 'value', value: 'done' })
      const endless = task.async(t.ctx, () => new Promise(() => {}))
      await env.settle()
      expect(await task.shutdownTask(t.ctx, endless)).toBeNull()
      expect(t.alive(endless.pid)).toBe(false)
    }),
  )

  it(
    'W4 under a supervisor tasks are temporary; over its bound it raises',
    inT(async (t, env) => {
      const sup = await new Dyn(t).pid({ maxChildren: 1 })
      const first = await task.asyncUnder(t.ctx, sup, late(env))
      expect(await raises(() => task.asyncUnder(t.ctx, sup, late(env)))).toBe(true)
      expect(await task.awaitTask(t.ctx, first)).toBe('late')
      const boo = await task.asyncUnder(t.ctx, sup, () => exit('boo'))
      const outcome = await task.yieldTask(t.ctx, boo)
      expect(outcome?.type === 'exit' && fromReason(outcome.reason)).toBe('boo')
      expect(t.alive(sup)).toBe(true)
    }),
  )
})
