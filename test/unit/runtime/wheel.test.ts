import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Wheel } from '#runtime/wheel.ts'
import { VirtualWorld } from '#world/virtual-world.ts'

describe('the timer wheel', () => {
  it('fires in order of expiry, equal ones in order of setting, cancelled ones never', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ ms: fc.nat(50), cancel: fc.boolean() }), { maxLength: 200 }),
        async (plan) => {
          const world = new VirtualWorld()
          const wheel = new Wheel(world)
          const fired: number[] = []
          const entries = plan.map(({ ms }, index) => wheel.after(ms, () => fired.push(index)))
          plan.forEach(({ cancel }, index) => {
            const entry = entries[index]
            if (cancel && entry !== undefined) wheel.cancel(entry)
          })
          const expected = plan
            .map(({ ms, cancel }, index) => ({ ms, cancel, index }))
            .filter(({ cancel }) => !cancel)
            .sort((a, b) => a.ms - b.ms || a.index - b.index)
          expect(wheel.size).toBe(expected.length)
          await world.advance(50)
          expect(fired).toEqual(expected.map(({ index }) => index))
          expect(wheel.size).toBe(0)
        },
      ),
      { numRuns: 100 },
    )
  })

  it('has one timer of the world, whatever is in it', () => {
    const world = new VirtualWorld()
    const wheel = new Wheel(world)
    for (let i = 0; i < 1_000; i++) wheel.after(1_000 - i, () => {})
    expect(world.timersPending).toBe(1)
  })

  it('keeps little of what was cancelled', () => {
    const wheel = new Wheel(new VirtualWorld())
    for (let i = 0; i < 10_000; i++) wheel.cancel(wheel.after(5_000, () => {}))
    expect(wheel.size).toBe(0)
    expect(wheel.held).toBeLessThan(200)
  })

  it('cancelling twice, or after it fired, counts once', async () => {
    const world = new VirtualWorld()
    const wheel = new Wheel(world)
    const [fires, other] = [wheel.after(1, () => {}), wheel.after(10, () => {})]
    await world.advance(5)
    wheel.cancel(fires)
    wheel.cancel(fires)
    expect([wheel.size, wheel.remaining(other)]).toEqual([1, 5])
  })

  it('a callback may set what is due at once, and it fires in the same turn', async () => {
    const world = new VirtualWorld()
    const wheel = new Wheel(world)
    const fired: string[] = []
    wheel.after(5, () => {
      fired.push('first')
      wheel.after(0, () => fired.push('second'))
    })
    await world.advance(5)
    expect(fired).toEqual(['first', 'second'])
  })
})
