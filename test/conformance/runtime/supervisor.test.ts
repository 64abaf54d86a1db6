/** H. Supervisor (runtime-cases.md; rules U). */
import { describe, it } from 'vitest'
import type { Pid } from '#runtime/pid.ts'
import type { ProcessContext } from '#runtime/process-context.ts'
import { caught, type Env, expect, inT, type Proc } from './adapter.ts'
import { Sup } from './adapter-supervisors.ts'
import { childOf, die, W, Wp, workerModule } from './workers.ts'

const abc = (env: Env) => ['a', 'b', 'c'].map((id) => W(env, id))
const stopped = (t: Proc, sup: Pid): Promise<unknown> =>
  t.recv((term) => Array.isArray(term) && term[0] === 'EXIT' && term[1] === sup)

describe('start and stop', () => {
  it(
    'C117 starts in order, stops in reverse, each when the one before is dead',
    inT(async (t, env) => {
      for (const stopMs of [0, 50]) {
        env.ev.length = 0
        const sup = new Sup(t)
        const pid = await sup.pid(
          {},
          ['a', 'b', 'c'].map((id) => W(env, id, { stopMs })),
        )
        expect(env.ev).toEqual(['start a', 'start b', 'start c'])
        const before = env.now
        t.exitSignal(pid, 'shutdown')
        expect(await stopped(t, pid)).toEqual(['EXIT', pid, 'shutdown'])
        expect(env.ev.slice(3)).toEqual(['stop c shutdown', 'stop b shutdown', 'stop a shutdown'])
        expect(env.now - before).toBe(3 * stopMs)
      }
    }),
  )

  it(
    'C118 U3 wrong data: the answer says so, no process stays',
    inT(async (t, env) => {
      const sup = new Sup(t)
      const data = (problem: unknown) => ['error', ['supervisor_data', problem]]
      expect(await sup.startLink({ intensity: -1 }, [])).toEqual(data(['invalid_intensity', -1]))
      expect(await t.drain()).toEqual([])
      expect(env.runtime.processes()).toEqual([t.self])
    }),
  )

  it(
    'C119 a start failure in init: what runs stops in reverse, and no retry',
    inT(async (t, env) => {
      let tries = 0
      const failing = W(env, 'c', {
        start: () => {
          tries += 1
          env.ev.push('start c')
          return ['error', 'nope']
        },
      })
      const result = await new Sup(t).startLink({}, [W(env, 'a'), W(env, 'b'), failing])
      expect(result).toEqual(['error', ['shutdown', ['failed_to_start_child', 'c', 'nope']]])
      expect(env.ev).toEqual(['start a', 'start b', 'start c', 'stop b shutdown', 'stop a shutdown'])
      expect(tries).toBe(1)
      expect(env.runtime.processes()).toEqual([t.self])
    }),
  )

  it(
    'C120 the defaults of a spec',
    inT(async (t, env) => {
      const sup = new Sup(t)
      const specs = [W(env, 'w'), W(env, 'b', { shutdown: 'brutal_kill' }), W(env, 's', { type: 'supervisor' })]
      const pid = await sup.pid({}, specs)
      const common = { restart: 'permanent', significant: false }
      expect(await sup.getChildspec(pid, 'w')).toEqual(['ok', { id: 'w', shutdown: 5_000, type: 'worker', ...common }])
      expect(await sup.getChildspec(pid, 'b')).toEqual([
        'ok',
        { id: 'b', shutdown: 'brutal_kill', type: 'worker', ...common },
      ])
      expect(await sup.getChildspec(pid, 's')).toEqual([
        'ok',
        { id: 's', shutdown: 'infinity', type: 'supervisor', ...common },
      ])
      expect(await sup.getChildspec(pid, 'x')).toEqual(['error', 'not_found'])
    }),
  )

  it(
    'C121 wrong specs are named, in startChild, checkChildspecs and init',
    inT(async (t, env) => {
      const sup = new Sup(t)
      const pid = await sup.pid({}, [])
      const good = W(env, 'x')
      const wrong: [object, unknown][] = [
        [{ id: undefined }, 'missing_id'],
        [{ start: undefined }, 'missing_start'],
        [{ start: 'junk' }, ['invalid_mfa', 'junk']],
        [{ restart: 'prmanent' }, ['invalid_restart_type', 'prmanent']],
        [{ shutdown: -10 }, ['invalid_shutdown', -10]],
        [{ type: 'wrker' }, ['invalid_child_type', 'wrker']],
        [{ significant: 'yes' }, ['invalid_significant', 'yes']],
        [{ significant: true }, ['bad_combination', 'significant and permanent']],
      ]
      for (const [change, problem] of wrong) {
        const spec = { ...good, ...change }
        expect(await sup.startChild(pid, spec)).toEqual(['error', problem])
        expect(sup.checkChildspecs([spec])).toEqual(['error', problem])
        expect(await sup.startLink({}, [spec])).toEqual(['error', ['start_spec', problem]])
      }
      expect(sup.checkChildspecs([good, good])).toEqual(['error', ['duplicate_child_name', 'x']])
      expect(sup.checkChildspecs([good])).toBe('ok')
      expect(t.alive(pid)).toBe(true)
    }),
  )

  it(
    'C122 wrong flags are named; an unknown key does no harm',
    inT(async (t) => {
      const sup = new Sup(t)
      const wrong: [object, unknown][] = [
        [{ strategy: 'none' }, ['invalid_strategy', 'none']],
        [{ intensity: Number.POSITIVE_INFINITY }, ['invalid_intensity', Number.POSITIVE_INFINITY]],
        [{ period: 0 }, ['invalid_period', 0]],
        [{ period: Number.POSITIVE_INFINITY }, ['invalid_period', Number.POSITIVE_INFINITY]],
        [{ autoShutdown: 'x' }, ['invalid_auto_shutdown', 'x']],
      ]
      for (const [flags, problem] of wrong) {
        expect(await sup.startLink(flags, [])).toEqual(['error', ['supervisor_data', problem]])
      }
      expect(await sup.startLink({ silly: 'key' } as object, [])).toEqual(['ok', expect.anything()])
    }),
  )

  it(
    'C123 shutdown ms, then kill; brutal_kill at once',
    inT(async (t, env) => {
      const sup = new Sup(t)
      const pid = await sup.pid({}, [
        W(env, 'brutal', { shutdown: 'brutal_kill' }),
        W(env, 'stubborn', { shutdown: 50, stopMs: 10_000 }),
        W(env, 'good'),
      ])
      const children = await sup.whichChildren(pid)
      const deaths = ['brutal', 'stubborn', 'good'].map((id) => t.monitor(childOf(children, id) ?? t.self))
      const before = env.now
      t.exitSignal(pid, 'shutdown')
      await stopped(t, pid)
      expect(env.now - before).toBe(50)
      const downs = new Map(
        (await t.drain()).map((down) => (Array.isArray(down) ? [down[1], down[3]] : [])) as [number, unknown][],
      )
      expect(deaths.map((ref) => downs.get(ref))).toEqual(['killed', 'killed', 'shutdown'])
      expect(env.ev).not.toContain('stop brutal killed')
    }),
  )

  it(
    'U9 a child that unlinked itself does not hang the supervisor',
    inT(async (t, env) => {
      const sup = new Sup(t)
      const unlinker = {
        ...workerModule(env, 'u'),
        handleCast: (_m: unknown, s: unknown, p: { ctx: { unlink(pid: Pid): void } }) => {
          p.ctx.unlink(pid)
          return ['noreply', s]
        },
      }
      const pid: Pid = await sup.pid({}, [W(env, 'u', { module: unlinker })])
      const child = childOf(await sup.whichChildren(pid), 'u')
      t.gen.cast(child ?? t.self, 'unlink')
      await env.settle()
      t.exitSignal(pid, 'shutdown')
      expect(await stopped(t, pid)).toEqual(['EXIT', pid, 'shutdown'])
      expect(t.alive(child ?? t.self)).toBe(false)
    }),
  )

  it(
    'C149 a killed supervisor leaves its children to the link',
    inT(async (t, env) => {
      const got: unknown[] = []
      const orphan = {
        ...workerModule(env, 'a'),
        handleInfo: (m: unknown, s: unknown) => {
          got.push(m)
          return ['noreply', s]
        },
        terminate: (reason: unknown) => got.push(['terminate', reason]),
      }
      const sup = new Sup(t)
      const pid = await sup.pid({}, [W(env, 'a', { module: orphan }), Wp(env, 'b')])
      const b = childOf(await sup.whichChildren(pid), 'b')
      const ref = t.monitor(b ?? t.self)
      t.exitSignal(pid, 'kill')
      expect(await t.drain()).toEqual(
        expect.arrayContaining([
          ['EXIT', pid, 'killed'],
          ['DOWN', ref, b, 'killed'],
        ]),
      )
      expect(got).toEqual([['terminate', 'killed']])
    }),
  )

  it(
    'C158 U12 who dies while the supervisor stops is not restarted; a pending caller exits shutdown',
    inT(async (t, env) => {
      const sup = new Sup(t)
      const pid = await sup.pid({}, [W(env, 'a'), W(env, 'b', { stopMs: 200 })])
      const a = childOf(await sup.whichChildren(pid), 'a')
      t.exitSignal(pid, 'shutdown')
      await env.sleep(50)
      await die(t, a, 'x')
      const asked = caught(() => sup.whichChildren(pid))
      expect(await asked).toEqual(['exit', 'shutdown'])
      expect(env.ev).toEqual(['start a', 'start b', 'stop b shutdown'])
    }),
  )

  it(
    'U11 only the parent ends a supervisor; U14 strange messages do nothing',
    inT(async (t, env) => {
      const sup = new Sup(t)
      const pid = await sup.pid({}, [W(env, 'a')])
      t.spawn((p) => p.exitSignal(pid, 'shutdown'))
      t.spawn((p) => p.link(pid) && p.exitSelf('strange'))
      t.send(pid, { type: 'strange' })
      await env.settle()
      expect(t.alive(pid)).toBe(true)
      expect(await sup.countChildren(pid)).toEqual([1, 1, 0, 1])
    }),
  )
})

describe('operations', () => {
  it(
    'C125 the whole life of a child',
    inT(async (t, env) => {
      const sup = new Sup(t)
      const spec = W(env, 'a')
      const pid = await sup.pid({}, [spec])
      const first = childOf(await sup.whichChildren(pid), 'a')
      expect(await sup.startChild(pid, spec)).toEqual(['error', ['already_started', first]])
      expect(await sup.terminateChild(pid, 'hej')).toEqual(['error', 'not_found'])
      expect(await sup.terminateChild(pid, 'a')).toBe('ok')
      expect(await sup.terminateChild(pid, 'a')).toBe('ok')
      expect(await sup.startChild(pid, spec)).toEqual(['error', 'already_present'])
      expect(await sup.restartChild(pid, 'a')).toEqual(['ok', expect.anything()])
      expect(await sup.restartChild(pid, 'a')).toEqual(['error', 'running'])
      expect(await sup.deleteChild(pid, 'a')).toEqual(['error', 'running'])
      expect(await sup.terminateChild(pid, 'a')).toBe('ok')
      expect(await sup.deleteChild(pid, 'a')).toBe('ok')
      expect(await sup.restartChild(pid, 'a')).toEqual(['error', 'not_found'])
      expect(await sup.deleteChild(pid, 'a')).toEqual(['error', 'not_found'])
      const dead = await t.dead()
      expect(await caught(() => sup.startChild(dead, spec))).toEqual(['exit', 'noproc'])
    }),
  )

  it(
    'C126 simple_one_for_one is spoken to by pid',
    inT(async (t, env) => {
      const sup = new Sup(t)
      const pid = await sup.simple({}, W(env, 'x'))
      const [one, two] = [await sup.startSimpleChild(pid), await sup.startSimpleChild(pid)] as [
        [string, Pid],
        [string, Pid],
      ]
      expect(await sup.terminateSimpleChild(pid, 'x')).toEqual(['error', 'simple_one_for_one'])
      expect(await sup.countChildren(pid)).toEqual([1, 2, 0, 2])
      expect(await sup.terminateSimpleChild(pid, one[1])).toBe('ok')
      expect(await sup.terminateSimpleChild(pid, one[1])).toBe('ok')
      expect(await sup.terminateSimpleChild(pid, t.self)).toEqual(['error', 'not_found'])
      expect(await sup.restartChild(pid, 'x')).toEqual(['error', 'simple_one_for_one'])
      expect(await sup.deleteChild(pid, 'x')).toEqual(['error', 'simple_one_for_one'])
      expect(await sup.whichChildren(pid)).toEqual([['undefined', two[1], 'worker']])
      expect(await sup.countChildren(pid)).toEqual([1, 1, 0, 1])
    }),
  )

  it(
    'C127 a failed start: the error, and nothing kept; a failed restart keeps the spec',
    inT(async (t, env) => {
      const sup = new Sup(t)
      const pid = await sup.pid({}, [])
      const failing = (result: unknown) => W(env, 'child', { start: () => result })
      expect(await sup.startChild(pid, failing(['error', 'reason']))).toEqual(['error', ['reason', 'child']])
      expect(await sup.startChild(pid, failing('junk'))).toEqual(['error', ['junk', 'child']])
      expect(await sup.whichChildren(pid)).toEqual([])
      let works = true
      const moody = W(env, 'moody', {
        start: (s) => (works ? s.startLink(workerModule(env, 'moody')) : ['error', 'bad day']),
      })
      await sup.startChild(pid, moody)
      await sup.terminateChild(pid, 'moody')
      works = false
      expect(await sup.restartChild(pid, 'moody')).toEqual(['error', 'bad day'])
      expect(await sup.whichChildren(pid)).toEqual([['moody', 'undefined', 'worker']])
      const simple = await sup.simple({}, failing(['error', 'reason']))
      expect(await sup.startSimpleChild(simple)).toEqual(['error', 'reason'])
    }),
  )

  it(
    'U6 what a start function throws is a failed start',
    inT(async (t, env) => {
      const sup = new Sup(t)
      const pid = await sup.pid({}, [])
      const throwing = (value: unknown) =>
        W(env, 'child', {
          start: () => {
            throw value
          },
        })
      expect(await sup.startChild(pid, throwing('v'))).toEqual(['error', ['v', 'child']])
      expect(await sup.startChild(pid, throwing(new Error('e')))).toEqual(['error', [['error', 'e'], 'child']])
      expect(t.alive(pid)).toBe(true)
    }),
  )

  it(
    'C128 ignore: the spec stays without a pid, but not of a temporary child',
    inT(async (t, env) => {
      const sup = new Sup(t)
      const pid = await sup.pid({}, [W(env, 'sibling')])
      const ignoring = (id: string, restart: string) => W(env, id, { restart, start: () => 'ignore' })
      expect(await sup.startChild(pid, ignoring('permanent', 'permanent'))).toEqual(['ok', 'undefined'])
      expect(await sup.startChild(pid, ignoring('temporary', 'temporary'))).toEqual(['ok', 'undefined'])
      expect((await sup.whichChildren(pid)).map(([id, child]) => [id, child === 'undefined'])).toEqual([
        ['permanent', true],
        ['sibling', false],
      ])
      expect(await sup.countChildren(pid)).toEqual([2, 1, 0, 2])
      const simple = await sup.simple({}, ignoring('x', 'permanent'))
      expect(await sup.startSimpleChild(simple)).toEqual(['ok', 'undefined'])
      expect(await sup.whichChildren(simple)).toEqual([])
    }),
  )

  it(
    'C129 a restart of a simple child that says ignore forgets it',
    inT(async (t, env) => {
      for (const restart of ['permanent', 'transient']) {
        let starts = 0
        const sup = new Sup(t)
        const pid = await sup.simple(
          {},
          W(env, 'x', {
            restart,
            start: (s) => (starts++ === 0 ? s.startLink(workerModule(env, 'x')) : 'ignore'),
          }),
        )
        const child = (await sup.startSimpleChild(pid)) as [string, Pid]
        t.exitSignal(child[1], 'kill')
        await env.settle()
        expect(await sup.whichChildren(pid)).toEqual([])
        expect(t.alive(pid)).toBe(true)
      }
    }),
  )

  it(
    'C154 a restarted child keeps its place, one added again goes to the end',
    inT(async (t, env) => {
      const sup = new Sup(t)
      const [a, b] = [W(env, 'a'), W(env, 'b')]
      const pid = await sup.pid({}, [a, b])
      await sup.terminateChild(pid, 'a')
      await sup.restartChild(pid, 'a')
      expect((await sup.whichChildren(pid)).map(([id]) => id)).toEqual(['b', 'a'])
      await sup.terminateChild(pid, 'a')
      await sup.deleteChild(pid, 'a')
      await sup.startChild(pid, a)
      env.ev.length = 0
      t.exitSignal(pid, 'shutdown')
      await stopped(t, pid)
      expect(env.ev).toEqual(['stop a shutdown', 'stop b shutdown'])
    }),
  )

  it(
    'C159 a name held by an outsider: already_started, and all live',
    inT(async (t, env) => {
      const outsider = await t.gen.pid(workerModule(env, 'outsider'), null, { name: 'n' })
      const sup = new Sup(t)
      const pid = await sup.pid({}, [])
      const spec = W(env, 'child', { start: (s) => s.startLink(workerModule(env, 'child'), null, 'n') })
      expect(await sup.startChild(pid, spec)).toEqual(['error', ['already_started', outsider]])
      expect([t.alive(pid), t.alive(outsider)]).toEqual([true, true])
    }),
  )

  it(
    'C152 many dynamic children are counted, and gone when killed',
    inT(async (t, env) => {
      const sup = new Sup(t)
      const pid = await sup.simple({}, Wp(env, 'x', { restart: 'temporary' }))
      for (let i = 0; i < 200; i++) await sup.startSimpleChild(pid)
      const children = await sup.whichChildren(pid)
      expect([children.length, await sup.countChildren(pid)]).toEqual([200, [1, 200, 0, 200]])
      for (const [, child] of children) t.exitSignal(child as Pid, 'kill')
      await env.settle()
      expect(await sup.countChildren(pid)).toEqual([1, 0, 0, 0])
    }),
  )
})

describe('restarts', () => {
  const ends: [unknown, boolean][] = [
    ['normal', true],
    ['shutdown', true],
    [['shutdown', 'x'], true],
    ['abnormal', false],
  ]
  for (const restart of ['permanent', 'transient', 'temporary']) {
    it(
      `C130 ${restart}: what is restarted, what stays, what is forgotten`,
      inT(async (t, env) => {
        for (const [reason, benign] of ends) {
          const sup = new Sup(t)
          const pid = await sup.pid({}, [W(env, 'x', { restart })])
          await die(t, childOf(await sup.whichChildren(pid), 'x'), reason)
          const runs = restart === 'permanent' || (restart === 'transient' && !benign)
          const expected = restart === 'temporary' ? [0, 0, 0, 0] : [1, runs ? 1 : 0, 0, 1]
          expect(await sup.countChildren(pid)).toEqual(expected)
        }
      }),
    )
  }

  it(
    'C131 one_for_one: only who crashed gets a new pid; beyond the intensity the supervisor ends',
    inT(async (t, env) => {
      const sup = new Sup(t)
      const pid = await sup.pid({ intensity: 2 }, [W(env, 'a'), W(env, 'b')])
      const before = await sup.whichChildren(pid)
      await die(t, childOf(before, 'a'), 'x')
      const between = await sup.whichChildren(pid)
      expect(childOf(between, 'a')).not.toBe(childOf(before, 'a'))
      expect(childOf(between, 'b')).toBe(childOf(before, 'b'))
      await die(t, childOf(between, 'b'), 'x')
      await die(t, childOf(await sup.whichChildren(pid), 'a'), 'x')
      expect(await stopped(t, pid)).toEqual(['EXIT', pid, 'shutdown'])
    }),
  )

  it(
    'C132 one_for_all: the others stop in reverse, all start in order; one restart',
    inT(async (t, env) => {
      const sup = new Sup(t)
      const pid = await sup.pid({ strategy: 'one_for_all', intensity: 1 }, abc(env))
      env.ev.length = 0
      await die(t, childOf(await sup.whichChildren(pid), 'b'), 'x')
      expect(env.ev).toEqual(['stop c shutdown', 'stop a shutdown', 'start a', 'start b', 'start c'])
      expect(t.alive(pid)).toBe(true)
    }),
  )

  it(
    'U22 two members of a group that die together are one restart, two single children are two',
    inT(async (t, env) => {
      for (const strategy of ['one_for_all', 'one_for_one']) {
        const sup = new Sup(t)
        const pid = await sup.pid({ strategy, intensity: 1 }, [Wp(env, 'a'), Wp(env, 'b')])
        const children = await sup.whichChildren(pid)
        t.send(childOf(children, 'a') ?? t.self, ['die', 'x'])
        t.send(childOf(children, 'b') ?? t.self, ['die', 'x'])
        await env.settle()
        expect(t.alive(pid)).toBe(strategy === 'one_for_all')
        await t.drain()
      }
    }),
  )

  it(
    'C133 rest_for_one: the later ones stop in reverse and start again, the earlier stay',
    inT(async (t, env) => {
      const sup = new Sup(t)
      const pid = await sup.pid(
        { strategy: 'rest_for_one' },
        ['a', 'b', 'c', 'd'].map((id) => W(env, id)),
      )
      const before = await sup.whichChildren(pid)
      env.ev.length = 0
      await die(t, childOf(before, 'b'), 'x')
      expect(env.ev).toEqual(['stop d shutdown', 'stop c shutdown', 'start b', 'start c', 'start d'])
      expect(childOf(await sup.whichChildren(pid), 'a')).toBe(childOf(before, 'a'))
    }),
  )

  it(
    'C137 one_for_all: if a later member fails to start again, all begin from the first',
    inT(async (t, env) => {
      const sup = new Sup(t)
      let fails = 0
      const b = W(env, 'b', {
        start: (s) => {
          env.ev.push('start b')
          return fails-- > 0 ? ['error', 'not now'] : s.startLink(workerModule(env, 'b'))
        },
      })
      const pid = await sup.pid({ strategy: 'one_for_all', intensity: 5 }, [W(env, 'a'), b])
      env.ev.length = 0
      fails = 1
      await die(t, childOf(await sup.whichChildren(pid), 'a'), 'x')
      await env.settle()
      expect(env.ev).toEqual(['stop b shutdown', 'start a', 'start b', 'stop a shutdown', 'start a', 'start b'])
      expect(await sup.countChildren(pid)).toEqual([2, 2, 0, 2])
    }),
  )

  it(
    'U25 rest_for_one: the earlier ones stay, and it goes on from who failed',
    inT(async (t, env) => {
      const sup = new Sup(t)
      let fails = 0
      const c = W(env, 'c', {
        start: (s) => {
          env.ev.push('start c')
          return fails-- > 0 ? ['error', 'not now'] : s.startLink(workerModule(env, 'c'))
        },
      })
      const pid = await sup.pid({ strategy: 'rest_for_one', intensity: 5 }, [W(env, 'a'), W(env, 'b'), c])
      env.ev.length = 0
      fails = 1
      await die(t, childOf(await sup.whichChildren(pid), 'b'), 'x')
      await env.settle()
      expect(env.ev).toEqual(['stop c shutdown', 'start b', 'start c', 'start c'])
    }),
  )

  for (const strategy of ['one_for_one', 'one_for_all', 'rest_for_one']) {
    it(
      `C139 ${strategy}: a child whose every restart fails exhausts the intensity`,
      inT(async (t, env) => {
        let tries = -1
        const child = W(env, 'x', {
          start: (s) => (tries++ < 0 ? s.startLink(workerModule(env, 'x')) : ['error', 'never']),
        })
        const sup = new Sup(t)
        const pid = await sup.pid({ strategy, intensity: 4 }, [W(env, 'sibling'), child])
        await die(t, childOf(await sup.whichChildren(pid), 'x'), 'x')
        expect(await stopped(t, pid)).toEqual(['EXIT', pid, 'shutdown'])
        expect(tries).toBe(4)
        expect(env.ev.at(-1)).toBe('stop sibling shutdown')
      }),
    )
  }

  it(
    'C141 restarting children are shown and counted as such, and may be ended by their old pid',
    inT(async (t, env) => {
      let failing = false
      const sup = new Sup(t)
      const spec = W(env, 'x', { start: (s) => (failing ? ['error', 'not now'] : s.startLink(workerModule(env, 'x'))) })
      const pid = await sup.simple({ intensity: 100_000 }, spec)
      const pids = [] as Pid[]
      for (let i = 0; i < 3; i++) pids.push(((await sup.startSimpleChild(pid)) as [string, Pid])[1])
      failing = true
      for (const child of pids.slice(0, 2)) t.send(child, ['die', 'x'])
      for (const child of pids.slice(0, 2)) t.monitor(child)
      while ((await sup.countChildren(pid))[1] !== 1) await env.world.settle
      expect((await sup.whichChildren(pid)).filter(([, child]) => child === 'restarting').length).toBe(2)
      expect(await sup.countChildren(pid)).toEqual([1, 1, 0, 3])
      expect(await sup.terminateSimpleChild(pid, pids[0] ?? t.self)).toBe('ok')
      expect(await sup.countChildren(pid)).toEqual([1, 1, 0, 2])
      failing = false
      while ((await sup.countChildren(pid))[1] !== 2) await env.world.settle
      expect(await sup.countChildren(pid)).toEqual([1, 2, 0, 2])
    }),
  )

  it(
    'U29 a restarting child: already_present, restarting, and terminate ends the retry',
    inT(async (t, env) => {
      let failing = false
      const sup = new Sup(t)
      const spec = W(env, 'x', { start: (s) => (failing ? ['error', 'not now'] : s.startLink(workerModule(env, 'x'))) })
      const pid = await sup.pid({ intensity: 100_000 }, [spec])
      failing = true
      t.exitSignal(childOf(await sup.whichChildren(pid), 'x') ?? t.self, 'kill')
      while ((await sup.whichChildren(pid))[0]?.[1] !== 'restarting') await env.world.settle
      expect(await sup.startChild(pid, spec)).toEqual(['error', 'already_present'])
      expect(await sup.restartChild(pid, 'x')).toEqual(['error', 'restarting'])
      expect(await sup.deleteChild(pid, 'x')).toEqual(['error', 'restarting'])
      expect(await sup.terminateChild(pid, 'x')).toBe('ok')
      await env.settle()
      expect(await sup.whichChildren(pid)).toEqual([['x', 'undefined', 'worker']])
    }),
  )

  it(
    'C142 U21 restarts further apart than the period do not add up',
    inT(async (t, env) => {
      const sup = new Sup(t)
      const pid = await sup.pid({ intensity: 1, period: 1 }, [W(env, 'a')])
      for (let i = 0; i < 4; i++) {
        await die(t, childOf(await sup.whichChildren(pid), 'a'), 'x')
        await env.sleep(2_100)
      }
      expect(t.alive(pid)).toBe(true)
    }),
  )

  it(
    'C144 default flags allow one restart in 5 s; intensity 0 none',
    inT(async (t, env) => {
      const sup = new Sup(t)
      const pid = await sup.pid({}, [W(env, 'a')])
      await die(t, childOf(await sup.whichChildren(pid), 'a'), 'x')
      expect(t.alive(pid)).toBe(true)
      await die(t, childOf(await sup.whichChildren(pid), 'a'), 'x')
      expect(await stopped(t, pid)).toEqual(['EXIT', pid, 'shutdown'])
      const none = await sup.pid({ intensity: 0 }, abc(env))
      env.ev.length = 0
      await die(t, childOf(await sup.whichChildren(none), 'b'), 'x')
      expect(await stopped(t, none)).toEqual(['EXIT', none, 'shutdown'])
      expect(env.ev).toEqual(['stop c shutdown', 'stop a shutdown'])
    }),
  )

  it(
    'C145 U19 U23 what is asked for never counts and triggers nothing',
    inT(async (t, env) => {
      const sup = new Sup(t)
      const pid = await sup.pid({ strategy: 'one_for_all', intensity: 1 }, [W(env, 'a'), W(env, 'b')])
      for (let i = 0; i < 10; i++) {
        await sup.terminateChild(pid, 'a')
        await sup.restartChild(pid, 'a')
        await sup.startChild(pid, W(env, 'fails', { start: () => ['error', 'no'] }))
      }
      expect(t.alive(pid)).toBe(true)
      expect(env.ev.filter((event) => event.endsWith(' b') || event.includes(' b '))).toEqual(['start b'])
    }),
  )

  it(
    'C153 the same id may start again after a temporary child, however it ended',
    inT(async (t, env) => {
      for (const strategy of ['one_for_one', 'one_for_all', 'rest_for_one']) {
        for (const restart of ['temporary', 'transient', 'permanent']) {
          const sup = new Sup(t)
          const pid = await sup.pid({ strategy, intensity: 10 }, [])
          const spec = W(env, 'x', { restart })
          for (const end of ['kill', 'normal', 'abnormal', 'terminate']) {
            const again = await sup.startChild(pid, spec)
            const child = childOf(await sup.whichChildren(pid), 'x')
            if (restart === 'temporary') expect(again).toEqual(['ok', child])
            if (end === 'terminate') await sup.terminateChild(pid, 'x')
            else if (end === 'kill') t.exitSignal(child ?? t.self, 'kill')
            else await die(t, child ?? ((await sup.restartChild(pid, 'x')) as [string, Pid])[1], end)
            await env.settle()
          }
          const last = (await sup.startChild(pid, spec)) as [string, unknown]
          expect(last).toEqual(restart === 'temporary' ? ['ok', expect.anything()] : ['error', 'already_present'])
        }
      }
    }),
  )

  it(
    'U17 U18 a group restart starts members that were down, and forgets temporary ones',
    inT(async (t, env) => {
      const sup = new Sup(t)
      const specs = [
        W(env, 'transient', { restart: 'transient' }),
        W(env, 'ended'),
        W(env, 'temporary', { restart: 'temporary' }),
        W(env, 'x'),
      ]
      const pid = await sup.pid({ strategy: 'one_for_all', intensity: 3 }, specs)
      const before = await sup.whichChildren(pid)
      await die(t, childOf(before, 'transient'), 'normal')
      await sup.terminateChild(pid, 'ended')
      expect(childOf(await sup.whichChildren(pid), 'x')).toBe(childOf(before, 'x'))
      await die(t, childOf(before, 'x'), 'crash')
      const ids = (await sup.whichChildren(pid)).map(([id, child]) => [id, typeof child])
      expect(ids).toEqual([
        ['x', 'object'],
        ['ended', 'object'],
        ['transient', 'object'],
      ])
    }),
  )

  it(
    'U20 an EXIT from a pid that is no longer a child is ignored',
    inT(async (t, env) => {
      const sup = new Sup(t)
      const pid = await sup.pid({ intensity: 0 }, [W(env, 'a')])
      const a = childOf(await sup.whichChildren(pid), 'a')
      await sup.terminateChild(pid, 'a')
      env.forgeExit(pid, a, 'late')
      await env.settle()
      expect(t.alive(pid)).toBe(true)
    }),
  )

  it(
    'C146 escalation: a permanent supervisor that gave up is restarted with its static children only',
    inT(async (t, env) => {
      const subOf = (id: string, spec: object = {}) =>
        W(env, id, {
          type: 'supervisor',
          shutdown: 'infinity',
          start: (s) => startSub(s.ctx, id),
          ...spec,
        })
      const startSub = async (ctx: ProcessContext, id: string): Promise<unknown> => {
        const inner = new Sup({ ctx, env })
        return inner.startLink({ intensity: 1 }, [W(env, `${id} static`)], id)
      }
      const sup = new Sup(t)
      const top = await sup.pid({ strategy: 'one_for_all', intensity: 1 }, [
        subOf('s1'),
        subOf('s2'),
        subOf('s3', { restart: 'transient' }),
      ])
      await sup.terminateChild(top, 's3')
      await sup.startChild('s2', W(env, 'dynamic'))
      const before = await sup.whichChildren(top)
      await die(t, childOf(await sup.whichChildren('s2'), 'dynamic'), 'x')
      expect(await sup.whichChildren(top)).toEqual(before)
      await die(t, childOf(await sup.whichChildren('s2'), 'dynamic'), 'x')
      await env.settle()
      const after = await sup.whichChildren(top)
      expect(after.map(([id, child]) => [id, typeof child])).toEqual([
        ['s3', 'object'],
        ['s2', 'object'],
        ['s1', 'object'],
      ])
      expect(childOf(after, 's1')).not.toBe(childOf(before, 's1'))
      expect((await sup.whichChildren('s2')).map(([id]) => id)).toEqual(['s2 static'])
    }),
  )

  it(
    'U27 a transient supervisor that gave up is not restarted, and its parent lives',
    inT(async (t, env) => {
      const sup = new Sup(t)
      const inner = W(env, 'inner', {
        type: 'supervisor',
        restart: 'transient',
        start: (s) => new Sup({ ctx: s.ctx, env }).startLink({ intensity: 0 }, [W(env, 'x')], 'inner'),
      })
      const top = await sup.pid({}, [inner])
      await die(t, childOf(await sup.whichChildren('inner'), 'x'), 'x')
      expect(await sup.whichChildren(top)).toEqual([['inner', 'undefined', 'supervisor']])
    }),
  )

  it(
    'C151 U33 a simple child restarts with the arguments of its start',
    inT(async (t, env) => {
      const sup = new Sup(t)
      const starts: unknown[] = []
      const pid = await sup.simple(
        {},
        W(env, 'x', {
          start: async (s, extra) => {
            starts.push(extra[0])
            const [, child] = (await s.startLink(workerModule(env, 'x'))) as [string, Pid]
            return ['ok', child, 'info']
          },
        }),
      )
      const one = await sup.startSimpleChild(pid, 'x1')
      const two = await sup.startSimpleChild(pid, 'x2')
      expect([one, two]).toEqual([
        ['ok', expect.anything(), 'info'],
        ['ok', expect.anything(), 'info'],
      ])
      await die(t, (one as [string, Pid])[1], 'crash')
      expect(starts).toEqual(['x1', 'x2', 'x1'])
      expect((await sup.whichChildren(pid)).map(([, child]) => child)).toContain((two as [string, Pid])[1])
    }),
  )

  it(
    'C150 simple children stop all at once',
    inT(async (t, env) => {
      const sup = new Sup(t)
      let n = 0
      const pid = await sup.simple(
        {},
        W(env, 'x', {
          shutdown: 300,
          start: (s) => s.startLink(workerModule(env, `x${n++}`, { stopMs: n === 1 ? 10_000 : 200 })),
        }),
      )
      for (let i = 0; i < 10; i++) await sup.startSimpleChild(pid)
      const before = env.now
      t.exitSignal(pid, 'shutdown')
      expect(await stopped(t, pid)).toEqual(['EXIT', pid, 'shutdown'])
      expect(env.now - before).toBe(300)
    }),
  )

  it(
    'U13 a suspended supervisor restarts on resume; the parent’s shutdown still works',
    inT(async (t, env) => {
      const { suspend, resume } = await import('#runtime/sys.ts')
      const sup = new Sup(t)
      const pid = await sup.pid({}, [W(env, 'a')])
      await suspend(env.runtime, pid)
      await die(t, [...env.runtime.processes()].at(-1) ?? null, 'x')
      expect(env.ev).toEqual(['start a'])
      await resume(env.runtime, pid)
      await env.settle()
      expect(env.ev).toEqual(['start a', 'start a'])
      await suspend(env.runtime, pid)
      t.exitSignal(pid, 'shutdown')
      expect(await stopped(t, pid)).toEqual(['EXIT', pid, 'shutdown'])
    }),
  )
})

describe('auto_shutdown', () => {
  it(
    'C155 U34 a significant child that ends and is not restarted ends the supervisor',
    inT(async (t, env) => {
      const sup = new Sup(t)
      const transient = { restart: 'transient', significant: true }
      const any = await sup.pid({ autoShutdown: 'any_significant' }, [W(env, 'a', transient), W(env, 'b')])
      t.exitSignal(childOf(await sup.whichChildren(any), 'a') ?? t.self, 'kill')
      await env.settle()
      expect(t.alive(any)).toBe(true)
      await die(t, childOf(await sup.whichChildren(any), 'a'), 'normal')
      expect(await stopped(t, any)).toEqual(['EXIT', any, 'shutdown'])
      expect(env.ev.at(-1)).toBe('stop b shutdown')
      const temporary = await sup.pid({ autoShutdown: 'any_significant' }, [
        W(env, 'a', { restart: 'temporary', significant: true }),
      ])
      await die(t, childOf(await sup.whichChildren(temporary), 'a'), 'crash')
      expect(await stopped(t, temporary)).toEqual(['EXIT', temporary, 'shutdown'])
      const all = await sup.pid({ autoShutdown: 'all_significant' }, [W(env, 'a1', transient), W(env, 'a2', transient)])
      await die(t, childOf(await sup.whichChildren(all), 'a1'), 'normal')
      expect(t.alive(all)).toBe(true)
      await die(t, childOf(await sup.whichChildren(all), 'a2'), 'normal')
      expect(await stopped(t, all)).toEqual(['EXIT', all, 'shutdown'])
    }),
  )

  it(
    'U35 not by terminateChild, nor by being stopped for a sibling',
    inT(async (t, env) => {
      const sup = new Sup(t)
      const significant = { restart: 'transient', significant: true }
      const flags = { strategy: 'one_for_all', autoShutdown: 'any_significant' }
      const pid = await sup.pid(flags, [W(env, 'a', significant), W(env, 'b')])
      await sup.terminateChild(pid, 'a')
      await sup.restartChild(pid, 'a')
      await die(t, childOf(await sup.whichChildren(pid), 'b'), 'crash')
      expect(t.alive(pid)).toBe(true)
    }),
  )

  it(
    'C157 U36 U37 bad combinations are refused; it escalates through significant supervisors only',
    inT(async (t, env) => {
      const sup = new Sup(t)
      const significant = { restart: 'transient', significant: true }
      expect(await sup.startSimple({ autoShutdown: 'any_significant' }, W(env, 'x'))).toEqual([
        'error',
        ['supervisor_data', ['bad_combination', expect.anything()]],
      ])
      const never = await sup.pid({}, [])
      expect(await sup.startChild(never, W(env, 'x', significant))).toEqual([
        'error',
        ['bad_combination', expect.anything()],
      ])
      for (const escalates of [true, false]) {
        const inner = W(env, 'b', {
          type: 'supervisor',
          restart: 'transient',
          significant: escalates,
          start: (s) =>
            new Sup({ ctx: s.ctx, env }).startLink(
              { autoShutdown: 'any_significant' },
              [W(env, 'c', significant)],
              'b',
            ),
        })
        const outer = await sup.pid({ autoShutdown: 'any_significant' }, [inner])
        await die(t, childOf(await sup.whichChildren('b'), 'c'), 'normal')
        expect(t.alive(outer)).toBe(!escalates)
      }
    }),
  )
})

describe('code change of a supervisor', () => {
  const given = async (t: Proc, env: Env) => {
    const sup = new Sup(t)
    const pid = await sup.pid({}, [W(env, 'c1'), W(env, 'c2')])
    return { sup, pid, before: await sup.whichChildren(pid) }
  }

  it(
    'C105 C6 known ids keep their pids, new ones wait, dropped ones stay at the end',
    inT(async (t, env) => {
      const { sup, pid, before } = await given(t, env)
      const changed = await sup.changeCode(pid, [{ intensity: 0 }, [W(env, 'c1', { shutdown: 1_000 }), W(env, 'c3')]])
      expect(changed).toBe('ok')
      const after = await sup.whichChildren(pid)
      expect(after.map(([id]) => id)).toEqual(['c2', 'c3', 'c1'])
      expect([childOf(after, 'c1'), childOf(after, 'c2')]).toEqual([childOf(before, 'c1'), childOf(before, 'c2')])
      expect(after[1]?.[1]).toBe('undefined')
      expect(await sup.restartChild(pid, 'c3')).toEqual(['ok', expect.anything()])
      expect(await sup.getChildspec(pid, 'c1')).toMatchObject(['ok', { shutdown: 1_000 }])
      await die(t, childOf(before, 'c1'), 'x')
      expect(t.alive(pid)).toBe(false)
    }),
  )

  it(
    'C106 ignore changes nothing; wrong data is refused and nothing changed',
    inT(async (t, env) => {
      const { sup, pid, before } = await given(t, env)
      expect(await sup.changeCode(pid, 'ignore')).toBe('ok')
      expect(await sup.changeCode(pid, [{ intensity: -1 }, []])).toEqual([
        'error',
        ['error', ['invalid_intensity', -1]],
      ])
      const { start: _start, ...noStart } = W(env, 'c1')
      expect(await sup.changeCode(pid, [{}, [noStart]])).toEqual(['error', ['error', 'missing_start']])
      expect(await sup.whichChildren(pid)).toEqual(before)
    }),
  )

  it(
    'C107 of a simple one takes exactly one spec',
    inT(async (t, env) => {
      const sup = new Sup(t)
      const pid = await sup.simple({}, W(env, 'x'))
      await sup.startSimpleChild(pid)
      const [one, two] = [W(env, 'new'), W(env, 'two')]
      expect(await sup.changeSimple(pid, {}, [one])).toBe('ok')
      expect(await sup.changeSimple(pid, {}, [one, two])).toBe('error')
      expect(await sup.changeSimple(pid, {}, [])).toBe('error')
      await sup.startSimpleChild(pid)
      expect(env.ev).toEqual(['start x', 'start new'])
      expect(await sup.countChildren(pid)).toEqual([1, 2, 0, 2])
    }),
  )

  it(
    'C108 auto_shutdown may be switched off; then a significant child is a bad combination',
    inT(async (t, env) => {
      const sup = new Sup(t)
      const significant = W(env, 'a', { restart: 'transient', significant: true })
      const pid = await sup.pid({ autoShutdown: 'any_significant' }, [significant])
      const child = childOf(await sup.whichChildren(pid), 'a')
      expect(await sup.changeCode(pid, [{}, [W(env, 'a', { restart: 'transient' })]])).toBe('ok')
      await die(t, child, 'normal')
      expect(t.alive(pid)).toBe(true)
      expect(await sup.startChild(pid, { ...significant, id: 'new' })).toEqual([
        'error',
        ['bad_combination', expect.anything()],
      ])
    }),
  )
})
