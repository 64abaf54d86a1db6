/** A black box that finds nothing must be one that can find: each broken promise is told, and only that one. */
import { describe, expect, it } from 'vitest'
import { type Blow, type Try, tellDoubts } from '#test/chaos/doubts.ts'
import { wrongEnd } from '#test/chaos/ends.ts'
import { judge } from '#test/chaos/judging.ts'
import { newBooks } from '#test/chaos/offering.ts'
import { FAULTS, planOf } from '#test/chaos/plan.ts'
import { densestSecond, type Life } from '#test/chaos/watch.ts'

const [DELIVERED, CANCELLED] = [3, 5]
const AT = 1_000

const STILL = 'a receiver got nothing for 30001 ms after the last fault (I9)'

interface Case {
  readonly arrivals?: readonly (readonly [id: string, number: number, at: number])[]
  readonly state?: number | null
  readonly attempts?: number
  readonly doubts?: number
  readonly stored?: readonly string[]
  readonly cancelledAt?: number
  readonly resigned?: number
  /** What the receivers answered, in order of arrival; 0: cut off before. */
  readonly answered?: readonly number[]
  /** What the store says: of the last attempt, and of all of them. */
  readonly status?: number | null
  readonly answers?: number
  readonly healedAt?: number
  readonly blows?: readonly Blow[]
}
/** One webhook, `a`, number 1, acknowledged for AT. */
const findingsOf = (one: Case): readonly string[] => {
  const { state = DELIVERED, attempts = 1, doubts = 0, stored = ['a'], arrivals = [['a', 1, AT]] } = one
  const { answered = arrivals.map(() => 200), answers = attempts - doubts } = one
  const { status = state === DELIVERED ? 200 : null } = one
  const books = newBooks()
  books.acked.set('a', { number: 1, id: 'a', at: AT })
  if (one.cancelledAt !== undefined) books.cancelled.set('a', one.cancelledAt)
  if (one.resigned !== undefined) books.resigned.add(one.resigned)
  const received = {
    ids: arrivals.map(([id]) => id),
    urls: arrivals.map(([, number]) => `/chaos/${number}`),
    ports: arrivals.map(() => 0),
    at: Float64Array.from(arrivals.map(([, , at]) => at)),
    statuses: Uint16Array.from(answered),
  }
  const rows = stored.map((id) => {
    const tries = Array.from({ length: attempts }, (_, index) => ({
      startedAt: AT + 5 * index,
      inDoubt: index < doubts,
    }))
    return { id, state, attempts, doubts, answers: id === 'a' ? answers : 0, status, tries: id === 'a' ? tries : [] }
  })
  return judge(books, rows, [received], { healedAt: one.healedAt ?? AT, blows: one.blows ?? [] }).findings.map((text) =>
    text.replace(/: \d.*$/, ''),
  )
}

describe('the oracle of the black box', () => {
  it('finds nothing where an attempt in doubt was repeated', () => {
    const twice = [
      ['a', 1, AT],
      ['a', 1, AT + 5],
    ] as const
    expect(findingsOf({ arrivals: twice, attempts: 2, doubts: 1 })).toEqual([])
    expect(findingsOf({ arrivals: twice, attempts: 2, doubts: 1, answered: [0, 200] })).toEqual([])
  })

  it('counts stillness from the last fault, the arrival before, or the due instant, whatever came last', () => {
    const at = AT + 30_000
    expect(findingsOf({ arrivals: [['a', 1, at]] })).toEqual([])
    expect(findingsOf({ arrivals: [['a', 1, at + 1]], healedAt: AT + 1 })).toEqual([])
    const between = [
      ['a', 1, AT + 20_000],
      ['a', 1, AT + 45_000],
    ] as const
    const blows = [{ what: 'end of the process', from: AT, to: AT }] as const
    expect(findingsOf({ arrivals: between, attempts: 2, doubts: 1, blows })).toEqual([])
    expect(findingsOf({ arrivals: [['a', 1, at + 1]], healedAt: 0 })).toEqual([STILL])
  })

  it('counts the lines of the worst second of a log', () => {
    const line = (time: string): string => `{"level":"warn","time":"2026-01-01T00:00:${time}Z","msg":"x"}\n`
    expect(densestSecond(line('01.000') + line('01.999') + line('02.000'))).toBe(2)
    expect(densestSecond('')).toBe(0)
  })

  it.each<[string, Case, readonly string[]]>([
    ['standing still for more than 30 s after the last fault', { arrivals: [['a', 1, AT + 30_001]] }, [STILL]],
    ['lost', { arrivals: [], answers: 0 }, ['lost (I1)']],
    ['never finished', { state: null }, ['acknowledged and neither delivered nor cancelled (I11)']],
    ['early by a fraction of a millisecond', { arrivals: [['a', 1, AT - 0.5]] }, ['early (I3)']],
    ['of nobody', { stored: ['a', 'b'] }, ['stored and acknowledged to nobody (I11)']],
    [
      'sent under another id',
      {
        arrivals: [
          ['a', 1, AT],
          ['b', 1, AT],
        ],
      },
      ['arrived and acknowledged to nobody'],
    ],
    [
      'sent once too often',
      {
        arrivals: [
          ['a', 1, AT],
          ['a', 1, AT],
        ],
      },
      ['arrived more often than it was tried (I2)'],
    ],
    ['cancelled and sent', { state: CANCELLED, cancelledAt: AT - 1 }, ['cancelled, and arrived after that']],
    ['cancelled and delivered', { cancelledAt: AT + 1 }, ['cancelled by the answer, not by the store']],
    [
      'delivered by an attempt in doubt that was cut off',
      { doubts: 1, status: null, answered: [0] },
      [
        'recorded as delivered, and no receiver answered it with a 2xx (I11)',
        'recorded as delivered by an attempt without a 2xx (I11)',
      ],
    ],
    [
      'delivered by an attempt in doubt that was answered',
      { doubts: 1, status: null },
      ['recorded as delivered by an attempt without a 2xx (I11)'],
    ],
    [
      'delivered by a failure',
      { answered: [500] },
      ['recorded as delivered, and no receiver answered it with a 2xx (I11)'],
    ],
    [
      'delivered by an attempt that was cut off, as if it had been answered',
      {
        arrivals: [
          ['a', 1, AT],
          ['a', 1, AT],
        ],
        attempts: 2,
        answered: [0, 200],
      },
      ['recorded as answered more often than it was (I11)'],
    ],
    [
      'in doubt, did not arrive, and met nothing',
      { attempts: 2, doubts: 1, arrivals: [['a', 1, AT + 5]], answered: [200], answers: 1 },
      ['in doubt, never arrived, and nothing had happened (S6)'],
    ],
    [
      'refused and sent',
      {
        arrivals: [
          ['a', 1, AT],
          ['b', 2, AT],
        ],
        resigned: 2,
      },
      ['arrived although the daemon had said that nothing was done'],
    ],
  ])('tells of a webhook that is %s', (_what, one, found) => {
    expect(findingsOf(one)).toEqual(found)
  })
})

describe('an attempt in doubt', () => {
  const doubted: Try = { startedAt: AT, inDoubt: true }
  const answered: Try = { startedAt: AT + 500, inDoubt: false }
  const told = (arrivals: readonly number[], ...blows: Blow[]) =>
    tellDoubts(new Map([['a', [doubted, answered]]]), new Map([['a', arrivals]]), blows)
  const kill: Blow = { what: 'end of the process', from: AT + 300, to: AT + 300 }

  it('has arrived where a receiver saw it before the next one began, whatever ended it', () => {
    expect(told([AT + 0.4, AT + 501], kill)).toEqual({ arrived: 1, unsent: {}, unexplained: [] })
    expect(told([AT - 0.6, AT + 501])).toEqual({ arrived: 1, unsent: {}, unexplained: [] })
  })
  it('was never sent where a fault came between its mark and the next one', () => {
    expect(told([AT + 501], kill)).toEqual({ arrived: 0, unsent: { 'end of the process': 1 }, unexplained: [] })
    const before: Blow = { what: 'actor', from: AT - 5_000, to: AT - 4_000 }
    expect(told([AT + 501], before)).toEqual({ arrived: 0, unsent: { actor: 1 }, unexplained: [] })
    expect(told([AT + 501], before, kill).unsent).toEqual({ 'end of the process': 1 })
  })
  it('is explained neither by a death before or after it, nor by a daemon that stood still, nor by a disk that was slow', () => {
    const blows: Blow[] = [
      { ...kill, from: AT - 12, to: AT - 12 },
      { ...kill, from: AT + 501, to: AT + 501 },
      { what: 'actor', from: AT - 7_000, to: AT - 5_012 },
      { what: 'stop', from: AT, to: AT + 400 },
      { what: 'slow', from: AT, to: AT + 400 },
    ]
    expect(told([AT + 501], ...blows)).toEqual({ arrived: 0, unsent: {}, unexplained: [['a', AT]] })
  })
})

const life = (change: Partial<Life>): Life => ({
  asked: [],
  met: new Set(),
  ended: { code: 70, signal: null },
  endedAt: AT,
  wasReady: true,
  linesMax: 0,
  said: "the store's disk failed 3 times within 10 min",
  ...change,
})
describe('an end of the daemon', () => {
  it.each<[string, Life]>([
    ['killed', life({ asked: ['SIGKILL'], ended: { code: null, signal: 'SIGKILL' } })],
    [
      'killed, and asked to stop when it was dying',
      life({ asked: ['SIGKILL', 'SIGTERM'], ended: { code: null, signal: 'SIGKILL' } }),
    ],
    ['stopped in order', life({ asked: ['SIGTERM'], ended: { code: 0, signal: null } })],
    ['given up on a disk that fails', life({ met: new Set(['failing']) })],
    [
      'refused to start on a full disk',
      life({ met: new Set(['full']), wasReady: false, ended: { code: 1, signal: null } }),
    ],
  ])('is in order: %s', (_what, one) => {
    expect(wrongEnd(one)).toBeNull()
  })
  it.each<[string, Life]>([
    ['70 on a disk that was only full', life({ met: new Set(['full', 'slow']) })],
    ['70 for another reason', life({ met: new Set(['failing']), said: 'a bug' })],
    ['killed by nobody here', life({ ended: { code: null, signal: 'SIGKILL' } })],
    ['a crash of the engine', life({ asked: ['SIGTERM'], ended: { code: null, signal: 'SIGSEGV' } })],
    ['1 although it was ready', life({ met: new Set(['full']), ended: { code: 1, signal: null } })],
  ])('is a finding: %s', (_what, one) => {
    expect(wrongEnd(one)).toContain('an end of its own')
  })
})

it('one seed is one plan, another seed another one, and ten minutes hold every fault', () => {
  expect(planOf(7, 600_000, FAULTS)).toEqual(planOf(7, 600_000, FAULTS))
  expect(planOf(7, 600_000, FAULTS)).not.toEqual(planOf(8, 600_000, FAULTS))
  const { ofProcess, ofDisk } = planOf(7, 600_000, FAULTS)
  expect(new Set([...ofProcess, ...ofDisk].map(({ fault }) => fault.type))).toEqual(new Set(FAULTS))
})
