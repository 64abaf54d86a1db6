import { join } from 'node:path'
import { defineConfig } from 'vitest/config'

/**
 * Node itself loads the tests (`viteModuleRunner: false`): `#room/file.ts` imports, `import.meta.resolve` and worker threads
 * behave as in the daemon. First everything that runs inside the test process, two files at a time; then what ends daemons in
 * every way, or asks them, and mostly waits, three at a time; then, one at a time, what needs both cores.
 */
const native = { viteModuleRunner: false, nodeLoader: false }
const inside = {
  environment: 'node',
  env: {
    // What is compared is text; a terminal's colours, or a CI's, are not part of it.
    NO_COLOR: '1',
    // Thousands of processes and threads start here, and half of a start is stripping and compiling the same files.
    NODE_COMPILE_CACHE: join(import.meta.dirname, 'node_modules/.cache/compiled'),
  },
  pool: 'forks',
  experimental: native,
  testTimeout: 20_000,
  hookTimeout: 20_000,
} as const
const outside = {
  ...inside,
  testTimeout: 120_000,
  hookTimeout: 60_000,
  maxWorkers: 1,
  expect: { poll: { timeout: 10_000 } },
} as const
const runsOutside = ['test/end-to-end/**/*.test.ts', 'test/bench/**/*.test.ts']
const mostlyWaits = [
  'backup',
  'broken',
  'clock',
  'control',
  'control-demo',
  'crash',
  'everyday',
  'failpoints',
  'groups',
  'kill-points',
  'lock',
  'log-pipe',
  'own-listener',
  'package',
  'poison',
  'processes',
  'readme',
  'recovery',
  'stop',
].map((name) => `test/end-to-end/${name}.test.ts`)
const onlyByName = ['test/machine/**', 'test/long/**', 'node_modules/**', 'dist/**']

const named = (name: string) => ({
  test: {
    ...outside,
    name,
    include: [`test/${name}/**/*.test.ts`],
    testTimeout: 1_800_000,
    passWithNoTests: true,
    sequence: { groupOrder: 3 },
  },
})

export default defineConfig({
  test: {
    experimental: native,
    projects: [
      {
        test: {
          ...inside,
          name: 'inside',
          include: ['test/**/*.test.ts'],
          exclude: [...runsOutside, ...onlyByName],
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          ...outside,
          name: 'ends',
          include: mostlyWaits,
          maxWorkers: 3,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          ...outside,
          name: 'outside',
          include: runsOutside,
          exclude: [...mostlyWaits, ...onlyByName],
          sequence: { groupOrder: 2 },
        },
      },
      // Not in `npm test`: what needs root and strace, and what takes long.
      named('machine'),
      named('long'),
    ],
  },
})
