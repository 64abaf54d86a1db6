/** Whatever processes do to each other, when they are gone nothing of it is left: no name, link, monitor, alias, timer, pending call. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Pid } from '#runtime/pid.ts'
import type { PlainContext } from '#runtime/plain.ts'
import { Runtime } from '#runtime/runtime.ts'
import { VirtualWorld } from '#world/virtual-world.ts'

const MEMBERS = 6
const DEEDS = [
  'link',
  'unlink',
  'monitor',
  'demonitor',
  'call',
  'timer',
  'cancel',
  'name',
  'alias',
  'send',
  'kill',
  'exit',
  'trap',
] as const
type Deed = { readonly do: (typeof DEEDS)[number]; readonly by: number; readonly to: number; readonly ms: number }
const member = fc.nat(MEMBERS - 1)
const deed: fc.Arbitrary<Deed> = fc.record({ do: fc.constantFrom(...DEEDS), by: member, to: member, ms: fc.nat(50) })

interface Member {
  readonly ctx: PlainContext
  readonly refs: number[]
  readonly timers: number[]
}

const act = (deed: Deed, members: ReadonlyMap<number, Member>, pids: readonly Pid[]): void => {
  const self = members.get(deed.by)
  const to = pids[deed.to]
  if (self === undefined || to === undefined) return
  const { ctx, refs, timers } = self
  switch (deed.do) {
    case 'link':
      ctx.trapExit(true)
      return ctx.link(to)
    case 'unlink':
      return ctx.unlink(to)
    case 'monitor':
      refs.push(ctx.monitor(to))
      return
    case 'demonitor':
      ctx.demonitor(refs.pop() ?? 0, { flush: true })
      return
    case 'call':
      ctx.request(to, { type: 'question' } as never, 'answer' as never, null as never, deed.ms as never)
      return
    case 'timer':
      timers.push(ctx.sendAfterTo(deed.ms, to, { type: 'late' }))
      return
    case 'cancel':
      ctx.cancelTimer(timers.pop() ?? 0)
      return
    case 'name':
      if (ctx.whereis(`n${deed.to}`) === null && ctx.name === null) ctx.register(`n${deed.to}`, ctx.self)
      return
    case 'alias':
      if (deed.ms % 2 === 0) ctx.alias('reply')
      else ctx.monitorWithAlias(to, 'reply_demonitor')
      return
    case 'send':
      return ctx.send(to, { type: 'hello' })
    case 'kill':
      return ctx.exit(to, 'kill')
    case 'exit':
      return ctx.exit(to, { type: 'term', term: 'boo' })
    case 'trap':
      return ctx.trapExit(deed.ms % 2 === 0)
  }
}

describe('nothing leaks', () => {
  it('when the processes are gone, the counts are what they were (SUPV-04)', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(deed, { maxLength: 60 }), fc.nat(1_000), async (deeds, seed) => {
        const world = new VirtualWorld({ seed })
        const runtime = new Runtime(world, { safeMessages: true, permute: true })
        const members = new Map<number, Member>()
        const pids = Array.from({ length: MEMBERS }, (_, index) =>
          runtime.spawn(async (ctx) => {
            members.set(index, { ctx, refs: [], timers: [] })
            await ctx.receive(() => false)
          }),
        )
        await world.settle()
        for (const step of deeds) {
          act(step, members, pids)
          if (step.ms % 5 === 0) await world.advance(step.ms)
        }
        for (const pid of pids) runtime.exit(pid, 'kill')
        await world.advance(100)
        const { processes, names, timers, aliases, wheel } = runtime.kernel
        expect([processes.size, names.size, timers.size, aliases.size, wheel.size]).toEqual([0, 0, 0, 0, 0])
      }),
      { numRuns: 200 },
    )
  })
})
