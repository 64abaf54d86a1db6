import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import type { Bench, Figure, Measured, Scenario } from './scenario.ts'

/** name -> value, of lines `name value`. */
const parse = (output: string): ReadonlyMap<string, number> =>
  new Map(
    output
      .trim()
      .split('\n')
      .map((line) => line.split(' '))
      .map(([what = '', value = '']) => [what, Number(value)]),
  )
const ours = (processes: number): ReadonlyMap<string, number> => {
  const file = join(import.meta.dirname, 'runtime-figures.ts')
  const args = ['--expose-gc', '--max-old-space-size=3000', file, String(processes)]
  return parse(execFileSync(process.execPath, args, { encoding: 'utf8' }))
}
/** Null where there is no Erlang. */
const beam = (): ReadonlyMap<string, number> | null => {
  try {
    return parse(execFileSync('escript', [join(import.meta.dirname, 'beam.escript')], { encoding: 'utf8' }))
  } catch {
    return null
  }
}
const COMPARED = ['cast', 'call', 'spawn', 'actor', 'ping-pong']
const AIMED = ['cast', 'call', 'spawn']

const figuresOf = (own: ReadonlyMap<string, number>, peer: ReadonlyMap<string, number> | null): Figure[] => {
  const figures: Figure[] = []
  for (const what of COMPARED) {
    const [mine, theirs] = [own.get(what) ?? null, peer?.get(what) ?? null]
    const ratio = mine === null || theirs === null ? null : mine / theirs
    figures.push({ name: what, value: mine, unit: 'ns' }, { name: `${what}, BEAM`, value: theirs, unit: 'ns' })
    figures.push({
      name: `${what}, ratio`,
      value: ratio,
      unit: 'x',
      ...(AIMED.includes(what) && { aim: { atMost: 0.7 } }),
    })
  }
  figures.push({
    name: 'call with 500,000 waiting',
    value: own.get('backlog-ratio') ?? null,
    unit: 'x',
    aim: { atMost: 3 },
  })
  figures.push({ name: 'a live process', value: own.get('bytes-each') ?? null, unit: 'bytes', aim: { atMost: 600 } })
  return figures
}

const run = async (bench: Bench): Promise<Measured> => {
  const processes = bench.pick({ tiny: 10_000, small: 200_000, full: 1_000_000 })
  const own = ours(processes)
  const peer = beam()
  if (peer === null) bench.note('no erl on PATH (Debian: erlang-base): nothing to compare with')
  return { setup: { processes }, figures: figuresOf(own, peer), checks: [], plots: [] }
}

export const runtime: Scenario = {
  name: 'runtime',
  measures:
    'the actor kernel alone, beside the BEAM where there is one: cast, call, spawn, ping-pong, a long backlog, memory',
  run,
}
