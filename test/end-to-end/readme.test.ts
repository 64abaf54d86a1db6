import { spawn, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it, onTestFinished } from 'vitest'
import { startCountingReceiver } from '#test/support/counting-receiver.ts'
import { freshDataDirectory, removeDirectory } from '#test/support/daemon.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))
const readme = readFileSync(`${root}README.md`, 'utf8')
/** The lines of the shell blocks under "Getting started". */
const gettingStarted = (): string[] => {
  const [, section = ''] = /## Getting started\n([\s\S]*?)\n## /.exec(readme) ?? []
  return [...section.matchAll(/```sh\n([\s\S]*?)```/g)].map(([, block]) => block ?? '')
}

/** `npm start` as a person types it; a free port instead of 7411, and a data directory of its own, by the documented variables. */
const npmStart = async (data: string): Promise<{ url: string; said: string }> => {
  const child = spawn('npm', ['start', '--', '--allow-private'], {
    cwd: root,
    env: { ...process.env, HOOKPULSE_DATA: data, HOOKPULSE_PORT: '0' },
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
  })
  onTestFinished(() => {
    // npm's child too: the whole group.
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
  })
  let said = ''
  return new Promise((resolve, reject) => {
    child.stdout.on('data', (chunk: Buffer) => {
      said += chunk.toString()
      const [, url] = /listening on (\S+)/.exec(said) ?? []
      if (url !== undefined && said.includes('hp_admin_')) resolve({ url, said })
    })
    child.once('exit', () => reject(new Error(`npm start ended:\n${said}`)))
  })
}

describe('the README', () => {
  it('leads a newcomer to the first delivered webhook, every command as written', async () => {
    const data = freshDataDirectory()
    onTestFinished(() => removeDirectory(data))
    const receiver = await startCountingReceiver()
    onTestFinished(() => receiver.stop())
    const { url, said } = await npmStart(data)
    expect(said).toContain('npm run -s hookpulse -- ')
    const typed = (command: string): string => {
      const ours = command
        .replaceAll('https://api.yourservice.com', receiver.url)
        .replaceAll('api.yourservice.com', receiver.domain)
      const env = { ...process.env, HOOKPULSE_DATA: data, HOOKPULSE_URL: url }
      const { status, stdout, stderr } = spawnSync('bash', ['-c', ours], { cwd: root, env, encoding: 'utf8' })
      expect(`${command}: ${status} ${stderr}`).toBe(`${command}: 0 `)
      return stdout
    }
    const [commands = '', curl = ''] = gettingStarted()
    for (const command of commands.split('\n').filter((line) => line.startsWith('npm'))) typed(command)
    await receiver.until({ distinct: 1 }, 10_000)
    expect(typed('npm run -s hookpulse -- list')).toContain('delivered')
    expect(typed('npm run -s hookpulse -- tree')).toContain('dispatch-pool')

    const answer = typed(curl.replaceAll('http://127.0.0.1:7411', url).replaceAll('hookpulse-data/', `${data}/`))
    expect(JSON.parse(answer)).toMatchObject({ id: 1, result: { state: 'scheduled' } })
    await receiver.until({ distinct: 2 }, 10_000)
  })
})
