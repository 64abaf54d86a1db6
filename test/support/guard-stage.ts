/**
 * A stage for guards in virtual time: real guards, brand-limiters, limits and their supervisor, and small stand-ins for
 * everybody else under the names that guards know. What a receiver would see is counted at the stand-in of the pool.
 */
import { type BrandLimiterProtocol, brandLimiterOf } from '#actors/brand-limiter.ts'
import { type DispatchPoolProtocol, dispatchPool, type InFlight } from '#actors/dispatch-pool.ts'
import { type Admitted, guardOf, guards, type Permit, startGuard } from '#actors/guard.ts'
import { type LimitChange, limits, limitsActor } from '#actors/limits.ts'
import type { SchedulerProtocol } from '#actors/scheduler.ts'
import { GUARDS_TABLES } from '#guard/tables.ts'
import type { Behaviour } from '#runtime/behaviour.ts'
import { keep, ok, reply } from '#runtime/behaviour.ts'
import type { Context } from '#runtime/context.ts'
import type { DynamicChildStarted } from '#runtime/dynamic-supervisor.ts'
import type { From } from '#runtime/from.ts'
import type { Pid } from '#runtime/pid.ts'
import { type Answer, type Call, name } from '#runtime/protocol.ts'
import { Runtime } from '#runtime/runtime.ts'
import { supervisor } from '#runtime/supervisor.ts'
import { worker } from '#runtime/supervisor-spec.ts'
import { laneText } from '#schedule/horizon.ts'
import type { StoredLimit } from '#store/store.ts'
import { guardsSupervisor } from '#supervisors/guards.ts'
import type { Event, Events } from '#telemetry/events.ts'
import {
  type AttemptId,
  type Brand,
  type Domain,
  type Due,
  type Edge,
  type LaneKey,
  type LimitKind,
  laneOf,
  type Outcome,
  type WebhookId,
} from '#webhook/webhook.ts'
import { VirtualWorld } from '#world/virtual-world.ts'

export interface Row {
  due: Due
  state: 'live' | 'started' | 'done' | 'cancelled'
}
export interface Started {
  readonly due: Due
  readonly attemptId: AttemptId
  readonly mono: number
  readonly permit: Permit
}
export interface StageOptions {
  readonly seed?: number
  /** How long the receiver takes. */
  readonly serviceMs?: (due: Due) => number
  readonly outcome?: (due: Due, mono: number) => Outcome
  /** From the executor's start to the pool: the started mark being written. */
  readonly markMs?: number
  /** How long a read of a lane is on its way back: what is told meanwhile is not in it. */
  readonly readMs?: number
  /** A broken pool: takes permits of any incarnation. */
  readonly forgivingPool?: boolean
}

const OK: Outcome = { kind: 'response', status: 200, retryAfterMs: null, excerpt: null }
const LANES_MAX = 500

interface Running {
  readonly permit: Permit
  readonly due: Due
}

type StageStoreProtocol = {
  readonly call:
    | Call<
        {
          readonly type: 'due-lanes'
          readonly domain?: Domain
          readonly now: number
          readonly limit: number
          readonly after: LaneKey | null
        },
        unknown
      >
    | Call<
        {
          readonly type: 'lane'
          readonly lane: LaneKey
          readonly after?: Edge | null
          readonly until: number
          readonly limit: number
        },
        unknown
      >
    | Call<{ readonly type: 'backlog'; readonly domain: Domain; readonly now: number }, unknown>
    | Call<{ readonly type: 'limits' }, unknown>
    | Call<{ readonly type: 'groups' }, unknown>
    | Call<{ readonly type: 'set-limit' } & LimitChange, unknown>
  readonly cast: never
  readonly info: { readonly type: 'read'; readonly from: From<unknown>; readonly page: unknown }
  readonly continue: never
}
type StagePoolProtocol = {
  readonly call: DispatchPoolProtocol['call']
  readonly cast: { readonly type: 'run'; readonly admitted: Admitted }
  readonly info: { readonly type: 'finish'; readonly attemptId: AttemptId }
  readonly continue: never
}
type StageExecutorProtocol = {
  readonly call: never
  readonly cast: { readonly type: 'start'; readonly admitted: readonly Admitted[] }
  readonly info: { readonly type: 'mark'; readonly one: Admitted }
  readonly continue: never
}
type StageSchedulerProtocol = {
  readonly call: never
  readonly cast:
    | { readonly type: 'lane-caught-up'; readonly lane: LaneKey; readonly upTo: number }
    | Extract<SchedulerProtocol['cast'], { readonly type: 'guard-opened' | 'stood-down' | 'limits-changed' }>
    | { readonly type: 'tell'; readonly entries: readonly Due[] }
    | { readonly type: 'handed-back'; readonly due: Due }
  readonly info: Answer<'guard-started', DynamicChildStarted, Domain>
  readonly continue: never
}
type PoolState = {
  readonly guards: Map<Domain, { incarnation: number; pid: Pid }>
  readonly limiters: Map<Brand, { incarnation: number; pid: Pid }>
  readonly running: Map<AttemptId, Running>
}

export class GuardStage {
  readonly world: VirtualWorld
  readonly runtime: Runtime
  readonly rows = new Map<WebhookId, Row>()
  readonly starts: Started[] = []
  readonly events: Event[] = []
  readonly caughtUp: LaneKey[] = []
  readonly reads: LaneKey[] = []
  readonly stored: StoredLimit[] = []
  readonly open = new Map<string, number>()
  readonly openMax = new Map<string, number>()
  refusedByStore = 0
  refusedByPool = 0
  /** What the store answers with a failure while true. */
  storeFails = false
  private seq = 0
  private readonly options: StageOptions

  constructor(options: StageOptions = {}) {
    this.options = options
    this.world = new VirtualWorld({ seed: options.seed ?? 1 })
    this.runtime = new Runtime(this.world, { safeMessages: true, report: () => undefined })
  }
  private readonly hub: Events = {
    emit: (event) => {
      this.events.push(event)
    },
    on: () => () => undefined,
  }

  /** The tree: stand-ins first, as in the daemon. */
  async raise(): Promise<this> {
    const permanent = { restart: 'permanent', shutdownMs: 'brutal_kill' } as const
    await this.runtime.start(
      supervisor,
      {
        flags: { strategy: 'one_for_one', intensity: 10_000, periodMs: 1_000 },
        tables: GUARDS_TABLES,
        children: [
          worker(this.storeStandIn(), null, { ...permanent, name: 'store-keeper' }),
          guardsSupervisor(),
          worker(limitsActor, { events: this.hub }, { ...permanent, name: limits }),
          worker(this.poolStandIn(), null, { ...permanent, name: dispatchPool }),
          worker(this.executorStandIn(), null, { ...permanent, name: 'executor' }),
          worker(this.schedulerStandIn(), null, { ...permanent, name: 'scheduler' }),
        ],
      },
      { name: 'root' },
    )
    await this.world.settle()
    return this
  }

  // -------------------------------------------------------------- what a test does

  async set(
    kind: LimitKind,
    who: { readonly domain?: Domain; readonly brand?: Brand },
    value: number | null,
    burst: number | null = null,
  ): Promise<void> {
    const change: LimitChange = {
      kind,
      domain: who.domain ?? null,
      brand: who.brand ?? null,
      value,
      burst,
      setBy: 'test',
      setAt: this.world.wallNow(),
    }
    await this.runtime.call(limits, { type: 'set', limit: change })
  }
  async limit(
    kind: 'concurrency' | 'rate',
    who: { readonly domain?: Domain; readonly brand?: Brand },
    value: number | null,
    burst: number | null = null,
  ): Promise<void> {
    await this.set(kind, who, value, burst)
  }
  /** A live row in the store, not told to anybody. */
  row(domain: Domain, brand: Brand = 'acme', more: Partial<Due> = {}): Due {
    this.seq += 1
    const due: Due = {
      id: `msg_${this.seq}`,
      seq: this.seq,
      nextAt: this.world.wallNow(),
      brand,
      domain,
      priority: 'normal',
      attempts: 0,
      timeoutMs: 30_000,
      expiresAt: null,
      ...more,
    }
    this.rows.set(due.id, { due, state: 'live' })
    return due
  }
  tell(...entries: readonly Due[]): void {
    this.runtime.cast<StageSchedulerProtocol>('scheduler', { type: 'tell', entries })
  }
  /** `count` webhooks due now, told. */
  due(count: number, domain: Domain, brand?: Brand, more?: Partial<Due>): readonly Due[] {
    const entries = Array.from({ length: count }, () => this.row(domain, brand, more))
    this.tell(...entries)
    return entries
  }
  kill(who: string): void {
    if (this.runtime.whereis(who) !== null) this.runtime.exit(who, 'kill')
  }
  startsOf(who: { readonly domain?: Domain; readonly brand?: Brand }): readonly Started[] {
    return this.starts.filter(
      ({ due }) =>
        (who.domain === undefined || due.domain === who.domain) && (who.brand === undefined || due.brand === who.brand),
    )
  }
  undone(): number {
    let count = 0
    for (const row of this.rows.values()) if (row.state === 'live' || row.state === 'started') count += 1
    return count
  }

  // -------------------------------------------------------------- stand-ins

  private storeStandIn(): Behaviour<StageStoreProtocol, null, null> {
    const failed = { ok: false, failed: 'busy' } as const
    const rowsDue = (now: number) =>
      [...this.rows.values()].filter((row) => row.state === 'live' && row.due.nextAt <= now).map((row) => row.due)
    return {
      name: 'store-keeper',
      version: 1,
      init: () => ok(null),
      call: {
        'due-lanes': ({ domain, now }, _from, state) => {
          if (this.storeFails) return reply(failed, state)
          const lanes = new Map<string, LaneKey>()
          for (const lane of rowsDue(now).map(laneOf))
            if (domain === undefined || lane.domain === domain) lanes.set(laneText(lane), lane)
          return reply({ ok: true, value: { lanes: [...lanes.values()].slice(0, LANES_MAX), next: null } }, state)
        },
        lane: ({ lane, after, until, limit }, from, state, ctx) => {
          if (this.storeFails) return reply(failed, state)
          this.reads.push(lane)
          const all = rowsDue(until)
            .filter((due) => laneText(laneOf(due)) === laneText(lane))
            .filter((due) => after == null || (due.nextAt - after.nextAt || due.seq - after.seq) > 0)
            .sort((a, b) => a.nextAt - b.nextAt || a.seq - b.seq)
          const page = { ok: true, value: { rows: all.slice(0, limit), more: all.length > limit } } as const
          if (this.options.readMs === undefined) return reply(page, state)
          ctx.sendAfter(this.options.readMs, { type: 'read', from, page })
          return keep
        },
        backlog: ({ domain, now }, _from, state) => {
          const count = rowsDue(now).filter((due) => due.domain === domain).length
          return reply({ ok: true, value: { count, oldestAt: null } }, state)
        },
        limits: (_request, _from, state) => reply({ ok: true, value: this.stored }, state),
        groups: (_request, _from, state) => reply({ ok: true, value: [] }, state),
        'set-limit': ({ type: _type, ...change }, _from, state) => {
          const at = this.stored.findIndex(
            (l) => l.kind === change.kind && l.domain === change.domain && l.brand === change.brand,
          )
          const limit: StoredLimit = { ...change, version: (this.stored[at]?.version ?? 0) + 1 }
          if (at === -1) this.stored.push(limit)
          else this.stored[at] = limit
          return reply(limit, state)
        },
      },
      info: (message, _state, ctx) => {
        if (message.type === 'read') ctx.reply(message.from, message.page)
        return keep
      },
    }
  }

  private executorStandIn(): Behaviour<StageExecutorProtocol, null, null> {
    return {
      name: 'executor',
      version: 1,
      init: () => ok(null),
      cast: {
        start: ({ admitted }, _state, ctx) => {
          for (const one of admitted) {
            if (this.options.markMs === undefined) this.mark(one, ctx)
            else ctx.sendAfter(this.options.markMs, { type: 'mark', one })
          }
          return keep
        },
      },
      info: (message, _state, ctx) => {
        if (message.type === 'mark') this.mark(message.one, ctx)
        return keep
      },
    }
  }
  /** Compare-and-set, then to the pool (D-3). */
  private mark(one: Admitted, ctx: Context): void {
    const row = this.rows.get(one.due.id)
    if (row === undefined || row.state !== 'live' || row.due.attempts !== one.due.attempts) {
      this.refusedByStore += 1
      ctx.cast(guardOf(one.due.domain), {
        type: 'permit-unused',
        attemptId: one.permit.attemptId,
        brand: one.due.brand,
        guard: one.permit.guard,
      })
      return
    }
    row.state = 'started'
    ctx.cast<StagePoolProtocol>(name<StagePoolProtocol>(dispatchPool), { type: 'run', admitted: one })
    if (ctx.whereis(dispatchPool) === null) this.handBack(one.due.id, ctx)
  }
  private handBack(id: WebhookId, ctx: Context): void {
    const row = this.rows.get(id)
    if (row === undefined || row.state !== 'started') return
    row.state = 'live'
    ctx.cast<StageSchedulerProtocol>('scheduler', { type: 'handed-back', due: row.due })
  }

  private poolStandIn(): Behaviour<StagePoolProtocol, null, PoolState> {
    let incarnations = 0
    const inFlight = (state: PoolState, take: (due: Due) => boolean): readonly InFlight[] =>
      [...state.running.values()]
        .filter(({ due }) => take(due))
        .map(({ due, permit }) => ({ attemptId: permit.attemptId, domain: due.domain, brand: due.brand }))
    return {
      name: 'dispatch-pool',
      version: 1,
      init: (_args, ctx) => {
        const state: PoolState = { guards: new Map(), limiters: new Map(), running: new Map() }
        ctx.own(() => {
          for (const { due } of state.running.values()) this.close(due, ctx)
          const lost = [...state.running.values()]
          // In doubt: at least once. Its row is live again, and somebody finds it.
          for (const { due } of lost) {
            const row = this.rows.get(due.id)
            if (row !== undefined && row.state === 'started') row.state = 'live'
          }
          this.world.soon(() => this.tell(...lost.map(({ due }) => due)))
        })
        return ok(state)
      },
      call: {
        'register-guard': ({ domain, pid }, _from, state, ctx) => {
          ctx.monitor(pid)
          incarnations += 1
          state.guards.set(domain, { incarnation: incarnations, pid })
          return reply({ incarnation: incarnations, inFlight: inFlight(state, (due) => due.domain === domain) }, state)
        },
        'register-limiter': ({ brand, pid }, _from, state, ctx) => {
          ctx.monitor(pid)
          incarnations += 1
          state.limiters.set(brand, { incarnation: incarnations, pid })
          return reply({ incarnation: incarnations, inFlight: inFlight(state, (due) => due.brand === brand) }, state)
        },
        'in-flight': (_request, _from, state) =>
          reply(
            inFlight(state, () => true),
            state,
          ),
      } as Behaviour<StagePoolProtocol, null, PoolState>['call'] & object,
      cast: {
        run: ({ admitted }, state, ctx) => {
          const { permit, due } = admitted
          const guardOk = state.guards.get(due.domain)?.incarnation === permit.guard
          const limiterOk = permit.limiter === null || state.limiters.get(due.brand)?.incarnation === permit.limiter
          if (this.options.forgivingPool !== true && (!guardOk || !limiterOk)) {
            this.refusedByPool += 1
            const { attemptId, brand } = permit
            if (guardOk)
              ctx.cast(guardOf(due.domain), {
                type: 'attempt-ended',
                attemptId,
                domain: due.domain,
                brand,
                outcome: null,
              })
            if (permit.limiter !== null && limiterOk)
              ctx.cast<BrandLimiterProtocol>(brandLimiterOf(brand), {
                type: 'attempt-ended',
                attemptId,
                guard: permit.guard,
              })
            this.handBack(due.id, ctx)
            return keep
          }
          state.running.set(permit.attemptId, admitted)
          this.starts.push({ due, attemptId: permit.attemptId, mono: this.world.monoNow(), permit })
          this.count(due, 1)
          ctx.sendAfter(this.options.serviceMs?.(due) ?? 50, { type: 'finish', attemptId: permit.attemptId })
          return keep
        },
      },
      info: (message, state, ctx) => {
        if (message.type === 'finish') this.finish(message.attemptId, state, ctx)
        // The end of a guard or limiter ends its incarnation.
        if (message.type === 'DOWN')
          for (const registered of [state.guards, state.limiters])
            for (const [key, { pid }] of registered) if (pid === message.pid) registered.delete(key)
        return keep
      },
    }
  }
  private finish(attemptId: AttemptId, state: PoolState, ctx: Context): void {
    const running = state.running.get(attemptId)
    if (running === undefined) return
    const { due, permit } = running
    state.running.delete(attemptId)
    this.close(due, ctx)
    const outcome = this.options.outcome?.(due, this.world.monoNow()) ?? OK
    ctx.cast(guardOf(due.domain), { type: 'attempt-ended', attemptId, domain: due.domain, brand: due.brand, outcome })
    if (permit.limiter !== null)
      ctx.cast<BrandLimiterProtocol>(brandLimiterOf(due.brand), { type: 'attempt-ended', attemptId })
    const row = this.rows.get(due.id)
    if (row !== undefined) row.state = 'done'
  }
  private count(due: Due, by: number): void {
    for (const key of [due.domain, `brand ${due.brand}`, `${due.domain} ${due.brand}`]) {
      const now = (this.open.get(key) ?? 0) + by
      this.open.set(key, now)
      this.openMax.set(key, Math.max(now, this.openMax.get(key) ?? 0))
    }
  }
  private close(due: Due, _ctx: Context): void {
    this.count(due, -1)
  }

  private schedulerStandIn(): Behaviour<
    StageSchedulerProtocol,
    null,
    { readonly told: Map<Domain, Due[] | 'live'>; readonly watched: Map<Pid, Domain> }
  > {
    type State = { readonly told: Map<Domain, Due[] | 'live'>; readonly watched: Map<Pid, Domain> }
    const start = (domain: Domain, state: State, entries: Due[], ctx: Context<StageSchedulerProtocol>): void => {
      state.told.set(domain, entries)
      ctx.request(guards, startGuard({ domain, events: this.hub }), 'guard-started', domain)
    }
    const tell = (entries: readonly Due[], state: State, ctx: Context<StageSchedulerProtocol>): void => {
      for (const due of entries) {
        const told = state.told.get(due.domain)
        if (told === undefined) start(due.domain, state, [due], ctx)
        else if (told === 'live') ctx.cast(guardOf(due.domain), { type: 'due', entries: [due], more: [] })
        else told.push(due)
      }
    }
    return {
      name: 'scheduler',
      version: 1,
      init: () => ok({ told: new Map(), watched: new Map() }),
      cast: {
        'lane-caught-up': ({ lane }) => {
          this.caughtUp.push(lane)
          return keep
        },
        'guard-opened': () => keep,
        'stood-down': () => keep,
        'limits-changed': () => keep,
        tell: ({ entries }, state, ctx) => {
          tell(entries, state, ctx)
          return keep
        },
        'handed-back': ({ due }, state, ctx) => {
          tell([due], state, ctx)
          return keep
        },
      },
      info: (message, state, ctx) => {
        if (message.type === 'guard-started') {
          const told = state.told.get(message.data)
          const pid = message.ok && message.value.ok ? message.value.pid : null
          state.told.delete(message.data)
          if (pid === null || told === 'live') return keep
          state.told.set(message.data, 'live')
          state.watched.set(pid, message.data)
          ctx.monitor(pid)
          ctx.cast(guardOf(message.data), { type: 'due', entries: told ?? [], more: [] })
        }
        if (message.type === 'DOWN' && message.pid !== null) {
          const domain = state.watched.get(message.pid)
          if (domain === undefined) return keep
          state.watched.delete(message.pid)
          state.told.delete(domain)
          const left = [...this.rows.values()].some((row) => row.state === 'live' && row.due.domain === domain)
          if (left) start(domain, state, [], ctx)
        }
        return keep
      },
    }
  }
}

/** How often a limit of `rate` starts a second (and `burst`) is broken by these starts: the law of its regime (guard.md). */
export const rateViolations = (monos: readonly number[], rate: number, burst = 1): number => {
  const extra = rate > 50 ? 0.002 : 0
  let broken = 0
  for (let from = 0; from < monos.length; from += 1)
    for (let to = from + burst; to < monos.length; to += 1) {
      const seconds = ((monos[to] ?? 0) - (monos[from] ?? 0)) / 1_000
      // The smallest half-open window that holds all of them is just longer than their distance.
      const allowed = Math.floor(rate * (seconds + extra) + 1e-6) + 1 + burst - 1
      if (to - from + 1 > allowed) broken += 1
    }
  return broken
}
