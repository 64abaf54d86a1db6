import { describe, expect, it } from 'vitest'
import { ConfigError, readConfig, SERVE_HELP } from '#config/config.ts'

const file = (json: unknown) => () => JSON.stringify(json)
const refusal = (work: () => unknown): string => {
  try {
    work()
  } catch (error) {
    if (error instanceof ConfigError) return error.message
    throw error
  }
  return 'nothing was wrong'
}

describe('configuration', () => {
  it('has a default for everything, bounded and frozen', () => {
    const { config, sources } = readConfig([], {})
    expect(config).toMatchObject({ data: './hookpulse-data', host: '127.0.0.1', port: 7411, allowPrivate: false })
    expect(config.threads).toBeGreaterThanOrEqual(1)
    expect(config.threads).toBeLessThanOrEqual(4)
    expect(new Set(Object.values(sources))).toEqual(new Set(['default']))
    expect(Object.isFrozen(config)).toBe(true)
  })

  it('takes flags over variables over the file, and says which', () => {
    const env = { HOOKPULSE_PORT: '8001', HOOKPULSE_HOST: '10.0.0.1', HOOKPULSE_CONFIG: 'x.json' }
    const read = readConfig(
      ['--port', '0'],
      env,
      file({ port: 8002, host: 'h', threads: 2, allowTarget: ['10.0.0.0/8'] }),
    )
    expect(read.config).toMatchObject({ port: 0, host: '10.0.0.1', threads: 2, allowTarget: ['10.0.0.0/8'] })
    expect(read.sources).toMatchObject({ port: 'flag', host: 'environment', threads: 'file', data: 'default' })
  })

  it('takes lists as repeated flags and as one variable with commas', () => {
    expect(readConfig(['--allow-target', '10.0.0.0/8', '--allow-target=fd00::/8:80'], {}).config.allowTarget).toEqual([
      '10.0.0.0/8',
      'fd00::/8:80',
    ])
    expect(readConfig([], { HOOKPULSE_ALLOW_TARGET: '10.0.0.0/8, 192.168.0.0/16' }).config.allowTarget).toHaveLength(2)
  })

  it('takes --allow-private bare, and as a variable with a value', () => {
    expect(readConfig(['--allow-private'], {}).config.allowPrivate).toBe(true)
    expect(readConfig([], { HOOKPULSE_ALLOW_PRIVATE: '1' }).config.allowPrivate).toBe(true)
    expect(readConfig(['--allow-private=false'], { HOOKPULSE_ALLOW_PRIVATE: '1' }).config.allowPrivate).toBe(false)
  })

  it.each([
    [['--port', 'x'], /^--port must be a whole number from 0 to 65535; got "x"/],
    [['--port', '70000'], /^--port .*65535/],
    [['--port'], /^--port needs a value: --port <n>/],
    [['--threads', '0'], /^--threads must be a whole number from 1/],
    [['--threads', '1.5'], /^--threads/],
    [['--log-level', 'loud'], /^--log-level must be one of trace, debug/],
    [['--data', ' '], /^--data must be a directory/],
    [['--prot', '1'], /^unknown argument --prot; known are --data/],
    [['here'], /^unknown argument here/],
  ])('refuses %j and names the flag', (argv, says) => {
    expect(refusal(() => readConfig(argv, {}))).toMatch(says)
  })

  it('names the variable, or the name in the file', () => {
    expect(refusal(() => readConfig([], { HOOKPULSE_PORT: 'x' }))).toMatch(/^HOOKPULSE_PORT must be/)
    expect(refusal(() => readConfig(['--config', 'a'], {}, file({ port: 'x' })))).toMatch(
      /^port in the config file must/,
    )
    expect(refusal(() => readConfig(['--config', 'a'], {}, file({ prot: 1 })))).toMatch(/unknown prot; known are data/)
    expect(refusal(() => readConfig(['--config', 'a'], {}, () => '{'))).toMatch(/^--config a cannot be read/)
    expect(refusal(() => readConfig(['--config', '/nowhere'], {}))).toMatch(/ENOENT/)
  })

  it('explains every flag', () => {
    for (const flag of ['--data', '--host', '--port', '--threads', '--allow-private', '--allow-target', '--log-level'])
      expect(SERVE_HELP).toContain(flag)
  })
})
