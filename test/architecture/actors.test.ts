import { spawnSync } from 'node:child_process'
import { globSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'

const root = fileURLToPath(new URL('../../', import.meta.url))

describe('actor files', () => {
  it.each(globSync('actors/*.ts', { cwd: root }).sort())('%s can be loaded first', (file) => {
    const { status, stderr } = spawnSync(
      process.execPath,
      ['--input-type=module', '--eval', `await import('#${file}')`],
      {
        cwd: root,
        encoding: 'utf8',
      },
    )
    expect(stderr).toBe('')
    expect(status).toBe(0)
  })
})
