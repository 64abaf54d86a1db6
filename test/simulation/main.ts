/**
 * `npm run sim -- --seed=N [--without=kill,clock] [--keep=0,3]` replays one seed and prints its last events.
 * `npm run sim -- --seeds=10000 --from=1 [--minutes=M] [--shrink] [--tally]` hunts; each finding is printed as the line that
 * replays it, shrunk if asked; `--tally` prints how often what happened.
 * `npm run sim -- --planted [--only=N]` runs the daemon with each of the planted bugs; most must be found.
 */
import { commandLine } from '#test/support/command-line.ts'
import { type Case, caseOf, difference, finding, optionsOf, replayLine, runTwice, shrink } from './hunt.ts'
import { CLASSES, type SimClass } from './options.ts'
import { huntPlanted } from './planted.ts'
import { simulate } from './simulation.ts'
import { MUST_HAPPEN, Tally } from './tally.ts'

const USAGE = `npm run sim -- --seed=N [--without=kill,clock] [--keep=0,3]
       npm run sim -- --seeds=N [--from=N] [--minutes=M] [--once] [--stop-at=N] [--shrink] [--tally]
       npm run sim -- --planted [--only=N]`
const { values } = commandLine(USAGE, {
  options: {
    seed: { type: 'string' },
    without: { type: 'string', default: '' },
    keep: { type: 'string' },
    all: { type: 'boolean', default: false },
    seeds: { type: 'string', default: '200' },
    from: { type: 'string', default: '1' },
    minutes: { type: 'string', default: '0' },
    once: { type: 'boolean', default: false },
    'stop-at': { type: 'string', default: '10' },
    tally: { type: 'boolean', default: false },
    shrink: { type: 'boolean', default: false },
    planted: { type: 'boolean', default: false },
    only: { type: 'string' },
  },
})
const say = (line: string): boolean => process.stdout.write(`${line}\n`)
const isClass = (name: string): name is SimClass => CLASSES.some((known) => known === name)

const askedCase = (seed: number): Case => ({
  ...caseOf(seed),
  without: values.without.split(',').filter(isClass),
  keep:
    values.keep === undefined
      ? null
      : values.keep
          .split(',')
          .filter((text) => /^\d+$/.test(text))
          .map(Number),
})

const replay = async (one: Case): Promise<boolean> => {
  const options = optionsOf(one)
  const result = await simulate(options, true)
  const again = await simulate(options, true)
  say(JSON.stringify({ ...options, receivers: [...options.receivers] }))
  for (const line of (values.all ? result.allLines : result.lastLines) ?? []) say(line)
  say(`hash ${result.hash}, ${result.virtualMs} virtual ms, ${result.arrivals} arrivals, ${result.faultsFired} faults`)
  const found = finding(result) ?? (result.hash === again.hash ? null : `determinism: ${difference(result, again)}`)
  say(found ?? 'nothing found')
  if (found !== null && values.shrink) say(replayLine(await shrink(one)))
  return found === null
}

const hunt = async (from: number, seeds: number, minutes: number): Promise<boolean> => {
  const started = performance.now()
  const most = Number(values['stop-at'])
  const tally = new Tally()
  let [ran, found, virtualMs] = [0, 0, 0]
  const minutesOver = (): number => (performance.now() - started) / 60_000
  while (ran < seeds && found < most && (minutes === 0 || minutesOver() < minutes)) {
    const one = caseOf(from + ran)
    ran += 1
    const { result, found: what } = await (values.once ? runOnce(one) : runTwice(one))
    virtualMs += result.virtualMs
    tally.add(result.counts)
    if (what === null) continue
    found += 1
    say(`seed ${one.seed}: ${what}`)
    say(`  ${replayLine(values.shrink && !what.startsWith('determinism') ? await shrink(one) : one)}`)
  }
  if (values.tally) for (const [what, times] of [...tally.counts].sort()) say(`  ${String(times).padStart(9)} ${what}`)
  for (const what of MUST_HAPPEN) if (!tally.counts.has(what)) say(`  never happened: ${what}`)
  const perMinute = Math.round(ran / minutesOver())
  say(`${ran} seeds from ${from}, ${found} findings, ${(virtualMs / 3_600_000).toFixed(1)} simulated hours,`)
  say(`${perMinute} seeds a minute${values.once ? '' : ', each twice with equal traces'}`)
  return found === 0
}
const runOnce = async (one: Case) => {
  const result = await simulate(optionsOf(one))
  return { result, found: finding(result) }
}

const isFine = values.planted
  ? await huntPlanted(say, values.only === undefined ? null : Number(values.only))
  : values.seed !== undefined
    ? await replay(askedCase(Number(values.seed)))
    : await hunt(Number(values.from), Number(values.seeds), Number(values.minutes))
process.exitCode = isFine ? 0 : 1
