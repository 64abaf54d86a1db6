import fc from 'fast-check'
import { expect, it } from 'vitest'
import { dispatchPool, type Registered } from '#actors/dispatch-pool.ts'
import { guardOf } from '#actors/guard.ts'
import { DOMAIN, PoolStage } from '#test/support/pool-stage.ts'

type Step =
  | {
      readonly type: 'dispatch'
      readonly latencyMs: number
      readonly fate: 'answers' | 'kills' | 'hangs' | 'never'
      readonly stale: boolean
    }
  | { readonly type: 'wait'; readonly ms: number }
  | { readonly type: 'guard-dies' | 'thread-dies' | 'pool-dies' | 'execution-dies' }

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      type: fc.constant('dispatch' as const),
      latencyMs: fc.integer({ min: 0, max: 200 }),
      fate: fc.constantFrom(
        'answers' as const,
        'answers' as const,
        'answers' as const,
        'kills' as const,
        'hangs' as const,
        'never' as const,
      ),
      stale: fc.boolean(),
    }),
  },
  { weight: 3, arbitrary: fc.record({ type: fc.constant('wait' as const), ms: fc.integer({ min: 0, max: 300 }) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constantFrom(
        'guard-dies' as const,
        'thread-dies' as const,
        'pool-dies' as const,
        'execution-dies' as const,
      ),
    }),
  },
)

/** What guards know: attempts that they admitted and whose permits have not come back. */
class Books {
  readonly stage = new PoolStage()
  readonly permits = new Set<string>()
  readonly ends = new Map<string, string[]>()
  readonly dispatched: string[] = []
  readonly dead = new Set<string>()
  readonly violations: string[] = []
  registered: Registered | null = null
  last: Registered | null = null

  constructor() {
    this.stage.onHeard = ({ by, type, attemptId, report }) => {
      const id = attemptId ?? (report as { attemptId: string }).attemptId
      if (by === guardOf(DOMAIN)) this.permits.delete(id)
      else this.ends.set(id, [...(this.ends.get(id) ?? []), `${by.split(' ')[0]} ${type}`])
      // Thrown here it would only crash the ear.
      const open = this.stage.network.open(DOMAIN)
      if (open > this.permits.size) this.violations.push(`${open} open, ${this.permits.size} permits out`)
    }
  }
  async open(): Promise<this> {
    await this.stage.open({ carriers: 2, capacity: 3 })
    await this.register()
    return this
  }
  /** A new guard believes what the pool tells it, and forgets the rest. */
  async register(): Promise<void> {
    this.last = this.registered
    this.registered = await this.stage.guard()
    this.permits.clear()
    for (const { attemptId } of this.registered.inFlight) this.permits.add(attemptId)
  }

  async run(step: Step): Promise<void> {
    const { stage } = this
    switch (step.type) {
      case 'dispatch':
        return this.dispatch(step)
      case 'wait':
        return stage.world.advance(step.ms)
      case 'guard-dies':
        await stage.kill(guardOf(DOMAIN))
        return this.register()
      case 'thread-dies':
        stage.network.killCarrier()
        return stage.world.settle()
      case 'execution-dies':
        return this.killExecution()
      case 'pool-dies': {
        stage.runtime.exit(dispatchPool, 'kill')
        await stage.world.advance(20)
        expect(stage.network.open(), 'D-9').toBe(0)
        await stage.startPool({ carriers: 2, capacity: 3 })
        for (const id of this.dispatched) if (!this.ends.has(id)) this.ends.set(id, ['pool died'])
        await stage.kill(guardOf(DOMAIN))
        return this.register()
      }
      default:
        return step satisfies never
    }
  }

  private async dispatch(step: Extract<Step, { type: 'dispatch' }>): Promise<void> {
    const webhookId = `w${this.dispatched.length}`
    const registered = step.stale && this.last !== null ? this.last : this.registered
    if (registered === null) return expect.fail()
    const { fate, latencyMs } = step
    this.stage.answers.set(webhookId, {
      latencyMs,
      killsCarrier: fate === 'kills',
      hangsCarrier: fate === 'hangs',
      never: fate === 'never',
    })
    this.dispatched.push(`${webhookId}.1`)
    // A permit of an older guard is nothing that the present one has given.
    if (registered === this.registered) this.permits.add(`${webhookId}.1`)
    await this.stage.dispatch(webhookId, this.stage.permit(webhookId, registered.incarnation), 500)
  }

  private async killExecution(): Promise<void> {
    const attemptId = this.dispatched.find((id) => !this.ends.has(id) && !this.dead.has(id))
    if (attemptId === undefined) return
    this.dead.add(attemptId)
    const webhookId = attemptId.slice(0, -2)
    await this.stage.kill(`execution ${webhookId}`)
    this.stage.runtime.cast(dispatchPool, {
      type: 'execution-died',
      attemptId,
      permit: this.stage.permit(webhookId, 0),
    })
    return this.stage.world.settle()
  }
}

it('every attempt has exactly one end, and its permit comes back only when nothing of it is open, whoever dies when', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 40 }), async (steps) => {
      const books = await new Books().open()
      for (const one of steps) await books.run(one)
      await books.stage.world.advance(60_000)
      expect(books.violations).toEqual([])
      expect(books.stage.network.open()).toBe(0)
      expect([...books.permits], 'permits that never came back').toEqual([])
      expect(await books.stage.runtime.call(dispatchPool, { type: 'in-flight' })).toEqual([])
      for (const id of books.dispatched) {
        const ends = books.ends.get(id) ?? []
        expect(ends, `${id}: ${ends.join(', ')}`).toHaveLength(1)
        if (ends[0] !== 'pool died') expect(ends[0]?.startsWith('executor'), id).toBe(books.dead.has(id))
      }
    }),
    { numRuns: 150 },
  )
}, 60_000)
