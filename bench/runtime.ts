import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import type { Bench, Figure, Measured, Scenario } from './scenario.ts'
import { median } from './stats.ts'

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

type Figures = ReadonlyMap<string, number>
interface Pair {
  readonly own: Figures
  readonly peer: Figures | null
}
const middle = (values: readonly (number | undefined)[]): number | null => {
  const known = values.filter((value) => value !== undefined)
  return known.length === 0 ? null : median(known)
}
const ratioOf = ({ own, peer }: Pair, what: string): number | undefined => {
  const [mine, theirs] = [own.get(what), peer?.get(what)]
  return mine === undefined || theirs === undefined ? undefined : mine / theirs
}
const figuresOf = (pairs: readonly Pair[]): Figure[] => {
  const own = (what: string) => middle(pairs.map((pair) => pair.own.get(what)))
  const figures = COMPARED.flatMap((what): Figure[] => [
    { name: what, value: own(what), unit: 'ns' },
    { name: `${what}, BEAM`, value: middle(pairs.map((pair) => pair.peer?.get(what))), unit: 'ns' },
    {
      name: `${what}, ratio`,
      value: middle(pairs.map((pair) => ratioOf(pair, what))),
      unit: 'x',
      ...(AIMED.includes(what) && { aim: { atMost: 0.7 } }),
    },
  ])
  figures.push({ name: 'call with 500,000 waiting', value: own('backlog-ratio'), unit: 'x', aim: { atMost: 3 } })
  figures.push({ name: 'a live process', value: own('bytes-each'), unit: 'bytes', aim: { atMost: 600 } })
  return figures
}

const run = async (bench: Bench): Promise<Measured> => {
  const processes = bench.pick({ tiny: 10_000, small: 200_000, full: 1_000_000 })
  const pairs: Pair[] = []
  for (let pair = 0; pair < bench.pick({ tiny: 1, small: 3, full: 5 }); pair++) {
    pairs.push({ own: ours(processes), peer: beam() })
  }
  if (pairs[0]?.peer === null) bench.note('no escript on PATH (Debian: erlang-base): nothing to compare with')
  return { setup: { processes, pairs: pairs.length }, figures: figuresOf(pairs), checks: [], plots: [] }
}

export const runtime: Scenario = {
  name: 'runtime',
  measures:
    'the actor kernel alone, beside the BEAM where there is one: cast, call, spawn, ping-pong, a long backlog, memory',
  run,
}
