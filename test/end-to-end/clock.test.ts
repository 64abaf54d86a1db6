/**
 * TIME-01, TIME-02, TIME-09 once on the real binary. Simulated: what `Date.now` answers, in all threads of the daemon, by a module
 * loaded before it (test/support/stepping-clock.ts). Real: everything else, the timers and the monotonic clock included.
 */
import { mkdtempSync, renameSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { removeDirectory } from '#test/support/daemon.ts'
import { openStage } from './stage.ts'

const HOUR = 3_600_000
const preload = new URL('../support/stepping-clock.ts', import.meta.url).href

describe('the real daemon, whose wall clock is stepped', () => {
  it('TIME-01, TIME-02, TIME-09: sends what became due within seconds, nothing early, nothing twice', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'hookpulse-clock-'))
    onTestFinished(() => removeDirectory(dir))
    const file = join(dir, 'offset')
    const step = (offsetMs: number): void => {
      writeFileSync(`${file}.new`, String(offsetMs))
      renameSync(`${file}.new`, file)
    }
    step(0)
    const stage = await openStage({}, { execArgv: ['--import', preload], env: { HOOKPULSE_TEST_CLOCK: file } })
    const told = (step: RegExp) => expect.poll(() => stage.daemon.output(), { timeout: 5_000 }).toMatch(step)
    const now = Date.now()
    await stage.schedule(20, { at: now + HOUR / 2, path: '/forward' })
    await stage.schedule(10, { at: now + 8.5 * HOUR, path: '/sleep' })
    await stage.schedule(1, { path: '/first' })
    await stage.receiver.until({ distinct: 1 })

    step(HOUR)
    await stage.receiver.until({ distinct: 21 })
    await told(/"stepMs":3(599|600)\d{3}/)
    step(0)
    await told(/"stepMs":-3(599|600)\d{3}/)
    await stage.schedule(1, { path: '/second' })
    await stage.receiver.until({ distinct: 22 })
    step(9 * HOUR)
    await stage.receiver.until({ distinct: 32 })

    const { urls } = await stage.receiver.arrivals()
    const of = (path: string): number => urls.filter((url) => url.startsWith(path)).length
    expect({ forward: of('/forward'), sleep: of('/sleep'), first: of('/first'), second: of('/second') }).toEqual({
      forward: 20,
      sleep: 10,
      first: 1,
      second: 1,
    })
    expect(urls.findIndex((url) => url.startsWith('/sleep'))).toBe(22)
  })
})
