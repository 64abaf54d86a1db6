/**
 * A dispatch-pool on a scripted network in virtual time, with ears where guards, limiters, executions and the executor would be,
 * and a store-keeper that knows nothing but who is suspect.
 */
import { expect } from 'vitest'
import { brandLimiterOf } from '#actors/brand-limiter.ts'
import { dispatchPool, dispatchPoolActor, type Registered } from '#actors/dispatch-pool.ts'
import { guardOf, type Permit } from '#actors/guard.ts'
import { storeKeeper } from '#actors/store-keeper.ts'
import { type FakeAnswer, FakeNetwork } from '#dispatch/fake.ts'
import { GUARDS_TABLES, LIMITS_TABLE } from '#guard/tables.ts'
import { type Behaviour, keep, ok, reply } from '#runtime/behaviour.ts'
import type { Pid } from '#runtime/pid.ts'
import type { Call } from '#runtime/protocol.ts'
import { Runtime } from '#runtime/runtime.ts'
import { supervisor } from '#runtime/supervisor.ts'
import type { MarkAlone, MarkedAlone } from '#store/store.ts'
import type { Event, Events } from '#telemetry/events.ts'
import { VirtualWorld } from '#world/virtual-world.ts'

/** Stands in for guards, limiters, executions and the executor: remembers what it hears. */
export interface Heard {
  readonly type: string
  readonly attemptId?: string
  readonly [field: string]: unknown
}
interface EarProtocol {
  readonly call: Call<{ readonly type: 'none' }, null>
  readonly cast: Heard & { readonly type: 'attempt-ended' | 'register-again' }
  readonly info: Heard & { readonly type: 'attempt-reported' | 'attempt-refused' | 'attempt-lost' }
  readonly continue: never
}
const ear: Behaviour<EarProtocol, (heard: Heard) => void, (heard: Heard) => void> = {
  name: 'ear',
  version: 1,
  init: (hear) => ok(hear),
  call: { none: () => keep },
  cast: {
    'attempt-ended': (message, hear) => {
      hear(message)
      return keep
    },
    'register-again': (message, hear) => {
      hear(message)
      return keep
    },
  },
  info(message, hear) {
    if ('attemptId' in message || 'report' in message) hear({ ...message })
    return keep
  },
}

/** Says yes to every suspect, until it is told to be silent. */
interface KeeperStandIn {
  readonly isolated: string[]
  silent: boolean
}
interface KeeperProtocol {
  readonly call: Call<MarkAlone, MarkedAlone>
  readonly cast: never
  readonly info: never
  readonly continue: never
}
const keeper: Behaviour<KeeperProtocol, KeeperStandIn, KeeperStandIn> = {
  name: 'keeper',
  version: 1,
  init: (standIn) => ok(standIn),
  call: {
    'mark-alone': ({ id, attempt }, _from, state) => {
      state.isolated.push(`${id}.${attempt}`)
      return state.silent ? keep : reply({ ok: true }, state)
    },
  },
}

export const DOMAIN = 'api.acme.com'

export class PoolStage {
  readonly world = new VirtualWorld()
  readonly runtime = new Runtime(this.world, { safeMessages: true, report: () => {} })
  readonly network = new FakeNetwork(
    this.world,
    (order): FakeAnswer => this.answers.get(order.webhookId) ?? { latencyMs: 100 },
  )
  readonly answers = new Map<string, FakeAnswer>()
  readonly heard: (Heard & { readonly by: string })[] = []
  readonly emitted: Event[] = []
  readonly events: Events = { emit: (event) => void this.emitted.push(event), on: () => () => {} }
  readonly pids = new Map<string, Pid>()
  /** As the store remembers it: by webhook. */
  readonly suspicion = new Map<string, number>()
  readonly keeper: KeeperStandIn = { isolated: [], silent: false }
  /** Called at each message, when it is heard. */
  onHeard: (heard: Heard & { readonly by: string }) => void = () => {}

  async open(options: { readonly carriers?: number; readonly capacity?: number } = {}): Promise<this> {
    await this.startPool(options)
    await this.startKeeper()
    await this.listen('executor')
    return this
  }
  /** The tables of root, empty. */
  async tables(): Promise<void> {
    if (this.runtime.whereis('root') !== null) return
    const flags = { strategy: 'one_for_one', intensity: 5, periodMs: 10_000 } as const
    const tables = [LIMITS_TABLE, ...GUARDS_TABLES]
    await this.runtime.start(supervisor, { flags, tables, children: [] }, { name: 'root' })
  }
  async startPool(options: { readonly carriers?: number; readonly capacity?: number } = {}): Promise<Pid> {
    await this.tables()
    const args = { openDispatch: () => this.network.openDispatch(options), events: this.events }
    const started = await this.runtime.start(dispatchPoolActor, args, { name: dispatchPool })
    await this.world.settle()
    return started.ok ? started.pid : expect.fail('the pool did not start')
  }
  async startKeeper(): Promise<void> {
    const started = await this.runtime.start(keeper, this.keeper, { name: storeKeeper })
    if (!started.ok) expect.fail('the keeper did not start')
  }
  async listen(as: string): Promise<Pid> {
    const options = as.startsWith('execution ') ? {} : { name: as }
    const started = await this.runtime.start(ear, (heard: Heard) => this.#hear({ ...heard, by: as }), options)
    const pid = started.ok ? started.pid : expect.fail(`${as} did not start`)
    this.pids.set(as, pid)
    return pid
  }
  async guard(domain = DOMAIN): Promise<Registered> {
    const pid = await this.listen(guardOf(domain))
    return this.runtime.call(dispatchPool, {
      type: 'register-guard',
      domain,
      pid,
    })
  }
  /** As a guard does when it is told to: the same process, a new incarnation. */
  async registerAgain(domain = DOMAIN): Promise<Registered> {
    const pid = this.pids.get(guardOf(domain)) ?? expect.fail('there is no guard')
    const registration = this.runtime.call(dispatchPool, { type: 'register-guard', domain, pid })
    await this.world.settle()
    return registration
  }
  async limiter(brand: string): Promise<Registered> {
    const pid = await this.listen(brandLimiterOf(brand))
    return this.runtime.call(dispatchPool, {
      type: 'register-limiter',
      brand,
      pid,
    })
  }
  permit(webhookId: string, guard: number, change: Partial<Permit> = {}): Permit {
    return {
      attemptId: `${webhookId}.1`,
      domain: DOMAIN,
      brand: 'acme',
      guard,
      limiter: null,
      dueAt: 0,
      enteredAt: 0,
      admittedAt: 0,
      admittedMono: 0,
      rates: [],
      ...change,
    }
  }
  async dispatch(webhookId: string, permit: Permit, timeoutMs = 30_000): Promise<void> {
    const execution = await this.listen(`execution ${webhookId}`)
    const { attemptId, domain, brand } = permit
    const lonelyDeaths = this.suspicion.get(webhookId) ?? null
    const request = new Uint8Array(0)
    const order = { attemptId, webhookId, attempt: 1, brand, domain, request, lonelyDeaths, timeoutMs }
    this.runtime.cast(dispatchPool, { type: 'dispatch', order, permit, execution })
    await this.world.settle()
  }
  kill(as: string): Promise<unknown> {
    this.runtime.exit(as.startsWith('execution ') ? (this.pids.get(as) ?? expect.fail(as)) : as, 'kill')
    return this.world.settle()
  }
  by(as: string): string[] {
    return this.heard.filter((heard) => heard.by === as).map((heard) => heard.type)
  }

  #hear(heard: Heard & { readonly by: string }): void {
    const webhookId = heard.by.replace('execution ', '')
    if (heard.type === 'attempt-lost') this.suspicion.set(webhookId, Number(heard['lonelyDeaths']))
    if (heard.type === 'attempt-reported') this.suspicion.delete(webhookId)
    this.heard.push(heard)
    this.onHeard(heard)
  }
}
