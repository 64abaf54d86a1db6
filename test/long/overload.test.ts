/** LOAD-01 whole: beside what the same daemon takes when its clients wait for their answers, what it takes of clients that do not. */
import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import type { Webhook } from '#test/support/control-client.ts'
import { freshDataDirectory, removeDirectory, startDaemon } from '#test/support/daemon.ts'
import { control, fillWith, offerIn, quantile } from '#test/support/load.ts'
import type { Offer } from '#test/support/offering.ts'

const SOCKETS = 8
const LATER_MS = 3_600_000
const FLOOR_SHARE = 0.7
const CONTROL_MS_MAX = 500
const LOOP_P99_MS_MAX = 200
/** Stretches over which a rate is a rate, and not the swing of groups and of a machine that does other things too. */
const STRETCH_S = 5
const COLD_S = 2

interface Case {
  readonly title: string
  readonly batch: number
  /** What busy clients keep under way on a socket: enough that the daemon never waits for them, and too little to be shed. */
  readonly inFlight: number
  readonly steadySeconds: number
  readonly seconds: number
  /** Webhooks a second, from the best steady rate. */
  readonly offered: (best: number) => number
}
const CASES: readonly Case[] = [
  {
    title: 'a minute of 10,000 schedules a second, one by one, or of what it can take if that is less',
    batch: 1,
    inFlight: 8,
    steadySeconds: 12,
    seconds: 60,
    offered: () => 10_000,
  },
  {
    title: 'twenty seconds of ten times what it can take, in batches of 1,000',
    batch: 1_000,
    inFlight: 1,
    steadySeconds: 12,
    seconds: 20,
    offered: (best) => 10 * best,
  },
]

const stretches = (bySecond: readonly number[]): readonly number[] =>
  Array.from({ length: Math.floor(bySecond.length / STRETCH_S) }, (_, n) =>
    bySecond.slice(n * STRETCH_S, (n + 1) * STRETCH_S).reduce((sum, count) => sum + count / STRETCH_S, 0),
  )
const round = (values: readonly number[]): string => values.map((value) => value.toFixed(0)).join(' ')

/** How long the disk itself takes for a synced write: what it stalls by is no matter of ours. */
const probeDisk = (folder: string): (() => number) => {
  const file = openSync(join(folder, 'probe'), 'w')
  let longest = 0
  const timer = setInterval(() => {
    const fromMono = performance.now()
    writeSync(file, 'x')
    fsyncSync(file)
    longest = Math.max(longest, performance.now() - fromMono)
  }, 100)
  return () => {
    clearInterval(timer)
    closeSync(file)
    return longest
  }
}

it.each(CASES)(
  'LOAD-01: $title: at least 70 % of the best steady rate is accepted all the time and is durable, the rest is told when to come back, control is answered within 500 ms',
  async ({ batch, inFlight, steadySeconds, seconds, offered: rateOf }) => {
    const data = freshDataDirectory()
    const daemon = await startDaemon({ data, args: ['--log-level', 'error'] })
    onTestFinished(async () => {
      daemon.signal('SIGKILL')
      await daemon.ended
      removeDirectory(data)
    })
    const client = await daemon.connect()
    const later = () => ({ url: 'http://127.0.0.1:9000/x', at: Date.now() + LATER_MS })
    const toCancel = await fillWith(client, 2_000, later)
    const offer: Omit<Offer, 'pace' | 'seconds'> = { url: daemon.url, key: daemon.key, sockets: SOCKETS, batch }
    const steady = await offerIn({ ...offer, pace: { inFlight }, seconds: steadySeconds })
    const steadyRates = stretches(steady.acceptedBySecond.slice(COLD_S))
    const best = Math.max(...steadyRates)

    const perSecond = rateOf(best)
    const longestSync = probeDisk(data)
    const offering = offerIn({ ...offer, pace: { perSecond }, seconds })
    const took = await control(daemon, offering, toCancel)
    const disk = longestSync()
    const { offered, heldBack, ids, acceptedBySecond, refused, withoutHint, lost } = await offering
    await client.close()
    await daemon.kill('SIGKILL')

    const rates = stretches(acceptedBySecond)
    const floor = FLOOR_SHARE * Math.min(best, perSecond)
    const shown = (['cancel', 'limit', 'health'] as const).map((name) => {
      const [p50 = 0, p99 = 0, max = 0] = [0.5, 0.99, 1].map((share) => quantile(took[name], share))
      return `${name} p50 ${p50.toFixed(0)} p99 ${p99.toFixed(0)} max ${max.toFixed(0)} ms of ${took[name].length}`
    })
    process.stdout.write(
      `steady ${round(steadyRates)}/s; offered ${(offered / seconds).toFixed(0)}/s for ${seconds} s, ${heldBack} of ${offered} kept back by the socket, ` +
        `accepted ${ids.length}, refused ${JSON.stringify(refused)}, by ${STRETCH_S} s: ${round(rates)}/s, at least ${((100 * Math.min(...rates)) / best).toFixed(0)} % of the best; ` +
        `${shown.join('; ')}; the longest sync of the disk ${disk.toFixed(0)} ms\n`,
    )
    expect(steady.refused).toEqual({})
    expect(offered).toBeGreaterThan(0.95 * seconds * perSecond)
    expect({ ...refused, RESOURCE_EXHAUSTED: 0 }).toEqual({ RESOURCE_EXHAUSTED: 0 })
    expect([withoutHint, lost]).toEqual([0, 0])
    expect(Math.min(...rates)).toBeGreaterThanOrEqual(floor)
    expect(took.health.length, 'asked throughout').toBeGreaterThan(seconds)
    for (const [what, ms] of Object.entries(took))
      expect(Math.max(...ms), what).toBeLessThanOrEqual(CONTROL_MS_MAX + disk)
    // Health waits for one turn of the loop and little else.
    expect(quantile(took.health, 0.99)).toBeLessThanOrEqual(LOOP_P99_MS_MAX)

    const next = await daemon.restart()
    onTestFinished(async () => void (await next.kill()))
    const again = await next.connect()
    const accepted = steady.ids.length + ids.length + toCancel.length - took.cancel.length
    const { scheduled } = (await again.monitor()).totals
    expect(scheduled, 'every acknowledged one, and nothing that was refused').toBe(accepted)
    for (let i = 0; i < ids.length; i += Math.ceil(ids.length / 1_000))
      expect(await again.call<Webhook>('getWebhook', { id: ids[i] })).toMatchObject({ state: 'scheduled' })
  },
)
