import { spawnSync } from 'node:child_process'
import fc from 'fast-check'
import { describe, expect, it, vi } from 'vitest'
import { failpointsFrom } from '#world/failpoints.ts'
import { Prng } from '#world/prng.ts'
import { RealWorld } from '#world/real-world.ts'
import { VirtualWorld } from '#world/virtual-world.ts'
import { WallEdge } from '#world/wall-edge.ts'

describe('the real world', () => {
  it('never fires early by its own clock, and a cleared timer never', async () => {
    const world = new RealWorld()
    const cleared = world.setTimer(1, () => expect.unreachable())
    world.clearTimer(cleared)
    for (const delayMs of [0, 1.5, 3.25]) {
      const started = world.monoNow()
      await new Promise<void>((resolve) => world.setTimer(delayMs, resolve))
      expect(world.monoNow() - started).toBeGreaterThanOrEqual(delayMs)
    }
  })

  it('does not fire a far timer at once (OTP-T7)', async () => {
    const world = new RealWorld()
    let fired = false
    const far = world.setTimer(2 ** 40, () => {
      fired = true
    })
    await new Promise<void>((resolve) => world.setTimer(20, resolve))
    world.clearTimer(far)
    expect(fired).toBe(false)
    expect(far.dueMono).toBeGreaterThan(2 ** 39)
  })

  it('gives fresh random bytes, and runs soon before yieldToIo', async () => {
    const world = new RealWorld()
    expect(world.randomBytes(16)).not.toEqual(world.randomBytes(16))
    const order: string[] = []
    await new Promise<void>((resolve) => {
      world.yieldToIo(() => {
        order.push('io')
        resolve()
      })
      world.soon(() => order.push('soon'))
    })
    expect(order).toEqual(['soon', 'io'])
  })
})

describe('the real world, precise', () => {
  const fired = (world: RealWorld, delayMs: number): Promise<number> => {
    const started = world.monoNow()
    return new Promise((resolve) => world.setTimer(delayMs, () => resolve(world.monoNow() - started)))
  }

  it('fires each timer once, none early, a cleared one never', async () => {
    const world = new RealWorld({ precise: true })
    let fires = 0
    const fire = (delayMs: number): Promise<number> => {
      const started = world.monoNow()
      return new Promise((resolve) =>
        world.setTimer(delayMs, () => {
          fires += 1
          resolve(world.monoNow() - started)
        }),
      )
    }
    const delays = Array.from({ length: 60 }, (_, index) => ((index * 37) % 60) / 4)
    await Promise.all(
      delays.map(async (delayMs) => {
        world.clearTimer(world.setTimer(delayMs, () => expect.unreachable()))
        expect(await fire(delayMs)).toBeGreaterThanOrEqual(delayMs)
      }),
    )
    await fired(world, 20)
    expect(fires).toBe(60)
    await world.close()
  })

  it('goes on when its thread is gone', async () => {
    const world = new RealWorld({ precise: true })
    await fired(world, 1)
    await world.close()
    expect(await fired(world, 1.5)).toBeGreaterThanOrEqual(1.5)
    expect(await fired(world, 0.5)).toBeGreaterThanOrEqual(0.5)
  })

  it('wakes its thread for a precise timer, and for a coarse one not; neither is early', async () => {
    const world = new RealWorld({ precise: true })
    const woken = vi.spyOn(Atomics, 'notify')
    const started = world.monoNow()
    await new Promise<void>((resolve) => world.setTimer(5, resolve, 'coarse'))
    expect(world.monoNow() - started).toBeGreaterThanOrEqual(5)
    expect(woken).not.toHaveBeenCalled()
    expect(await fired(world, 5)).toBeGreaterThanOrEqual(5)
    expect(woken).toHaveBeenCalledTimes(1)
    woken.mockRestore()
    await world.close()
  })

  it('knows when its wall clock turns: at that instant it has, just before it has not', async () => {
    const world = new RealWorld({ precise: true })
    for (let round = 0; round < 20; round++) {
      const wall = world.wallNow() + 2
      while (world.monoNow() < world.monoAt(wall));
      expect(world.wallNow()).toBeGreaterThanOrEqual(wall)
    }
    await world.close()
  })
})

describe('the edge of the wall clock', () => {
  /** Reads a clock that is `offset` ahead, as a machine does: whole milliseconds, a little time on both sides. */
  const read = (edge: WallEdge, offset: number, mono: number, tookMs = 0.01): void =>
    edge.see(Math.floor(mono + offset), mono - tookMs / 2, mono + tookMs / 2)

  it('is never told too early, and to a tenth of a millisecond after some readings', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0, max: 1_000, noNaN: true }),
        fc.array(fc.double({ min: 0, max: 10_000, noNaN: true }), { minLength: 1, maxLength: 50 }),
        (offset, readings) => {
          const edge = new WallEdge()
          for (const mono of readings) read(edge, offset, mono)
          expect(edge.monoAt(20_000)).toBeGreaterThanOrEqual(20_000 - offset - 1e-6)
          expect(edge.monoAt(20_000)).toBeLessThan(20_000 - offset + 1.02)
          for (let mono = 10_000; mono < 10_001; mono += 0.05) read(edge, offset, mono)
          expect(edge.monoAt(20_000)).toBeLessThan(20_000 - offset + 0.1)
        },
      ),
    )
  })

  it('begins anew when the clock steps, either way', () => {
    const edge = new WallEdge()
    for (let mono = 0; mono < 10; mono += 0.3) read(edge, 500.25, mono)
    read(edge, 100.75, 11)
    expect(Math.abs(edge.monoAt(1_000) - 899.25)).toBeLessThan(1.1)
    read(edge, 900.5, 12)
    expect(Math.abs(edge.monoAt(1_000) - 99.5)).toBeLessThan(1.1)
  })
})

describe('the virtual world', () => {
  it('moves time only when told, firing each timer at its own instant', async () => {
    const world = new VirtualWorld({ wallStart: 1_000 })
    const seen: [string, number, number][] = []
    const see = (what: string) => () => seen.push([what, world.monoNow(), world.wallNow()])
    world.setTimer(20, see('b'))
    world.setTimer(10, () => {
      see('a')()
      world.setTimer(5, see('nested'))
    })
    await world.advance(15)
    expect(seen).toEqual([
      ['a', 10, 1_010],
      ['nested', 15, 1_015],
    ])
    expect(await world.runToNextTimer()).toBe(true)
    expect([world.monoNow(), await world.runToNextTimer()]).toEqual([20, false])
    world.stepWall(-500)
    expect([world.wallNow(), world.monoNow()]).toEqual([520, 20])
  })

  it('settles promises and queues before time moves', async () => {
    const world = new VirtualWorld()
    const order: string[] = []
    world.setTimer(1, () => order.push('timer'))
    world.soon(() => void Promise.resolve().then(() => world.yieldToIo(() => order.push('io after a promise'))))
    await world.advance(1)
    expect(order).toEqual(['io after a promise', 'timer'])
  })

  it('fires an armed failpoint at its nth passage, once', () => {
    const world = new VirtualWorld()
    let fired = 0
    world.armFailpoint(
      'here',
      () => {
        fired += 1
      },
      2,
    )
    for (let i = 0; i < 5; i++) world.failpoint('here')
    expect(fired).toBe(1)
  })
})

describe('randomness from a seed', () => {
  it('is the same for the same seed, and looks uniform', () => {
    const [a, b, c] = [new Prng(7), new Prng(7), new Prng(8)]
    const numbers = Array.from({ length: 10_000 }, () => a.next())
    expect(numbers.slice(0, 100)).toEqual(Array.from({ length: 100 }, () => b.next()))
    expect(numbers[0]).not.toBe(c.next())
    const mean = numbers.reduce((sum, number) => sum + number, 0) / numbers.length
    expect(Math.abs(mean - 0.5)).toBeLessThan(0.02)
    expect(numbers.every((number) => number >= 0 && number < 1)).toBe(true)
  })
})

describe('failpoints of the real world', () => {
  it('are off without the variable, and refuse what they cannot read', () => {
    expect(() => failpointsFrom(undefined)('anything')).not.toThrow()
    for (const wrong of ['x', 'x:explode', 'x:throw:0', 'x:delay:abc', ':throw'])
      expect(() => failpointsFrom(wrong)).toThrow('HOOKPULSE_FAILPOINTS')
  })

  it('throw and delay at the nth passage only', () => {
    const failpoint = failpointsFrom('a:throw:2,b:delay:20')
    failpoint('a')
    expect(() => failpoint('a')).toThrow('failpoint a')
    expect(() => failpoint('a')).not.toThrow()
    const started = performance.now()
    failpoint('b')
    expect(performance.now() - started).toBeGreaterThanOrEqual(19)
  })

  it('exit9 kills the process like a power cut', () => {
    const file = import.meta.resolve('#world/real-world.ts')
    const script = `import { RealWorld } from '${file}'; new RealWorld({ failpoints: process.env.HOOKPULSE_FAILPOINTS }).failpoint('here'); console.log('lives')`
    const run = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
      env: { ...process.env, HOOKPULSE_FAILPOINTS: 'here:exit9' },
    })
    expect([run.signal, String(run.stdout)]).toEqual(['SIGKILL', ''])
  })
})
