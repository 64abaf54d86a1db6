import { spawnSync } from 'node:child_process'
import { globSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'

const root = fileURLToPath(new URL('../../', import.meta.url))

/** Kinds of actors, as `actors/mailboxes.ts` lists them. */
const ACTORS = 15
const files = globSync('actors/*.ts', { cwd: root }).sort()
const BEHAVIOUR = /: Behaviour<[^=]*= \{\n((?: {2}.*\n|\n)*?)\}\n/g

describe('actor files', () => {
  it('SUPV-04: each actor declares what its mailbox may hold', () => {
    const declared = files.flatMap((file) =>
      [...readFileSync(`${root}${file}`, 'utf8').matchAll(BEHAVIOUR)].map(([, body = '']) => ({
        file,
        bound: /^ {2}mailbox: (?:FEW|MANY),$/m.test(body),
      })),
    )
    expect(declared.length).toBeGreaterThanOrEqual(ACTORS)
    expect(declared.filter(({ bound }) => !bound)).toEqual([])
  })
  it.each(files)('%s can be loaded first', (file) => {
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
