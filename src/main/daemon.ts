/**
 * The daemon as a whole: configuration -> world -> store -> root supervisor; signals -> shutdown. Its end is always one of
 * three: asked to stop (0), asked twice (130), or something that no restart inside it cured (70, with the reason).
 */
import { readFileSync } from 'node:fs'
import type { Config } from '#config/config.ts'
import { ConfigError } from '#config/config.ts'
import type { Dispatch } from '#dispatch/dispatch.ts'
import { OwnTargets } from '#dispatch/own-targets.ts'
import { openDispatchPool } from '#dispatch/pool.ts'
import type { DispatchSettings } from '#dispatch/settings.ts'
import { parseHosts } from '#dispatch/settings.ts'
import { describeReason } from '#runtime/exit.ts'
import type { Report } from '#runtime/reports.ts'
import { Runtime } from '#runtime/runtime.ts'
import { supervisor } from '#runtime/supervisor.ts'
import { lockDirectory } from '#store/sqlite/directory-lock.ts'
import { openSqlite } from '#store/sqlite/open-sqlite.ts'
import { root, rootSupervisor } from '#supervisors/root.ts'
import { EventHub } from '#telemetry/event-hub.ts'
import { type LogSink, startLogSink } from '#telemetry/log-sink.ts'
import { ThreadHeaps } from '#telemetry/thread-heaps.ts'
import { type AddressPolicy, parseAllowedTarget } from '#webhook/address.ts'
import { RealWorld } from '#world/real-world.ts'
import type { World } from '#world/world.ts'
import { controlParts } from './control-parts.ts'
import { leaveFatalReport, readFatalRuns, suspectRuns } from './fatal-reports.ts'
import { processEvent } from './process-events.ts'
import { shutDown } from './shutdown.ts'

const EXIT_TWICE = 130
/** EX_SOFTWARE: the service manager's turn. */
const EXIT_BROKEN = 70
const STDOUT = 1

/** Rejects with ConfigError or StoreError (`locked`, `corrupt`, ...) before anything runs. */
export const startDaemon = async (config: Config, version: string): Promise<void> => {
  const policy = addressPolicy(config)
  const own = new OwnTargets()
  const lock = lockDirectory(config.data)
  const world = new RealWorld({ failpoints: process.env['HOOKPULSE_FAILPOINTS'], precise: true })
  const heaps = new ThreadHeaps(world)
  const log = startLogSink({ level: config.logLevel, fd: STDOUT, world })
  bearLostOutput()
  const events = new EventHub((error) => log.error('a subscriber of events threw', error))
  const broken = (what: string, detail: unknown): void => breakDown(what, detail, log)
  const runId = Buffer.from(world.randomBytes(9)).toString('base64url')
  const fatalRuns = readFatalRuns(lock.dir)
  leaveFatalReport(lock.dir, runId)
  const [last] = fatalRuns
  if (last !== undefined) log.error('an earlier run ended with a fatal error', last)
  process.on('uncaughtException', (error) => broken('an error outside every actor', error))
  process.on('unhandledRejection', (error) => broken('a rejection outside every actor', error))

  let gaveUp = 'nobody gave up'
  let failedStart: string | null = null
  const runtime = new Runtime(world, {
    report: (report) => {
      if (report.type === 'child-start-failed') failedStart = `${report.offender.id}: ${describeReason(report.reason)}`
      if (report.type === 'supervisor-gave-up')
        gaveUp = `${report.supervisor} gave up on ${report.offender.id} (${whyGaveUp(report, failedStart)})`
      const event = processEvent(report, world.wallNow())
      if (event !== null) events.emit(event)
    },
    crashed: (error) => broken('an error outside every actor', error),
  })
  const openDispatch = startedAhead(() =>
    openDispatchPool({
      world,
      settings: dispatchSettings(config, policy, version),
      threads: config.threads,
      own,
      failed: (error) => log.error('a dispatch thread failed', error),
    }),
  )
  const tree = rootSupervisor({
    events,
    runId,
    fatalRuns: suspectRuns(fatalRuns),
    openStore: openSqlite(lock.dir),
    openDispatch,
    control: controlParts({ config, version, dataDir: lock.dir, policy, runtime, world, events, log, own, heaps }),
  })
  runtime.watchLoop()
  const started = await runtime.start(supervisor, tree, { name: root })
  if (!started.ok) return broken('the daemon did not start', causeOf(started))
  events.emit({ type: 'daemon.started', at: world.wallNow(), detail: version })
  let stopping = false
  runtime.monitor(root, (reason) => {
    if (!stopping) broken('the root supervisor ended', `${describeReason(reason)}; ${gaveUp}`)
  })
  onSignals(() => {
    world.failpoint('main.signalled')
    if (stopping) process.exit(EXIT_TWICE)
    stopping = true
    events.emit({ type: 'daemon.stopping', at: world.wallNow(), detail: 'asked by a signal' })
    void stopInPeace(runtime, world, events, log, lock.release)
  })
}

/** Whose restart failed each time was given up for the reason of that, not for the last `shutdown`. */
const whyGaveUp = ({ reason, offender }: GaveUp, failedStart: string | null): string =>
  reason === 'shutdown' && failedStart?.startsWith(`${offender.id}: `) === true
    ? failedStart.slice(offender.id.length + 2)
    : describeReason(reason)
type GaveUp = Extract<Report, { type: 'supervisor-gave-up' }>

/** Who reads what it says has gone, or has no room: that costs what is said, and nothing else (PROC-08). */
const bearLostOutput = (): void => {
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => stream.destroy())
}

/** The first one's threads start while the store opens; who is restarted later opens its own. */
const startedAhead = (open: () => Dispatch): (() => Dispatch) => {
  let first: Dispatch | null = open()
  return () => {
    const dispatch = first ?? open()
    first = null
    return dispatch
  }
}

const stopInPeace = async (
  runtime: Runtime,
  world: World,
  events: EventHub,
  log: LogSink,
  release: () => void,
): Promise<void> => {
  await shutDown(runtime)
  events.emit({ type: 'daemon.stopped', at: world.wallNow(), detail: 'in peace' })
  release()
  await log.close()
  process.exit(0)
}

/** Never half-alive: what is on disk is safe at any instant, so the end may be at once. */
const breakDown = (what: string, detail: unknown, log: LogSink): void => {
  process.stderr.write(`hookpulse: ${what}: ${inWords(detail)}\n`)
  log.error(what, detail)
  void log.close().finally(() => process.exit(EXIT_BROKEN))
}
/** What the system says of an address gets its cure; a bug shows its stack. */
const inWords = (detail: unknown): string => {
  if (!(detail instanceof Error)) return typeof detail === 'string' ? detail : JSON.stringify(detail)
  const { code, address, port } = detail as NodeJS.ErrnoException & {
    readonly address?: string
    readonly port?: number
  }
  if (code === 'EADDRINUSE') return `${address}:${port} is taken: stop what listens there, or choose another --port`
  if (code === 'EACCES' && port !== undefined)
    return `${address}:${port} may not be listened on: choose a --port above 1023`
  if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND') return `${detail.message}: choose another --host`
  return detail.stack ?? detail.message
}

/** The cause at the bottom: supervisors report the failure of a child in the failure of their own start. */
const causeOf = (failure: unknown): unknown => {
  if (failure instanceof Error || typeof failure !== 'object' || failure === null) return failure
  for (const key of ['error', 'reason', 'detail', 'term'] as const) {
    const inner: unknown = key in failure ? Reflect.get(failure, key) : undefined
    if (inner !== undefined) return causeOf(inner)
  }
  return failure
}

const onSignals = (stop: () => void): void => {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, stop)
}

const addressPolicy = (config: Config): AddressPolicy => ({
  allowPrivate: config.allowPrivate,
  allowTargets: config.allowTarget.map((text) => {
    const target = parseAllowedTarget(text)
    if (target === null)
      throw new ConfigError(
        `--allow-target must be <cidr>[:ports], like 10.1.0.0/16:8080-8090; got ${JSON.stringify(text)}`,
      )
    return target
  }),
  denyTargets: [],
})

const dispatchSettings = (config: Config, policy: AddressPolicy, version: string): DispatchSettings => ({
  policy,
  userAgent: `HookPulse/${version}`,
  connectionReuse: true,
  hosts: config.allowPrivate ? hostsFile() : {},
  dnsServers: null,
  extraCertificates: [],
  failpoints: process.env['HOOKPULSE_FAILPOINTS'],
})
const hostsFile = (): Record<string, string[]> => {
  try {
    return parseHosts(readFileSync('/etc/hosts', 'utf8'))
  } catch (error) {
    process.stderr.write(`hookpulse: /etc/hosts is not read: ${String(error)}\n`)
    return {}
  }
}
