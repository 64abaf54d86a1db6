/** One run of the daemon's process inside a simulation: real runtime, supervisors and actors on a world that can die. */
import { dispatchPool } from '#actors/dispatch-pool.ts'
import { scheduler } from '#actors/scheduler.ts'
import type { ErrorData } from '#control/refusal.ts'
import { noRoom, shedMethod } from '#control/shedding.ts'
import type { Dispatch } from '#dispatch/dispatch.ts'
import { shutDown } from '#main/shutdown.ts'
import type { Level } from '#overload/levels.ts'
import { appendRoad, letIn, type StoreLoad } from '#overload/store-load.ts'
import { ONE, OVERLOAD_TABLE, type OverloadRow, STORE_LOAD_TABLE } from '#overload/tables.ts'
import { describeReason } from '#runtime/exit.ts'
import { Runtime } from '#runtime/runtime.ts'
import { supervisor } from '#runtime/supervisor.ts'
import type { MemoryDisk } from '#store/memory/memory-disk.ts'
import { type MemoryFaults, openMemoryStore } from '#store/memory/memory-store.ts'
import { type OpenStore, StoreError } from '#store/store.ts'
import { overloadWorker } from '#supervisors/control.ts'
import { root, rootSupervisor } from '#supervisors/root.ts'
import { EventHub } from '#telemetry/event-hub.ts'
import type { Event, EventType } from '#telemetry/events.ts'
import type { ProcessWorld } from './process-world.ts'

export interface DaemonParts {
  readonly world: ProcessWorld
  readonly disk: MemoryDisk
  readonly faults: MemoryFaults
  readonly openDispatch: () => Dispatch
  readonly permute: boolean
  readonly safeMessages: boolean
  readonly run: number
  /** Somebody looks how hard it has it, and the door is closed accordingly. */
  readonly looksAtLoad: boolean
  readonly told: (event: Event) => void
  /** Root has ended, or could not start. */
  readonly ended: (why: string) => void
  readonly crashed: (error: Error) => void
}
const TYPES: readonly EventType[] = [
  'webhook.due',
  'attempt.started',
  'attempt.finished',
  'webhook.finished',
  'webhook.retried',
  'webhook.rescheduled',
  'webhook.replayed',
  'attempt.in-doubt',
  'guard.started',
  'guard.stopped',
  'guard.closed',
  'guard.reopened',
  'breaker.opened',
  'breaker.closed',
  'limit.changed',
  'carrier.started',
  'carrier.ended',
  'store.opened',
  'store.failed',
  'store.refused',
  'store.damaged',
  'overload.changed',
  'requests.shed',
]

export interface Living {
  readonly kind: string
  readonly name: string
  readonly pid: NonNullable<ReturnType<Runtime['whereis']>>
}

export class SimDaemon {
  readonly world: ProcessWorld
  readonly runtime: Runtime
  /** The whole tree runs. */
  hasStarted = false
  /** What the process before it left is taken up, and webhooks move. */
  hasRecovered = false
  isStopping = false
  readonly #parts: DaemonParts

  constructor(parts: DaemonParts) {
    const { world, permute, safeMessages, crashed, told } = parts
    this.#parts = parts
    this.world = world
    this.runtime = new Runtime(world, {
      permute,
      safeMessages,
      crashed,
      report: (report) => {
        if (report.type !== 'server-terminated' && report.type !== 'process-restarted') return
        const type = report.type === 'process-restarted' ? 'process.restarted' : 'process.crashed'
        const name = report.name ?? (report.type === 'process-restarted' ? report.id : report.behaviour)
        const [at, pid] = [world.wallNow(), report.pid.id]
        told({ type, at, name, pid, supervisor: null, reason: describeReason(report.reason) })
      },
    })
  }

  start(): void {
    const { world, disk, faults, openDispatch, run, looksAtLoad, told, ended, crashed } = this.#parts
    const events = new EventHub((error) => crashed(asError(error)))
    events.on(TYPES, (event) => {
      if (world.alive) told(event)
    })
    const tree = rootSupervisor({
      events,
      runId: `run-${run}`,
      fatalRuns: {},
      openStore: whileAlive(world, openMemoryStore(disk, faults)),
      openDispatch,
      control: { before: looksAtLoad ? [overloadWorker({ events })] : [], after: [] },
    })
    this.runtime.start(supervisor, tree, { name: root }).then(
      (started) => {
        if (!world.alive) return
        if (!started.ok) return ended('it did not start')
        this.hasStarted = true
        this.runtime.monitor(root, (reason) => {
          if (world.alive && !this.isStopping) ended(`root ended: ${describeReason(reason)}`)
        })
      },
      (error: unknown) => crashed(asError(error)),
    )
  }

  /** As the first signal does; resolves when the tree has ended. */
  stop(): Promise<void> {
    this.isStopping = true
    return shutDown(this.runtime)
  }

  /** Names of who lives, sorted: `guard`, `execution` and their like without what follows. */
  census(): readonly string[] {
    return this.who()
      .map(({ kind }) => kind)
      .sort()
  }
  who(): readonly Living[] {
    return this.runtime.processes().flatMap((pid) => {
      const info = this.runtime.processInfo(pid)
      if (info === null || info.behaviour === 'plain') return []
      const name = info.name ?? info.behaviour
      return [{ kind: name.split(' ')[0] ?? '', name, pid }]
    })
  }
  /** As a session at the door: why these may not come in, or null; let in, they count as waiting from now on. */
  refusal(rows: number, bytes: number): ErrorData | null {
    const row = this.#one<OverloadRow>(OVERLOAD_TABLE)
    const load = this.#one<StoreLoad>(STORE_LOAD_TABLE)
    if (row === undefined || load === undefined) return null
    const { world } = this
    const refused =
      shedMethod('scheduleWebhooks', row, world.random()) ??
      noRoom(rows, bytes, load, row, world.monoNow(), world.random())
    if (refused === null) letIn(load[appendRoad(rows)], rows, bytes)
    return refused
  }
  /** Null: nobody looks. */
  get loadLevel(): Level | null {
    return this.#one<OverloadRow>(OVERLOAD_TABLE)?.level ?? null
  }
  /** Webhooks that count as waiting for the store. */
  get storeWaits(): number {
    const load = this.#one<StoreLoad>(STORE_LOAD_TABLE)
    return load === undefined ? 0 : load.promised.rows + load.large.rows
  }
  #one<Row>(name: string): Row | undefined {
    try {
      return this.runtime.table<string, Row>(name).get(ONE)
    } catch {
      return undefined
    }
  }
  tableSize(name: string): number {
    return this.runtime.table<string, unknown>(name).size
  }
  async figures(): Promise<{
    readonly horizon: number
    readonly guards: number
    readonly carriers: number
    readonly held: number
  }> {
    const { horizon, guards } = await this.runtime.call(scheduler, { type: 'figures' })
    const { carriers, inFlight, queued } = await this.runtime.call(dispatchPool, { type: 'figures' })
    return { horizon, guards, carriers, held: inFlight + queued }
  }
}

/** What a process was opening when it died is not open. */
const whileAlive =
  (world: ProcessWorld, open: OpenStore): OpenStore =>
  async (events) => {
    const store = await open(events)
    if (world.alive) return store
    await store.close()
    throw new StoreError('closed', 'the process is dead')
  }
const asError = (error: unknown): Error => (error instanceof Error ? error : new Error(String(error)))
