/**
 * `npm run bench -- [scenario ...] [--size tiny|small|full] [--seed n] [--minutes n] [--count n] [--json] [--profile] [--save folder]`
 * Starts the real daemon as a process for each scenario. Exits 1 if a check is broken, 2 on wrong usage; a figure that is
 * not reached is shown as it is.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { plotSvg } from './plot.ts'
import { report } from './report.ts'
import { type Result, type RunOptions, runScenario } from './run.ts'
import { SIZES, type Size } from './scenario.ts'
import { SCENARIOS } from './scenarios.ts'

const isSize = (text: string): text is Size => SIZES.some((size) => size === text)
const usage = (problem: string): never => {
  process.stderr.write(
    `${problem}\nusage: npm run bench -- [scenario ...] [--size ${SIZES.join('|')}] [--seed n] [--minutes n] [--count n] [--json] [--profile] [--save folder]\n`,
  )
  for (const { name, measures } of SCENARIOS) process.stderr.write(`  ${name.padEnd(12)} ${measures}\n`)
  return process.exit(2)
}

const parse = () => {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        size: { type: 'string', default: 'small' },
        seed: { type: 'string', default: '1' },
        minutes: { type: 'string' },
        count: { type: 'string' },
        json: { type: 'boolean', default: false },
        profile: { type: 'boolean', default: false },
        save: { type: 'string' },
        help: { type: 'boolean', default: false },
      },
    })
  } catch (error) {
    return usage(error instanceof Error ? error.message : String(error))
  }
}

const save = (folder: string, result: Result): void => {
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, `${result.scenario}.json`), `${JSON.stringify(result, null, 2)}\n`)
  result.plots.forEach((plot, index) => {
    const number = index === 0 ? '' : `-${index + 1}`
    writeFileSync(join(folder, `${result.scenario}${number}.svg`), plotSvg(plot))
  })
}

const { values, positionals } = parse()
if (values.help) usage('The benches of HookPulse.')
if (!isSize(values.size)) usage(`there is no size ${values.size}`)
const unknown = positionals.filter((name) => !SCENARIOS.some((scenario) => scenario.name === name))
if (unknown.length > 0) usage(`there is no scenario ${unknown.join(', ')}`)

const options: RunOptions = {
  size: isSize(values.size) ? values.size : 'small',
  seed: Number(values.seed),
  profile: values.profile,
  ...(values.minutes === undefined ? {} : { minutes: Number(values.minutes) }),
  ...(values.count === undefined ? {} : { count: Number(values.count) }),
  note: (text) => void process.stderr.write(`  ${text}\n`),
}
const wanted = SCENARIOS.filter(({ name }) => positionals.length === 0 || positionals.includes(name))
const results: Result[] = []
for (const scenario of wanted) {
  process.stderr.write(`${scenario.name} ...\n`)
  const result = await runScenario(scenario, options)
  results.push(result)
  if (values.save !== undefined) save(values.save, result)
  if (!values.json) process.stdout.write(`${report(result)}\n`)
}
if (values.json) process.stdout.write(`${JSON.stringify(results, null, 2)}\n`)
process.exit(results.every(({ checks }) => checks.every(({ ok }) => ok)) ? 0 : 1)
