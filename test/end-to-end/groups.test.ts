/** One backend behind ten hosts, under one guard (D-13), and the backend counts. */
import { describe, expect, it } from 'vitest'
import { RpcError } from '#test/support/control-client.ts'
import { openStage, QUICK_RETRY, type Stage } from './stage.ts'

const CONCURRENCY = 3
const RATE = { perSecond: 100, burst: 3 }
const COUNT = 200

/** Names below `localhost` are this machine (RFC 6761); each is a host, and would have a guard, of its own. */
const hostsOf = ({ receiver }: Stage): readonly string[] =>
  Array.from({ length: 10 }, (_, n) => `h${n}.localhost:${receiver.domain.split(':')[1]}`)

const group = (stage: Stage, members: readonly string[]) =>
  stage.client.call('configureDomainGroup', { group: 'backend', members })
const schedule = async ({ client, ledger }: Stage, hosts: readonly string[], count: number): Promise<void> => {
  const webhooks = Array.from({ length: count }, (_, index) => ({
    url: `http://${hosts[index % hosts.length]}/${index}`,
    retry: QUICK_RETRY,
  }))
  ledger.acknowledged((await client.scheduleAll(webhooks)).ids)
}
/** 40 ms: the concurrency holds them. 5 ms: the rate does. */
const open = async (delayMs: 40 | 5) => {
  const stage = await openStage({ delayMs })
  const domain = 'group:backend'
  await stage.client.call('configureDomainConcurrencyLimit', { domain, limit: CONCURRENCY })
  await stage.client.call('configureRateLimit', { domain, requestsPerSecond: RATE.perSecond, burst: RATE.burst })
  return { stage, hosts: hostsOf(stage) }
}
const delivered = ({ client }: Stage) =>
  expect.poll(async () => (await client.monitor()).totals.delivered, { timeout: 10_000 })

describe('ten subdomains of one backend, in one group', () => {
  it('are one to its limits: the backend never has more open, nor more often, than the group may', async () => {
    const { stage, hosts } = await open(40)
    await group(stage, hosts)
    await schedule(stage, hosts, COUNT)
    await stage.receiver.until({ distinct: COUNT })
    await delivered(stage).toBe(COUNT)
    expect((await stage.judge({ concurrency: CONCURRENCY, rate: RATE })).broken).toEqual([])
    // It is the group that holds them: its own hosts would each have ten open.
    expect((await stage.receiver.figures()).openMax).toBe(CONCURRENCY)
  }, 60_000)

  it('regrouped again and again under load, none of those that stay is forgotten or counted twice', async () => {
    const { stage, hosts } = await open(5)
    await group(stage, hosts)
    await schedule(stage, hosts.slice(0, 5), COUNT)
    await stage.receiver.until({ distinct: 20 })
    for (let times = 0; times < 6; times += 1) {
      await group(stage, times % 2 === 0 ? hosts.slice(0, 5) : hosts)
      const { distinct } = await stage.receiver.figures()
      await stage.receiver.until({ distinct: distinct + 20 })
    }
    await stage.receiver.until({ distinct: COUNT })
    await delivered(stage).toBe(COUNT)
    expect((await stage.judge({ concurrency: CONCURRENCY, rate: RATE })).broken).toEqual([])
  }, 60_000)

  it('kill -9 in the middle of regroupings: the group is one of those asked for, and nothing is lost', async () => {
    const { stage, hosts } = await open(5)
    await group(stage, hosts)
    await schedule(stage, hosts.slice(0, 5), COUNT)
    await stage.receiver.until({ distinct: 20 })
    const changes = Array.from({ length: 20 }, (_, n) => group(stage, n % 2 === 0 ? hosts.slice(0, 5) : hosts))
    const settled = Promise.allSettled(changes)
    await changes[0]
    await stage.daemon.kill('SIGKILL')
    const answers = await settled
    const answered = answers.filter(({ status }) => status === 'fulfilled').length
    for (const one of answers) if (one.status === 'rejected') expect(one.reason).not.toBeInstanceOf(RpcError)
    await stage.restart()
    const { groups = [] } = await stage.client.call<{ groups?: { members: string[]; version: number }[] }>(
      'getLimits',
      {},
    )
    expect(groups).toHaveLength(1)
    const { version = 0, members = [] } = groups[0] ?? {}
    // The first is that of before; what was answered holds, of the others any number.
    expect(version).toBeGreaterThanOrEqual(1 + answered)
    expect(members).toHaveLength(version % 2 === 0 ? 5 : 10)
    await stage.receiver.until({ distinct: COUNT })
    await delivered(stage).toBe(COUNT)
    const verdict = await stage.judge({ concurrency: CONCURRENCY, rate: RATE, inDoubt: 2 * CONCURRENCY })
    expect(verdict.broken).toEqual([])
  }, 60_000)
})
