/** D-17 in virtual time: webhooks that end the whole process, and those that only were there. */
import { expect, it } from 'vitest'
import { HANDED_AHEAD_MS, LONELY_DEATHS_MAX } from '#config/limits.ts'
import { VirtualDaemon } from '#test/support/virtual-daemon.ts'
import { DEFAULT_RETRY_POLICY } from '#webhook/retry.ts'

const PATIENT = {
  ...DEFAULT_RETRY_POLICY,
  maxAttempts: 30,
  backoff: 'fixed',
  initialDelayMs: 1_000,
  jitter: 0,
} as const

/** Further apart than webhooks are admitted ahead: no death comes between somebody's started mark and its instant. */
const STEP_MS = 2 * HANDED_AHEAD_MS

/** A service manager around a daemon that dies 20 ms after a poisonous request: with a report that says whose heap it was, or without. */
const withPoison = (poisons: number, leavesReport: boolean) => {
  const daemon = new VirtualDaemon({ seed: 5 })
  const poisonous = new Set<string>()
  const deaths: { readonly of: string; readonly lonely: boolean }[] = []
  let dying: (typeof deaths)[number] | null = null
  daemon.network.script = (order) => {
    if (!poisonous.has(order.webhookId)) return { latencyMs: 50 }
    dying ??= { of: order.webhookId, lonely: order.lonelyDeaths !== null }
    return { never: true }
  }
  const live = async (ms: number): Promise<void> => {
    for (let passed = 0; passed < ms; passed += STEP_MS) {
      await daemon.world.advance(STEP_MS)
      if (dying === null) continue
      deaths.push(dying)
      const run = `run-${deaths.length}`
      if (leavesReport) daemon.fatalRuns[run] = dying.lonely ? 'lonely' : 'shared'
      await daemon.crash()
      dying = null
      await daemon.start()
    }
  }
  const begin = async (neighbours: number): Promise<readonly string[]> => {
    await daemon.start()
    const ids = await daemon.schedule(
      Array.from({ length: neighbours + poisons }, (_, n) => ({
        inMs: 100 + STEP_MS * n,
        retry: PATIENT,
        domain: `d${n % 7}.com`,
      })),
    )
    for (let n = 0; n < poisons; n++) poisonous.add(ids[n * 3] ?? '')
    return ids
  }
  return { daemon, poisonous, deaths, live, begin }
}

it('each of three webhooks that end the process is quarantined after three lonely deaths; all others are delivered', async () => {
  const { daemon, poisonous, deaths, live, begin } = withPoison(3, true)
  const ids = await begin(60)
  await live(120_000)
  for (const id of ids) expect(daemon.stateOf(id), id).toBe(poisonous.has(id) ? 'quarantined' : 'delivered')
  for (const id of poisonous)
    expect(deaths.filter(({ of, lonely }) => of === id && lonely)).toHaveLength(LONELY_DEATHS_MAX)
  const inCompany = deaths.length - 3 * LONELY_DEATHS_MAX
  expect(inCompany).toBeGreaterThanOrEqual(1)
  expect(inCompany).toBeLessThanOrEqual(3)
  const errors = [...poisonous].map((id) => daemon.disk.byId.get(id)?.history.at(-1)?.attempt.error)
  expect(errors).toEqual(['poison', 'poison', 'poison'])
})

it('a process that dies without a report puts nobody under suspicion', async () => {
  const { daemon, poisonous, deaths, live, begin } = withPoison(1, false)
  const ids = await begin(20)
  await live(15_000)
  expect(deaths.length).toBeGreaterThan(LONELY_DEATHS_MAX + 2)
  expect(deaths.some(({ lonely }) => lonely)).toBe(false)
  for (const id of ids) if (!poisonous.has(id)) expect(daemon.stateOf(id)).toBe('delivered')
  const [poison = ''] = poisonous
  expect(daemon.stateOf(poison)).toBe('live')
})

it('who waits for its turn alone when the process dies was not sent, and no attempt of it is counted', async () => {
  const { daemon, poisonous, live, begin } = withPoison(4, true)
  const ids = await begin(60)
  await live(120_000)
  for (const id of ids) {
    if (poisonous.has(id)) continue
    const attempts = daemon.disk.byId.get(id)?.attempts ?? 0
    expect(attempts, id).toBe(daemon.arrivals().get(id))
  }
})

it('who waited for its turn alone has its turn soon after the next start: nobody holds the permit of an attempt that was not sent', async () => {
  const daemon = new VirtualDaemon({ seed: 5 })
  daemon.network.script = () => ({ never: true })
  await daemon.start()
  const [first = '', second = ''] = await daemon.schedule(
    ['first.com', 'second.com'].map((domain) => ({ inMs: 100, retry: PATIENT, domain })),
  )
  await daemon.world.advance(500)
  daemon.fatalRuns['run-1'] = 'shared'
  await daemon.crash()
  // Both are suspect: one is alone, the other waits for its turn.
  await daemon.start()
  await daemon.world.advance(5_000)
  const sent = (): number[] => [first, second].map((id) => daemon.arrivals().get(id) ?? 0)
  expect(sent().toSorted()).toEqual([1, 2])
  await daemon.crash()
  daemon.network.script = () => ({ latencyMs: 5 })
  await daemon.start()
  await daemon.world.advance(500)
  expect([daemon.stateOf(first), daemon.stateOf(second)].filter((state) => state === 'delivered')).toHaveLength(1)
})
