/** `top`: the guards at work, drawn over themselves every second. */
import type { Command } from 'commander'
import colors from 'picocolors'
import { type Client, type Results, RpcFailure } from '#client/node.ts'
import { bar, cell, grouped, span } from './drawing.ts'
import { type GlobalOptions, printable, type Surroundings, withClient, withConnection } from './session.ts'
import { type OnQuit, Screen, type Terminal } from './terminal.ts'

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
    for await (const { data } of stream) if (isMonitor(data)) screen.draw(topLines(data))
  } finally {
    forget?.()
    screen.close()
  }
  if (!quit) throw new RpcFailure('DISCONNECTED', 'the daemon has gone')
}

const isMonitor = (data: unknown): data is Monitor =>
  typeof data === 'object' && data !== null && 'domains' in data && 'totals' in data

const DOMAIN_WIDTH = 30
const STATE_WIDTH = 18
const FIGURE_WIDTH = 14

/** One view, a text a line. */
export const topLines = (monitor: Monitor): readonly string[] => {
  const { totals, lateness } = monitor
  const head = [cell('domain', DOMAIN_WIDTH), cell('state', STATE_WIDTH), cell('open', 31), cell('starts /s', 31)]
  return [
    `${colors.bold('HookPulse')}  ${monitor.at}`,
    Object.entries(totals)
      .map(([name, count]) => `${name} ${colors.bold(grouped(count))}`)
      .join('   '),
    `late by (p99 ms): timer ${lateness.timerMs.p99.toFixed(1)}   guard ${lateness.guardMs.p99.toFixed(1)}   network ${lateness.networkMs.p99.toFixed(1)}`,
    '',
    colors.bold([...head, cell('waiting', FIGURE_WIDTH), 'drains in'].join(' ')),
    ...(monitor.domains.length === 0 ? ['no guard is at work'] : monitor.domains.map(guardLine)),
  ]
}

const guardLine = (one: Figures): string => {
  const { concurrency, rate } = one
  const drain = one.drainMs === undefined ? '-' : span(one.drainMs)
  const pressed = one.backpressure.active ? colors.yellow(` held by ${one.backpressure.limit ?? 'a limit'}`) : ''
  const overshoot = one.overshoot === 0 ? '' : colors.red(` overshoot ${one.overshoot}`)
  return [
    cell(printable(one.domain), DOMAIN_WIDTH),
    paintState(one.state)(cell(one.state, STATE_WIDTH)),
    against(concurrency.current, concurrency.limit),
    against(
      rate.startsLastSecond,
      rate.limit,
      rate.limit === null ? null : Math.ceil(rate.limit) + (rate.burst ?? 1) - 1,
    ),
    cell(grouped(one.queueDepth), FIGURE_WIDTH),
    `${drain}${pressed}${overshoot}`,
  ].join(' ')
}
/** `most`: what the limit allows within the second, where that is more than the limit (fractions, bursts). */
const against = (current: number, limit: number | null, most = limit): string =>
  `${bar(current, most)} ${cell(`${grouped(current)} of ${limit === null ? 'any' : limitText(limit)}`, FIGURE_WIDTH)}`
/** Rates may be fractions. */
const limitText = (limit: number): string => (Number.isInteger(limit) ? grouped(limit) : String(limit))

const paintState = (state: string): ((text: string) => string) => {
  if (state === 'open' || state === 'idle') return colors.green
  return state === 'starting' || state === 'paused' ? colors.yellow : colors.red
}
