import { globSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { large, violations } from './rules.ts'
import { readSource } from './source.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))
const folders = ['src', 'actors', 'supervisors', 'test', 'bench']
const sources = folders
  .flatMap((folder) => globSync(`${folder}/**/*.ts`, { cwd: root }))
  .sort()
  .map((path) => readSource(path, readFileSync(root + path, 'utf8')))

describe('the house', () => {
  it('is read whole', () => {
    expect(sources.length).toBeGreaterThan(20)
    expect(sources.map(({ path }) => path)).toContain('src/world/world.ts')
  })

  it('keeps its rules: who imports whom, one clock, no cycles, no barrels', () => {
    const found = violations(sources).map(({ rule, at, what }) => `${rule}: ${at}: ${what}`)
    expect(found).toEqual([])
  })

  it('says what has grown large, without failing', () => {
    const found = large(sources.filter(({ path }) => !path.startsWith('test/')))
    if (found.length > 0) process.stdout.write(`asks to be two:\n  ${found.join('\n  ')}\n`)
    expect(found).toBeInstanceOf(Array)
  })
})
