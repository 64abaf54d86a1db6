import { describe, expect, it } from 'vitest'
import { type Behaviour, ok, reply } from '#runtime/behaviour.ts'
import {
  type DynamicSupervisorProtocol,
  dynamicSupervisorSpec,
  startChild,
  startChildren,
} from '#runtime/dynamic-supervisor.ts'
import { type Call, type Name, name } from '#runtime/protocol.ts'
import type { Report } from '#runtime/reports.ts'
import { Runtime } from '#runtime/runtime.ts'
import { supervisionTree } from '#runtime/supervision-tree.ts'
import { type SupervisorProtocol, supervisor, supervisorSpec } from '#runtime/supervisor.ts'
import { worker } from '#runtime/supervisor-spec.ts'
import { VirtualWorld } from '#world/virtual-world.ts'

type WorkerProtocol = {
  readonly call: Call<{ readonly type: 'ping' }, string>
  readonly cast: { readonly type: 'crash' }
  readonly info: never
  readonly continue: never
}
const log: string[] = []
const actor: Behaviour<WorkerProtocol, string, { readonly id: string }> = {
  name: 'w',
  version: 1,
  init(id, ctx) {
    ctx.trapExit(true)
    log.push(`start ${id}`)
    return ok({ id })
  },
  call: { ping: (_request, _from, state) => reply(state.id, state) },
  cast: {
    crash: () => {
      throw new Error('boom')
    },
  },
  terminate(reason, state) {
    log.push(`stop ${state.id} ${typeof reason === 'string' ? reason : reason.type}`)
  },
}
const flags = { strategy: 'one_for_one', intensity: 2, periodMs: 10_000 } as const
const nameOf = (id: string): Name<WorkerProtocol> => name(id)
const root: Name<SupervisorProtocol> = name('root')
const pool: Name<DynamicSupervisorProtocol> = name('pool')

const setUp = () => {
  log.length = 0
  const world = new VirtualWorld()
  const reports: Report[] = []
  const runtime = new Runtime(world, { safeMessages: true, report: (report) => reports.push(report) })
  return { world, runtime, reports }
}

describe('a supervisor', () => {
  it('starts in order, restarts what crashes, stops in reverse', async () => {
    const { world, runtime } = setUp()
    const children = ['a', 'b', 'c'].map((id) => worker(actor, id, { name: id }))
    await runtime.start(supervisor, { flags, children }, { name: root })
    expect(log).toEqual(['start a', 'start b', 'start c'])
    const before = runtime.whereis('b')
    runtime.cast(nameOf('b'), { type: 'crash' })
    await world.settle()
    expect(log.slice(3)).toEqual(['stop b error', 'start b'])
    expect(runtime.whereis('b')).not.toBe(before)
    expect(await runtime.call(nameOf('b'), { type: 'ping' })).toBe('b')
    expect(await runtime.stop(root, 'shutdown')).toBe('shutdown')
    expect(log.slice(5)).toEqual(['stop c shutdown', 'stop b shutdown', 'stop a shutdown'])
    expect(runtime.processes()).toEqual([])
  })

  it('gives up with shutdown when restarts exceed the intensity', async () => {
    const { world, runtime, reports } = setUp()
    await runtime.start(supervisor, { flags, children: [worker(actor, 'a', { name: 'a' })] }, { name: root })
    let ended: unknown = null
    runtime.monitor(root, (reason) => {
      ended = reason
    })
    for (let i = 0; i < 3; i++) {
      runtime.cast(nameOf('a'), { type: 'crash' })
      await world.settle()
    }
    expect(ended).toBe('shutdown')
    expect(reports.at(-1)?.type).toBe('supervisor-gave-up')
  })

  it('shows its tree as data, dynamic children included', async () => {
    const { runtime } = setUp()
    const children = [
      worker(actor, 'a', { name: 'a' }),
      supervisorSpec({ name: name('sub'), flags, children: [worker(actor, 'b', { name: 'b' })] }),
      dynamicSupervisorSpec({ name: pool, flags, tables: ['rates'] }),
    ]
    await runtime.start(supervisor, { flags, children }, { name: root })
    const spec = worker(actor, 'x', { restart: 'temporary', name: 'x' })
    const started = await runtime.call(pool, startChild(spec))
    expect(started.ok).toBe(true)
    expect(await runtime.call(pool, startChild(spec))).toMatchObject({
      error: { type: 'already_started' },
    })
    const tree = supervisionTree(runtime, root)
    expect(tree?.children.map(({ name }) => name)).toEqual(['a', 'sub', 'pool'])
    expect(tree?.children[2]?.children[0]).toMatchObject({ name: 'x', kind: 'worker', behaviour: 'w', restarts: 0 })
    expect(runtime.table('rates').size).toBe(0)
  })

  it('starts several dynamic children from one message, in their order, each with its own answer', async () => {
    const { runtime } = setUp()
    const children = [dynamicSupervisorSpec({ name: pool, flags })]
    await runtime.start(supervisor, { flags, children }, { name: root })
    log.length = 0
    const named = (id: string) => worker(actor, id, { restart: 'temporary', name: id })
    const answers = await runtime.call(pool, startChildren([named('x'), named('x'), named('y')]))
    expect(answers).toMatchObject([{ ok: true }, { error: { type: 'already_started' } }, { ok: true }])
    expect(log).toEqual(['start x', 'start y'])
    expect(answers.map((answer) => answer.ok && answer.pid.id)).toEqual([
      runtime.whereis('x')?.id,
      false,
      runtime.whereis('y')?.id,
    ])
  })

  it('starts them one after the other also where one takes its time', async () => {
    const { runtime } = setUp()
    const children = [dynamicSupervisorSpec({ name: pool, flags })]
    await runtime.start(supervisor, { flags, children }, { name: root })
    log.length = 0
    const slow = Promise.withResolvers<void>()
    const patient: Behaviour<WorkerProtocol, string, { readonly id: string }> = {
      ...actor,
      async init(id) {
        await slow.promise
        log.push(`start ${id}`)
        return ok({ id })
      },
    }
    const specs = [worker(patient, 'slow', { restart: 'temporary' }), worker(actor, 'z', { restart: 'temporary' })]
    const answers = runtime.call(pool, startChildren(specs))
    slow.resolve()
    expect((await answers).map(({ ok }) => ok)).toEqual([true, true])
    expect(log).toEqual(['start slow', 'start z'])
  })
})
