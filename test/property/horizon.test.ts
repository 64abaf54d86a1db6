import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  admitRow,
  type CutLane,
  createHorizon,
  handOver,
  isBefore,
  laneText,
  mergeLane,
  mergePage,
  type PageWish,
  sizeOf,
  takeBack,
  takeDue,
  wishLanes,
  wishPage,
} from '#schedule/horizon.ts'
import { type Due, type Edge, type LaneKey, laneOf } from '#webhook/webhook.ts'

const AHEAD_MS = 100
const WINDOW = 2
const ENTRIES_MAX = 6
const PAGE = 3

const END = Number.MAX_SAFE_INTEGER

/** A store of live rows, a guard that reads handed lanes, and reads that are answered when the test says so. */
class Model {
  now = 1_000
  readonly rows: Due[] = []
  readonly told = new Set<string>()
  readonly horizon = createHorizon(this.now, ENTRIES_MAX, WINDOW)
  page: { readonly wish: PageWish; readonly rows: readonly Due[]; readonly edge: Edge } | null = null
  lanes: { readonly lane: LaneKey; readonly rows: readonly Due[]; readonly more: boolean }[] = []
  readonly handed: LaneKey[] = []
  /** Committed, and the answer not yet with the scheduler. */
  unacknowledged: Due[] = []
  early = 0

  append(inMs: number, domain: string): void {
    const due: Due = {
      id: `w${this.rows.length}`,
      seq: this.rows.length + 1,
      nextAt: this.now + inMs,
      brand: 'default',
      domain,
      priority: 'normal',
      attempts: 0,
      timeoutMs: 1_000,
      expiresAt: null,
    }
    this.rows.push(due)
    this.unacknowledged.push(due)
  }
  acknowledge(): void {
    const due = this.unacknowledged.shift()
    if (due !== undefined && !this.told.has(due.id)) admitRow(this.horizon, due, this.now)
  }

  private live(after: Edge, until: number): Due[] {
    return this.rows
      .filter((due) => !this.told.has(due.id) && isBefore(after, due) && due.nextAt <= until)
      .sort((a, b) => (isBefore(a, b) ? -1 : 1))
  }

  tick(): void {
    for (const due of takeDue(this.horizon, this.now)) {
      if (due.nextAt > this.now) this.early++
      this.told.add(due.id)
    }
    this.handed.push(...handOver(this.horizon, this.now))
    for (const lane of wishLanes(this.horizon, this.now)) this.requestLane(lane)
    const wish = wishPage(this.horizon, this.now, AHEAD_MS)
    if (wish === null) return
    const except = new Set(wish.except.map(laneText))
    const rows = this.live(wish.after, wish.until).filter((due) => !except.has(laneText(laneOf(due))))
    const page = rows.slice(0, PAGE)
    const last = page[page.length - 1]
    const edge =
      rows.length > PAGE && last !== undefined
        ? { nextAt: last.nextAt, seq: last.seq }
        : { nextAt: wish.until, seq: END }
    this.page = { wish, rows: page, edge }
  }

  private requestLane({ lane, cut, reading }: CutLane): void {
    const rows = this.live(cut, reading?.until.nextAt ?? 0).filter((due) => laneText(laneOf(due)) === laneText(lane))
    this.lanes.push({ lane, rows: rows.slice(0, WINDOW), more: rows.length > WINDOW })
  }

  answerPage(): void {
    if (this.page === null) return
    mergePage(this.horizon, this.page.rows, this.page.edge, this.now)
    this.page = null
  }
  answerLane(): void {
    const answer = this.lanes.shift()
    if (answer !== undefined) mergeLane(this.horizon, answer.lane, answer.rows, answer.more)
  }
  /** The guard reads everything that is due of a lane that was handed over, and says so. */
  catchUp(): void {
    const lane = this.handed.shift()
    if (lane === undefined) return
    for (const due of this.rows)
      if (due.nextAt <= this.now && laneText(laneOf(due)) === laneText(lane)) this.told.add(due.id)
    const cutLane = takeBack(this.horizon, lane, this.now)
    if (cutLane !== null) this.requestLane(cutLane)
  }
  settle(): void {
    for (let i = 0; i < 200; i++) {
      this.acknowledge()
      this.tick()
      this.answerPage()
      this.answerLane()
      this.catchUp()
    }
  }
}

type Step =
  | readonly ['append', number, string]
  | readonly ['advance', number]
  | readonly ['tick' | 'page' | 'lane' | 'catch-up' | 'ack']
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.tuple(
      fc.constant('append' as const),
      fc.integer({ min: 0, max: 120 }),
      fc.constantFrom('a.test', 'a.test', 'b.test', 'c.test', 'd.test', 'e.test'),
    ),
  },
  { weight: 2, arbitrary: fc.tuple(fc.constant('advance' as const), fc.integer({ min: 1, max: 25 })) },
  {
    weight: 12,
    arbitrary: fc.tuple(
      fc.constantFrom(
        'tick' as const,
        'ack' as const,
        'ack' as const,
        'ack' as const,
        'page' as const,
        'lane' as const,
        'catch-up' as const,
      ),
    ),
  },
)
const play = (model: Model, steps: readonly Step[]): void => {
  for (const one of steps) {
    if (one[0] === 'append') model.append(one[1], one[2])
    else if (one[0] === 'advance') model.now += one[1]
    else if (one[0] === 'tick') model.tick()
    else if (one[0] === 'page') model.answerPage()
    else if (one[0] === 'lane') model.answerLane()
    else if (one[0] === 'ack') model.acknowledge()
    else model.catchUp()
  }
}

describe('horizon', () => {
  it('tells every row once it is due, never early, however reads and appends are interleaved (D-5, D-15)', () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 60, maxLength: 120 }), (steps) => {
        const model = new Model()
        play(model, steps)
        model.settle()
        model.now += 300
        model.settle()
        expect(model.rows.filter((due) => !model.told.has(due.id)).map((due) => due.id)).toEqual([])
        expect(model.early).toBe(0)
      }),
      { numRuns: 4_000 },
    )
  })

  it('tells a row in the tick after its instant, when reads have been answered in time', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: 0, max: 90 }), fc.constantFrom('a.test', 'b.test')), { maxLength: 20 }),
        (appends) => {
          const model = new Model()
          model.settle()
          for (const [inMs, domain] of appends) model.append(inMs, domain)
          for (let ms = 0; ms < 200; ms++) {
            model.now++
            model.settle()
            const late = model.rows.filter((due) => due.nextAt <= model.now && !model.told.has(due.id))
            expect(late).toEqual([])
          }
        },
      ),
      { numRuns: 30 },
    )
  })

  it('never holds more than its bound', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 150 }), (steps) => {
        const model = new Model()
        for (const one of steps) {
          play(model, [one])
          expect(sizeOf(model.horizon)).toBeLessThanOrEqual(ENTRIES_MAX)
        }
      }),
    )
  })
})
