/** `forecast <domain>`: what is scheduled against the limits. */
import type { Command } from 'commander'
import colors from 'picocolors'
import type { ParamsIn, Results } from '#client/node.ts'
import { bar, cell, grouped } from './drawing.ts'
import { type GlobalOptions, type Surroundings, withClient } from './session.ts'
import { readDuration } from './usage.ts'

interface ForecastOptions extends GlobalOptions {
  readonly from?: string
  readonly to?: string
  readonly bucket?: string
}

export const addForecastCommand = (program: Command, around: Surroundings): void => {
  program
    .command('forecast <domain>')
    .description('shows what is scheduled for a domain against its limits')
    .option('--from <instant>', 'now by default')
    .option('--to <instant>', 'an hour later by default')
    .option('--bucket <duration>', 'like 30s, 5m, 1h; a 60th of the span by default')
    .action((domain: string, _options: unknown, command: Command) => {
      const { from, to, bucket, ...options } = command.optsWithGlobals<ForecastOptions>()
      const params: ParamsIn<'forecast'> = {
        domain,
        ...(from === undefined ? {} : { from }),
        ...(to === undefined ? {} : { to }),
        ...(bucket === undefined ? {} : { bucketMs: readDuration('--bucket', bucket) }),
      }
      return withClient(options, around, (client) => client.forecast(params), forecastText)
    })
}

/** Buckets in which nothing happens are left out. */
const forecastText = ({ buckets, assumptions, lastAt, capped }: Results['forecast']): string => {
  const busy = buckets.filter(({ due, admitted, backlog }) => due + admitted + backlog > 0)
  const most = Math.max(1, ...busy.map(({ backlog }) => backlog))
  const lines = busy.map(
    ({ at, due, admitted, backlog }) =>
      `${cell(at, AT_WIDTH)} ${figure(due)} ${figure(admitted)} ${bar(backlog, most + 1)} ${grouped(backlog)}`,
  )
  const head = colors.bold(`${cell('from', AT_WIDTH)} ${cell('due', WIDTH)} ${cell('admitted', WIDTH)} left waiting`)
  const { ratePerSecond, slots, serviceMs } = assumptions
  const took = serviceMs === 0 ? 'not measured yet' : `${Math.round(serviceMs)} ms each`
  const last = lastAt === undefined ? [] : [`the last one starts at ${lastAt}`]
  const pace = `assuming ${ratePerSecond ?? 'any'} starts /s, ${slots} at once, ${took}`
  const more = capped ? ['more is due than was counted'] : []
  return `${[...(busy.length === 0 ? ['nothing is due'] : [head, ...lines]), ...last, pace, ...more].join('\n')}\n`
}
const AT_WIDTH = 24
const WIDTH = 10
const figure = (count: number): string => cell(grouped(count), WIDTH)
