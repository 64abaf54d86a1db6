/** A whole daemon in the test's process: real clock, real port, memory store, scripted network. */
import { connect as dial, type Socket } from 'node:net'
import { KEYS_TABLE } from '#actors/backend.ts'
import type { SchedulerArgs } from '#actors/scheduler.ts'
import { storeKeeper } from '#actors/store-keeper.ts'
import type { Host } from '#control/backend.ts'
import type { StartIngest } from '#control/ingest.ts'
import { ingestInline } from '#control/ingest-inline.ts'
import { makeKey, storedKeyOf } from '#control/keys.ts'
import { WebhookReader } from '#control/new-webhook.ts'
import { FakeNetwork } from '#dispatch/fake.ts'
import { Runtime } from '#runtime/runtime.ts'
import { supervisionTree } from '#runtime/supervision-tree.ts'
import { supervisor } from '#runtime/supervisor.ts'
import { MemoryDisk } from '#store/memory/memory-disk.ts'
import { type MemoryFaults, openMemoryStore } from '#store/memory/memory-store.ts'
import type { StoredKey } from '#store/store.ts'
import { controlSupervisor, ingestWorker, overloadWorker, telemetryWorker } from '#supervisors/control.ts'
import { root, rootSupervisor } from '#supervisors/root.ts'
import { EventHub } from '#telemetry/event-hub.ts'
import { Feed } from '#telemetry/feed.ts'
import { Metrics } from '#telemetry/metrics.ts'
import { Monitor } from '#telemetry/monitor.ts'
import type { AddressPolicy } from '#webhook/address.ts'
import { WebhookIds } from '#webhook/id.ts'
import { RealWorld } from '#world/real-world.ts'
import type { LoadProbe } from '#world/world.ts'

export interface StageOptions {
  readonly policy?: AddressPolicy
  readonly ingest?: StartIngest
  readonly faults?: MemoryFaults
  readonly allowOrigin?: readonly string[]
  readonly places?: Pick<SchedulerArgs, 'guardsMax' | 'domainsWaitingMax'>
}
export interface RpcAnswer {
  readonly id?: unknown
  readonly result?: Readonly<Record<string, unknown>>
  readonly error?: {
    readonly code: number
    readonly message: string
    readonly data: {
      readonly code: string
      readonly message: string
      readonly field?: string
      readonly retryAfterMs?: number
    }
  }
}

/** The real one, except that how hard the process has it is the test's to say: what else runs on the machine is not part of it. */
class StageWorld extends RealWorld {
  readonly load = { loopDelayMs: 0, heapShare: 0 }
  override watchLoad(): LoadProbe {
    return {
      loopDelayMs: () => this.load.loopDelayMs,
      heapShare: () => this.load.heapShare,
      close: () => undefined,
    }
  }
}

export class ControlStage {
  readonly world = new StageWorld()
  readonly disk = new MemoryDisk()
  readonly network = new FakeNetwork(this.world)
  readonly runtime: Runtime
  readonly events: EventHub
  adminKey = ''
  /** As after a first signal. */
  stopping = false
  url = ''

  private constructor() {
    this.runtime = new Runtime(this.world, { safeMessages: true, report: (report) => this.#report(report) })
    this.events = new EventHub((error) => {
      throw error
    })
  }

  static async start(options: StageOptions = {}): Promise<ControlStage> {
    const stage = new ControlStage()
    await stage.#start(options)
    return stage
  }

  async #start(options: StageOptions): Promise<void> {
    const policy = options.policy ?? { allowPrivate: true, allowTargets: [], denyTargets: [] }
    const monitor = new Monitor()
    const metrics = new Metrics(monitor)
    const feed = new Feed(this.world.wallNow())
    const control = {
      before: [
        telemetryWorker({ events: this.events, listeners: [monitor, metrics, feed] }),
        overloadWorker({ events: this.events }),
        ingestWorker({ start: options.ingest ?? ingestInline(policy, this.world) }),
      ],
      after: [
        controlSupervisor({
          host: '127.0.0.1',
          port: 0,
          allowOrigin: options.allowOrigin ?? [],
          shared: { reader: new WebhookReader(policy), ids: new WebhookIds(), monitor, feed, host: this.#host() },
          metrics,
          keepFirstKey: async (key) => {
            this.adminKey = key
          },
          acceptFailed: () => undefined,
          listening: (url) => {
            this.url = url
          },
        }),
      ],
    }
    const started = await this.runtime.start(
      supervisor,
      rootSupervisor({
        events: this.events,
        runId: 'stage',
        fatalRuns: {},
        openStore: openMemoryStore(this.disk, options.faults ?? {}),
        openDispatch: () => this.network.openDispatch(),
        ...options.places,
        control,
      }),
      { name: root },
    )
    if (!started.ok) throw new Error(`the stage did not start: ${JSON.stringify(started)}`)
  }

  #host(): Host {
    return {
      version: '0.0.0-test',
      node: process.version,
      processId: process.pid,
      startedAt: this.world.wallNow(),
      store: 'memory',
      tree: () => supervisionTree(this.runtime, root),
      isRoot: (target) => target === root || target === this.runtime.whereis(root)?.id,
      kill: (target, reason) => {
        const pid = typeof target === 'number' ? this.runtime.pidOf(target) : this.runtime.whereis(target)
        if (pid === null) return null
        this.runtime.exit(pid, reason === 'kill' ? 'kill' : { type: 'term', term: reason })
        return pid.id
      },
      stopping: () => this.stopping,
      notReady: () => (this.runtime.whereis(storeKeeper) === null ? 'no store' : null),
    }
  }

  #report(report: { readonly type: string }): void {
    if (report.type !== 'process-restarted' || !('pid' in report)) return
    this.events.emit({
      type: 'process.restarted',
      at: this.world.wallNow(),
      name: 'name' in report ? String(report.name) : '',
      pid: 0,
      supervisor: 'supervisor' in report ? String(report.supervisor) : null,
      reason: 'test',
    })
  }

  get port(): number {
    return Number(new URL(this.url).port)
  }

  /** A key of one brand, known at once. */
  brandKey(brand: string, expiresAt: number | null = null): { readonly key: string; readonly stored: StoredKey } {
    const key = makeKey('brand', (length) => this.world.randomBytes(length))
    const stored = { ...storedKeyOf(key, { role: 'brand', brand, createdAt: this.world.wallNow() }), expiresAt }
    this.runtime.table<string, StoredKey>(KEYS_TABLE).set(stored.keyId, stored)
    return { key, stored }
  }
  revoke(stored: StoredKey): void {
    this.runtime.table<string, StoredKey>(KEYS_TABLE).set(stored.keyId, { ...stored, revokedAt: this.world.wallNow() })
  }

  /** One `POST /rpc`. */
  async post(
    body: string | Uint8Array,
    key: string | null = this.adminKey,
    headers: Record<string, string> = {},
  ): Promise<Response> {
    return fetch(`${this.url}/rpc`, {
      method: 'POST',
      body: typeof body === 'string' ? body : new Uint8Array(body),
      headers: { ...(key === null ? {} : { authorization: `Bearer ${key}` }), ...headers },
    })
  }
  async call(method: string, params: unknown = {}, key: string = this.adminKey): Promise<RpcAnswer> {
    const response = await this.post(JSON.stringify({ jsonrpc: '2.0', id: 1, method, params }), key)
    const answer: RpcAnswer = JSON.parse(await response.text())
    return answer
  }

  /** A bare TCP connection to the port. */
  async dial(): Promise<Socket> {
    const socket = dial(this.port, '127.0.0.1')
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve)
      socket.once('error', reject)
    })
    return socket
  }

  async stop(): Promise<void> {
    await this.runtime.stop(root, 'shutdown')
  }
}
