/** The door for whoever stands outside every process. */
import { describe, expect, it } from 'vitest'
import { type Behaviour, keep, ok, reply } from '#runtime/behaviour.ts'
import type { Call } from '#runtime/protocol.ts'
import type { Report } from '#runtime/reports.ts'
import { Runtime } from '#runtime/runtime.ts'
import { RealWorld } from '#world/real-world.ts'
import { VirtualWorld } from '#world/virtual-world.ts'
import type { Precision, TimerHandle } from '#world/world.ts'

type EchoProtocol = {
  readonly call:
    | Call<{ readonly type: 'echo'; readonly what: string }, string>
    | Call<{ readonly type: 'silent' }, null>
  readonly cast: never
  readonly info: never
  readonly continue: never
}
const echo = (close: (() => void | Promise<void>) | null = null): Behaviour<EchoProtocol, null, null> => ({
  name: 'echo',
  version: 1,
  init(_args, ctx) {
    if (close !== null) ctx.own(close)
    return ok(null)
  },
  call: { echo: ({ what }, _from, state) => reply(what, state), silent: () => keep },
})
const setUp = () => {
  const world = new VirtualWorld()
  const reports: Report[] = []
  const crashes: Error[] = []
  const runtime = new Runtime(world, {
    safeMessages: true,
    report: (report) => reports.push(report),
    crashed: (error) => crashes.push(error),
  })
  return { world, runtime, reports, crashes }
}

describe('a runtime, from outside', () => {
  it('finds, monitors, ends and lists processes', async () => {
    const { world, runtime } = setUp()
    const ends: unknown[] = []
    runtime.monitor('nobody', (reason) => ends.push(reason))
    const started = await runtime.start(echo(), null, { name: 'a' })
    await runtime.start(echo(), null)
    if (!started.ok) throw new Error('start')
    expect([runtime.whereis('a'), runtime.pidOf(started.pid.id), runtime.processes().length]).toEqual([
      started.pid,
      started.pid,
      2,
    ])
    const demonitor = runtime.monitor('a', () => expect.unreachable())
    demonitor()
    runtime.monitor('a', (reason) => ends.push(reason))
    expect([runtime.exit('a', 'kill'), runtime.exit('a', 'kill'), runtime.isAlive('a')]).toEqual([true, false, false])
    await world.settle()
    expect(ends).toEqual(['noproc', 'killed'])
    expect([await runtime.stop('a'), runtime.processInfo('a'), runtime.pidOf(started.pid.id)]).toEqual([
      'noproc',
      null,
      null,
    ])
  })

  it('a call from outside fails as one from inside', async () => {
    const { world, runtime } = setUp()
    const started = await runtime.start(echo(), null)
    if (!started.ok) throw new Error('start')
    expect(await runtime.call<EchoProtocol, 'echo'>(started.pid, { type: 'echo', what: 'x' })).toBe('x')
    await expect(runtime.call('nobody', { type: 'echo' })).rejects.toMatchObject({ reason: 'noproc' })
    const asked = runtime.call<EchoProtocol, 'silent'>(started.pid, { type: 'silent' }, 100)
    const failed = expect(asked).rejects.toMatchObject({ reason: 'timeout', call: { timeoutMs: 100 } })
    await world.advance(100)
    await failed
  })

  it('what does not close in 5 s is the end of the host; what fails to close is told', async () => {
    const { world, runtime, reports, crashes } = setUp()
    await runtime.start(
      echo(() => new Promise(() => {})),
      null,
      { name: 'never' },
    )
    const failing = () => {
      throw new Error('not open')
    }
    await runtime.start(echo(failing), null, { name: 'failing' })
    await runtime.start(
      echo(async () => failing()),
      null,
      { name: 'rejecting' },
    )
    for (const name of ['never', 'failing', 'rejecting']) runtime.exit(name, 'kill')
    await world.advance(4_999)
    expect([runtime.kernel.processes.size, crashes.length]).toEqual([1, 0])
    expect(reports.map(({ type }) => type)).toEqual(['close-failed', 'close-failed'])
    await world.advance(1)
    expect(crashes[0]?.message).toContain('never owned something')
  })

  it('a reporter that throws is an error outside every actor', async () => {
    const crashes: Error[] = []
    const world = new VirtualWorld()
    const report = (): void => {
      throw new Error('reporter')
    }
    const runtime = new Runtime(world, { report, crashed: (error) => crashes.push(error) })
    const { init: _init, ...rest } = echo()
    await runtime.start({ ...rest, init: () => ({ kind: 'stop', reason: 'killed' }) }, null)
    expect(crashes).toMatchObject([{ message: 'reporter' }])
  })

  it('is idle when nobody has anything to do', async () => {
    const runtime = new Runtime(new RealWorld())
    const started = await runtime.start(echo(), null, { name: 'a' })
    let answered = false
    void runtime.call('a', { type: 'echo', what: 'x' } as never).then(() => {
      answered = true
    })
    await runtime.idle()
    await Promise.resolve()
    expect([started.ok, answered]).toEqual([true, true])
  })
})

type LookProtocol = {
  readonly call: Call<{ readonly type: 'cancel' }, number | false>
  readonly cast: never
  readonly info: { readonly type: 'look' }
  readonly continue: never
}

describe('a coarse timer', () => {
  const looking = (looks: number[]): Behaviour<LookProtocol, null, number> => ({
    name: 'looking',
    version: 1,
    init: (_args, ctx) => ok(ctx.sendAfterCoarse(100, { type: 'look' })),
    call: { cancel: (_message, _from, ref, ctx) => reply(ctx.cancelTimer(ref), ref) },
    info(_message, _ref, ctx) {
      looks.push(ctx.world.monoNow())
      return keep
    },
  })
  class AskedWorld extends VirtualWorld {
    readonly asked: (Precision | undefined)[] = []
    override setTimer(delayMs: number, callback: () => void, precision?: Precision): TimerHandle {
      this.asked.push(precision)
      return super.setTimer(delayMs, callback)
    }
  }
  const setUpLooking = async () => {
    const world = new AskedWorld()
    const runtime = new Runtime(world, {})
    const looks: number[] = []
    await runtime.start(looking(looks), null, { name: 'looking' })
    return { world, runtime, looks, before: world.monoNow() }
  }

  it('asks the world for no precision, comes once, and not early', async () => {
    const { world, looks, before } = await setUpLooking()
    expect(world.asked).toEqual(['coarse'])
    await world.advance(99)
    expect(looks).toEqual([])
    await world.advance(200)
    expect(looks).toEqual([before + 100])
  })

  it('is cancelled as any other, and goes with its process', async () => {
    const { world, runtime, looks } = await setUpLooking()
    const left = runtime.call<LookProtocol>('looking', { type: 'cancel' })
    await world.settle()
    expect(await left).toBe(100)
    await world.advance(200)
    const gone = await setUpLooking()
    gone.runtime.exit('looking', 'kill')
    await gone.world.advance(200)
    expect([looks, gone.looks]).toEqual([[], []])
  })
})
