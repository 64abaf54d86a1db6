/** Children of root that fail where supervisors meet them: at every start, at their stop, or by never answering. In virtual time. */
import { expect, it } from 'vitest'
import { type Behaviour, keep, ok } from '#runtime/behaviour.ts'
import { type Call, type Name, name } from '#runtime/protocol.ts'
import { worker } from '#runtime/supervisor-spec.ts'
import { root } from '#supervisors/root.ts'
import { VirtualDaemon } from '#test/support/virtual-daemon.ts'

const HOUSE_RESTARTS = 5
const SHUTDOWN_MS = 5_000
const LATER_MS = 60_000

interface GuestProtocol {
  readonly call: Call<{ readonly type: 'ask' }, string>
  readonly cast: { readonly type: 'die' }
  readonly info: never
  readonly continue: never
}
interface Manners {
  readonly init?: () => void
  readonly terminate?: () => void | Promise<void>
}
const guest: Name<GuestProtocol> = name('guest')
const guestWith = ({ init, terminate }: Manners): Behaviour<GuestProtocol, null, null> => ({
  name: 'guest',
  version: 1,
  init(_args, ctx) {
    ctx.trapExit(true)
    init?.()
    return ok(null)
  },
  call: { ask: () => keep },
  cast: {
    die: () => {
      throw new Error('asked to die')
    },
  },
  ...(terminate === undefined ? {} : { terminate }),
})
const daemonWith = async (manners: Manners) => {
  const daemon = new VirtualDaemon({
    script: () => ({ latencyMs: 20 }),
    before: () => [worker(guestWith(manners), null, { name: guest, shutdownMs: SHUTDOWN_MS })],
  })
  await daemon.start()
  return daemon
}
const stopped = async (daemon: VirtualDaemon): Promise<number> => {
  const from = daemon.world.monoNow()
  const ended = daemon.runtime.stop(root, 'shutdown')
  while (daemon.ended === null && daemon.world.monoNow() - from < 60_000) await daemon.world.advance(50)
  await ended
  return daemon.world.monoNow() - from
}
const failuresToStop = (daemon: VirtualDaemon): readonly string[] =>
  daemon.reports.flatMap((report) => (report.type === 'child-shutdown-failed' ? [report.offender.id] : []))

it('SUPV-01: an actor whose every start fails: the budget of root, then its end within ten seconds; what is stored goes out after the next start', async () => {
  let starts = 0
  let broken = false
  const daemon = await daemonWith({
    init: () => {
      starts++
      if (broken) throw new Error('at every start')
    },
  })
  const [id = ''] = await daemon.schedule([{ inMs: LATER_MS }])
  broken = true
  const from = daemon.world.monoNow()
  daemon.runtime.cast(guest, { type: 'die' })
  while (daemon.ended === null && daemon.world.monoNow() - from < 60_000) await daemon.world.advance(50)
  expect(daemon.ended, 'the end of root is the end of the process').toContain('shutdown')
  expect(daemon.world.monoNow() - from).toBeLessThan(10_000)
  expect(starts, 'once, and then the budget').toBe(1 + HOUSE_RESTARTS)
  const gaveUp = daemon.reports.flatMap((report) => (report.type === 'supervisor-gave-up' ? [report.supervisor] : []))
  expect(gaveUp).toEqual(['root'])
  await daemon.crash()
  broken = false
  await daemon.start()
  await daemon.world.advance(LATER_MS + 1_000)
  expect([daemon.stateOf(id), daemon.arrivals().get(id)]).toEqual(['delivered', 1])
})

it('SUPV-01: an actor that throws at its stop is reported, and keeps nobody else from stopping in order', async () => {
  const daemon = await daemonWith({
    terminate: () => {
      throw new Error('at its stop')
    },
  })
  const [id = ''] = await daemon.schedule([{ inMs: LATER_MS }])
  expect(await stopped(daemon)).toBeLessThan(SHUTDOWN_MS)
  expect(failuresToStop(daemon)).toEqual(['guest'])
  expect(daemon.ended).toContain('shutdown')
  expect(daemon.runtime.processes()).toEqual([])
  expect(daemon.stateOf(id)).toBe('live')
})

it('SUPV-01: an actor that never answers: its callers have their timeout, others their deliveries, and a stop kills it after its five seconds', async () => {
  const daemon = await daemonWith({ terminate: () => new Promise(() => undefined) })
  const asked = daemon.runtime.call(guest, { type: 'ask' }, 1_000).catch((error: unknown) => error)
  const [id = ''] = await daemon.schedule([{}])
  await daemon.world.advance(1_000)
  expect(await asked).toMatchObject({ reason: expect.anything() })
  expect(daemon.stateOf(id)).toBe('delivered')
  const tookMs = await stopped(daemon)
  expect(tookMs).toBeGreaterThanOrEqual(SHUTDOWN_MS)
  expect(tookMs).toBeLessThan(SHUTDOWN_MS + 1_000)
  expect(failuresToStop(daemon)).toEqual(['guest'])
  expect(daemon.runtime.processes()).toEqual([])
})
