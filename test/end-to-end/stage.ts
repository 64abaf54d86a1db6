/** A daemon, a receiver and the books for one test; all of it ends with the test. */
import { onTestFinished } from 'vitest'
import type { ControlClient, ProcessNode } from '#test/support/control-client.ts'
import { type CountingReceiver, startCountingReceiver } from '#test/support/counting-receiver.ts'
import { type Daemon, type DaemonOptions, removeDirectory, startDaemon } from '#test/support/daemon.ts'
import { type Allowance, judge, type Ledger, openLedger, type Verdict } from '#test/support/ledger.ts'

export interface Stage {
  readonly receiver: CountingReceiver
  readonly ledger: Ledger
  /** The daemon that runs now. */
  daemon: Daemon
  client: ControlClient
  /** Starts the next daemon on the same data; the old one must have ended. */
  restart(): Promise<void>
  /** Connects anew, trying until the daemon takes it. */
  reconnect(): Promise<void>
  /** Schedules `count` webhooks for one instant (default: now) and writes the acknowledgement into the ledger. */
  schedule(
    count: number,
    options?: { readonly at?: number; readonly path?: string; readonly timeoutMs?: number },
  ): Promise<readonly string[]>
  /** The verdict over everything so far. */
  judge(allowance?: Allowance): Promise<Verdict>
}

/** So that what was in doubt is tried again within the test's patience. */
export const QUICK_RETRY = { backoff: 'fixed', initialDelayMs: 100, maxDelayMs: 100, jitter: 0 } as const

const connected = async (daemon: Daemon, withinMs: number): Promise<ControlClient> => {
  const end = performance.now() + withinMs
  for (;;) {
    const tried = await daemon.connect().catch((error: unknown) => error)
    if (!(tried instanceof Error)) return tried as ControlClient
    if (performance.now() > end)
      throw new Error(`no connection within ${withinMs} ms\n${daemon.output()}`, { cause: tried })
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

export const openStage = async (
  behaviour: Parameters<typeof startCountingReceiver>[0] = {},
  options: DaemonOptions = {},
): Promise<Stage> => {
  const receiver = await startCountingReceiver(behaviour)
  onTestFinished(() => receiver.stop())
  const daemon = await startDaemon(options)
  const ledger = openLedger()
  const stage: Stage = {
    receiver,
    ledger,
    daemon,
    client: await daemon.connect(),
    restart: async () => {
      stage.daemon = await stage.daemon.restart()
      stage.client = await stage.daemon.connect()
    },
    reconnect: async () => {
      stage.client = await connected(stage.daemon, 10_000)
    },
    schedule: async (count, { at, path = '/hook', timeoutMs } = {}) => {
      const webhooks = Array.from({ length: count }, (_, index) => ({
        url: `${receiver.url}${path}/${index}`,
        body: { index },
        retry: QUICK_RETRY,
        ...(at === undefined ? {} : { at }),
        ...(timeoutMs === undefined ? {} : { timeoutMs }),
      }))
      const { ids } = await stage.client.scheduleAll(webhooks)
      ledger.acknowledged(ids, at ?? null)
      return ids
    },
    judge: async (allowance) => judge(ledger, await receiver.arrivals(), (await receiver.figures()).openMax, allowance),
  }
  onTestFinished(async ({ task }) => {
    if (task.result?.state === 'fail')
      process.stderr.write(`the daemon said:\n${stage.daemon.output().slice(-8_000)}\n`)
    await stage.daemon.kill()
    removeDirectory(stage.daemon.data)
  })
  return stage
}

export const nodesOf = (tree: ProcessNode): ProcessNode[] => [tree, ...tree.children.flatMap(nodesOf)]
