/** D7 and STOR-02 on the real daemon: its disk's syncs fail, or are slow. Needs strace; the disk's answer is injected. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { startCountingReceiver } from '#test/support/counting-receiver.ts'
import { type Daemon, freshDataDirectory, removeDirectory, startDaemon } from '#test/support/daemon.ts'
import { straceArgs, type Tampering } from './strace.ts'

const main = new URL('../../src/main.ts', import.meta.url).pathname
/** strace makes every start and every call slower. */
const READY_MS = 60_000

interface Traced extends Daemon {
  /** The daemon itself: a killed strace would leave it alive, and its end is strace's. */
  end(): Promise<unknown>
}
const daemonUnder = async (data: string, tampering: Tampering): Promise<Traced> => {
  const command = ['strace', ...straceArgs(tampering), process.execPath, main]
  const daemon = await startDaemon({ data, command, readyWithinMs: READY_MS })
  const { pid } = JSON.parse(readFileSync(join(data, 'holder.json'), 'utf8')) as { readonly pid: number }
  let isAlive = true
  void daemon.ended.then(() => {
    isAlive = false
  })
  const end = (): Promise<unknown> => {
    if (isAlive) process.kill(pid, 'SIGKILL')
    return daemon.ended
  }
  onTestFinished(async () => void (await end()))
  return { ...daemon, end }
}
const dataDirectory = (): string => {
  const data = freshDataDirectory()
  onTestFinished(() => removeDirectory(data))
  return data
}
const walOf = (data: string): readonly string[] => [`${data}/hookpulse.db-wal`]
const later = (url: string, n: number) => ({ url: `${url}/${n}`, delayMs: 3_600_000 })

describe('a sync that fails (D7)', () => {
  it('is told, the store is opened again, the promise is kept only then, and it goes on', async () => {
    const data = dataDirectory()
    const daemon = await daemonUnder(data, { inject: ['fsync:error=EIO:when=12'], files: walOf(data) })
    const client = await daemon.connect()
    for (let n = 0; n < 12; n++)
      expect(await client.schedule(later('http://10.1.2.3:8080', n))).toMatchObject({ state: 'scheduled' })
    expect(daemon.output()).toContain('"msg":"store.failed"')
    expect(daemon.output()).toContain('disk I/O error')
    expect(daemon.output()).toContain('open 2')
    await daemon.end()
    const again = await startDaemon({ data })
    onTestFinished(async () => void (await again.kill()))
    expect((await (await again.connect()).monitor()).totals.scheduled).toBe(12)
  })

  it('again and again ends the process: exit 70, with the reason; what was acknowledged is there', async () => {
    const data = dataDirectory()
    const daemon = await daemonUnder(data, { inject: ['fsync:error=EIO:when=14+5'], files: walOf(data) })
    const client = await daemon.connect()
    let acknowledged = 0
    for (let n = 0; n < 200; n++) {
      const answer = await client.schedule(later('http://10.1.2.3:8080', n)).catch((error: unknown) => error)
      if (answer instanceof Error) break
      acknowledged += 1
    }
    expect(await daemon.ended).toEqual({ code: 70, signal: null })
    expect(daemon.output()).toContain(
      "root gave up on store-keeper (Error: the store's disk failed 3 times within 10 min",
    )
    expect(acknowledged).toBeGreaterThan(0)
    const again = await startDaemon({ data })
    onTestFinished(async () => void (await again.kill()))
    const { scheduled } = (await (await again.connect()).monitor()).totals
    expect(scheduled - acknowledged).toBeGreaterThanOrEqual(0)
    expect(scheduled - acknowledged).toBeLessThanOrEqual(1)
  })
})

describe('a slow disk', () => {
  it('STOR-02: 300 ms a sync slow acknowledgements down and nothing else: groups widen, main answers, nobody is restarted', async () => {
    const receiver = await startCountingReceiver()
    onTestFinished(() => receiver.stop())
    const data = dataDirectory()
    const daemon = await daemonUnder(data, { inject: ['fsync:delay_enter=300000'], files: walOf(data) })
    const client = await daemon.connect()
    const before = await client.tree()
    const startMono = performance.now()
    const acks = Promise.all(Array.from({ length: 400 }, (_, n) => client.schedule({ url: `${receiver.url}/${n}` })))
    let isDone = false
    void acks.finally(() => {
      isDone = true
    })
    const waits: number[] = []
    while (!isDone) {
      const asked = performance.now()
      await fetch(`${daemon.url}/healthz`)
      waits.push(performance.now() - asked)
    }
    const ids = new Set((await acks).map(({ id }) => id))
    const tookMs = performance.now() - startMono
    expect(ids.size).toBe(400)
    expect(tookMs, 'a sync was waited for').toBeGreaterThan(300)
    expect(tookMs, 'each sync carries many').toBeLessThan(400 * 300 * 0.2)
    const slow = waits.filter((ms) => ms > 250).length
    expect(slow / waits.length, `${waits.length} answers while the store synced`).toBeLessThan(0.02)
    await receiver.until({ distinct: 400 })
    expect((await receiver.figures()).arrivals).toBe(400)
    const after = await client.tree()
    expect(JSON.stringify(after).match(/"restarts":[1-9]/)).toBeNull()
    expect(after.pid).toBe(before.pid)
    expect(daemon.output()).not.toContain('store.failed')
  })
})
