/** Random trees, random deaths: a supervisor keeps its specification, never exceeds its intensity unnoticed, and leaves nothing behind. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Behaviour, keep, ok, stop } from '#runtime/behaviour.ts'
import type { ExitReason } from '#runtime/exit.ts'
import { name } from '#runtime/protocol.ts'
import type { Report } from '#runtime/reports.ts'
import { Runtime } from '#runtime/runtime.ts'
import { type ProcessNode, supervisionTree } from '#runtime/supervision-tree.ts'
import { type SupervisorArgs, supervisor, supervisorSpec } from '#runtime/supervisor.ts'
import { type ChildSpec, worker } from '#runtime/supervisor-spec.ts'
import { VirtualWorld } from '#world/virtual-world.ts'

type LeafProtocol = {
  readonly call: never
  readonly cast: { readonly type: 'end'; readonly reason: ExitReason }
  readonly info: { readonly type: 'much later' }
  readonly continue: never
}
const leaf: Behaviour<LeafProtocol, { readonly trapping: boolean; readonly slow: boolean }, null> = {
  name: 'leaf',
  version: 1,
  async init({ trapping, slow }, ctx) {
    ctx.trapExit(trapping)
    ctx.own(() => {})
    if (slow) await Promise.resolve()
    ctx.sendAfter(3_600_000, { type: 'much later' })
    return ok(null)
  },
  cast: { end: ({ reason }, state) => stop(reason, state) },
  info: () => keep,
}

interface LeafPlan {
  readonly kind: 'leaf'
  readonly restart: ChildSpec['restart']
  readonly trapping: boolean
  readonly slow: boolean
}
interface TreePlan {
  readonly kind: 'tree'
  readonly strategy: 'one_for_one' | 'one_for_all' | 'rest_for_one'
  readonly intensity: number
  readonly restart: ChildSpec['restart']
  readonly children: readonly Plan[]
}
type Plan = LeafPlan | TreePlan

const restart = fc.constantFrom<ChildSpec['restart'][]>('permanent', 'transient', 'temporary')
const leafPlan = fc.record({ kind: fc.constant('leaf' as const), restart, trapping: fc.boolean(), slow: fc.boolean() })
const treeOf = (children: fc.Arbitrary<Plan>) =>
  fc.record({
    kind: fc.constant('tree' as const),
    strategy: fc.constantFrom('one_for_one' as const, 'one_for_all' as const, 'rest_for_one' as const),
    intensity: fc.integer({ min: 0, max: 3 }),
    restart,
    children: fc.array(children, { minLength: 1, maxLength: 4 }),
  })
const tree = treeOf(fc.oneof({ weight: 3, arbitrary: leafPlan }, { weight: 1, arbitrary: treeOf(leafPlan) }))

type Deed =
  | { readonly do: 'kill' | 'crash' | 'normal' | 'shutdown'; readonly which: number }
  | { readonly do: 'wait'; readonly ms: number }
const deed: fc.Arbitrary<Deed> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constantFrom('kill' as const, 'crash' as const, 'normal' as const, 'shutdown' as const),
      which: fc.nat(30),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.nat(6_000) }) },
)

const PERIOD_MS = 5_000
const argsOf = (plan: TreePlan, path: string): SupervisorArgs => ({
  flags: { strategy: plan.strategy, intensity: plan.intensity, periodMs: PERIOD_MS },
  children: plan.children.map((child, index) => specOf(child, `${path}.${index}`)),
})
const specOf = (plan: Plan, path: string): ChildSpec =>
  plan.kind === 'leaf'
    ? worker(leaf, plan, { name: path, restart: plan.restart })
    : supervisorSpec({ ...argsOf(plan, path), name: name(path), restart: plan.restart })

const flat = (node: ProcessNode): ProcessNode[] => [node, ...node.children.flatMap(flat)]
const REASONS: Readonly<Record<'crash' | 'normal' | 'shutdown', ExitReason>> = {
  crash: { type: 'term', term: 'crash' },
  normal: 'normal',
  shutdown: 'shutdown',
}

class Run {
  readonly world: VirtualWorld
  readonly runtime: Runtime
  readonly restarts: { readonly supervisor: string; readonly at: number }[] = []
  private readonly plan: TreePlan
  private readonly intensities = new Map<string, number>()

  constructor(plan: TreePlan, seed: number) {
    this.plan = plan
    this.note(plan, 'root')
    this.world = new VirtualWorld({ seed })
    const report = (told: Report): void => {
      if (told.type === 'process-restarted') {
        this.restarts.push({ supervisor: this.incarnation(told.supervisor), at: this.world.monoNow() })
      }
    }
    this.runtime = new Runtime(this.world, { safeMessages: true, permute: true, report })
  }
  private note(plan: TreePlan, path: string): void {
    this.intensities.set(path, plan.intensity)
    plan.children.forEach((child, index) => {
      if (child.kind === 'tree') this.note(child, `${path}.${index}`)
    })
  }
  /** A restarted supervisor starts with an empty window. */
  private incarnation(supervisorName: string): string {
    return `${supervisorName} ${this.runtime.whereis(supervisorName)}`
  }
  async start(): Promise<void> {
    await this.runtime.start(supervisor, argsOf(this.plan, 'root'), { name: 'root' })
  }
  get tree(): ProcessNode | null {
    return supervisionTree(this.runtime, 'root')
  }
  async do(deed: Deed): Promise<void> {
    if (deed.do === 'wait') return this.world.advance(deed.ms)
    const targets =
      this.tree === null ? [] : flat(this.tree).filter(({ kind, pid }) => kind === 'worker' && pid !== null)
    const target = targets[deed.which % Math.max(1, targets.length)]
    if (target === undefined) return
    if (deed.do === 'kill') this.runtime.exit(target.name, 'kill')
    else this.runtime.cast(target.name, { type: 'end', reason: REASONS[deed.do] })
    await this.world.settle()
  }
  /** What must hold whenever nothing is left to do. */
  check(): void {
    const { tree } = this
    const alive = new Set(this.runtime.processes().map(({ id }) => id))
    const reachable = new Set((tree === null ? [] : flat(tree)).flatMap(({ pid }) => (pid === null ? [] : [pid])))
    expect(alive).toEqual(reachable)
    if (tree !== null) this.checkSpecification(tree, this.plan)
    for (const { supervisor: who, at } of this.restarts) {
      const within = this.restarts.filter(
        (other) => other.supervisor === who && other.at > at - PERIOD_MS && other.at <= at,
      )
      expect(within.length).toBeLessThanOrEqual(this.intensities.get(who.split(' ')[0] ?? '') ?? 0)
    }
  }
  private checkSpecification(node: ProcessNode, plan: TreePlan): void {
    plan.children.forEach((child, index) => {
      const found = node.children.find((candidate) => candidate.name === `${node.name}.${index}`)
      if (child.restart === 'permanent') expect(found?.pid).not.toBeNull()
      if (child.restart === 'transient') expect(found).toBeDefined()
      if (child.kind === 'tree' && found !== undefined && found.pid !== null) this.checkSpecification(found, child)
    })
    const order = node.children.map((child) => child.name)
    expect(order).toEqual([...order].sort())
  }
}
const empty = { processes: 0, names: 0, timers: 0, wheel: 0, tables: 0 }
const counts = ({ kernel }: Runtime) => ({
  processes: kernel.processes.size,
  names: kernel.names.size,
  timers: kernel.timers.size,
  wheel: kernel.wheel.size,
  tables: kernel.tables.size,
})

describe('random trees, random deaths', () => {
  it('the tree is what its specification says, nobody is an orphan, and nothing is left at the end', async () => {
    await fc.assert(
      fc.asyncProperty(tree, fc.array(deed, { maxLength: 12 }), fc.nat(1_000), async (plan, deeds, seed) => {
        const run = new Run(plan, seed)
        await run.start()
        run.check()
        for (const step of deeds) {
          await run.do(step)
          run.check()
        }
        await Promise.all([run.runtime.stop('root', 'shutdown'), run.world.advance(60_000)])
        expect(counts(run.runtime)).toEqual(empty)
      }),
      { numRuns: 150 },
    )
  })
})
