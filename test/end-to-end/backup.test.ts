import { execFile } from 'node:child_process'
import { copyFileSync, mkdtempSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it, onTestFinished } from 'vitest'
import { type Daemon, freshDataDirectory, removeDirectory, spawnDaemon, startDaemon } from '#test/support/daemon.ts'
import { openStage, type Stage } from './stage.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))
interface Said {
  readonly code: number
  readonly out: string
  readonly err: string
}
/** The executable, in another directory than the daemon's. */
const runHookpulse = (cwd: string, ...args: readonly string[]): Promise<Said> =>
  new Promise((resolve) => {
    const env = { ...process.env, HOOKPULSE_DATA: undefined, HOOKPULSE_KEY: undefined, HOOKPULSE_URL: undefined }
    const child = execFile(process.execPath, [join(root, 'src/main.ts'), ...args], { cwd, env }, (_error, out, err) =>
      resolve({ code: child.exitCode ?? -1, out, err }),
    )
  })
const home = (): string => {
  const dir = mkdtempSync(join(tmpdir(), 'hookpulse-backup-'))
  onTestFinished(() => removeDirectory(dir))
  return dir
}
const reach = ({ url, data }: Daemon): readonly string[] => ['--url', url, '--data', data]

/** Schedules without end, a few at a time; the last answer is not waited for once it is told to stop. */
const offerLoad = (stage: Stage): (() => void) => {
  let isOn = true
  const go = async (): Promise<void> => {
    while (isOn) await stage.schedule(5)
  }
  void go().catch((error: unknown) => error)
  return () => {
    isOn = false
  }
}

describe('backup, kill -9, restore', () => {
  it('brings back every webhook that was acknowledged before; what was delivered since is sent again, nothing else', async () => {
    const stage = await openStage()
    const dir = home()
    const { domain } = stage.receiver
    const before = await stage.schedule(100)
    await expect.poll(async () => (await stage.client.monitor()).totals.delivered).toBe(100)
    await stage.client.call('pauseDomain', { domain })
    const waiting = await stage.schedule(300)
    const { key: brandKey } = await stage.client.call<{ key: string }>('createApiKey', { brand: 'acme' })
    const stopLoad = offerLoad(stage)
    const made = await runHookpulse(dir, ...reach(stage.daemon), 'backup', 'b.db')
    expect(made).toMatchObject({ code: 0, err: '' })
    expect(made.out).toMatch(/b\.db: \d+ bytes, \d+ webhooks, checked\. The admin key is not in it/)
    expect(statSync(join(dir, 'b.db')).mode & 0o777).toBe(0o600)
    expect(stage.daemon.output()).toContain('store.backed-up')
    stopLoad()
    await stage.client.call('resumeDomain', { domain })
    await stage.receiver.until({ distinct: 150 })
    await stage.daemon.kill('SIGKILL')
    const sentBefore = (await stage.receiver.arrivals()).ids

    const data = join(dir, 'new')
    const restored = await runHookpulse(dir, '--data', relative(dir, data), 'restore', 'b.db')
    expect(restored).toMatchObject({ code: 0, err: '' })
    expect(restored.out).toContain('put the admin.key of its daemon there')
    expect((await runHookpulse(dir, '--data', data, 'check')).out).toMatch(/new: \d+ webhooks, no problem found\n/)
    copyFileSync(join(stage.daemon.data, 'admin.key'), join(data, 'admin.key'))
    const daemon = await startDaemon({ data })
    onTestFinished(async () => void (await daemon.kill()))
    expect(daemon.key).toBe(stage.daemon.key)
    const client = await daemon.connect()
    await client.call('resumeDomain', { domain })
    await expect
      .poll(async () => (await client.monitor({ brand: 'default' })).totals.waiting, { timeout: 60_000 })
      .toBe(0)
    await stage.receiver.until({ distinct: 400 })
    const arrivals = (await stage.receiver.arrivals()).ids
    const times = (id: string): number => arrivals.filter((other) => other === id).length
    expect(before.map(times), 'delivered and recorded before the backup: never again').toEqual(before.map(() => 1))
    const sent = new Set(sentBefore)
    for (const id of waiting) expect(times(id), id).toBe(sent.has(id) ? 2 : 1)
    expect((await fetch(`${daemon.url}/rpc`, asking(brandKey))).status).toBe(200)
    const again = await runHookpulse(dir, '--data', data, 'check')
    expect(again).toMatchObject({ code: 1, err: expect.stringContaining(`is in use by process ${daemon.pid}`) })
  })

  it('refuses clearly: a place that is taken or cannot be written, a key that may not, a store that is there', async () => {
    const stage = await openStage()
    const dir = home()
    writeFileSync(join(dir, 'taken.db'), '')
    const taken = await runHookpulse(dir, ...reach(stage.daemon), 'backup', 'taken.db')
    expect(taken).toMatchObject({ code: 1, err: expect.stringMatching(/INVALID_PARAMS \[path\]: .*exists already/) })
    await expect(stage.client.call('backupStore', { path: 'b.db' })).rejects.toMatchObject({
      data: { code: 'INVALID_PARAMS', field: 'path', message: expect.stringContaining('is not an absolute path') },
    })
    const { key } = await stage.client.call<{ key: string }>('createApiKey', {})
    const answer = await fetch(`${stage.daemon.url}/rpc`, asking(key, 'backupStore', { path: join(dir, 'b.db') }))
    expect(await answer.json()).toMatchObject({ error: { data: { code: 'FORBIDDEN' } } })
    expect(await stage.client.call('backupStore', { path: join(dir, 'b.db') })).toMatchObject({ webhooks: 0 })
    await stage.daemon.kill('SIGTERM')
    const here = ['--data', stage.daemon.data]
    const refused = await runHookpulse(dir, ...here, 'restore', 'b.db')
    expect(refused).toMatchObject({ code: 1, err: expect.stringContaining('holds a store already') })
    const replaced = await runHookpulse(dir, ...here, 'restore', 'b.db', '--replace')
    expect(replaced.out).toMatch(/what was there is in .*replaced-1\nthe API keys of the backup are good, the one in/)
    await stage.restart()
    expect(await stage.client.call('listBrands')).toMatchObject({ brands: [{ brand: 'default' }] })
  })

  it('a data directory that cannot be made is one line, at once', async () => {
    for (const data of ['/proc/x', '/dev/null', '/proc/version/x']) {
      const { ended, output } = spawnDaemon(data)
      expect(await ended, data).toEqual({ code: 1, signal: null })
      expect(output()).toMatch(/^hookpulse: \/\S+ (cannot be made: .*|is not a directory)\n$/)
    }
  })

  it('keeps what it makes for its owner alone', async () => {
    const data = freshDataDirectory()
    onTestFinished(() => removeDirectory(data))
    const daemon = await startDaemon({ data })
    for (const name of ['hookpulse.db', 'hookpulse.db-wal', 'lock.db', 'holder.json', 'admin.key'])
      expect(statSync(join(data, name)).mode & 0o077, name).toBe(0)
    await daemon.kill()
  })
})

const asking = (key: string, method = 'getInfo', params = {}): RequestInit => ({
  method: 'POST',
  headers: { authorization: `Bearer ${key}` },
  body: JSON.stringify({ jsonrpc: '2.0', id: 1, method, params }),
})
