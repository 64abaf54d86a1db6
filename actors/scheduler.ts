/**
 * scheduler: knows which webhook is due when, and tells the guards. Started by the supervisor `delivery`.
 *
 * State: the horizon (what is due soon, bounded) and the guards that it has told something. On restart the horizon begins at
 * now; every lane with due rows is told to its guard, which reads them from the store. A crash costs milliseconds of lateness.
 * Never early: the wall clock decides at each wake-up, and there is one wake-up (reliability.md T1, T3).
 */
import { executor } from '#actors/executor.ts'
import { suspectOf } from '#actors/guard/suspects.ts'
import { guardFor, guardKeyIn, guardOf, guards, startGuard } from '#actors/guard.ts'
import { type StoreFailed, storeKeeper } from '#actors/store-keeper.ts'
import {
  AUDIT_MS,
  HORIZON_AHEAD_MS,
  HORIZON_ENTRIES_MAX,
  LANE_WINDOW_MAX,
  PAGE_ROWS_MAX,
  WAKE_MAX_MS,
} from '#config/limits.ts'
import { type Behaviour, keep, ok, reply } from '#runtime/behaviour.ts'
import type { Context } from '#runtime/context.ts'
import type { DynamicChildStarted } from '#runtime/dynamic-supervisor.ts'
import { type ExitReason, isBenign } from '#runtime/exit.ts'
import type { From } from '#runtime/from.ts'
import type { Pid } from '#runtime/pid.ts'
import {
  type Answer,
  type Call,
  type Down,
  type MonitorRef,
  type Name,
  name,
  type TimerRef,
} from '#runtime/protocol.ts'
import {
  abandonLane,
  abandonPage,
  admitRow,
  type CutLane,
  createHorizon,
  firstOf,
  type Horizon,
  handOver,
  isBefore,
  mergeLane,
  mergePage,
  remove,
  sizeOf,
  stepBack,
  takeBack,
  takeDue,
  wishLanes,
  wishPage,
} from '#schedule/horizon.ts'
import type { Append, Appended, Cancelled, Replay, Replayed, Reschedule, Rescheduled } from '#store/store.ts'
import type { Events } from '#telemetry/events.ts'
import { isGroupKey } from '#webhook/domain-group.ts'
import type { Brand, Domain, Due, Edge, Instant, LaneKey, WebhookId } from '#webhook/webhook.ts'

export type NewDue = Omit<Due, 'seq'>
type Read<V> = { readonly ok: true; readonly value: V } | StoreFailed
type Lanes = { readonly lanes: readonly LaneKey[]; readonly next: LaneKey | null }
interface Scheduling {
  readonly from: From<Appended | StoreFailed>
  readonly append: Append
  readonly heads: readonly NewDue[]
}
interface Cancelling {
  readonly from: From<Cancelled | StoreFailed>
  readonly id: WebhookId
  readonly brand: Brand | null
  /** Names this cancel at the store: asked again it is the same one (D-3). */
  readonly at: Instant
}
export type Retimed = Rescheduled | Replayed
interface Retiming {
  readonly from: From<Retimed | StoreFailed>
  readonly op: Reschedule | Replay
}

export interface SchedulerProtocol {
  readonly call: /** Stores the webhooks and takes what is due soon into the horizon; answered when they are on disk. `heads[i]` belongs to row i; its seq is not known yet. */
    | Call<
        { readonly type: 'schedule'; readonly append: Append; readonly heads: readonly NewDue[] },
        Appended | StoreFailed
      >
    | Call<{ readonly type: 'cancel'; readonly id: WebhookId; readonly brand: Brand | null }, Cancelled | StoreFailed>
    /** Answered when it is on disk; wakes it at its new instant. The op names itself (D-3). */
    | Call<{ readonly type: 'retime'; readonly op: Reschedule | Replay }, Retimed | StoreFailed>
    | Call<
        { readonly type: 'figures' },
        { readonly horizon: number; readonly edgeAt: Instant; readonly guards: number }
      >
  readonly cast: /** From a retry process, when its decision is durable. */
    | { readonly type: 'retry-due'; readonly due: Due }
    /** From an execution: the attempt was not sent and the row is live as before. */
    | { readonly type: 'handed-back'; readonly due: Due }
    /** From a guard: the store holds no due row of this lane that it has not seen, as of `upTo` (wall clock of the read). */
    | { readonly type: 'lane-caught-up'; readonly lane: LaneKey; readonly upTo: Instant }
    /** From `limits`: some hosts are under another guard now (D-13). */
    | { readonly type: 'regrouped' }
    /** Graceful stop: tell guards nothing more. */
    | { readonly type: 'quiesce' }
  readonly info:
    | { readonly type: 'wake' }
    | { readonly type: 'scan'; readonly all: boolean }
    | { readonly type: 'unpark'; readonly domain: Domain }
    | { readonly type: 'recover' }
    | { readonly type: 'append-again'; readonly scheduling: Scheduling }
    | { readonly type: 'cancel-again'; readonly cancelling: Cancelling }
    | { readonly type: 'retime-again'; readonly retiming: Retiming }
    | Answer<'recovered', 'recovered'>
    | Answer<'appended', Appended | StoreFailed, Scheduling>
    | Answer<'cancelled', Cancelled | StoreFailed, Cancelling>
    | Answer<'retimed', Retimed | StoreFailed, Retiming>
    | Answer<'page', Read<{ readonly rows: readonly Due[]; readonly edge: Edge }>>
    | Answer<'lane', Read<{ readonly rows: readonly Due[]; readonly more: boolean }>, LaneKey>
    | Answer<'scanned', Read<Lanes>, { readonly all: boolean }>
    | Answer<'left-behind', Read<Lanes>, { readonly domain: Domain; readonly now: Instant }>
    | Answer<'guard-started', DynamicChildStarted, Domain>
    | Answer<'accused', Read<{ readonly rows: readonly Due[]; readonly more: boolean }>, string>
  readonly continue: { readonly type: 'recover' }
}
export const scheduler: Name<SchedulerProtocol> = name('scheduler')

/** A guard that was told something. `pid` null: it is being started, and what it is to be told waits here. */
interface Told {
  pid: Pid | null
  entries: Due[]
  more: LaneKey[]
}
/** Monotonic instants of a guard's crashes; parked: it is not started again until the next look. */
interface Crashes {
  readonly atMono: number[]
  /** How often each suspect was in hand at one of them. */
  readonly suspects: Map<string, number>
  parked: boolean
}
interface State {
  readonly events: Events
  readonly horizon: Horizon
  readonly told: Map<Domain, Told>
  readonly watched: Map<MonitorRef, Domain>
  wake: { readonly ref: TimerRef; readonly at: Instant } | null
  scan: { readonly ref: TimerRef; readonly all: boolean } | null
  /** Audits since the last one that told live guards too. */
  audits: number
  /** Guards that crashed lately, by domain. */
  readonly crashes: Map<Domain, Crashes>
  recovered: boolean
  quiesced: boolean
  wallSeen: number
  monoSeen: number
}
type Ctx = Context<SchedulerProtocol>

/** The one who would answer is being restarted: ask again after this. */
const ASK_AGAIN_MS = 20
/** Every so many audits live guards are told too, for whatever nobody thought of. */
const WIDE_AUDIT_EACH = 6
const CRASHES_MAX = 3
const CRASHES_WITHIN_MS = 60_000
const PARKED_MS = 1_000
const PARKED_MS_MAX = 60_000
/** The wall clock and the monotonic clock may drift this far apart between two wake-ups before it is called a step (T4). */
const STEP_MS = 250
/** Two clocks that count in other units differ by one or two; from here on it has gone back. */
const STEP_BACK_MS = 3

export const schedulerActor: Behaviour<SchedulerProtocol, { readonly events: Events }, State> = {
  name: 'scheduler',
  version: 1,
  init({ events }, ctx) {
    const now = ctx.world.wallNow()
    const state: State = {
      events,
      horizon: createHorizon(now, HORIZON_ENTRIES_MAX, LANE_WINDOW_MAX),
      told: new Map(),
      watched: new Map(),
      wake: null,
      scan: null,
      audits: 0,
      crashes: new Map(),
      recovered: false,
      quiesced: false,
      wallSeen: now,
      monoSeen: ctx.world.monoNow(),
    }
    return ok(state, { continue: { type: 'recover' } })
  },
  continue(_message, _state, ctx) {
    ctx.request(executor, { type: 'await-recovery' }, 'recovered', null, Number.POSITIVE_INFINITY)
    return keep
  },
  call: {
    schedule: ({ append, heads }, from, _state, ctx) => {
      requestAppend({ from, append, heads }, ctx)
      return keep
    },
    cancel: ({ id, brand }, from, _state, ctx) => {
      requestCancel({ from, id, brand, at: ctx.world.wallNow() }, ctx)
      return keep
    },
    retime: ({ op }, from, _state, ctx) => {
      requestRetiming({ from, op }, ctx)
      return keep
    },
    figures: (_request, _from, state) =>
      reply({ horizon: sizeOf(state.horizon), edgeAt: state.horizon.edge.nextAt, guards: state.told.size }, state),
  },
  cast: {
    'retry-due': ({ due }, state, ctx) => {
      admitRow(state.horizon, due, ctx.world.wallNow())
      tick(state, ctx)
      return keep
    },
    'handed-back': ({ due }, state, ctx) => {
      admitRow(state.horizon, due, ctx.world.wallNow())
      tick(state, ctx)
      return keep
    },
    'lane-caught-up': ({ lane, upTo }, state, ctx) => {
      if (isGroupKey(lane.domain)) takeBackLanes((cut) => isOf(cut, lane, ctx), upTo, state, ctx)
      else takeBackLane(lane, upTo, state, ctx)
      return keep
    },
    regrouped: (_message, state, ctx) => {
      onRegrouped(state, ctx)
      return keep
    },
    quiesce: (_message, state) => {
      state.quiesced = true
      return keep
    },
  },
  info(message, state, ctx) {
    switch (message.type) {
      case 'wake':
        state.wake = null
        tick(state, ctx)
        return keep
      case 'recover':
        ctx.request(executor, { type: 'await-recovery' }, 'recovered', null, Number.POSITIVE_INFINITY)
        return keep
      case 'recovered':
        if (message.ok) onRecovered(state, ctx)
        else ctx.sendAfter(ASK_AGAIN_MS, { type: 'recover' })
        return keep
      case 'scan':
        state.scan = null
        scan(null, message.all, ctx)
        return keep
      case 'scanned':
        onScanned(message, state, ctx)
        return keep
      case 'unpark':
        unpark(message.domain, state, ctx)
        return keep
      case 'appended':
        onAppended(message, state, ctx)
        return keep
      case 'append-again':
        requestAppend(message.scheduling, ctx)
        return keep
      case 'cancelled':
        onCancelled(message, state, ctx)
        return keep
      case 'cancel-again':
        requestCancel(message.cancelling, ctx)
        return keep
      case 'retimed':
        onRetimed(message, state, ctx)
        return keep
      case 'retime-again':
        requestRetiming(message.retiming, ctx)
        return keep
      case 'page':
        if (message.ok && message.value.ok)
          mergePage(state.horizon, message.value.value.rows, message.value.value.edge, ctx.world.wallNow())
        else abandonPage(state.horizon)
        tick(state, ctx, message.ok && message.value.ok)
        return keep
      case 'lane':
        if (message.ok && message.value.ok)
          mergeLane(state.horizon, message.data, message.value.value.rows, message.value.value.more)
        else abandonLane(state.horizon, message.data)
        tick(state, ctx, message.ok && message.value.ok)
        return keep
      case 'guard-started':
        onGuardStarted(message, state, ctx)
        return keep
      case 'accused': {
        const head = message.ok && message.value.ok ? message.value.value.rows[0] : undefined
        if (head !== undefined) ctx.cast(executor, { type: 'quarantine', due: head, detail: message.data })
        return keep
      }
      case 'left-behind':
        onLeftBehind(message, state, ctx)
        return keep
      case 'DOWN':
        onGuardDown(message, state, ctx)
        return keep
      case 'EXIT':
      case 'timeout':
        return keep
      default:
        return message satisfies never
    }
  },
}

// ---------------------------------------------------------------- the wake-up

/** Everything that time brings: tell what is due, read ahead, arm the one wake-up. `read` false after a failed read: not again at once. */
const tick = (state: State, ctx: Ctx, read = true): void => {
  const now = ctx.world.wallNow()
  noticeStep(now, state, ctx)
  if (state.recovered && !state.quiesced) {
    tellDue(takeDue(state.horizon, now), now, state, ctx)
    for (const lane of handOver(state.horizon, now)) tell(lane.domain, [], [lane], state, ctx)
    if (read) readAhead(now, state, ctx)
  }
  arm(now, state, ctx)
}

const tellDue = (due: readonly Due[], now: Instant, state: State, ctx: Ctx): void => {
  if (due.length === 0) return
  const byDomain = new Map<Domain, Due[]>()
  for (const one of due) {
    const sameDomain = byDomain.get(one.domain)
    if (sameDomain === undefined) byDomain.set(one.domain, [one])
    else sameDomain.push(one)
  }
  for (const [domain, entries] of byDomain) {
    tell(domain, entries, [], state, ctx)
    state.events.emit({ type: 'webhook.due', at: now, domain, count: entries.length })
  }
}

const readAhead = (now: Instant, state: State, ctx: Ctx): void => {
  for (const cutLane of wishLanes(state.horizon, now)) requestLane(cutLane, ctx)
  const wish = wishPage(state.horizon, now, HORIZON_AHEAD_MS)
  if (wish !== null) ctx.request(storeKeeper, { type: 'horizon', limit: PAGE_ROWS_MAX, ...wish }, 'page')
}

const requestLane = ({ lane, cut, reading }: CutLane, ctx: Ctx): void => {
  if (reading === null) return
  ctx.request(
    storeKeeper,
    { type: 'lane', lane, after: cut, until: reading.until.nextAt, limit: LANE_WINDOW_MAX },
    'lane',
    lane,
  )
}

const arm = (now: Instant, state: State, ctx: Ctx): void => {
  const first = firstOf(state.horizon)
  const idle = first === undefined || !state.recovered || state.quiesced
  const at = Math.min(idle ? Number.POSITIVE_INFINITY : first.nextAt, now + WAKE_MAX_MS)
  if (state.wake !== null) {
    if (state.wake.at <= at && state.wake.at >= now) return
    ctx.cancelTimer(state.wake.ref)
  }
  state.wake = { ref: ctx.sendAfter(Math.max(0, at - now), { type: 'wake' }), at }
}

const noticeStep = (now: Instant, state: State, ctx: Ctx): void => {
  const mono = ctx.world.monoNow()
  const stepMs = now - state.wallSeen - (mono - state.monoSeen)
  state.wallSeen = now
  state.monoSeen = mono
  if (stepMs < -STEP_BACK_MS) stepBack(state.horizon, now)
  if (Math.abs(stepMs) <= STEP_MS) return
  state.events.emit({ type: 'clock.stepped', at: now, stepMs })
  if (state.wake !== null) ctx.cancelTimer(state.wake.ref)
  state.wake = null
}

// ---------------------------------------------------------------- scheduling and cancelling

const requestAppend = (scheduling: Scheduling, ctx: Ctx): void =>
  ctx.request(storeKeeper, scheduling.append, 'appended', scheduling, Number.POSITIVE_INFINITY)

const onAppended = (message: Answer<'appended', Appended | StoreFailed, Scheduling>, state: State, ctx: Ctx): void => {
  const { from, heads } = message.data
  if (!message.ok) {
    ctx.sendAfter(ASK_AGAIN_MS, { type: 'append-again', scheduling: message.data })
    return
  }
  const appended = message.value
  if (appended.ok) {
    const now = ctx.world.wallNow()
    for (let i = 0; i < heads.length; i++) {
      if (appended.duplicates[i] === true) continue
      const head = heads[i] as NewDue
      const seq = appended.seqs[i] as number
      if (reaches(state.horizon, head.nextAt, seq)) admitRow(state.horizon, { ...head, seq }, now)
    }
    state.events.emit({ type: 'webhook.scheduled', at: now, count: heads.length, brand: heads[0]?.brand ?? 'default' })
  }
  ctx.reply(from, appended)
  tick(state, ctx)
}
/** Most of a batch lies far ahead: nothing is made of it here. */
const reaches = (horizon: Horizon, nextAt: Instant, seq: number): boolean =>
  !isBefore(horizon.edge, { nextAt, seq }) || (horizon.load !== null && nextAt <= horizon.load.until)

const requestCancel = (cancelling: Cancelling, ctx: Ctx): void =>
  ctx.request(
    storeKeeper,
    { type: 'cancel', id: cancelling.id, brand: cancelling.brand, at: cancelling.at },
    'cancelled',
    cancelling,
    Number.POSITIVE_INFINITY,
  )

const onCancelled = (
  message: Answer<'cancelled', Cancelled | StoreFailed, Cancelling>,
  state: State,
  ctx: Ctx,
): void => {
  const { from, id } = message.data
  if (!message.ok) {
    ctx.sendAfter(ASK_AGAIN_MS, { type: 'cancel-again', cancelling: message.data })
    return
  }
  const cancelled = message.value
  if ('outcome' in cancelled && cancelled.outcome === 'cancelled') {
    remove(state.horizon, id)
    if (cancelled.due !== null) ctx.cast(guardFor(ctx, cancelled.due.domain), { type: 'withdrawn', id })
  }
  ctx.reply(from, cancelled)
}

const requestRetiming = (retiming: Retiming, ctx: Ctx): void =>
  ctx.request(storeKeeper, retiming.op, 'retimed', retiming, Number.POSITIVE_INFINITY)

/** Its guard forgets the old instant; what was admitted at it is refused by its mark. */
const onRetimed = (message: Answer<'retimed', Retimed | StoreFailed, Retiming>, state: State, ctx: Ctx): void => {
  const { from, op } = message.data
  if (!message.ok) {
    ctx.sendAfter(ASK_AGAIN_MS, { type: 'retime-again', retiming: message.data })
    return
  }
  const retimed = message.value
  ctx.reply(from, retimed)
  if (!('due' in retimed)) return
  const { due } = retimed
  const now = ctx.world.wallNow()
  remove(state.horizon, due.id)
  if (due.nextAt > now) ctx.cast(guardFor(ctx, due.domain), { type: 'withdrawn', id: due.id })
  admitRow(state.horizon, due, now)
  const type = op.type === 'replay' ? 'webhook.replayed' : 'webhook.rescheduled'
  state.events.emit({ type, at: now, id: due.id, domain: due.domain, brand: due.brand, nextAt: due.nextAt })
  tick(state, ctx)
}

// ---------------------------------------------------------------- telling guards

/** Tells the guard of a host, or of a group. */
const tell = (of: Domain, entries: readonly Due[], more: readonly LaneKey[], state: State, ctx: Ctx): void => {
  const domain = guardKeyIn(ctx, of)
  if (state.crashes.get(domain)?.parked === true) return
  const told = state.told.get(domain)
  if (told === undefined) {
    state.told.set(domain, { pid: null, entries: [...entries], more: [...more] })
    ctx.request(guards, startGuard({ domain, events: state.events }), 'guard-started', domain, Number.POSITIVE_INFINITY)
  } else if (told.pid === null) {
    told.entries.push(...entries)
    told.more.push(...more)
  } else ctx.cast(guardOf(domain), { type: 'due', entries, more })
}

const onGuardStarted = (
  message: Answer<'guard-started', DynamicChildStarted, Domain>,
  state: State,
  ctx: Ctx,
): void => {
  const told = state.told.get(message.data)
  if (told === undefined || told.pid !== null) return
  const pid = startedPid(message)
  if (pid === null) {
    state.told.delete(message.data)
    for (const due of told.entries) admitRow(state.horizon, due, ctx.world.wallNow())
    scanLater(WAKE_MAX_MS, false, state, ctx)
    return
  }
  told.pid = pid
  state.watched.set(ctx.monitor(pid), message.data)
  if (told.entries.length > 0 || told.more.length > 0)
    ctx.cast(guardOf(message.data), { type: 'due', entries: told.entries, more: told.more })
  told.entries = []
  told.more = []
}
const startedPid = (message: Answer<'guard-started', DynamicChildStarted, Domain>): Pid | null => {
  if (!message.ok) return null
  if (message.value.ok) return message.value.pid
  return message.value.error.type === 'already_started' ? message.value.error.pid : null
}

/** For any reason, a crash or an idle stop: ask the store whether the domain has due work, and tell again (D-2). */
const onGuardDown = (down: Down, state: State, ctx: Ctx): void => {
  const domain = state.watched.get(down.ref)
  if (domain === undefined) return
  state.watched.delete(down.ref)
  state.told.delete(domain)
  const waitMs = isCrash(down.reason) ? parkFor(domain, down.reason, state, ctx) : 0
  if (waitMs > 0) ctx.sendAfter(waitMs, { type: 'unpark', domain })
  else askLeftBehind(domain, ctx)
}
/** A kill is somebody's will; a crash may come again. */
const isCrash = (reason: ExitReason): boolean => !isBenign(reason) && reason !== 'killed'

/**
 * From the third crash within a minute on the domain waits, longer each time, so that a guard that dies at its start costs
 * neither a core nor its neighbours. What is due of it stays in the store. Returns how long; 0: not yet.
 */
const parkFor = (domain: Domain, reason: ExitReason, state: State, ctx: Ctx): number => {
  const now = ctx.world.monoNow()
  const known = state.crashes.get(domain)
  const before = known?.atMono.filter((mono) => mono > now - CRASHES_WITHIN_MS) ?? []
  const suspects = before.length === 0 || known === undefined ? new Map<string, number>() : known.suspects
  const crashes: Crashes = { atMono: [...before, now], suspects, parked: false }
  state.crashes.set(domain, crashes)
  accuse(reason, suspects, ctx)
  const beyond = crashes.atMono.length - CRASHES_MAX
  if (beyond < 0) return 0
  crashes.parked = true
  const waitMs = Math.min(PARKED_MS_MAX, PARKED_MS * 2 ** beyond)
  const at = ctx.world.wallNow()
  state.events.emit({ type: 'guard.parked', at, domain, crashes: crashes.atMono.length, until: at + waitMs })
  return waitMs
}
/**
 * What was in hand at the third crash is quarantined, and the domain goes on without it; of a lane that could not be read its
 * head. A crash that names nobody condemns nobody.
 */
const accuse = (reason: ExitReason, suspects: Map<string, number>, ctx: Ctx): void => {
  const named = suspectOf(reason)
  if (named === null) return
  const count = (suspects.get(named.key) ?? 0) + 1
  suspects.set(named.key, count)
  if (count < CRASHES_MAX) return
  suspects.delete(named.key)
  const detail = `it was in hand at ${CRASHES_MAX} crashes of its guard: ${named.error}`
  const { suspect } = named
  if (suspect.of === 'webhook') ctx.cast(executor, { type: 'quarantine', due: suspect.due, detail })
  else {
    const until = ctx.world.wallNow()
    ctx.request(storeKeeper, { type: 'lane', lane: suspect.lane, after: null, until, limit: 1 }, 'accused', detail)
  }
}
const unpark = (domain: Domain, state: State, ctx: Ctx): void => {
  const crashes = state.crashes.get(domain)
  if (crashes !== undefined) crashes.parked = false
  askLeftBehind(domain, ctx)
}
/** Forgets crashes that are long over. */
const forgetCrashes = (state: State, ctx: Ctx): void => {
  const since = ctx.world.monoNow() - CRASHES_WITHIN_MS
  for (const [domain, { atMono, parked }] of state.crashes)
    if (!parked && (atMono.at(-1) ?? 0) <= since) state.crashes.delete(domain)
}

const askLeftBehind = (domain: Domain, ctx: Ctx, after: LaneKey | null = null): void => {
  const now = ctx.world.wallNow()
  const query = { type: 'due-lanes', now, domain, after, limit: PAGE_ROWS_MAX } as const
  ctx.request(storeKeeper, query, 'left-behind', { domain, now })
}

const onLeftBehind = (
  message: Answer<'left-behind', Read<Lanes>, { readonly domain: Domain; readonly now: Instant }>,
  state: State,
  ctx: Ctx,
): void => {
  const { domain, now } = message.data
  if (!message.ok || !message.value.ok) return scanLater(WAKE_MAX_MS, false, state, ctx)
  const { lanes, next } = message.value.value
  if (lanes.length > 0) return tell(domain, [], lanes, state, ctx)
  if (next !== null) return askLeftBehind(domain, ctx, next)
  takeBackLanes((lane) => guardKeyIn(ctx, lane.domain) === guardKeyIn(ctx, domain), now, state, ctx)
}

/** The horizon's lanes are those of hosts; a guard speaks of its own: of a group, the lanes of all its hosts. */
const isOf = (lane: LaneKey, { domain, brand, priority, kind }: LaneKey, ctx: Ctx): boolean =>
  lane.brand === brand && lane.priority === priority && lane.kind === kind && guardKeyIn(ctx, lane.domain) === domain
const takeBackLanes = (which: (lane: LaneKey) => boolean, upTo: Instant, state: State, ctx: Ctx): void => {
  for (const { lane, handed } of [...state.horizon.cutLanes.values()]) {
    if (handed && which(lane)) takeBackLane(lane, upTo, state, ctx)
  }
}
const takeBackLane = (lane: LaneKey, upTo: Instant, state: State, ctx: Ctx): void => {
  const cutLane = takeBack(state.horizon, lane, upTo)
  if (cutLane !== null) requestLane(cutLane, ctx)
}

/** What is due is told to whoever its guard is now; lanes in the hands of a guard that has nothing due of them are taken back. */
const onRegrouped = (state: State, ctx: Ctx): void => {
  if (!state.recovered) return
  scanLater(0, true, state, ctx)
  const handed = [...state.horizon.cutLanes.values()].filter((one) => one.handed)
  for (const domain of new Set(handed.map(({ lane }) => lane.domain))) askLeftBehind(domain, ctx)
}

// ---------------------------------------------------------------- recovery and audit

const onRecovered = (state: State, ctx: Ctx): void => {
  state.recovered = true
  // The horizon begins where the scan ends, also if the clock has gone back meanwhile.
  stepBack(state.horizon, ctx.world.wallNow())
  scan(null, true, ctx)
  tick(state, ctx)
}

/** Every lane with due rows, in slices. `all`: tell live guards too (after a start); otherwise only where there is none (audit). */
const scan = (after: LaneKey | null, all: boolean, ctx: Ctx): void =>
  ctx.request(storeKeeper, { type: 'due-lanes', now: ctx.world.wallNow(), after, limit: PAGE_ROWS_MAX }, 'scanned', {
    all,
  })

/** One scan is ahead at a time: the sooner one, and the wider one. */
const scanLater = (delayMs: number, all: boolean, state: State, ctx: Ctx): void => {
  if (state.scan !== null) ctx.cancelTimer(state.scan.ref)
  const wide = all || state.scan?.all === true
  state.scan = { ref: ctx.sendAfter(delayMs, { type: 'scan', all: wide }), all: wide }
}

const onScanned = (
  message: Answer<'scanned', Read<Lanes>, { readonly all: boolean }>,
  state: State,
  ctx: Ctx,
): void => {
  const { all } = message.data
  if (!message.ok || !message.value.ok) {
    scanLater(WAKE_MAX_MS, all, state, ctx)
    return
  }
  const { lanes, next } = message.value.value
  if (!state.quiesced) {
    for (const lane of lanes) {
      if (all || !state.told.has(guardKeyIn(ctx, lane.domain))) tell(lane.domain, [], [lane], state, ctx)
    }
  }
  if (next !== null) scan(next, all, ctx)
  else {
    forgetCrashes(state, ctx)
    state.audits = all ? 0 : state.audits + 1
    scanLater(AUDIT_MS, state.audits >= WIDE_AUDIT_EACH, state, ctx)
  }
}
