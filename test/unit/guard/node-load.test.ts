import { describe, expect, it } from 'vitest'
import { ATTEMPTS_IN_FLIGHT_MAX, QUICK_DOMAINS_MAX } from '#config/limits.ts'
import { forgetPaces, keepPace, NO_LOAD, nodeAgainMs, nodeRoom, type Pace, reportLoad } from '#guard/node-load.ts'
import { NODE_SUM, type NodeLoad } from '#guard/tables.ts'

const SLOW = 0.75 * ATTEMPTS_IN_FLIGHT_MAX
const UNPROVEN = 0.875 * ATTEMPTS_IN_FLIGHT_MAX

describe('the node’s capacity', () => {
  const loads = new Map<string, NodeLoad>()
  const say = (domain: string, inFlight: number, pace: Pace, isBlocked = false): NodeLoad =>
    reportLoad(loads, domain, { inFlight, pace, isBlocked })

  it('is the quick domains’ to the last slot; slow ones have three quarters, unknown ones and slow ones seven eighths', () => {
    const empty = say('nobody', 0, 'unknown')
    expect((['quick', 'unknown', 'slow'] as const).map((pace) => nodeRoom(empty, pace))).toEqual([
      ATTEMPTS_IN_FLIGHT_MAX,
      UNPROVEN,
      SLOW,
    ])
    say('slow.example', 3_000, 'slow')
    const sum = say('new.example', 500, 'unknown')
    expect(nodeRoom(sum, 'slow')).toBe(SLOW - 3_000)
    expect(nodeRoom(sum, 'unknown')).toBe(UNPROVEN - 3_500)
    expect(nodeRoom(sum, 'quick')).toBe(ATTEMPTS_IN_FLIGHT_MAX - 3_500)
    const full = say('quick.example', ATTEMPTS_IN_FLIGHT_MAX - 3_500, 'quick')
    expect((['quick', 'unknown', 'slow'] as const).map((pace) => nodeRoom(full, pace))).toEqual([0, 0, 0])
    loads.clear()
  })

  it('follows what each guard says, and forgets those who have nothing and wait for nothing', () => {
    say('a.example', 4, 'unknown')
    say('a.example', 3, 'slow')
    say('b.example', 0, 'unknown', true)
    expect(say('c.example', 2, 'quick')).toEqual({ inFlight: 5, slow: 3, unknown: 0, blocked: 1 })
    for (const domain of ['a.example', 'b.example', 'c.example']) reportLoad(loads, domain, NO_LOAD)
    expect([...loads]).toEqual([[NODE_SUM, { inFlight: 0, slow: 0, unknown: 0, blocked: 0 }]])
  })

  it('is looked at every 20 ms, and by thousands together no more often than by 64', () => {
    const none = { inFlight: 0, slow: 0, unknown: 0 }
    expect([0, 1, 64, 640].map((blocked) => nodeAgainMs({ ...none, blocked }))).toEqual([20, 20, 20, 200])
  })
})

describe('what is remembered of a domain’s pace', () => {
  it('is bounded, the one whose guard ended first goes first, and a slow end takes it back', () => {
    const quick = new Map<string, number>()
    for (let n = 0; n < QUICK_DOMAINS_MAX; n += 1) keepPace(quick, `d${n}`, true, n)
    keepPace(quick, 'd0', true, QUICK_DOMAINS_MAX)
    keepPace(quick, 'new', true, QUICK_DOMAINS_MAX + 1)
    expect(quick.size).toBe(QUICK_DOMAINS_MAX)
    expect(['d0', 'd1', 'd2', 'new'].map((domain) => quick.has(domain))).toEqual([true, false, true, true])
    keepPace(quick, 'd2', null, 0)
    expect(quick.has('d2')).toBe(true)
    keepPace(quick, 'd2', false, 0)
    expect(quick.has('d2')).toBe(false)
    forgetPaces(quick, QUICK_DOMAINS_MAX + 1)
    expect([...quick.keys()]).toEqual(['new'])
  })
})
