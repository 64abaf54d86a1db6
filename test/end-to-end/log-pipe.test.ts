/** PROC-08: whoever reads the daemon's output stops, goes away, or has no room; the daemon works on. */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it, onTestFinished } from 'vitest'
import { connectControl } from '#test/support/control-client.ts'
import { startCountingReceiver } from '#test/support/counting-receiver.ts'
import { freshDataDirectory, removeDirectory } from '#test/support/daemon.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))

const freePort = async (): Promise<number> => {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

const ask = (url: string): Promise<Response> => fetch(url, { signal: AbortSignal.timeout(5_000) })

const HURTS: readonly [string, (child: ChildProcess) => void, boolean][] = [
  ['is read no more', (child) => void child.stdout?.pause(), false],
  ['is closed', (child) => void child.stdout?.destroy(), false],
  ['and stderr are closed', (child) => void [child.stdout?.destroy(), child.stderr?.destroy()], false],
  ['has no room (/dev/full)', () => undefined, true],
]

it.each(HURTS)(
  'PROC-08: stdout %s: the daemon delivers, answers in time and stops in order',
  async (_what, hurt, full) => {
    const receiver = await startCountingReceiver({ delayMs: 1 })
    onTestFinished(() => receiver.stop())
    const data = freshDataDirectory()
    onTestFinished(() => removeDirectory(data))
    const port = await freePort()
    const out = full ? openSync('/dev/full', 'w') : 'pipe'
    const args = [
      'src/main.ts',
      'serve',
      '--data',
      data,
      '--port',
      String(port),
      '--allow-private',
      '--log-level',
      'debug',
    ]
    const child = spawn(process.execPath, args, { cwd: root, stdio: ['ignore', out, out] })
    if (typeof out === 'number') closeSync(out)
    onTestFinished(() => void child.kill('SIGKILL'))
    let ended: unknown = null
    child.once('exit', (code, signal) => {
      ended = { code, signal }
    })
    // Somebody else may have got the port meanwhile, and never answer.
    const ready = async (): Promise<boolean> =>
      (await ask(`http://127.0.0.1:${port}/readyz`).catch(() => null))?.status === 200
    await expect.poll(ready, { timeout: 20_000 }).toBe(true)
    expect(existsSync(join(data, 'admin.key'))).toBe(true)
    hurt(child)
    const client = await connectControl(
      `http://127.0.0.1:${port}`,
      readFileSync(join(data, 'admin.key'), 'utf8').trim(),
    )
    const webhooks = Array.from({ length: 2_000 }, (_, index) => ({ url: `${receiver.url}/${index}` }))
    await client.scheduleAll(webhooks)
    await receiver.until({ distinct: 2_000 })
    const askedMono = performance.now()
    await expect.poll(async () => (await client.monitor()).totals.delivered).toBe(2_000)
    expect(performance.now() - askedMono).toBeLessThan(5_000)
    const page = await (await ask(`http://127.0.0.1:${port}/metrics`)).text()
    const [, dropped] = /^hookpulse_log_lines_dropped_total (\d+)$/m.exec(page) ?? []
    expect(Number(dropped), 'what nobody took is counted').toBeGreaterThan(0)
    child.kill('SIGTERM')
    await expect.poll(() => ended, { timeout: 45_000 }).toEqual({ code: 0, signal: null })
  },
)
