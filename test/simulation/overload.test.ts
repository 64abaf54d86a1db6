import { describe, expect, it } from 'vitest'
import { overload } from '#actors/overload.ts'
import { OVERLOAD_CALM_MS, OVERLOAD_COMMIT_MS, OVERLOAD_SAMPLE_MS } from '#config/limits.ts'
import { LEVELS, type Level } from '#overload/levels.ts'
import { ONE, OVERLOAD_TABLE, type OverloadRow } from '#overload/tables.ts'
import type { WriteOp } from '#store/store.ts'
import { overloadWorker } from '#supervisors/control.ts'
import { VirtualDaemon } from '#test/support/virtual-daemon.ts'
import { Prng } from '#world/prng.ts'

/** A disk whose commits of appends take as long as the test says. */
class Disk {
  commitMs = 0
  sleep: (ms: number) => Promise<void> = async () => undefined
  beforeWrite(group: readonly WriteOp[]): Promise<void> | undefined {
    return this.commitMs > 0 && group[0]?.type === 'append' ? this.sleep(this.commitMs) : undefined
  }
}

interface Change {
  readonly level: Level
  readonly atMs: number
}
const start = async (seed: number) => {
  const disk = new Disk()
  const daemon = new VirtualDaemon({
    seed,
    faults: { beforeWrite: (group) => disk.beforeWrite(group) },
    before: (events) => [overloadWorker({ events })],
  })
  const { world } = daemon
  disk.sleep = (ms) => new Promise((resolve) => world.setTimer(ms, resolve))
  const changes: Change[] = []
  daemon.onEvent = (event) => {
    if (event.type === 'overload.changed') changes.push({ level: event.level, atMs: world.monoNow() })
  }
  await daemon.start()
  const row = (): OverloadRow => {
    const shown = daemon.runtime.table<string, OverloadRow>(OVERLOAD_TABLE).get(ONE)
    if (shown === undefined) throw new Error('nobody looks')
    return shown
  }
  return { daemon, world, disk, changes, row }
}
const rank = (level: Level): number => LEVELS.indexOf(level)

describe('overload in virtual time (O2)', () => {
  it('rises with a store that stalls and falls, one level at a time, when it has recovered', async () => {
    const { daemon, world, disk, changes, row } = await start(1)
    disk.commitMs = OVERLOAD_COMMIT_MS + 1_000
    const stored = daemon.schedule([{ inMs: 3_600_000 }])
    await world.advance(OVERLOAD_COMMIT_MS + OVERLOAD_SAMPLE_MS)
    expect(row()).toMatchObject({ level: 'schedules', why: expect.stringContaining('a commit of the store takes') })
    disk.commitMs = 0
    await world.advance(10_000)
    await stored
    expect(changes.map(({ level }) => level)).toEqual(['streams', 'lists', 'schedules', 'lists', 'streams', 'none'])
    for (const [i, { atMs }] of changes.slice(4).entries())
      expect(atMs - (changes[i + 3]?.atMs ?? 0)).toBeGreaterThanOrEqual(OVERLOAD_CALM_MS)
  })

  it('goes on from the level that stands, when the one who looks has died', async () => {
    const { daemon, world, row } = await start(2)
    world.load.loopDelayMs = 1_000
    await world.advance(3_000)
    expect(row().level).toBe('schedules')
    const pid = daemon.runtime.whereis(overload)
    if (pid !== null) daemon.runtime.exit(pid, 'kill')
    await world.advance(10)
    expect(daemon.runtime.whereis(overload)).not.toBe(pid)
    expect(row().level).toBe('schedules')
    world.load.loopDelayMs = 0
    await world.advance(10_000)
    expect(row()).toEqual({ level: 'none', why: null, drainMs: 0, shed: { streams: 0, lists: 0, schedules: 0 } })
  })

  it('counts a heap full of garbage as empty, and a full one as full', async () => {
    const { world, row } = await start(3)
    for (let i = 0; i < 40; i++) {
      world.load.heapShare = i % 4 === 0 ? 0.3 : 0.95
      await world.advance(OVERLOAD_SAMPLE_MS)
      expect(row().level).toBe('none')
    }
    world.load.heapShare = 0.9
    await world.advance(3_000)
    expect(row()).toMatchObject({ level: 'schedules', why: '90 % of the heap is in use' })
  })

  it('whatever the disk does: who keeps to the door waits less than a request may, is never refused by a disk at rest, and is let in again', async () => {
    for (let seed = 10; seed < 20; seed++) {
      const { daemon, world, disk, changes, row } = await start(seed)
      const prng = new Prng(seed)
      const waits: number[] = []
      let refused = 0
      for (let i = 0; i < 300; i++) {
        if (prng.below(20) === 0) disk.commitMs = [0, 5, 300, 1_500, 4_000][prng.below(5)] ?? 0
        if (rank(row().level) >= rank('schedules')) refused += 1
        else {
          const sinceMono = world.monoNow()
          void daemon.schedule([{ inMs: 3_600_000 }]).then(() => waits.push(world.monoNow() - sinceMono))
        }
        await world.advance(prng.below(100))
      }
      disk.commitMs = 0
      await world.advance(20_000)
      expect(row().level, `seed ${seed}`).toBe('none')
      expect(waits).toHaveLength(300 - refused)
      expect(Math.max(...waits), `seed ${seed}`).toBeLessThan(10_000)
      const steps = changes.map(({ level }, i) => rank(level) - rank(changes[i - 1]?.level ?? 'none'))
      expect(
        steps.every((by) => by > 0 || by === -1),
        `seed ${seed}`,
      ).toBe(true)
    }
  })
})
