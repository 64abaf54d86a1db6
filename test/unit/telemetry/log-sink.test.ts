import { spawn } from 'node:child_process'
import { mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { EventHub } from '#telemetry/event-hub.ts'
import { type LogLevel, startLogSink } from '#telemetry/log-sink.ts'
import { RealWorld } from '#world/real-world.ts'
import { VirtualWorld } from '#world/virtual-world.ts'
import type { World } from '#world/world.ts'

const world = new RealWorld()

const written = async (
  level: LogLevel,
  say: (events: EventHub) => void,
  of: World = world,
): Promise<Record<string, unknown>[]> => {
  const path = join(mkdtempSync(join(tmpdir(), 'hookpulse-log-')), 'log')
  const fd = openSync(path, 'w')
  const sink = startLogSink({ level, fd, world: of })
  const events = new EventHub((error) => {
    throw error
  })
  sink.listen(events)
  say(events)
  await sink.close()
  const lines = readFileSync(path, 'utf8').trim().split('\n')
  rmSync(join(path, '..'), { recursive: true })
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line))
}

describe('the log', () => {
  it('has a line per event that is worth its level', async () => {
    const say = (events: EventHub): void => {
      events.emit({ type: 'attempt.started', at: 1, attemptId: 'a.1', domain: 'd', brand: 'b' })
      events.emit({ type: 'process.restarted', at: 1, name: 'guard d', pid: 9, supervisor: 'guards', reason: 'kill' })
    }
    expect(await written('info', say)).toMatchObject([{ msg: 'process.restarted', name: 'guard d', reason: 'kill' }])
    expect(await written('debug', say)).toHaveLength(2)
    expect(await written('silent', say)).toEqual([])
  })

  it('tells a failure of a domain once a minute with what it was (H11), and afterwards how often it came', async () => {
    const virtual = new VirtualWorld()
    const failed = { type: 'attempt.failed', at: 1, attemptId: 'a.1', brand: 'b', error: 'dns_error' } as const
    const say = (events: EventHub): void => {
      for (let second = 0; second < 61; second++) {
        for (const domain of ['down', 'also-down']) events.emit({ ...failed, domain, detail: `${domain}: ESERVFAIL` })
        virtual.jump(1_000)
      }
      events.emit({ ...failed, domain: 'down', error: 'tls_cert', detail: 'CERT_HAS_EXPIRED: certificate has expired' })
    }
    expect(await written('info', say, virtual)).toMatchObject([
      { domain: 'down', detail: 'down: ESERVFAIL' },
      { domain: 'also-down', detail: 'also-down: ESERVFAIL' },
      { domain: 'down', untold: 59 },
      { domain: 'also-down', untold: 59 },
      { domain: 'down', error: 'tls_cert', detail: 'CERT_HAS_EXPIRED: certificate has expired' },
    ])
  })

  it('writes at most a hundred lines a second (SUPV-02)', async () => {
    const lines = await written('info', (events) => {
      for (let i = 0; i < 1_000; i++) events.emit({ type: 'clock.stepped', at: 1, stepMs: i })
    })
    expect(lines.length).toBeLessThanOrEqual(200)
  })

  it('costs nothing but lines where the pipe is blocked or its reader is gone (PROC-08)', async () => {
    const script = `
      import { startLogSink } from '#telemetry/log-sink.ts'
      import { EventHub } from '#telemetry/event-hub.ts'
      import { RealWorld } from '#world/real-world.ts'
      const world = new RealWorld()
      const sink = startLogSink({ level: 'info', fd: 1, world })
      const events = new EventHub(() => {})
      sink.listen(events)
      let longest = 0, last = performance.now()
      const end = last + 2500
      const tick = () => {
        const now = performance.now()
        longest = Math.max(longest, now - last)
        last = now
        for (let i = 0; i < 20; i++) events.emit({ type: 'carrier.ended', at: 1, reason: 'x'.repeat(20000) })
        if (now < end) setTimeout(tick, 20)
        else { process.stderr.write('longest ' + longest); process.exit(0) }
      }
      tick()
    `
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'pipe'] })
    child.stdout.pause()
    let said = ''
    child.stderr.on('data', (chunk) => {
      said += chunk
    })
    const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
    await expect.poll(() => child.stdout.readableLength + 1).toBeGreaterThan(0)
    child.stdout.destroy()
    expect(await ended).toBe(0)
    expect(Number(said.replace('longest ', ''))).toBeLessThan(500)
  })
})
