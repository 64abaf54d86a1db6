/** The control channel's place in the daemon: its children of root, and what it may know of the daemon around the actors. */
import { scheduler } from '#actors/scheduler.ts'
import { storeKeeper } from '#actors/store-keeper.ts'
import type { Config } from '#config/config.ts'
import { firstStartText, keepAdminKey } from '#control/admin-key.ts'
import type { Host } from '#control/backend.ts'
import { ingestThread } from '#control/ingest-thread.ts'
import { WebhookReader } from '#control/new-webhook.ts'
import type { OwnTargets } from '#dispatch/own-targets.ts'
import type { ExitReason } from '#runtime/exit.ts'
import type { Runtime } from '#runtime/runtime.ts'
import { supervisionTree } from '#runtime/supervision-tree.ts'
import { controlSupervisor, ingestWorker, overloadWorker, telemetryWorker } from '#supervisors/control.ts'
import { type RootArgs, root } from '#supervisors/root.ts'
import type { EventHub } from '#telemetry/event-hub.ts'
import { Feed } from '#telemetry/feed.ts'
import type { LogSink } from '#telemetry/log-sink.ts'
import { Metrics } from '#telemetry/metrics.ts'
import { Monitor } from '#telemetry/monitor.ts'
import type { ThreadHeaps } from '#telemetry/thread-heaps.ts'
import type { AddressPolicy } from '#webhook/address.ts'
import { WebhookIds } from '#webhook/id.ts'
import type { World } from '#world/world.ts'
import { denyOwnListener } from './own-listeners.ts'

export interface ControlPartsArgs {
  readonly config: Config
  readonly version: string
  readonly dataDir: string
  readonly policy: AddressPolicy
  readonly runtime: Runtime
  readonly world: World
  readonly events: EventHub
  readonly log: LogSink
  readonly own: OwnTargets
  readonly heaps: ThreadHeaps
}

export const controlParts = (args: ControlPartsArgs): RootArgs['control'] => {
  const { config, dataDir, policy, world, events, log, own, heaps } = args
  const monitor = new Monitor()
  const metrics = new Metrics(monitor, heaps, log)
  const feed = new Feed(world.wallNow())
  const reader = new WebhookReader(policy)
  own.follow(() => reader.deny(own.current))
  return {
    before: [
      telemetryWorker({ events, listeners: [monitor, metrics, feed, log] }),
      overloadWorker({ events }),
      ingestWorker({ start: ingestThread(policy, own) }),
    ],
    after: [
      controlSupervisor({
        host: config.host,
        port: config.port,
        allowOrigin: config.allowOrigin,
        shared: { reader, ids: new WebhookIds(), monitor, feed, host: hostOf(args) },
        metrics,
        keepFirstKey: (key) => keepAdminKey(dataDir, key),
        acceptFailed: (error) => log.error('a connection was not accepted', error),
        listening: (url, firstKey) => {
          denyOwnListener(own, world, config.host, Number(new URL(url).port))
          process.stdout.write(`listening on ${url}\n`)
          if (firstKey !== null) process.stdout.write(firstStartText(firstKey, url, config.data))
        },
      }),
    ],
  }
}

const hostOf = ({ version, runtime, world, events }: ControlPartsArgs): Host => {
  let stopping = false
  let storeFails = false
  events.on(['store.failed', 'store.opened'], ({ type }) => {
    storeFails = type === 'store.failed'
  })
  events.on(['daemon.stopping'], () => {
    stopping = true
  })
  return {
    version,
    node: process.version,
    processId: process.pid,
    startedAt: world.wallNow(),
    store: 'sqlite',
    tree: () => supervisionTree(runtime, root),
    isRoot: (target) => target === root || target === runtime.whereis(root)?.id,
    kill: (target, reason) => {
      const pid = typeof target === 'number' ? runtime.pidOf(target) : runtime.whereis(target)
      if (pid === null) return null
      runtime.exit(pid, exitReasonOf(reason))
      return pid.id
    },
    stopping: () => stopping,
    notReady: () => {
      if (stopping) return 'the daemon is stopping'
      const down = [root, storeKeeper, scheduler].find((name) => runtime.whereis(name) === null)
      if (down !== undefined) return `${down} is being started`
      return storeFails ? 'the store takes no writes; the log says why' : null
    },
  }
}

const exitReasonOf = (text: string): ExitReason =>
  text === 'kill' || text === 'normal' || text === 'shutdown' ? text : { type: 'term', term: text }
