/** `top`: the guards at work, drawn over themselves every second. */
import { stripVTControlCharacters } from 'node:util'
import type { Command } from 'commander'
import colors from 'picocolors'
import { type Client, type Results, RpcFailure } from '#client/node.ts'
import { bar, cell, grouped, span } from './drawing.ts'
import { type GlobalOptions, printable, type Surroundings, withClient, withConnection } from './session.ts'
import { type OnQuit, Screen, type Terminal } from './terminal.ts'
import { crowdInWords } from './words.ts'

type Monitor = Results['getMonitor']
type Figures = Monitor['domains'][number]
interface TopOptions extends GlobalOptions {
  readonly once?: boolean
  readonly domain?: string
}

export const addTopCommand = (program: Command, around: Surroundings): void => {
  program
    .command('top')
    .description('shows guards live: what is open, how fast it goes, what waits and for how long; q ends it')
    .option('--once', 'prints one view and ends, as it does without a terminal')
    .option('--domain <domain>')
    .action((_options: unknown, command: Command) => {
      const { once, domain, ...options } = command.optsWithGlobals<TopOptions>()
      const of = domain === undefined ? {} : { domain }
      const { terminal } = around
      if (once === true || options.json === true || terminal == null)
        return withClient(
          options,
          around,
          (client) => client.getMonitor(of),
          (monitor) => `${topLines(monitor).join('\n')}\n`,
        )
      return withConnection(options, around, (client) => watch(client, of, terminal, around.onQuit))
    })
}

const watch = async (
  client: Client,
  of: { readonly domain?: string },
  terminal: Terminal,
  onQuit?: OnQuit,
): Promise<void> => {
  const stream = await client.subscribe(['monitor'], of)
  const screen = new Screen(terminal)
  let quit = false
  const forget = onQuit?.(() => {
    quit = true
    stream.close()
  })
  try {
    for await (const { data } of stream) if (isMonitor(data)) screen.draw(topLines(data, terminal.columns()))
  } finally {
    forget?.()
    screen.close()
  }
  if (!quit) throw new RpcFailure('DISCONNECTED', 'the daemon has gone')
}

const isMonitor = (data: unknown): data is Monitor =>
  typeof data === 'object' && data !== null && 'domains' in data && 'totals' in data

/** Widths of the columns: as many as fit. */
interface Layout {
  readonly domain: number
  readonly state: number
  readonly bar: number
  readonly figure: number
}
const WIDE: Layout = { domain: 30, state: 18, bar: 16, figure: 14 }
const NARROW: Layout = { domain: 18, state: 9, bar: 5, figure: 10 }
/** What a line of the layout needs, with a drain time and what holds it. */
const WIDE_COLUMNS = 156
const NARROW_COLUMNS = 76

/** One view, a text a line; `columns`: of the terminal, where it is one. */
export const topLines = (monitor: Monitor, columns = Number.POSITIVE_INFINITY): readonly string[] => {
  const { totals, lateness } = monitor
  const p99 = Object.entries(lateness).map(([part, { p99 }]) => [part.replace('Ms', ''), p99.toFixed(1)] as const)
  return [
    `${colors.bold('HookPulse')}  ${monitor.at}`,
    ...figuresLines(
      '',
      Object.entries(totals).map(([name, count]) => [name, grouped(count)]),
      columns,
    ),
    ...figuresLines('late by (p99 ms): ', p99, columns),
    ...(monitor.crowd === undefined ? [] : [colors.yellow(crowdInWords(monitor.crowd))]),
    '',
    ...(columns < NARROW_COLUMNS ? [] : [headLine(layoutOf(columns))]),
    ...(monitor.domains.length === 0 ? ['no guard is at work'] : []),
    ...monitor.domains.flatMap((one) =>
      columns < NARROW_COLUMNS ? shortLines(one) : [guardLine(one, layoutOf(columns), columns)],
    ),
  ]
}
const layoutOf = (columns: number): Layout => (columns < WIDE_COLUMNS ? NARROW : WIDE)

/** Names and figures side by side, in as many lines as they need. */
const figuresLines = (
  before: string,
  figures: readonly (readonly [string, string])[],
  columns: number,
): readonly string[] => {
  const lines: string[] = []
  let line = before
  let width = before.length
  for (const [name, figure] of figures) {
    const needs = name.length + 1 + figure.length
    if (width > 0 && width + needs > columns) {
      lines.push(line)
      line = ''
      width = 0
    }
    line += `${name} ${colors.bold(figure)}   `
    width += needs + GAP
  }
  return [...lines, line]
}
const GAP = 3

const headLine = (layout: Layout): string => {
  const pair = layout.bar + 1 + layout.figure
  const head = [cell('domain', layout.domain), cell('state', layout.state), cell('open', pair), cell('starts /s', pair)]
  return colors.bold([...head, cell('waiting', layout.figure), layout === WIDE ? 'drains in' : 'drains'].join(' '))
}
const guardLine = (one: Figures, layout: Layout, columns: number): string => {
  const { concurrency, rate } = one
  const held = one.backpressure.active ? ` ${one.backpressure.limit ?? 'held'}` : ''
  const figures = [
    cell(printable(one.domain), layout.domain),
    paintState(one.state)(cell(one.state, layout.state)),
    against(layout, concurrency.current, concurrency.limit),
    against(
      layout,
      rate.startsLastSecond,
      rate.limit,
      rate.limit === null ? null : Math.ceil(rate.limit) + (rate.burst ?? 1) - 1,
    ),
    cell(grouped(one.queueDepth), layout.figure),
    `${drainOf(one)}${overshootOf(one)}`,
  ].join(' ')
  const fits = stripVTControlCharacters(figures).length + held.length <= columns
  return fits ? `${figures}${colors.yellow(held)}` : figures
}
/** Where there is no room for columns: a guard in two lines, without bars. */
const shortLines = (one: Figures): readonly string[] => {
  const { concurrency, rate } = one
  const figures = [
    `open ${grouped(concurrency.current)}/${limitText(concurrency.limit)}`,
    `starts ${grouped(rate.startsLastSecond)}/${limitText(rate.limit)}`,
    `waits ${grouped(one.queueDepth)}`,
    drainOf(one),
  ]
  return [`${printable(one.domain)} ${paintState(one.state)(one.state)}${overshootOf(one)}`, `  ${figures.join('  ')}`]
}
const drainOf = ({ drainMs }: Figures): string => (drainMs === undefined ? '-' : span(drainMs))
const overshootOf = ({ overshoot }: Figures): string => (overshoot === 0 ? '' : colors.red(` overshoot ${overshoot}`))
/** `most`: what the limit allows within the second, where that is more than the limit (fractions, bursts). */
const against = (layout: Layout, current: number, limit: number | null, most = limit): string =>
  `${bar(current, most, layout.bar)} ${cell(`${grouped(current)} of ${limitText(limit)}`, layout.figure)}`
/** Rates may be fractions. */
const limitText = (limit: number | null): string =>
  limit === null ? 'any' : Number.isInteger(limit) ? grouped(limit) : String(limit)

const paintState = (state: string): ((text: string) => string) => {
  if (state === 'open' || state === 'idle') return colors.green
  return state === 'starting' || state === 'paused' ? colors.yellow : colors.red
}
