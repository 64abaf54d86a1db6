import { describe, expect, it } from 'vitest'
import type { ProcessNode } from '#test/support/control-client.ts'
import { nodesOf, openStage, type Stage } from './stage.ts'

const CONCURRENCY = 5
/** Supervisors give up at more than 5 restarts in 10 s (supervisors/), so each of them sees fewer than that. */
const [KILLS_MAX, KILLS_WITHIN_MS] = [4, 10_500]
/** What a kill and the proof of life after it take at most, in deliveries: work for as long as the kills go on. */
const WORK_PER_KILL_MS = 1_300
/** Their children come and go with the work. */
const DYNAMIC = ['executions', 'retries', 'sessions']

const standing = (tree: ProcessNode): ProcessNode[] => {
  const inside = tree.children.filter(() => !DYNAMIC.includes(tree.name)).flatMap(standing)
  return tree.name === '' ? inside : [tree, ...inside]
}
const pidOf = async (stage: Stage, name: string): Promise<number | null> => {
  const tree = await stage.client.tree()
  return nodesOf(tree).find((node) => node.name === name)?.pid ?? null
}
const treeOrNull = async (stage: Stage): Promise<ProcessNode | null> => {
  try {
    return await stage.client.tree()
  } catch (error) {
    if (!(error instanceof Error)) throw error
    await stage.reconnect()
    return null
  }
}

/** The supervisor of each process: restarts are counted there. */
const supervisorsOf = (tree: ProcessNode, into = new Map<string, string>()): Map<string, string> => {
  for (const child of tree.children) {
    into.set(child.name, tree.name)
    supervisorsOf(child, into)
  }
  return into
}
/** Resolves when one more death is within what its supervisor forgives. */
const forgiven = async (deaths: number[]): Promise<void> => {
  const fourthLast = deaths.at(-KILLS_MAX) ?? Number.NEGATIVE_INFINITY
  await new Promise((resolve) => setTimeout(resolve, Math.max(0, fourthLast + KILLS_WITHIN_MS - performance.now())))
  deaths.push(performance.now())
}

/** Kills it and waits for another one of that name. */
const killAndSeeItBack = async (stage: Stage, name: string): Promise<void> => {
  const before = await pidOf(stage, name)
  expect(before, `${name} is there before it is killed`).not.toBeNull()
  // The answer may be lost with the connection, where the way of the answer is what was killed.
  await stage.client.call('killProcess', { name }).catch((error: unknown) => error)
  const isBack = async (): Promise<boolean> => {
    const tree = await treeOrNull(stage)
    const now = tree === null ? undefined : nodesOf(tree).find((node) => node.name === name)
    return now !== undefined && now.pid !== before
  }
  await expect.poll(isBack, { timeout: 15_000, message: `${name} came back` }).toBe(true)
}

describe('scenario 10: every named process of the tree but root, killed in turn under load', () => {
  it('delivers all of them, never more than 5 open at the receiver, and the tree is whole again', async () => {
    const stage = await openStage({ delayMs: 40 })
    const { receiver } = stage
    await stage.client.call('configureDomainConcurrencyLimit', { domain: receiver.domain, limit: CONCURRENCY })
    await stage.client.call('configureBrandConcurrencyLimit', { limit: 2 * CONCURRENCY })
    await stage.schedule(20)
    await receiver.until({ open: CONCURRENCY })
    const tree = await stage.client.tree()
    const supervisors = supervisorsOf(tree)
    const whole = standing(tree).map(({ name }) => name)
    const names = whole.filter((name) => name !== 'root')
    expect(names).toEqual(
      expect.arrayContaining([
        'store-keeper',
        'guards',
        'brand-limiter default',
        `guard ${receiver.domain}`,
        'delivery',
        'dispatch-pool',
        'executor',
        'scheduler',
        'control',
      ]),
    )
    // About as much work as the kills take, and no end before them: 5 at once, 40 ms each.
    await stage.schedule(Math.ceil((names.length * WORK_PER_KILL_MS) / 40) * CONCURRENCY)
    const deathsBelow = new Map<string, number[]>()
    for (const name of names) {
      const supervisor = supervisors.get(name) ?? 'root'
      const deaths = deathsBelow.get(supervisor) ?? []
      deathsBelow.set(supervisor, deaths)
      await forgiven(deaths)
      await killAndSeeItBack(stage, name)
      const { arrivals } = await receiver.figures()
      // The proof of life: work goes on after each kill.
      await receiver.until({ arrivals: arrivals + CONCURRENCY }, 15_000)
    }
    await receiver.until({ distinct: stage.ledger.acks.length }, 120_000)
    const verdict = await stage.judge({ concurrency: CONCURRENCY, inDoubt: names.length * CONCURRENCY })
    expect(verdict.broken).toEqual([])
    const after = standing(await stage.client.tree()).map(({ name }) => name)
    expect(after).toEqual(expect.arrayContaining(names.filter((name) => !/^(guard|brand-limiter) /.test(name))))
    await expect
      .poll(async () => (await stage.client.monitor()).totals.delivered, { timeout: 20_000 })
      .toBe(stage.ledger.acks.length)
  }, 180_000)
})
