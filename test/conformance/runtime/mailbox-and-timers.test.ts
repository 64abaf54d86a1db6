/** C. Mailbox and timers (runtime-cases.md; rules R, T). */
import { describe, it } from 'vitest'
import { expect, inT, type Proc, raises } from './adapter.ts'

const forever = (p: Proc): Promise<unknown> => p.recv(() => false)

describe('mailbox', () => {
  it(
    'C037 a selective receive takes the first match and leaves the rest in order',
    inT(async (t) => {
      for (const m of ['a', 'b', 'c', 'd']) t.send(t.self, m)
      expect(await t.recv((term) => term === 'b')).toBe('b')
      expect([await t.recv(), await t.recv(), await t.recv()]).toEqual(['a', 'c', 'd'])
    }),
  )

  it(
    'C038 a receive timeout counts from entering it, whatever arrives',
    inT(async (t, env) => {
      for (const [index, at] of [30, 60, 90].entries()) t.sendAfter(at, t.self, `noise ${index}`)
      const started = env.now
      expect(await t.recv(() => false, 100)).toBe('timeout')
      expect(env.now - started).toBe(100)
      expect(await t.recv(() => false, 0)).toBe('timeout')
      const late = t.spawn((p) => p.send(t.self, 'late'))
      expect(await t.recv((term) => term === 'late', 0)).toBe('timeout')
      expect(await t.recv((term) => term === 'late')).toBe('late')
      expect(t.alive(late)).toBe(false)
      expect(env.now - started).toBe(100)
      expect(await t.drain()).toEqual(['noise 0', 'noise 1', 'noise 2'])
    }),
  )

  it(
    'R1 sends to oneself go to the tail',
    inT(async (t) => {
      t.send(t.self, 1)
      t.send(t.self, 2)
      expect(await t.drain()).toEqual([1, 2])
    }),
  )
})

describe('timers', () => {
  it(
    'C040 different expiries arrive in order of expiry',
    inT(async (t) => {
      const set: [string, number][] = [
        ['last', 1000],
        ['a0', 0],
        ['a2', 200],
        ['a1', 100],
        ['a5', 500],
        ['a3', 300],
        ['a4', 400],
      ]
      for (const [what, ms] of set) t.sendAfter(ms, t.self, what)
      const got: unknown[] = []
      for (const _ of set) got.push(await t.recv())
      expect(got).toEqual(['a0', 'a1', 'a2', 'a3', 'a4', 'a5', 'last'])
    }),
  )

  it(
    'C041 start_timer says its ref; read and cancel answer the remaining time or false',
    inT(async (t) => {
      const fired = t.startTimer(10, t.self, 'm')
      expect(await t.recv()).toEqual(['timeout', fired, 'm'])
      expect([t.readTimer(fired), t.cancelTimer(fired)]).toEqual([false, false])
      const early = t.startTimer(100, t.self, 'm')
      expect(t.cancelTimer(early)).toBe(100)
      expect(t.cancelTimer(early)).toBe(false)
      expect(await t.recv(null, 200)).toBe('timeout')
    }),
  )

  it(
    'C043 a timer goes with the pid it is aimed at',
    inT(async (t, env) => {
      const before = env.counts()['timers']
      const dead = await t.dead()
      expect(t.readTimer(t.sendAfter(100, dead, 'm'))).toBe(false)
      const q = t.spawn((p) => p.recv(() => false, 20))
      const timer = t.sendAfter(5_000, q, 'm')
      expect(t.readTimer(timer)).toBe(5_000)
      await env.sleep(30)
      expect(t.readTimer(timer)).toBe(false)
      expect(env.counts()['timers']).toBe(before)
    }),
  )

  it(
    'C045 a timer does not belong to who set it',
    inT(async (t) => {
      t.spawn((p) => p.sendAfter(40, t.self, 'hi'))
      expect(await t.recv()).toBe('hi')
    }),
  )

  it(
    'C046 wrong times raise; an absolute one fires then, or at once if it is past',
    inT(async (t, env) => {
      for (const wrong of [-4, 4.5, 'a' as never])
        expect(await raises(() => t.sendAfter(wrong, t.self, 'm'))).toBe(true)
      await env.sleep(100)
      t.startTimer(env.now + 10, t.self, 'soon', { abs: true })
      t.startTimer(env.now - 50, t.self, 'past', { abs: true })
      const past = await t.recv()
      expect([past, env.now]).toEqual([['timeout', expect.any(Number), 'past'], 100])
      await t.recv()
      expect(env.now).toBe(110)
    }),
  )

  it(
    'T4 a name is looked up at expiry, and dropped if nobody has it',
    inT(async (t, env) => {
      t.sendAfter(10, 'later', 'm')
      t.sendAfter(10, 'nobody', 'm')
      const pid = t.spawn(async (p) => t.send(t.self, ['got', await p.recv()]))
      t.register('later', pid)
      await env.sleep(20)
      expect(await t.drain()).toEqual([['got', 'm']])
    }),
  )

  it(
    'T7 durations beyond 2^31 ms work',
    inT(async (t, env) => {
      t.sendAfter(2 ** 32, t.self, 'at last')
      await env.sleep(2 ** 31)
      expect(await t.recv(null, 0)).toBe('timeout')
      expect(await t.recv()).toBe('at last')
      expect(env.now).toBe(2 ** 32)
    }),
  )

  it(
    'S6 T8 equal expiries both arrive',
    inT(async (t, env) => {
      t.sendAfter(10, t.self, 1)
      t.sendAfter(10, t.self, 2)
      await env.sleep(10)
      expect((await t.drain()).sort()).toEqual([1, 2])
      await t.deathOf(t.spawn((p) => p.recv(null, 0)))
      forever satisfies unknown
    }),
  )
})
