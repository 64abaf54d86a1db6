/** Does to the daemon and its disk what the plan says. */
import { nodesOf } from '#test/end-to-end/stage.ts'
import type { SmallDisk } from './disk.ts'
import { tamper } from './disk.ts'
import type { Blow } from './doubts.ts'
import { type Line, pause } from './line.ts'
import type { Fault, FaultType, Planned } from './plan.ts'
import type { Watch } from './watch.ts'

export interface Hurting {
  readonly watch: Watch
  readonly line: Line
  readonly data: string
  /** Null: no fault of the disk is planned. */
  readonly disk: SmallDisk | null
  /** What took effect, by type. */
  readonly counts: Partial<Record<FaultType, number>>
  /** The same with their instants. */
  readonly blows: Blow[]
  /** Of the world's begin: `performance.now()`. */
  readonly startMono: number
  say(what: string): void
}

/** One after the other, each at its instant, or as soon as the one before is over. */
export const hurtInTurn = async (planned: readonly Planned[], hurting: Hurting): Promise<void> => {
  for (const { atMs, fault } of planned) {
    await pause(hurting.startMono + atMs - performance.now())
    hurting.say(JSON.stringify(fault))
    const from = Date.now()
    await hurt(fault, hurting)
    hurting.blows.push({ what: fault.type, from, to: Date.now() })
    hurting.counts[fault.type] = (hurting.counts[fault.type] ?? 0) + 1
  }
}

const hurt = async (fault: Fault, hurting: Hurting): Promise<void> => {
  const { watch, disk } = hurting
  switch (fault.type) {
    case 'kill':
      return watch.end('SIGKILL')
    case 'end':
      return watch.end('SIGTERM')
    case 'stop':
      watch.signal('SIGSTOP')
      await pause(fault.ms)
      return watch.signal('SIGCONT')
    case 'actor':
      return killActor(fault.pick, hurting)
    case 'full':
      return during(fault.type, hurting, async () => {
        await disk?.fill(fault.leftBytes)
        await pause(fault.ms)
        await disk?.free()
      })
    case 'slow':
      return during(fault.type, hurting, () => tamperFor(fault.ms, `delay_enter=${fault.delayMs * 1_000}`, hurting))
    case 'failing': {
      const when = `${fault.nth}${fault.isLasting ? '+3' : ''}`
      return during(fault.type, hurting, () => tamperFor(fault.ms, `error=EIO:when=${when}`, hurting))
    }
    default:
      return fault satisfies never
  }
}

/** Whoever is killed meanwhile is followed by one that meets the same disk. */
const during = async (type: FaultType, { watch }: Hurting, body: () => Promise<void>): Promise<void> => {
  watch.met(type)
  watch.suffered.add(type)
  await body()
  watch.suffered.delete(type)
}
const tamperFor = async (ms: number, inject: string, { watch, data }: Hurting): Promise<void> => {
  const untilMono = performance.now() + ms
  while (performance.now() < untilMono) {
    const { pid } = watch
    const tampered = tamper(pid, data, inject)
    await Promise.race([tampered.left, pause(untilMono - performance.now())])
    await tampered.leave()
    if (performance.now() < untilMono) await Promise.race([watch.follows(pid), pause(untilMono - performance.now())])
  }
}

const killActor = async (pick: number, { line }: Hurting): Promise<void> => {
  const told = await line.ask((client) => client.tree())
  if (told.kind !== 'yes') return
  const names = [...new Set(nodesOf(told.value).map(({ name }) => name))].filter(
    (name) => name !== 'root' && name !== '',
  )
  await line.ask((client) => client.call('killProcess', { name: names[Math.floor(pick * names.length)] }))
}
