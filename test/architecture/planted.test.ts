import { describe, expect, it } from 'vitest'
import { roomOf, targetOf, violations } from './rules.ts'
import { readSource } from './source.ts'

const rulesBroken = (files: Readonly<Record<string, string>>): string[] => [
  ...new Set(violations(Object.entries(files).map(([path, code]) => readSource(path, code))).map(({ rule }) => rule)),
]

const VALUE = 'export const value = 1'
/** Rule, what is wrong, the files. Each breaks its rule and no other. */
const PLANTED: readonly [string, string, Readonly<Record<string, string>>][] = [
  [
    'import-table',
    'a pure room imports the store',
    { 'src/guard/a.ts': `import { x } from '#store/store.ts'; ${VALUE}` },
  ],
  [
    'import-table',
    'import type counts',
    { 'src/runtime/a.ts': `import type { W } from '#webhook/webhook.ts'; ${VALUE}` },
  ],
  ['import-table', 'import() counts', { 'src/world/a.ts': "export const a = () => import('#store/store.ts')" }],
  [
    'import-table',
    'an import type inside a type counts',
    { 'src/world/a.ts': "export type A = import('#store/store.ts').Store" },
  ],
  [
    'import-table',
    'import.meta.resolve counts',
    { 'src/world/a.ts': "export const a = import.meta.resolve('#dispatch/worker.ts')" },
  ],
  ['import-table', 'handing on counts', { 'src/store/a.ts': `export { x } from '#control/protocol.ts'; ${VALUE}` }],
  [
    'import-table',
    'an actor looks behind a contract',
    { 'actors/a.ts': `import { x } from '#store/sqlite/open.ts'; ${VALUE}` },
  ],
  [
    'import-table',
    'a supervisor opens the store',
    { 'supervisors/a.ts': `import { x } from '#store/memory/store.ts'; ${VALUE}` },
  ],
  [
    'import-table',
    'the client looks behind the protocol',
    { 'src/client/a.ts': `import { x } from '#control/server.ts'; ${VALUE}` },
  ],
  [
    'import-table',
    'config is more than its limits',
    { 'actors/a.ts': `import { x } from '#config/config.ts'; ${VALUE}` },
  ],
  ['import-table', 'somebody imports main', { 'src/cli/a.ts': `import { x } from '#main.ts'; ${VALUE}` }],
  ['known-room', 'a room that is not on the plan', { 'src/attic/a.ts': VALUE }],
  ['no-parent-import', 'a way up', { 'src/store/memory/a.ts': `import { x } from '../store.ts'; ${VALUE}` }],
  ['import-style', 'the long way to a neighbour', { 'src/store/a.ts': `import { x } from '#store/b.ts'; ${VALUE}` }],
  ['import-style', 'an extension is missing', { 'src/store/a.ts': `import { x } from './b'; ${VALUE}` }],
  ['package-home', 'ws in an actor', { 'actors/a.ts': `import { x } from 'ws'; ${VALUE}` }],
  ['package-home', 'sqlite outside its folder', { 'src/store/a.ts': `import x from 'better-sqlite3'; ${VALUE}` }],
  ['package-home', 'undici in control', { 'src/control/a.ts': `import type { x } from 'undici'; ${VALUE}` }],
  ['package-home', 'piscina in an actor', { 'actors/a.ts': `import { x } from 'piscina'; ${VALUE}` }],
  ['only-world', 'Date.now', { 'actors/a.ts': 'export const a = () => Date.now()' }],
  ['only-world', 'new Date()', { 'actors/a.ts': 'export const a = () => new Date()' }],
  ['only-world', 'Date as a value', { 'actors/a.ts': 'export const a = { clock: Date }' }],
  ['only-world', 'performance', { 'src/runtime/a.ts': 'export const a = () => performance.now()' }],
  [
    'only-world',
    'globalThis.performance',
    { 'src/runtime/a.ts': "import { performance } from 'node:perf_hooks'; export const a = performance" },
  ],
  ['only-world', 'setTimeout', { 'src/store/a.ts': 'export const a = () => setTimeout(() => 1, 5)' }],
  ['only-world', 'setTimeout handed on', { 'src/store/a.ts': 'export const a = { timer: setTimeout }' }],
  ['only-world', 'setInterval', { 'src/store/a.ts': 'export const a = () => setInterval(() => 1, 5)' }],
  ['only-world', 'setImmediate', { 'src/dispatch/a.ts': 'export const a = () => setImmediate(() => 1)' }],
  ['only-world', 'queueMicrotask', { 'src/runtime/a.ts': 'export const a = () => queueMicrotask(() => 1)' }],
  [
    'only-world',
    'timers/promises',
    { 'src/dispatch/a.ts': "import { setTimeout as sleep } from 'node:timers/promises'; export const a = sleep" },
  ],
  ['only-world', 'Math.random', { 'src/guard/a.ts': 'export const a = () => Math.random()' }],
  ['only-world', 'crypto.randomUUID', { 'src/control/a.ts': 'export const a = () => crypto.randomUUID()' }],
  [
    'only-world',
    'randomBytes imported',
    { 'src/control/a.ts': "import { randomBytes } from 'node:crypto'; export const a = randomBytes" },
  ],
  ['pure-rooms', 'async in the guard room', { 'src/guard/a.ts': 'export const a = async () => 1' }],
  [
    'pure-rooms',
    'files in the webhook room',
    { 'src/webhook/a.ts': "import { readFileSync } from 'node:fs'; export const a = readFileSync" },
  ],
  [
    'no-barrels',
    'a file that only hands on',
    { 'src/guard/all.ts': "export * from './rate.ts'; export { x } from './lanes.ts'" },
  ],
  ['no-barrels', 'a name that says nothing', { 'src/guard/utils.ts': VALUE }],
  ['no-evasion', 'as unknown as', { 'src/guard/a.ts': 'export const a = (b: string) => b as unknown as number' }],
  ['no-evasion', 'any', { 'src/guard/a.ts': 'export const a = (b: any) => b' }],
  ['no-evasion', 'empty catch', { 'src/store/a.ts': 'export const a = (b: () => void) => { try { b() } catch {} }' }],
  ['no-notes', 'a compiler silenced', { 'src/guard/a.ts': `// @ts-expect-error later\n${VALUE}` }],
  [
    'no-cycles',
    'two files in a circle',
    {
      'src/guard/a.ts': `import { b } from './b.ts'; ${VALUE}`,
      'src/guard/b.ts': `import { a } from './a.ts'; ${VALUE}`,
    },
  ],
  [
    'no-cycles',
    'a circle through a third',
    {
      'src/guard/a.ts': `import { b } from './b.ts'; ${VALUE}`,
      'src/guard/b.ts': `import { c } from './c.ts'; ${VALUE}`,
      'src/guard/c.ts': `import { a } from './a.ts'; ${VALUE}`,
    },
  ],
  [
    'thread-imports',
    'the thread reaches an actor by a detour',
    {
      'src/dispatch/worker.ts': `import { b } from '#webhook/b.ts'; ${VALUE}`,
      'src/webhook/b.ts': `import { c } from '#config/c.ts'; ${VALUE}`,
      'src/config/c.ts': VALUE,
    },
  ],
]

describe('planted violations', () => {
  it.each(PLANTED.filter(([rule]) => rule !== 'thread-imports'))('%s catches: %s', (rule, _what, files) => {
    expect(rulesBroken(files)).toEqual([rule])
  })
  it('thread-imports catches what the worker reaches', () => {
    expect(
      rulesBroken({
        'src/dispatch/worker.ts': `import { b } from '#control/b.ts'; ${VALUE}`,
        'src/control/b.ts': VALUE,
      }),
    ).toContain('thread-imports')
  })
})

describe('what the rules allow', () => {
  it.each([
    ['a type named like a global', { 'actors/a.ts': 'export type T = { performance: number; Date: string }' }],
    [
      'a property named like a global',
      { 'actors/a.ts': 'export const a = (w: { setTimeout: number }) => w.setTimeout' },
    ],
    [
      'converting an instant',
      { 'src/control/a.ts': 'export const a = (ms: number) => new Date(ms).toISOString() + Date.parse("x")' },
    ],
    ['hashing', { 'src/control/a.ts': "import { createHmac } from 'node:crypto'; export const a = createHmac" }],
    ['the clock in world', { 'src/world/a.ts': 'export const a = () => Date.now() + Math.random()' }],
    ['a class among classes', { 'actors/a.ts': 'export const a = (b: unknown) => b instanceof Date' }],
    [
      'a thread named by its key',
      { 'src/dispatch/a.ts': `export const a = import.meta.resolve('#dispatch/b.ts')`, 'src/dispatch/b.ts': VALUE },
    ],
    ['limits for everybody', { 'src/guard/a.ts': `import { X } from '#config/limits.ts'; ${VALUE}` }],
    [
      'a neighbour',
      { 'src/store/sqlite/a.ts': `import { x } from './b.ts'; import { y } from '#store/store.ts'; ${VALUE}` },
    ],
    [
      'two contracts of one room that name each other',
      {
        'src/guard/a.ts': `import { b } from './b.ts'; ${VALUE}`,
        'src/guard/b.ts': `import type { a } from './a.ts'; ${VALUE}`,
      },
    ],
    ['a contract', { 'actors/a.ts': `import type { Store } from '#store/store.ts'; ${VALUE}` }],
  ])('%s', (_what, files) => {
    expect(rulesBroken(files)).toEqual([])
  })
  it('reads specifiers as Node does', () => {
    expect(targetOf('src/store/sqlite/a.ts', '#store/store.ts')).toBe('src/store/store.ts')
    expect(targetOf('src/store/a.ts', './b.ts')).toBe('src/store/b.ts')
    expect(targetOf('test/a.ts', '#actors/guard.ts')).toBe('actors/guard.ts')
    expect(targetOf('test/a.ts', 'undici')).toBeNull()
    expect(['src/main.ts', 'actors/a.ts', 'src/guard/a.ts', 'test/unit/a.ts'].map(roomOf)).toEqual([
      'main',
      'actors',
      'guard',
      'test',
    ])
  })
})
