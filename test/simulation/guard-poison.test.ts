/** One webhook that kills every guard it comes to costs neither its domain nor anybody else (architecture.md, the supervision tree). */
import { describe, expect, it } from 'vitest'
import { guardOf, guards } from '#actors/guard.ts'
import { VirtualDaemon } from '#test/support/virtual-daemon.ts'

const SICK = 'sick.example.com'
const WELL = 'well.example.com'
const times = <V>(count: number, make: (index: number) => V): V[] =>
  Array.from({ length: count }, (_, index) => make(index))
const stateOf = (daemon: VirtualDaemon, ids: readonly string[]): string[] => ids.map((id) => daemon.stateOf(id))
/** The next `count` passages throw. Answers how many have. */
const kills = (daemon: VirtualDaemon, failpoint: string, count: number): (() => number) => {
  let deaths = 0
  const arm = (): void =>
    daemon.world.armFailpoint(failpoint, () => {
      deaths += 1
      if (deaths < count) arm()
      throw new Error('poison')
    })
  arm()
  return () => deaths
}

describe('a webhook that every guard dies of', () => {
  it('is quarantined, and its domain goes on; no neighbour notices', async () => {
    const daemon = new VirtualDaemon()
    await daemon.start()
    await daemon.setLimit({ kind: 'rate', domain: WELL, value: 10 })
    await daemon.schedule(times(300, () => ({ domain: WELL })))
    await daemon.world.advance(5_000)
    const before = [daemon.runtime.whereis(guards), daemon.runtime.whereis(guardOf(WELL))]
    // From here on only the guard of the sick domain takes anything up.
    const deaths = kills(daemon, 'guard.took', 3)
    const [poison = ''] = await daemon.schedule([{ domain: SICK }])
    await daemon.world.advance(5_000)
    expect(deaths()).toBe(3)
    expect(daemon.stateOf(poison)).toBe('quarantined')
    const healthy = await daemon.schedule(times(20, () => ({ domain: SICK })))
    await daemon.world.advance(500)
    expect(stateOf(daemon, healthy)).toEqual(Array(20).fill('delivered'))
    expect([daemon.runtime.whereis(guards), daemon.runtime.whereis(guardOf(WELL))]).toEqual(before)
    const starts = daemon.network.starts(WELL)
    expect(Math.max(...starts.slice(1).map((mono, at) => mono - (starts[at] ?? 0)))).toBeLessThan(102)
    expect(daemon.arrivals().get(poison)).toBe(0)
    const ends = daemon.events.filter((e) => e.type === 'webhook.finished' && e.state === 'quarantined')
    expect(ends).toMatchObject([{ id: poison, domain: SICK }])
    await daemon.crash()
    await daemon.start()
    await daemon.world.advance(30_000)
    expect(daemon.stateOf(poison)).toBe('quarantined')
    expect(daemon.arrivals().get(poison)).toBe(0)
  })

  it('is found also where it kills only when it is admitted, and so is the next one: head by head', async () => {
    const daemon = new VirtualDaemon()
    await daemon.start()
    const deaths = kills(daemon, 'guard.admitted', 6)
    const ids = await daemon.schedule(times(5, () => ({ domain: SICK })))
    await daemon.world.advance(120_000)
    expect(deaths()).toBe(6)
    expect(stateOf(daemon, ids)).toEqual(['quarantined', 'quarantined', ...Array(3).fill('delivered')])
    expect(ids.slice(0, 2).map((id) => daemon.arrivals().get(id))).toEqual([0, 0])
  })

  it('is given two crashes for nothing: what was only in hand by chance is delivered', async () => {
    const daemon = new VirtualDaemon()
    await daemon.start()
    const deaths = kills(daemon, 'guard.admitted', 2)
    const [id = ''] = await daemon.schedule([{ domain: SICK }])
    await daemon.world.advance(20_000)
    expect(deaths()).toBe(2)
    expect(daemon.stateOf(id)).toBe('delivered')
  })

  it('is nobody, where a guard dies of something else: it is parked, and what waits is delivered when it lives', async () => {
    const daemon = new VirtualDaemon()
    await daemon.start()
    let deaths = 0
    daemon.onEvent = (event) => {
      if (event.type !== 'guard.started' || deaths >= 6) return
      deaths += 1
      daemon.world.soon(() => daemon.runtime.exit(guardOf(SICK), { type: 'term', term: 'unwell' }))
    }
    const ids = await daemon.schedule(times(10, () => ({ domain: SICK })))
    await daemon.world.advance(60_000)
    expect(deaths).toBe(6)
    expect(stateOf(daemon, ids)).toEqual(Array(10).fill('delivered'))
  })
})
