import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { connect as dial } from 'node:net'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { connectControl, RpcError } from '#test/support/control-client.ts'
import { PING, RawClient, TEXT } from '#test/support/raw-client.ts'
import { openStage, type Stage } from './stage.ts'

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const LATER_MS = 3_600_000
/** A tenth; half where it reads them itself. */
const MAIN_SHARE_MAX = 0.3

const run = (...argv: readonly string[]): Promise<{ code: number | null; out: string; err: string }> =>
  new Promise((resolve) => {
    const child = spawn(process.execPath, [main, ...argv], { stdio: ['ignore', 'pipe', 'pipe'] })
    let out = ''
    let err = ''
    child.stdout.on('data', (chunk) => {
      out += chunk
    })
    child.stderr.on('data', (chunk) => {
      err += chunk
    })
    child.once('close', (code) => resolve({ code, out, err }))
  })

const rssMib = (pid: number): number =>
  Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1_024

/** User and system time of its main thread, and of all its threads, in ticks (proc_pid_stat(5): fields 14 and 15). */
const cpuOf = (pid: number): { readonly main: number; readonly all: number } => {
  const ticks = (file: string): number => {
    const fields = readFileSync(file, 'utf8').split(') ').at(-1)?.split(' ') ?? []
    return Number(fields[11]) + Number(fields[12])
  }
  return { main: ticks(`/proc/${pid}/task/${pid}/stat`), all: ticks(`/proc/${pid}/stat`) }
}

const rawClient = async (stage: Stage): Promise<RawClient> => {
  const socket = dial(Number(new URL(stage.daemon.url).port), '127.0.0.1')
  await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject))
  return new RawClient(socket)
}

describe('the control channel of a real daemon', () => {
  it('is unharmed by a storm of hostile clients: a webhook meanwhile goes out on time', async () => {
    const stage = await openStage()
    const before = rssMib(stage.daemon.pid)
    const storm = Array.from({ length: 60 }, async (_, i) => {
      const raw = await rawClient(stage)
      const key = i % 2 === 0 ? { authorization: `Bearer ${stage.daemon.key}` } : {}
      expect(await raw.upgrade(key)).toBe(101)
      if (i % 6 < 2) raw.send({ opcode: TEXT, claimedBytes: 2n ** 40n })
      else if (i % 6 < 4) for (let n = 0; n < 300; n++) raw.text('{"jsonrpc":"2.0","id":{},"method":"x"}')
      else for (let n = 0; n < 500; n++) raw.send({ opcode: PING })
      await raw.closed
    })
    await stage.schedule(20, { at: Date.now() + 500 })
    await Promise.all(storm)
    await stage.receiver.until({ distinct: 20 })
    expect((await stage.judge()).broken).toEqual([])
    expect(rssMib(stage.daemon.pid) - before).toBeLessThan(150)
    expect((await fetch(`${stage.daemon.url}/readyz`)).status).toBe(200)
  })

  it('reads large batches beside the main thread, which stays free to answer', async () => {
    const stage = await openStage()
    const webhooks = Array.from({ length: 10_000 }, (_, i) => ({
      url: `${stage.receiver.url}/${i}`,
      delayMs: LATER_MS,
      body: { text: 'x'.repeat(500), n: i },
    }))
    const before = cpuOf(stage.daemon.pid)
    const batches = Promise.all([1, 2, 3].map(() => stage.client.scheduleAll(webhooks)))
    expect((await fetch(`${stage.daemon.url}/healthz`)).status).toBe(200)
    const ids = (await batches).flatMap((batch) => batch.ids)
    const after = cpuOf(stage.daemon.pid)
    expect(new Set(ids).size).toBe(30_000)
    // By CPU time, which does not depend on what else the machine does.
    expect((after.main - before.main) / (after.all - before.all)).toBeLessThan(MAIN_SHARE_MAX)
  })

  it('refuses private targets unless the operator allows them', async () => {
    const stage = await openStage({}, { env: { HOOKPULSE_ALLOW_PRIVATE: 'false' }, args: ['--allow-private=false'] })
    const refused = await stage.client.schedule({ url: stage.receiver.url }).catch((error: unknown) => error)
    expect(refused).toBeInstanceOf(RpcError)
    expect(refused).toMatchObject({ data: { code: 'BLOCKED_TARGET', field: 'url' } })
  })

  it('PROC-03: takes nothing new once it stops, says so and when to come back, and says goodbye with 1001', async () => {
    const stage = await openStage({ hold: true })
    await stage.schedule(1)
    await stage.receiver.until({ open: 1 })
    const ended = stage.daemon.kill('SIGTERM')
    await expect.poll(() => stage.daemon.output()).toContain('daemon.stopping')
    const late = await stage.client.schedule({ url: stage.receiver.url }).catch((error: unknown) => error)
    expect(late).toMatchObject({ data: { code: 'SHUTTING_DOWN', retryAfterMs: expect.any(Number) } })
    expect((await fetch(`${stage.daemon.url}/readyz`)).status).toBe(503)
    await stage.receiver.release(1)
    expect(await stage.client.closed).toBe(1001)
    expect((await ended).code).toBe(0)
  })

  it('never writes a key into its log (CTRL-10)', async () => {
    const stage = await openStage({}, { args: ['--log-level', 'debug'] })
    const guess = `${stage.daemon.key.slice(0, -3)}abc`
    await connectControl(stage.daemon.url, guess).catch((error: unknown) => error)
    await stage.schedule(1)
    await stage.receiver.until({ distinct: 1 })
    const output = stage.daemon.output()
    expect(output.split(stage.daemon.key)).toHaveLength(2)
    expect(output).not.toContain(guess)
  })
})

describe('the executable', () => {
  it('schedules and shows from a shell, with the key that lies beside the data', async () => {
    const stage = await openStage()
    const where = ['--url', stage.daemon.url, '--data', stage.daemon.data]
    const scheduled = await run('schedule', `${stage.receiver.url}/shell`, '--body', '{"a":1}', ...where)
    expect(scheduled.code).toBe(0)
    await stage.receiver.until({ distinct: 1 })
    const id = scheduled.out.split(' ')[0] ?? ''
    await expect
      .poll(async () => (await run('show', id, ...where)).out, { timeout: 20_000 })
      .toMatch(/state +delivered/)
    expect(JSON.parse((await run('list', '--json', ...where)).out).webhooks).toHaveLength(1)
  })

  it.each([
    [['serve', '--port', 'x'], 2, /--port must be a whole number/],
    [['serve', '--allow-target', 'here'], 2, /--allow-target must be <cidr>/],
    [['serve', '--nonsense'], 2, /unknown argument --nonsense/],
    [['nonsense'], 2, /unknown command/],
    [['list', '--url', 'http://127.0.0.1:1', '--key', 'hp_admin_x'], 1, /DISCONNECTED/],
  ])('answers %j with exit code %i and one line', async (argv, code, says) => {
    const ended = await run(...argv)
    expect(ended.err).toMatch(says)
    expect(ended.err).not.toMatch(/ at .*\.ts:/)
    expect(ended.code).toBe(code)
  })
})
