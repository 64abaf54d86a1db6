/** Runs one scenario: gives it its resources, takes them back, and adds where the result was taken. */

import { type CountingReceiver, startCountingReceiver } from '#test/support/counting-receiver.ts'
import { type Daemon, freshDataDirectory, removeDirectory, startDaemon } from '#test/support/daemon.ts'
import { Prng } from '#world/prng.ts'
import { describeMachine, type Machine, stolenMs } from './machine.ts'
import { type Hotspots, profileFolder, readHotspots } from './profile.ts'
import type { Bench, Measured, Scenario, Size } from './scenario.ts'

export interface Result extends Measured {
  readonly scenario: string
  readonly measures: string
  readonly size: Size
  readonly seed: number
  readonly seconds: number
  /** Share of the cores that the machine's hypervisor gave to others meanwhile, 0 to 1; null: nobody says. */
  readonly stolen: number | null
  readonly machine: Machine
  /** Only with `--profile`: the top of each thread. */
  readonly hotspots: readonly Hotspots[]
}
export interface RunOptions {
  readonly size: Size
  readonly seed: number
  readonly profile: boolean
  readonly minutes?: number
  readonly count?: number
  readonly note: (text: string) => void
}

interface Resources {
  readonly daemons: Daemon[]
  readonly receivers: CountingReceiver[]
  readonly folders: string[]
}

const benchOf = (options: RunOptions, resources: Resources, profiles: string | null): Bench => ({
  size: options.size,
  random: new Prng(options.seed),
  minutes: options.minutes ?? null,
  count: options.count ?? null,
  pick: (sizes) => sizes[options.size],
  note: options.note,
  daemon: async (daemonOptions = {}) => {
    const data = daemonOptions.data ?? freshDataDirectory()
    resources.folders.push(data)
    const profiled = profiles === null ? [] : ['--cpu-prof', `--cpu-prof-dir=${profiles}`]
    const execArgv = [...profiled, ...(daemonOptions.execArgv ?? [])]
    const daemon = await startDaemon({ args: ['--log-level', 'warn'], ...daemonOptions, execArgv, data })
    resources.daemons.push(daemon)
    return daemon
  },
  receiver: async (receiverOptions) => {
    const receiver = await startCountingReceiver(receiverOptions)
    resources.receivers.push(receiver)
    return receiver
  },
})

/** Graceful where profiles are wanted: Node writes them when a thread ends by itself. */
const giveBack = async ({ daemons, receivers, folders }: Resources, profiled: boolean): Promise<void> => {
  for (const daemon of daemons) await daemon.kill(profiled ? 'SIGTERM' : 'SIGKILL')
  for (const receiver of receivers) await receiver.stop()
  for (const folder of folders) removeDirectory(folder)
}

export const runScenario = async (scenario: Scenario, options: RunOptions): Promise<Result> => {
  const resources: Resources = { daemons: [], receivers: [], folders: [] }
  const profiles = options.profile ? profileFolder() : null
  const startMono = performance.now()
  const stolenBefore = stolenMs()
  const measured = await scenario
    .run(benchOf(options, resources, profiles))
    .finally(() => giveBack(resources, profiles !== null))
  const seconds = (performance.now() - startMono) / 1_000
  const hotspots = profiles === null ? [] : readHotspots(profiles)
  if (profiles !== null) removeDirectory(profiles)
  const machine = describeMachine()
  const stolenAfter = stolenMs()
  const stolen =
    stolenBefore === null || stolenAfter === null
      ? null
      : (stolenAfter - stolenBefore) / (seconds * 1_000 * machine.cores)
  const { name, measures } = scenario
  const { size, seed } = options
  return { scenario: name, measures, size, seed, seconds, stolen, machine, ...measured, hotspots }
}
