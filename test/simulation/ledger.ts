/**
 * What everybody outside has seen: acknowledgements, arrivals, answers, cancels, limits. It judges while the run goes on what
 * can be judged then: never early (I3), one arrival per attempt (I2), limits at the network (I6), nothing after a cancel.
 */
import type { FakeAnswer } from '#dispatch/fake.ts'
import type { MemoryDisk } from '#store/memory/memory-disk.ts'
import type { AttemptId, Brand, Domain, WebhookId } from '#webhook/webhook.ts'
import type { VirtualWorld } from '#world/virtual-world.ts'
import { GroupHistory } from './group-history.ts'
import { LimitBook } from './limit-book.ts'

export interface Arrival {
  readonly id: WebhookId
  readonly attempt: number
  readonly domain: Domain
  readonly brand: Brand
  readonly mono: number
  /** Between these the guard gave its permit. */
  readonly admittedMono: readonly [number, number]
  readonly answer: FakeAnswer
  readonly endsMono: number
  /** The whole answer went back. */
  answered: boolean
  endedMono: number | null
}
export interface Violation {
  readonly invariant: string
  readonly what: string
  readonly mono: number
}

/** The mark is asked for within the turn of the permit; the wall clock counts in whole milliseconds. */
const ADMISSION_SLACK_MS = 1
/** After a step of the wall clock nobody outside knows when a mark was asked for. */
const STEP_SLACK_MS = 60_000
const HOLD_MS = 1_000
/** From the acknowledgement of a change of groups until what was on its way to a receiver has arrived. */
const CHANGING_MS = 5

export class Ledger {
  readonly acked = new Map<WebhookId, { readonly at: number; readonly mono: number }>()
  readonly cancelled = new Map<WebhookId, number>()
  readonly cancelAsked = new Set<WebhookId>()
  /** Written perhaps, and its scheduler never heard of it: the audit of a minute finds it (D-2). */
  readonly unsure = new Set<WebhookId>()
  /** How often somebody asked for another instant, or for once more. */
  readonly retimed = new Map<WebhookId, number>()
  readonly arrivals = new Map<AttemptId, Arrival>()
  readonly arrivalsOf = new Map<WebhookId, Arrival[]>()
  readonly open = new Map<AttemptId, Arrival>()
  readonly limits = new LimitBook()
  readonly violations: Violation[] = []
  /** When something happened that may put attempts in doubt. */
  lastDoubtMono = Number.NEGATIVE_INFINITY
  lastStepMono = Number.NEGATIVE_INFINITY
  lastCommitMono = 0
  /** Webhooks whose request has killed or hung a thread. */
  readonly poison = new Set<WebhookId>()
  readonly #marks = new Map<AttemptId, readonly [number, number]>()
  readonly #markedAhead = new Map<AttemptId, { readonly startedAt: number; readonly mono: number }>()
  #steppedBackAt = Number.NEGATIVE_INFINITY
  readonly #zombies = new Set<AttemptId>()
  readonly #wasDue = new Set<string>()
  readonly #world: VirtualWorld
  readonly #disk: MemoryDisk

  /** When something happened to the daemon. */
  readonly troubles: number[] = []
  /** Attempts of which the daemon said that nobody saw their end. */
  readonly doubted = new Set<AttemptId>()
  /** Attempts by domain that never came to their receiver: a guard takes them as failures. */
  readonly unsent = new Map<Domain, number>()
  readonly groups = new GroupHistory()
  /** Refused at the door, or by a store that had no room: nothing of it may be stored. */
  readonly shed = new Set<WebhookId>()

  constructor(world: VirtualWorld, disk: MemoryDisk) {
    this.#world = world
    this.#disk = disk
  }

  /** Attempts under way may be in doubt from now on. */
  doubt(): void {
    this.lastDoubtMono = Math.max(this.lastDoubtMono, this.#world.monoNow())
  }
  /** A thread or a process died, or the receiver did not say. */
  mayDoubt(attemptId: AttemptId): boolean {
    const answer = this.arrivals.get(attemptId)?.answer
    return this.lastDoubtMono > Number.NEGATIVE_INFINITY || answer?.never === true || answer?.error !== undefined
  }
  /** A cancelled webhook may go out again, and one that was told to wait may go at once: a person has said so. */
  retimes(id: WebhookId): void {
    this.retimed.set(id, (this.retimed.get(id) ?? 0) + 1)
    this.cancelled.delete(id)
  }
  fail(invariant: string, what: string): void {
    this.violations.push({ invariant, what, mono: this.#world.monoNow() })
  }

  // -------------------------------------------------------------- what the store and the clock tell

  committed(): void {
    this.lastCommitMono = this.#world.monoNow()
  }
  /** A mark is asked for, perhaps not for the first time. */
  marking(attemptId: AttemptId, startedAt: number): void {
    const now = this.#world.monoNow()
    // One that is not due yet is marked as of its instant; asked for again, it is still the same start.
    if (startedAt > this.#world.wallNow() && this.#markedAhead.get(attemptId)?.startedAt !== startedAt)
      this.#markedAhead.set(attemptId, { startedAt, mono: now })
    const ahead = this.#markedAhead.get(attemptId)
    const mono = ahead?.startedAt === startedAt ? ahead.mono : now - (this.#world.wallNow() - startedAt)
    const stepped = this.lastStepMono > Math.min(mono, now) - STEP_SLACK_MS
    const low = stepped ? now - STEP_SLACK_MS : mono - ADMISSION_SLACK_MS
    this.#marks.set(attemptId, [low, Math.min(now, stepped ? now : mono + ADMISSION_SLACK_MS)])
  }
  /** What is due before the clock steps back may start after it. */
  steps(ms: number): void {
    this.lastStepMono = this.#world.monoNow()
    if (ms >= 0) return
    const now = this.#world.wallNow()
    this.#steppedBackAt = now
    for (const row of this.#disk.byId.values())
      if (row.state === 'live' && row.nextAt <= now) this.#wasDue.add(`${row.id} ${row.nextAt}`)
  }

  // -------------------------------------------------------------- what receivers see

  arrived(arrival: Omit<Arrival, 'admittedMono' | 'answered' | 'mono' | 'endedMono'>): void {
    const { id, attempt } = arrival
    const attemptId = `${id}.${attempt}`
    const mono = this.#world.monoNow()
    const admittedMono = this.#marks.get(attemptId) ?? ([mono - STEP_SLACK_MS, mono] as const)
    const full: Arrival = { ...arrival, mono, admittedMono, answered: false, endedMono: null }
    if (this.arrivals.has(attemptId)) this.fail('I2', `${attemptId} arrives a second time`)
    this.arrivals.set(attemptId, full)
    const others = this.arrivalsOf.get(id)
    if (others === undefined) this.arrivalsOf.set(id, [full])
    else others.push(full)
    this.open.set(attemptId, full)
    this.#judgeArrival(full)
    this.#judgeLimits(full)
    this.#judgePause(full)
    this.#judgeRetryAfter(full)
  }
  /** `of`: an attempt that a power cut made forgotten may be at the receiver a second time. */
  ended(attemptId: AttemptId, answered: boolean, of = this.open.get(attemptId)): void {
    const arrival = this.open.get(attemptId)
    if (arrival === undefined || arrival !== of) return
    arrival.answered = answered
    arrival.endedMono = this.#world.monoNow()
    this.open.delete(attemptId)
  }
  /** The table of holds has gone with its owner: what a dead process left at work is forgotten. */
  holdsLost(): void {
    for (const attemptId of this.#zombies) this.open.delete(attemptId)
    this.#zombies.clear()
  }
  /** The process is dead: its sockets are closed, but receivers may be at work for a while (D-12). */
  processDied(): void {
    // Of what an earlier death left at work nobody knows any more: it is recorded, and the holds were in memory.
    this.holdsLost()
    const until = this.lastCommitMono + HOLD_MS
    for (const [attemptId, arrival] of this.open) {
      const leftMs = Math.min(until, arrival.endsMono) - this.#world.monoNow()
      this.#zombies.add(attemptId)
      if (leftMs <= 0) this.open.delete(attemptId)
      else
        this.#world.setTimer(leftMs - 0.001, () => {
          if (this.open.get(attemptId) === arrival) this.open.delete(attemptId)
        })
    }
  }

  /**
   * A power cut took what was not synced. Attempts whose mark is gone never were, for the daemon: what their receivers saw is the
   * repeat that D-6 allows, and nobody holds a permit for them. Answers how many attempts, and outcomes of others, are forgotten.
   */
  forget(): { readonly attempts: number; readonly outcomes: number } {
    let [attempts, outcomes] = [0, 0]
    for (const [id, arrivals] of this.arrivalsOf) {
      const row = this.#disk.byId.get(id)
      const known = arrivals.filter(({ attempt }) => attempt <= (row?.attempts ?? 0))
      for (const { attempt } of arrivals) {
        if (attempt <= (row?.attempts ?? 0)) continue
        attempts += 1
        this.arrivals.delete(`${id}.${attempt}`)
        this.open.delete(`${id}.${attempt}`)
        this.#zombies.delete(`${id}.${attempt}`)
      }
      const last = known.at(-1)
      if (row?.started != null && last?.attempt === row.attempts && last.answered) outcomes += 1
      this.arrivalsOf.set(id, known)
    }
    return { attempts, outcomes }
  }

  #judgeArrival({ id, attempt, domain }: Arrival): void {
    const row = this.#disk.byId.get(id)
    if (row === undefined) return this.fail('I1', `${id} arrives and is not stored`)
    if (row.state !== 'live') this.fail('I2', `${id}.${attempt} arrives and is ${row.state}`)
    if (this.cancelled.has(id)) this.fail('cancel', `${id}.${attempt} arrives after its cancel was acknowledged`)
    if (row.attempts !== attempt) this.fail('D-3', `${id}.${attempt} arrives, the store has attempt ${row.attempts}`)
    if (row.domain !== domain) this.fail('I11', `${id} arrives at ${domain} instead of ${row.domain}`)
    const early = row.nextAt - this.#world.wallNow()
    // On its way to the disk when the clock stepped back, and due by the clock of that moment.
    const wasWritten = row.createdAt > this.#world.wallNow() && row.nextAt <= this.#steppedBackAt
    if (early > 0 && !wasWritten && !this.#wasDue.has(`${id} ${row.nextAt}`))
      this.fail('I3', `${id}.${attempt} is ${early} ms early`)
  }

  #judgeLimits({ domain, brand }: Arrival): void {
    const { open } = this
    const count = (kind: 'concurrency', of: { domain: Domain | null; brand: Brand | null }): void => {
      let n = 0
      let from = 0
      let to = 0
      for (const one of open.values()) {
        if (of.domain !== null && this.#keyNow(one.domain) !== of.domain) continue
        if (of.brand !== null && one.brand !== of.brand) continue
        n += 1
        from = Math.max(from, one.admittedMono[0])
        to = Math.max(to, one.admittedMono[1])
      }
      const most = this.limits.most({ kind, ...of }, from, to)
      if (n > most) this.fail('I6', `${n} open at ${of.domain ?? 'all'} for ${of.brand ?? 'all'}, allowed ${most}`)
    }
    // What is on its way while hosts change hands is nobody's to judge.
    const key = this.#keyNow(domain)
    if (key !== null) {
      count('concurrency', { domain: key, brand: null })
      count('concurrency', { domain: key, brand })
    }
    count('concurrency', { domain: null, brand })
  }

  #keyNow(domain: Domain): Domain | null {
    const now = this.#world.monoNow()
    return this.groups.keyOf(domain, now - CHANGING_MS, now)
  }

  /** A pause, and a limit of nothing, hold from their acknowledgement on. */
  #judgePause({ domain, brand, admittedMono, id, attempt }: Arrival): void {
    const key = this.groups.keyOf(domain, admittedMono[0], this.#world.monoNow())
    for (const of of [...(key === null ? [] : [{ domain: key, brand: null }]), { domain: null, brand }])
      if (this.limits.most({ kind: 'pause', ...of }, ...admittedMono) === 0)
        this.fail('I6', `${id}.${attempt} starts while ${of.domain ?? of.brand} is paused`)
  }

  /** A webhook that was told when to come again does not come before. The wall clock says when, so no step lies between. */
  #judgeRetryAfter({ id, attempt, mono }: Arrival): void {
    const before = this.arrivals.get(`${id}.${attempt - 1}`)
    const record = this.#disk.byId.get(id)?.history.at(-1)?.attempt
    if (before === undefined || before.endedMono === null || record?.status !== 429 || this.retimed.has(id)) return
    const waitMs = before.answer.retryAfterMs ?? 0
    if (this.lastStepMono < before.mono && mono < before.endedMono + waitMs - 1)
      this.fail('S10', `${id}.${attempt} comes ${mono - before.endedMono} ms after a Retry-After of ${waitMs}`)
  }
}
