/** B. Monitors and aliases (runtime-cases.md; rules M, S). */
import { describe, it } from 'vitest'
import { expect, inT, type Proc } from './adapter.ts'

const forever = (p: Proc): Promise<unknown> => p.recv(() => false)
const endsWith = (reason: unknown) => (p: Proc) => p.recv().then(() => p.exitSelf(reason))

describe('monitors and aliases', () => {
  it(
    'C026 DOWN tells the reason; noproc for the dead, as a message',
    inT(async (t, env) => {
      const normal = t.spawnMonitor(() => 'done')
      await env.settle()
      expect(await t.drain()).toEqual([['DOWN', normal.ref, normal.pid, 'normal']])
      const stopped = t.spawn(forever)
      const ref = t.monitor(stopped)
      t.exitSignal(stopped, 'frop')
      expect(await t.drain()).toEqual([['DOWN', ref, stopped, 'frop']])
      const late = t.monitor(stopped)
      expect(typeof late).toBe('number')
      expect(await t.drain()).toEqual([['DOWN', late, stopped, 'noproc']])
    }),
  )

  it(
    'C027 a monitor by name says the name',
    inT(async (t) => {
      const pid = t.spawn(endsWith('frop'))
      t.register('jeeves', pid)
      const ref = t.monitor('jeeves')
      t.send('jeeves', 'go')
      expect(await t.drain()).toEqual([['DOWN', ref, 'jeeves', 'frop']])
      const again = t.monitor('jeeves')
      expect(await t.drain()).toEqual([['DOWN', again, 'jeeves', 'noproc']])
    }),
  )

  it(
    'C028 demonitor is true and idempotent; a self-monitor never fires',
    inT(async (t) => {
      expect(t.demonitor(4_711)).toBe(true)
      const self = t.monitor(t.self)
      expect([t.demonitor(self), t.demonitor(self)]).toEqual([true, true])
      const pid = t.spawn(forever)
      expect(t.demonitor(t.monitor(pid))).toBe(true)
      t.exitSignal(pid, 'stop')
      expect(await t.drain()).toEqual([])
    }),
  )

  it(
    'C030 demonitor with info is true exactly when no DOWN comes',
    inT(async (t, env) => {
      for (let i = 0; i < 100; i++) {
        const { pid, ref } = t.spawnMonitor(() => 'done')
        if (i % 3 === 0) await env.settle()
        const live = t.demonitor(ref, { info: true })
        const downs = await t.drain()
        expect(downs).toEqual(live ? [] : [['DOWN', ref, pid, 'normal']])
      }
    }),
  )

  it(
    'C031 another process cannot remove my monitor',
    inT(async (t, env) => {
      const pid = t.spawn(endsWith('bye'))
      const ref = t.monitor(pid)
      t.spawn((p) => p.demonitor(ref))
      await env.settle()
      t.send(pid, 'go')
      expect(await t.drain()).toEqual([['DOWN', ref, pid, 'bye']])
    }),
  )

  it(
    'C032 the lists of monitors shrink to what is live',
    inT(async (t, env) => {
      const b = t.spawn(forever)
      const a = t.spawn(async (p) => {
        const refs = [p.monitor(b), p.monitor(b), p.monitor(b)]
        await p.recv((term) => term === 'one less')
        p.demonitor(refs[0] ?? 0)
        await forever(p)
      })
      const c = t.spawn((p) => p.monitor(a) && forever(p))
      await env.settle()
      expect(t.info(a, ['monitors', 'monitored_by'])).toEqual([
        ['monitors', [b, b, b]],
        ['monitored_by', [c]],
      ])
      t.send(a, 'one less')
      await env.settle()
      expect(t.info(a, ['monitors'])).toEqual([['monitors', [b, b]]])
      expect(t.info(b, ['monitored_by'])).toEqual([['monitored_by', [a, a]]])
      t.exitSignal(b, 'gone')
      await env.settle()
      expect(t.info(a, ['monitors'])).toEqual([['monitors', []]])
    }),
  )

  it(
    'C033 an explicit alias takes messages until unalias, a reply alias takes one',
    inT(async (t, env) => {
      const server = t.spawn(async (p) => {
        for (;;) {
          const message = await p.recv()
          if (Array.isArray(message)) p.send(message[0], message[1])
        }
      })
      const explicit = t.alias('explicit_unalias')
      t.send(server, [explicit, 1])
      t.send(server, [explicit, 2])
      await env.settle()
      expect(t.unalias(explicit)).toBe(true)
      t.send(server, [explicit, 3])
      t.send(server, [explicit, 4])
      expect(await t.drain()).toEqual([1, 2])
      expect(t.unalias(explicit)).toBe(false)
      const once = t.alias('reply')
      for (const n of [1, 2, 3, 4]) t.send(server, [once, n])
      expect(await t.drain()).toEqual([1])
    }),
  )

  it(
    'C034 an alias of a monitor ends with its DOWN',
    inT(async (t) => {
      const p = t.spawn(async (self) => {
        const alias = await self.recv()
        if (typeof alias === 'object' && alias !== null && 'id' in alias) {
          self.send(alias as never, 1)
          self.send(alias as never, 2)
        }
      })
      const { ref, alias } = t.monitorAlias(p, 'demonitor')
      t.send(p, alias)
      expect(await t.drain()).toEqual([1, 2, ['DOWN', ref, p, 'normal']])
      t.spawn((q) => {
        q.send(alias, 3)
        q.send(alias, 4)
      })
      expect(await t.drain()).toEqual([])
    }),
  )

  it(
    'M9 reply_demonitor: the first message ends alias and monitor',
    inT(async (t) => {
      const p = t.spawn(endsWith('bye'))
      const { alias } = t.monitorAlias(p, 'reply_demonitor')
      t.send(alias, 'one')
      t.send(alias, 'two')
      t.send(p, 'go')
      expect(await t.drain()).toEqual(['one'])
    }),
  )

  it(
    'C036 a monitor by name binds to who holds the name at the call',
    inT(async (t, env) => {
      const [p1, p2] = [t.spawn(endsWith('one')), t.spawn(endsWith('two'))]
      t.register('n', p1)
      const ref = t.monitor('n')
      t.unregister('n')
      t.register('n', p2)
      t.send(p2, 'go')
      await env.settle()
      expect(await t.drain()).toEqual([])
      t.send(p1, 'go')
      expect(await t.drain()).toEqual([['DOWN', ref, 'n', 'one']])
    }),
  )

  it(
    'M1 each monitor has its own DOWN; M4 flush takes a queued one out',
    inT(async (t) => {
      const pid = t.spawn(endsWith('bye'))
      const [first, second] = [t.monitor(pid), t.monitor(pid)]
      t.send(pid, 'go')
      await t.env.settle()
      expect(t.demonitor(first, { flush: true, info: true })).toBe(false)
      expect(await t.drain()).toEqual([['DOWN', second, pid, 'bye']])
    }),
  )
})
