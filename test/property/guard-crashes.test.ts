/** Crashes at any step keep every law (D-7, D-10, D-11, D-18): real guards, brand-limiters and limits in virtual time. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { guardOf } from '#actors/guard.ts'
import { GuardStage, rateViolations, type StageOptions } from '#test/support/guard-stage.ts'

const A = 'a.example'
const B = 'b.example'
const VICTIMS = [
  guardOf(A),
  guardOf(B),
  'brand-limiter acme',
  'executor',
  'dispatch-pool',
  'limits',
  'store-keeper',
] as const

interface Case {
  readonly concurrency: number
  readonly brandLimit: number
  readonly inDomain: number
  readonly rate: number
  readonly count: number
  readonly serviceMs: number
  readonly kills: readonly { readonly afterMs: number; readonly who: (typeof VICTIMS)[number] }[]
}
const cases: fc.Arbitrary<Case> = fc.record({
  concurrency: fc.integer({ min: 1, max: 6 }),
  brandLimit: fc.integer({ min: 1, max: 5 }),
  inDomain: fc.integer({ min: 1, max: 5 }),
  rate: fc.integer({ min: 20, max: 200 }),
  count: fc.integer({ min: 5, max: 60 }),
  serviceMs: fc.integer({ min: 5, max: 120 }),
  kills: fc.array(fc.record({ afterMs: fc.nat(90), who: fc.constantFrom(...VICTIMS) }), { maxLength: 12 }),
})

/** What a receiver saw of the run. */
const play = async (one: Case, options: StageOptions = {}): Promise<readonly string[]> => {
  const stage = await new GuardStage({ serviceMs: () => one.serviceMs, markMs: 2, ...options }).raise()
  await stage.limit('concurrency', { domain: A }, one.concurrency)
  await stage.limit('concurrency', { domain: B }, one.concurrency)
  await stage.limit('concurrency', { brand: 'acme' }, one.brandLimit)
  await stage.limit('concurrency', { domain: A, brand: 'bolt' }, one.inDomain)
  await stage.limit('rate', { domain: B }, one.rate)
  for (const domain of [A, B]) for (const brand of ['acme', 'bolt']) stage.due(one.count, domain, brand)
  for (const { afterMs, who } of one.kills) {
    await stage.world.advance(afterMs)
    stage.kill(who)
  }
  await stage.world.advance(60_000)
  const broken: string[] = []
  const over = (key: string, limit: number): void => {
    if ((stage.openMax.get(key) ?? 0) > limit) broken.push(`${key}: ${stage.openMax.get(key)} open, limit ${limit}`)
  }
  over(A, one.concurrency)
  over(B, one.concurrency)
  over('brand acme', one.brandLimit)
  over(`${A} bolt`, one.inDomain)
  const starts = stage.startsOf({ domain: B }).map(({ permit }) => permit.admittedMono)
  if (rateViolations(starts, one.rate) > 0) broken.push(`${B}: rate`)
  if (stage.undone() > 0) broken.push(`${stage.undone()} never done`)
  return broken
}

describe('a crash of any actor at any step', () => {
  it('breaks no limit and loses no webhook', async () => {
    await fc.assert(
      fc.asyncProperty(cases, async (one) => {
        expect(await play(one)).toEqual([])
      }),
      { numRuns: 60 },
    )
  }, 60_000)

  it('nor where an attempt that was refused with an old permit has been admitted anew meanwhile', async () => {
    const base = { concurrency: 1, brandLimit: 1, inDomain: 1, rate: 80, count: 5, serviceMs: 6 }
    const killed = (afterMs: number) => play({ ...base, kills: [{ afterMs, who: guardOf(A) }] })
    for (let afterMs = 60; afterMs < 85; afterMs += 1) expect(await killed(afterMs)).toEqual([])
  })

  it('would, if the pool took permits of an older guard (D-7)', async () => {
    const seen = await fc.check(
      fc.asyncProperty(cases, async (one) => (await play(one, { forgivingPool: true, markMs: 40 })).length === 0),
      { numRuns: 60, seed: 7, endOnFailure: true },
    )
    expect(seen.failed).toBe(true)
  }, 60_000)
})
