import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, symlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it, onTestFinished } from 'vitest'
import { freshDataDirectory, removeDirectory } from '#test/support/daemon.ts'
import { openStage } from './stage.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))
const run = (command: string, args: readonly string[], cwd: string): string => {
  const { status, stdout, stderr, error } = spawnSync(command, args, { cwd, encoding: 'utf8' })
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${status}\n${stdout}${stderr}`, { cause: error })
  return stdout
}

/** What an install would put beside the package: its dependencies, and theirs, without those of development. */
const productionPackages = (): string[] => {
  const lock: { packages: Record<string, { dev?: boolean; devOptional?: boolean }> } = JSON.parse(
    readFileSync(join(root, 'package-lock.json'), 'utf8'),
  )
  return Object.entries(lock.packages)
    .filter(([path, about]) => /^node_modules\/(@[^/]+\/)?[^/]+$/.test(path) && about.dev !== true)
    .map(([path]) => path)
}

/** The tarball unpacked where npm would put it, with its dependencies beside it. Returns the folder. */
const installTarball = (): string => {
  const folder = freshDataDirectory()
  onTestFinished(() => removeDirectory(folder))
  const tarball = run('npm', ['pack', '--silent', '--pack-destination', folder], root).trim().split('\n').at(-1) ?? ''
  const target = join(folder, 'node_modules', 'hookpulse')
  mkdirSync(target, { recursive: true })
  run('tar', ['-xzf', join(folder, tarball), '-C', target, '--strip-components=1'], folder)
  for (const path of productionPackages()) {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    symlinkSync(join(root, path), join(folder, path))
  }
  return folder
}

describe('the package', () => {
  it('starts from an installed tarball and delivers a webhook, without TypeScript and without devDependencies', async () => {
    const folder = installTarball()
    const installed = join(folder, 'node_modules', 'hookpulse')
    const files = run('find', ['.', '-type', 'f'], installed).trim().split('\n')
    expect(files.filter((file) => /\.ts$/.test(file) && !/\.d\.ts$/.test(file))).toEqual([])
    expect(files.filter((file) => /^\.\/(test|bench|src|node_modules)\//.test(file))).toEqual([])
    expect(files).toEqual(expect.arrayContaining(['./LICENSE', './bin/hookpulse.js', './dist/package.json']))
    const stage = await openStage({}, { command: [process.execPath, join(installed, 'bin', 'hookpulse.js')] })
    const ids = await stage.schedule(1)
    await stage.receiver.until({ distinct: 1 })
    expect((await stage.receiver.arrivals()).ids).toEqual(ids)

    // The flags of `npm start`, which V8 reads before any program: the same process, begun anew with them.
    const command = readFileSync(`/proc/${stage.daemon.pid}/cmdline`, 'utf8').split('\0')
    expect(command.slice(1, 3)).toEqual(['--max-semi-space-size=16', '--v8-pool-size=1'])

    // And its client, as a program beside it imports it.
    const program = `import { connect } from 'hookpulse/client'
      const client = await connect(${JSON.stringify({ url: stage.daemon.url, key: stage.daemon.key })})
      const { id } = await client.call('scheduleWebhook', { url: ${JSON.stringify(`${stage.receiver.url}/client`)} })
      process.stdout.write(id)
      client.close()`
    const id = run(process.execPath, ['--input-type=module', '--eval', program], folder)
    await stage.receiver.until({ distinct: 2 })
    expect((await stage.receiver.arrivals()).ids).toContain(id)
    expect(await stage.daemon.kill('SIGTERM')).toEqual({ code: 0, signal: null })
  })
})
