import { expect, it } from 'vitest'
import { nodesOf, openStage, type Stage } from '#test/end-to-end/stage.ts'
import type { ProcessNode } from '#test/support/control-client.ts'
import { Prng } from '#world/prng.ts'

const { CHAOS_SECONDS = '300', CHAOS_SEED = '1' } = process.env
const CONCURRENCY = 5
/** More than a supervisor forgives would be the end of root, which is another test. */
const BETWEEN_KILLS_MS = 2_100

const namesOf = (tree: ProcessNode): string[] => [
  ...new Set(
    nodesOf(tree)
      .map(({ name }) => name)
      .filter((name) => name !== 'root' && name !== ''),
  ),
]
/** Whatever was killed, the daemon is asked again until it answers. */
const patiently = async <Value>(stage: Stage, ask: () => Promise<Value>): Promise<Value> => {
  const end = performance.now() + 20_000
  for (;;) {
    try {
      return await ask()
    } catch (error) {
      if (performance.now() > end) throw error
      await stage.reconnect().catch((cause: unknown) => cause)
    }
  }
}

/** Now and then the whole process, else any process of the tree, executions and sessions included. */
const hurt = async (stage: Stage, random: Prng): Promise<string> => {
  if (random.below(8) === 0) {
    await stage.daemon.kill('SIGKILL')
    await stage.restart()
    return 'the daemon'
  }
  const names = namesOf(await patiently(stage, () => stage.client.tree()))
  const name = names[random.below(names.length)] ?? 'scheduler'
  await stage.client.call('killProcess', { name }).catch((error: unknown) => error)
  return name
}

it('bears random kills of its processes and of itself: nothing lost, no limit broken, whole at the end', async () => {
  const random = new Prng(Number(CHAOS_SEED))
  const stage = await openStage({ delayMs: 20, ports: 3 })
  const { receiver } = stage
  for (const domain of receiver.domains)
    await stage.client.call('configureDomainConcurrencyLimit', { domain, limit: CONCURRENCY })
  const schedule = async (): Promise<void> => {
    // A key for each: where the answer is lost with the connection, asking again makes no second one.
    const key = `${random.nextUint32()}-${random.nextUint32()}`
    const webhooks = Array.from({ length: 60 }, (_, index) => ({
      url: `${receiver.urls[index % 3]}/chaos`,
      at: Date.now() + random.below(3_000),
      idempotencyKey: `${key}-${index}`,
      retry: { maxAttempts: 50, backoff: 'fixed', initialDelayMs: 100, maxDelayMs: 100, jitter: 0 },
    }))
    const { ids } = await patiently(stage, () => stage.client.scheduleAll(webhooks))
    stage.ledger.acknowledged(
      ids,
      webhooks.map(({ at }) => at),
    )
  }
  const hurts: string[] = []
  const endMono = performance.now() + Number(CHAOS_SECONDS) * 1_000
  while (performance.now() < endMono) {
    const nextMono = performance.now() + BETWEEN_KILLS_MS
    await schedule()
    hurts.push(await hurt(stage, random))
    await schedule()
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, nextMono - performance.now())))
  }
  const { ledger } = stage
  await receiver.until({ distinct: ledger.acks.length }, 120_000).catch((error: unknown) => {
    throw new Error(`seed ${CHAOS_SEED}, hurt: ${hurts.join(', ')}`, { cause: error })
  })
  const inDoubt = hurts.length * receiver.domains.length * 2 * CONCURRENCY
  const verdict = await stage.judge({ inDoubt })
  const { openMaxBy } = await receiver.figures()
  expect(verdict.broken, hurts.join(', ')).toEqual([])
  receiver.domains.forEach((_, port) => {
    expect(openMaxBy[`port ${port}`], hurts.join(', ')).toBeLessThanOrEqual(CONCURRENCY)
  })
  await expect
    .poll(async () => (await patiently(stage, () => stage.client.monitor())).totals, { timeout: 60_000 })
    .toMatchObject({ delivered: ledger.acks.length, executing: 0, waiting: 0, retrying: 0 })
  process.stdout.write(`${hurts.length} kills, ${ledger.acks.length} webhooks, ${verdict.extra} extra arrivals\n`)
})
