/** Changes of limits around the death of `limits`, in the whole daemon and in virtual time. */
import { describe, expect, it } from 'vitest'
import { limits } from '#actors/limits.ts'
import { VirtualDaemon } from '#test/support/virtual-daemon.ts'

const HOST = 'slow.example.org'

describe('a change of a limit that the store writes after its asker has died, and his successor has read', () => {
  const begin = async () => {
    const store = { lateMs: 0 }
    const daemon = new VirtualDaemon({
      script: () => ({ latencyMs: 100 }),
      faults: {
        beforeWrite: (group) =>
          group.some(({ type }) => type === 'set-limit') && store.lateMs > 0
            ? new Promise((done) => daemon.world.setTimer(store.lateMs, done))
            : undefined,
      },
    })
    await daemon.start()
    /** Nobody hears of it: it is written 50 ms later, when another `limits` has read the limits of before. */
    const setLost = async (kind: 'concurrency' | 'pause', value: number | null) => {
      store.lateMs = 50
      const lost = daemon.setLimit({ kind, domain: HOST, value }).catch(String)
      await daemon.world.advance(5)
      daemon.runtime.exit(limits, 'kill')
      expect(await lost).toMatch(/killed/)
      await daemon.world.advance(20)
      store.lateMs = 0
    }
    const changes = () =>
      daemon.events.flatMap((event) => (event.type === 'limit.changed' ? [`${event.kind} ${event.value}`] : []))
    return { daemon, setLost, changes }
  }
  const many = Array.from({ length: 20 }, () => ({ domain: HOST }))

  it('holds a second later', async () => {
    const { daemon, setLost, changes } = await begin()
    await setLost('concurrency', 2)
    await daemon.world.advance(1_000)
    await daemon.schedule(many)
    await daemon.world.advance(50)
    expect(daemon.network.open(HOST)).toBe(2)
    await daemon.world.advance(20_000)
    expect(changes()).toEqual(['concurrency 2'])
  })

  it('a pause that is lifted so lets the webhooks go that wait for it', async () => {
    const { daemon, setLost, changes } = await begin()
    await daemon.setLimit({ kind: 'pause', domain: HOST, value: 1 })
    await daemon.schedule(many)
    await setLost('pause', null)
    expect(daemon.network.arrivals).toHaveLength(0)
    await daemon.world.advance(3_000)
    expect(daemon.network.arrivals).toHaveLength(20)
    await daemon.world.advance(20_000)
    expect(changes()).toEqual(['pause 1', 'pause null'])
  })

  it('and so does one that was written, and answered to nobody, before the successor reads', async () => {
    const { daemon, setLost } = await begin()
    await daemon.setLimit({ kind: 'pause', domain: HOST, value: 1 })
    await daemon.schedule(many)
    await setLost('pause', null)
    await daemon.world.advance(60)
    daemon.runtime.exit(limits, 'kill')
    await daemon.world.advance(300)
    expect(daemon.network.arrivals).toHaveLength(20)
  })

  it('what was changed since it read again is not taken back by what it reads', async () => {
    const { daemon } = await begin()
    daemon.runtime.exit(limits, 'kill')
    await daemon.world.advance(100)
    for (let value = 1; value <= 40; value += 1) {
      await daemon.setLimit({ kind: 'concurrency', domain: HOST, value })
      await daemon.world.advance(100)
    }
    await daemon.schedule(Array.from({ length: 60 }, () => ({ domain: HOST })))
    await daemon.world.advance(50)
    expect(daemon.network.open(HOST)).toBe(40)
  })
})
