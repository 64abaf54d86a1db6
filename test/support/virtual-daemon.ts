/** The daemon without its doors, in virtual time: real actors and supervisors, memory store, scripted network. */

import type { FatalHeap } from '#actors/executor.ts'
import { type GuardFigures, guardOf } from '#actors/guard.ts'
import { type LimitChange, limits } from '#actors/limits.ts'
import { type Retimed, type SchedulerArgs, scheduler } from '#actors/scheduler.ts'
import { type StoreKeeperProtocol, storeKeeper } from '#actors/store-keeper.ts'
import { FakeNetwork, type FakeScript } from '#dispatch/fake.ts'
import type { Report } from '#runtime/reports.ts'
import { Runtime } from '#runtime/runtime.ts'
import { supervisor } from '#runtime/supervisor.ts'
import type { ChildSpec } from '#runtime/supervisor-spec.ts'
import { MemoryDisk } from '#store/memory/memory-disk.ts'
import { type MemoryFaults, openMemoryStore } from '#store/memory/memory-store.ts'
import { encodeRows } from '#store/rows.ts'
import type { NewWebhook, Replay, Reschedule } from '#store/store.ts'
import { root, rootSupervisor } from '#supervisors/root.ts'
import { EventHub } from '#telemetry/event-hub.ts'
import type { Event, Events } from '#telemetry/events.ts'
import { WebhookIds } from '#webhook/id.ts'
import { packRequest } from '#webhook/request.ts'
import type { Instant, Priority, RetryPolicy } from '#webhook/webhook.ts'
import { VirtualWorld } from '#world/virtual-world.ts'

export interface VirtualWebhook {
  readonly domain?: string
  readonly brand?: string
  readonly at?: Instant
  readonly inMs?: number
  readonly priority?: Priority
  readonly timeoutMs?: number
  readonly retry?: RetryPolicy | null
  readonly expiresAt?: Instant | null
}
export interface VirtualOptions {
  readonly seed?: number
  readonly script?: FakeScript
  readonly faults?: MemoryFaults
  /** Copy or freeze messages (default): switched off where the size of a run matters. */
  readonly safeMessages?: boolean
  /** Bounds of the scheduler, where a test wants them small. */
  /** Attempts that the dispatch threads hold at once. Default: 256. */
  readonly capacity?: number
  readonly places?: Pick<SchedulerArgs, 'guardsMax' | 'domainsWaitingMax' | 'horizonMax'>
  /** Children of root before delivery. */
  readonly before?: (events: Events) => readonly ChildSpec[]
}

export class VirtualDaemon {
  readonly world: VirtualWorld
  readonly disk = new MemoryDisk()
  readonly network: FakeNetwork
  readonly events: Event[] = []
  readonly reports: Report[] = []
  readonly acknowledged: string[] = []
  runtime: Runtime
  ended: string | null = null
  /** What the reports of earlier runs, `run-1` and so on, say at the next start. */
  readonly fatalRuns: Record<string, FatalHeap> = {}
  /** Called at each event that is kept. */
  onEvent: (event: Event) => void = () => undefined
  #runs = 0
  readonly #ids: WebhookIds
  readonly #faults: MemoryFaults
  readonly #safeMessages: boolean
  readonly #capacity: number | null
  readonly #places: Pick<SchedulerArgs, 'guardsMax' | 'domainsWaitingMax' | 'horizonMax'>
  readonly #before: (events: Events) => readonly ChildSpec[]

  constructor(options: VirtualOptions = {}) {
    this.world = new VirtualWorld({ seed: options.seed ?? 1 })
    this.network = new FakeNetwork(this.world, options.script)
    this.#ids = new WebhookIds()
    this.#faults = options.faults ?? {}
    this.#safeMessages = options.safeMessages ?? true
    this.#places = options.places ?? {}
    this.#capacity = options.capacity ?? null
    this.#before = options.before ?? (() => [])
    this.runtime = this.#newRuntime()
  }

  #newRuntime(): Runtime {
    return new Runtime(this.world, { safeMessages: this.#safeMessages, report: (report) => this.reports.push(report) })
  }

  async start(): Promise<void> {
    const hub = new EventHub((error) => {
      throw error
    })
    hub.on(
      [
        'clock.stepped',
        'webhook.finished',
        'webhook.retried',
        'webhook.rescheduled',
        'webhook.replayed',
        'attempt.started',
        'attempt.finished',
        'attempt.in-doubt',
        'guard.started',
        'guard.stopped',
        'backpressure.started',
        'backpressure.ended',
        'crowd.started',
        'crowd.ended',
        'overload.changed',
        'limit.changed',
        'group.changed',
      ],
      (event) => {
        this.events.push(event)
        this.onEvent(event)
      },
    )
    this.#runs++
    const started = this.runtime.start(
      supervisor,
      rootSupervisor({
        events: hub,
        ...this.#places,
        runId: `run-${this.#runs}`,
        fatalRuns: this.fatalRuns,
        openStore: openMemoryStore(this.disk, this.#faults),
        openDispatch: () => this.network.openDispatch(this.#capacity === null ? {} : { capacity: this.#capacity }),
        control: { before: this.#before(hub), after: [] },
      }),
      { name: root },
    )
    await this.world.settle()
    const result = await started
    if (!result.ok) throw new Error(`the tree did not start: ${JSON.stringify(result)}`)
    this.runtime.monitor(root, (reason) => {
      this.ended = JSON.stringify(reason)
    })
  }

  /** As kill -9: nothing of this process acts any more; what is on the disk stays. */
  async crash(): Promise<void> {
    this.disk.crash('the process was killed')
    for (const pid of this.runtime.processes()) this.runtime.exit(pid, 'kill')
    await this.world.settle()
    this.runtime = this.#newRuntime()
  }

  row(webhook: VirtualWebhook): NewWebhook {
    const now = this.world.wallNow()
    const at = webhook.at ?? now + (webhook.inMs ?? 0)
    const domain = webhook.domain ?? 'api.example.com'
    const url = `http://${domain}/hook`
    return {
      id: this.#ids.next(now, (length) => this.world.randomBytes(length)),
      brand: webhook.brand ?? 'default',
      name: null,
      url,
      host: domain,
      domain,
      method: 'POST',
      priority: webhook.priority ?? 'normal',
      at,
      nextAt: Math.max(at, now),
      createdAt: now,
      timeoutMs: webhook.timeoutMs ?? 30_000,
      expiresAt: webhook.expiresAt ?? null,
      retry: webhook.retry ?? null,
      tags: [],
      idempotencyKey: null,
      contentHash: null,
      request: packRequest({ url, method: 'POST', headers: [], body: new Uint8Array(0) }),
    }
  }

  /** Resolves with the ids when they are acknowledged. */
  async schedule(webhooks: readonly VirtualWebhook[]): Promise<readonly string[]> {
    const rows = webhooks.map((webhook) => this.row(webhook))
    const heads = rows.map(({ id, nextAt, brand, domain, priority, timeoutMs, expiresAt }) => ({
      id,
      nextAt,
      brand,
      domain,
      priority,
      attempts: 0,
      timeoutMs,
      expiresAt,
    }))
    const answer = this.runtime.call(
      scheduler,
      { type: 'schedule', append: { type: 'append', count: rows.length, rows: encodeRows(rows) }, heads },
      Number.POSITIVE_INFINITY,
    )
    await this.world.settle()
    const appended = await answer
    if (!appended.ok) throw new Error(`not stored: ${JSON.stringify(appended)}`)
    this.acknowledged.push(...appended.ids)
    return appended.ids
  }

  /** Resolves when it is acknowledged. */
  async retime(op: Reschedule | Replay): Promise<Retimed['outcome']> {
    const answer = this.runtime.call(scheduler, { type: 'retime', op }, Number.POSITIVE_INFINITY)
    await this.world.settle()
    const retimed = await answer
    if (!('outcome' in retimed)) throw new Error(`not stored: ${JSON.stringify(retimed)}`)
    return retimed.outcome
  }

  async setLimit(limit: Pick<LimitChange, 'kind' | 'value'> & Partial<LimitChange>): Promise<void> {
    const answer = this.runtime.call(limits, {
      type: 'set',
      limit: { domain: null, brand: null, burst: null, setBy: 'test', setAt: this.world.wallNow(), ...limit },
    })
    await this.world.settle()
    const set = await answer
    if (!set.ok) throw new Error(`limit not set: ${JSON.stringify(set)}`)
  }

  /** What the guard of a domain shows of itself; null if it does not live. */
  async guard(domain: string): Promise<GuardFigures | null> {
    if (this.runtime.whereis(guardOf(domain)) === null) return null
    return await this.runtime.call(guardOf(domain), { type: 'figures' })
  }

  /** As the store keeps them. */
  async attemptsOf(id: string): Promise<readonly { readonly status: number | null; readonly error: string | null }[]> {
    const answer = this.runtime.call<StoreKeeperProtocol, 'attempts'>(storeKeeper, {
      type: 'attempts',
      id,
      brand: null,
    })
    await this.world.settle()
    const read = await answer
    return read.ok ? (read.value ?? []) : []
  }

  stateOf(id: string): string {
    return this.disk.byId.get(id)?.state ?? 'unknown'
  }
  /** How often each acknowledged webhook arrived. */
  arrivals(): Map<string, number> {
    const counts = new Map<string, number>(this.acknowledged.map((id) => [id, 0]))
    for (const { webhookId } of this.network.arrivals) counts.set(webhookId, (counts.get(webhookId) ?? 0) + 1)
    return counts
  }
}
