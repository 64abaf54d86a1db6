import { beforeEach, describe, expect, it } from 'vitest'
import { LOOP_IDLE_SHARE, RealProbe } from '#world/loop-probe.ts'
import { RealWorld } from '#world/real-world.ts'
import { VirtualWorld } from '#world/virtual-world.ts'

const IDLE = LOOP_IDLE_SHARE / 2
const BUSY = 0.8
const LOOK_MS = 250

describe('the watch over the event loop', () => {
  let world: VirtualWorld
  let probe: RealProbe
  let busy = IDLE
  beforeEach(() => {
    world = new VirtualWorld()
    busy = IDLE
    probe = new RealProbe({
      monoNow: () => world.monoNow(),
      setTimer: (delayMs, callback) => world.setTimer(delayMs, callback),
      clearTimer: (timer) => world.clearTimer(timer),
      busyShare: () => busy,
    })
  })
  /** What a look says after as much time, in which the loop was held for so long at its end. */
  const look = async (share: number, heldMs = 0): Promise<number> => {
    busy = share
    await world.advance(LOOK_MS - heldMs)
    world.jump(heldMs)
    return probe.loopDelayMs()
  }

  it('sets no timer while the loop is idle: fifty wake-ups a second would be most of an idle daemon', async () => {
    expect([await look(IDLE), await look(IDLE), world.timersPending]).toEqual([0, 0, 0])
  })

  it('measures from the first look on that finds the loop at work, each look by itself', async () => {
    expect(await look(BUSY, 100)).toBe(0)
    const held = await look(BUSY, 200)
    expect(held).toBeGreaterThan(200 - 2 * 20)
    expect(held).toBeLessThanOrEqual(200)
    expect(await look(BUSY), 'one stall is told once').toBe(0)
    expect(await look(BUSY)).toBe(0)
  })

  it('sees a loop that answers each time only after 800 ms, though each look comes before the beat', async () => {
    await look(BUSY)
    for (let round = 0; round < 3; round++) {
      world.jump(800)
      expect(probe.loopDelayMs()).toBeGreaterThan(700)
      await world.advance(0)
    }
  })

  it('rests again when the loop does, and ends with its owner', async () => {
    await look(BUSY)
    expect(await look(IDLE, 120), 'what was measured is still told').toBeGreaterThan(80)
    expect(world.timersPending).toBe(0)
    await look(BUSY)
    expect(world.timersPending).toBe(1)
    probe.close()
    expect(world.timersPending).toBe(0)
  })

  it('sees a real loop that is held', async () => {
    const real = new RealWorld().watchLoad()
    let delayMs = 0
    while (delayMs < 50) {
      const until = performance.now() + 150
      while (performance.now() < until);
      await new Promise((resolve) => setTimeout(resolve, 1))
      delayMs = real.loopDelayMs()
    }
    expect(delayMs).toBeGreaterThanOrEqual(50)
    real.close()
  })
})
