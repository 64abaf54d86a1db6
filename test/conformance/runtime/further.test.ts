/** Rules that no listed case covers, and what issue and decisions add: watchfulness, bounded mailboxes, determinism. */
import { describe, it } from 'vitest'
import { dynamicSupervisor } from '#runtime/dynamic-supervisor.ts'
import { behaviourOf, caught, type Env, expect, inT, type Module, type Proc, sys } from './adapter.ts'
import { Dyn } from './adapter-supervisors.ts'
import { Wp } from './workers.ts'

const forever = (p: Proc): Promise<unknown> => p.recv(() => false)
const boundedBehaviour = (module: Module, policy: 'drop' | 'crash') => ({
  ...behaviourOf(module),
  mailbox: { max: 2, policy },
})
const echo: Module = { handleCall: (m, _f, s) => ['reply', m, s] }

describe('further rules', () => {
  it(
    'P3 running out of code is normal; one reason only',
    inT(async (t) => {
      const { pid, ref } = t.spawnMonitor(() => 'a value')
      expect(await t.drain()).toEqual([['DOWN', ref, pid, 'normal']])
    }),
  )

  it(
    'P11 a process knows its ancestors and initial call; a label may be set',
    inT(async (t, env) => {
      const child = t.spawn((p) => {
        p.ctx.setLabel('a label')
        const grandchild = p.spawn(forever)
        t.send(t.self, grandchild)
        return forever(p)
      })
      const grandchild = (await t.recv()) as never
      await env.settle()
      expect(t.info(child, ['label', 'initial_call'])).toEqual([
        ['label', 'a label'],
        ['initial_call', 'plain'],
      ])
      expect(t.info(grandchild, ['ancestors'])).toEqual([['ancestors', [child, t.self]]])
    }),
  )

  it(
    'M11 a monitor may have another tag than DOWN',
    inT(async (t) => {
      const pid = t.spawn(forever)
      const ref = t.ctx.monitorAs(pid, 'gone')
      t.exitSignal(pid, 'boo')
      expect(await t.drain()).toMatchObject([{ type: 'gone', ref, pid }])
    }),
  )

  it(
    'S1 signals of one sender keep their order, whatever they are',
    inT(async (t) => {
      const pid = t.spawn(async (p) => {
        p.trap(true)
        for (let i = 0; i < 3; i++) p.send(t.self, await p.recv())
      })
      await t.env.settle()
      t.send(pid, 1)
      t.exitSignal(pid, 'two')
      t.send(pid, 3)
      expect(await t.drain()).toEqual([1, ['EXIT', t.self, 'two'], 3])
    }),
  )

  it(
    'C7 the processes to suspend for a behaviour are known',
    inT(async (t, env) => {
      const one = await t.gen.pid({ ...echo, name: 'known' })
      const two = await t.gen.pid({ ...echo, name: 'known' })
      await t.gen.pid({ ...echo, name: 'other' })
      expect(env.runtime.processesOf('known')).toEqual([one, two])
    }),
  )

  it(
    'D9 a code change of a dynamic supervisor keeps the children; a lowered bound holds for new ones',
    inT(async (t, env) => {
      const dyn = new Dyn(t)
      const sup = await dyn.pid()
      for (let i = 0; i < 3; i++) await dyn.startChild(sup, Wp(env, 'x'))
      await sys.suspend(env.runtime, sup)
      const extra = { flags: { intensity: 1, periodMs: 5_000 }, maxChildren: 1 }
      expect(await sys.changeCode(env.runtime, sup, { version: 1, down: false }, extra)).toEqual({ ok: true })
      const wrong = { ...extra, flags: { intensity: -1, periodMs: 1 } }
      expect(await sys.changeCode(env.runtime, sup, { version: 1, down: false }, wrong)).toMatchObject({ ok: false })
      await sys.resume(env.runtime, sup)
      expect((await dyn.whichChildren(sup)).length).toBe(3)
      expect(await dyn.startChild(sup, Wp(env, 'x'))).toEqual(['error', 'max_children'])
      expect(dynamicSupervisor.version).toBe(1)
    }),
  )

  it(
    'D10 count and ids of a dynamic supervisor',
    inT(async (t, env) => {
      const dyn = new Dyn(t)
      const sup = await dyn.pid()
      await dyn.startChild(sup, Wp(env, 'x'))
      expect(await dyn.countChildren(sup)).toEqual([1, 1, 0, 1])
      expect((await dyn.whichChildren(sup))[0]?.[0]).toBe('undefined')
    }),
  )

  it(
    'Y5 Y10 the status names pid, behaviour, version, parent; an unknown system request is an error, no crash',
    inT(async (t, env) => {
      const server = await t.gen.linked({ ...echo, name: 'statusful' }, 'state')
      expect(await sys.getStatus(env.runtime, server)).toEqual({
        pid: server,
        name: null,
        behaviour: 'statusful',
        version: 1,
        status: 'running',
        parent: t.self,
        log: [],
        state: 'state',
      })
      expect(await sys.changeCode(env.runtime, server, { version: 1, down: false }, null)).toMatchObject({ ok: false })
      expect(await t.gen.call(server, 'x')).toBe('x')
    }),
  )

  it(
    'U4 a supervisor answers system messages',
    inT(async (t, env) => {
      const sup = await new Dyn(t).pid()
      expect((await sys.getStatus(env.runtime, sup)).behaviour).toBe('dynamic-supervisor')
    }),
  )
})

describe('watchfulness', () => {
  it(
    'a bounded mailbox drops, or ends its process, as it declares (SUPV-04)',
    inT(async (t, env) => {
      const busy = { handleCast: () => new Promise(() => {}), handleCall: echo.handleCall as never }
      const bounded = (policy: 'drop' | 'crash') => t.ctx.start(boundedBehaviour(busy, policy), null)
      const dropping = await bounded('drop')
      const crashing = await bounded('crash')
      if (!dropping.ok || !crashing.ok) throw new Error('start')
      for (const { pid } of [dropping, crashing]) {
        t.gen.cast(pid, 'busy')
        await env.settle()
        for (let i = 0; i < 3; i++) t.gen.cast(pid, i)
      }
      expect(t.info(dropping.pid, ['message_queue_len'])).toEqual([['message_queue_len', 2]])
      expect(await caught(() => t.gen.call(dropping.pid, 'x'))).toEqual(['exit', 'mailbox_full'])
      expect(t.alive(crashing.pid)).toBe(false)
      expect(env.logs).toMatchObject([
        { type: 'mailbox-overflowed', policy: 'drop' },
        { type: 'mailbox-overflowed', policy: 'crash' },
        { type: 'mailbox-overflowed', policy: 'drop' },
      ])
    }),
  )

  it(
    'a full mailbox still takes DOWN, EXIT and system messages',
    inT(async (t, env) => {
      const gone = t.spawn(forever)
      const busy: Module = {
        init: (_a, p) => {
          p.ctx.trapExit(true)
          p.ctx.monitor(gone)
          return ['ok', null]
        },
        handleCast: async (_m, s) => env.sleep(100).then(() => ['noreply', s]),
        handleInfo: (_m, s) => ['noreply', s],
      }
      const started = await t.ctx.start(boundedBehaviour(busy, 'crash'), null)
      if (!started.ok) throw new Error('start')
      for (let i = 0; i < 3; i++) {
        t.gen.cast(started.pid, i)
        if (i === 0) await env.settle()
      }
      t.exitSignal(gone, 'boo')
      t.exitSignal(started.pid, 'boo')
      expect(t.info(started.pid, ['message_queue_len'])).toEqual([['message_queue_len', 4]])
      expect(await sys.getState(env.runtime, started.pid)).toBeNull()
    }),
  )

  it(
    'a mailbox that has grown long is told once',
    inT(async (t, env) => {
      const busy = await t.gen.pid({ handleCast: () => new Promise(() => {}) })
      for (let i = 0; i < 10_010; i++) t.gen.cast(busy, i)
      await env.settle()
      expect(env.logs).toMatchObject([{ type: 'mailbox-long', pid: busy, length: 10_000 }])
    }),
  )

  it(
    'who holds the thread for more than 10 ms is named',
    inT(async (t, env) => {
      const slow = await t.gen.pid({
        name: 'slow',
        handleCast: (_m, s) => {
          env.world.jump(25)
          return ['noreply', s]
        },
      })
      t.gen.cast(slow, 'x')
      await env.settle()
      expect(env.logs).toMatchObject([{ type: 'process-ran-long', pid: slow, behaviour: 'slow', ms: 25, callbacks: 1 }])
    }),
  )

  it(
    'a late event loop is told',
    inT(async (t, env) => {
      const end = env.runtime.watchLoop(100, 50)
      env.world.setTimer(90, () => env.world.jump(100))
      await env.sleep(250)
      end()
      expect(env.logs).toMatchObject([{ type: 'loop-delayed', ms: 90 }])
      expect(t.alive(t.self)).toBe(true)
    }),
  )
})

describe('determinism', () => {
  const story = async (t: Proc, env: Env): Promise<string> => {
    const seen: string[] = []
    const senders = Array.from({ length: 10 }, (_, n) =>
      t.spawn(async (p) => {
        for (let i = 0; i < 5; i++) {
          p.send(t.self, `${n}.${i}`)
          await p.recv(null, Math.floor(env.world.random() * 3))
        }
      }),
    )
    for (const _ of senders) for (let i = 0; i < 5; i++) seen.push(String(await t.recv()))
    return seen.join(' ')
  }
  const told: string[][] = []
  const tell = inT(async (t, env) => {
    told.push([await story(t, env)])
  })

  it('the same seed tells the same story; another seed another order, one sender always in order', async () => {
    await tell()
    await tell()
    const [first, second] = [told.slice(0, told.length / 2), told.slice(told.length / 2)]
    expect(first).toEqual(second)
    expect(new Set(first.flat()).size).toBeGreaterThan(1)
    for (const [text] of told) {
      for (let n = 0; n < 10; n++) {
        const own = (text ?? '').split(' ').filter((item) => item.startsWith(`${n}.`))
        expect(own).toEqual([0, 1, 2, 3, 4].map((i) => `${n}.${i}`))
      }
    }
  })
})
