/**
 * PROC-01: `kill -9` at each step of a webhook's life, on the real binary and the real store; what the next run makes of it.
 * Recurring schedules do not exist yet; their two points (before and after the next occurrence is stored) come with them.
 */
import { expect, it } from 'vitest'
import { openStage, QUICK_RETRY, type Stage } from './stage.ts'

const KILLED = { code: null, signal: 'SIGKILL' }
const KEY = 'the-same-key'

interface Shown {
  readonly id: string
  readonly state: string
  readonly attemptCount: number
}
interface Attempt {
  readonly number: number
  readonly inDoubt: boolean
  readonly status?: number
}
const listed = async (stage: Stage): Promise<readonly Shown[]> =>
  (await stage.client.call<{ webhooks: Shown[] }>('listWebhooks', {})).webhooks
const attemptsOf = async (stage: Stage, id: string): Promise<readonly Attempt[]> =>
  (await stage.client.call<{ attempts: Attempt[] }>('getAttempts', { id })).attempts

/**
 * Whatever it died of, the next run serves within the row's five seconds, from its start as a process to a client that is answered;
 * on a machine that takes longer for an empty store, in three times of that.
 */
const startAgain = async (stage: Stage): Promise<void> => {
  const emptyMs = stage.daemon.readyMs
  stage.daemon = await stage.daemon.restart({ env: {} })
  expect(stage.daemon.readyMs).toBeLessThan(Math.max(5_000, 3 * emptyMs))
  stage.client = await stage.daemon.connect()
}

/** A far webhook: only its acceptance is of interest. */
const accept = (stage: Stage) =>
  stage.client.call<{ id: string; duplicate: boolean }>('scheduleWebhook', {
    url: `${stage.receiver.url}/far`,
    at: 2_000_000_000_000,
    idempotencyKey: KEY,
  })

it.each([
  ['a request is decoded', 'control.decoded', false],
  ['the transaction of its append is open', 'store.begun/append', false],
  ['its append is about to be committed', 'store.commit/append', false],
  ['its append is committed, and nobody has been told', 'store.committed/append', true],
  ['the client has been told', 'control.answered', true],
])('PROC-01: killed when %s (%s)', async (_when, point, exists) => {
  const stage = await openStage({}, { env: { HOOKPULSE_FAILPOINTS: `${point}:exit9` } })
  const told = await accept(stage).catch((error: unknown) => error)
  expect(await stage.daemon.ended).toEqual(KILLED)
  await startAgain(stage)
  const before = await listed(stage)
  expect(before).toHaveLength(exists ? 1 : 0)
  const again = await accept(stage)
  expect(again.duplicate).toBe(exists)
  if (exists) expect(again.id).toBe(before[0]?.id)
  if (!(told instanceof Error)) expect(again.id).toBe((told as { id: string }).id)
  expect(await listed(stage)).toHaveLength(1)
})

/** What a next run shows of a webhook that was to be delivered once. */
interface Fate {
  /** Requests that came, over both runs. */
  readonly arrivals: readonly number[]
  /** Which of its attempts are in doubt. */
  readonly inDoubt: readonly boolean[]
}
const NOT_STARTED: Fate = { arrivals: [1], inDoubt: [false] }
/** Only the mark says that it may have been sent. */
const MARKED: Fate = { arrivals: [1], inDoubt: [true, false] }
/** The request may still lie in the socket of the killed process, or be with the receiver. */
const ON_THE_WIRE: Fate = { arrivals: [1, 2], inDoubt: [true, false] }
const ANSWERED: Fate = { arrivals: [2], inDoubt: [true, false] }
const RECORDED: Fate = { arrivals: [1], inDoubt: [false] }

it.each([
  ['its mark is asked for', 'execution.marking', NOT_STARTED],
  ['its mark is about to be committed', 'store.commit/mark-started', NOT_STARTED],
  ['its mark is committed', 'store.committed/mark-started', MARKED],
  ['its mark is known, and it goes to a thread', 'execution.marked', MARKED],
  ['its thread has it', 'dispatch.orders', MARKED],
  ['it is connected', 'dispatch.send', ON_THE_WIRE],
  ['the headers of the answer are in', 'dispatch.status', ANSWERED],
  ['its thread reports', 'dispatch.report', ANSWERED],
  ['its report is in', 'dispatch-pool.reported', ANSWERED],
  ['its outcome is known', 'execution.ended', ANSWERED],
  ['its outcome is about to be committed', 'store.commit/record-outcome', ANSWERED],
  ['its outcome is committed', 'store.committed/record-outcome', RECORDED],
])('PROC-01: killed when %s (%s)', async (_when, point, fate) => {
  const stage = await openStage({}, { env: { HOOKPULSE_FAILPOINTS: `${point}:exit9` } })
  const [id = ''] = await stage.schedule(1)
  expect(await stage.daemon.ended).toEqual(KILLED)
  await startAgain(stage)
  await untilState(stage, 'delivered')
  const attempts = await attemptsOf(stage, id)
  expect(attempts.map(({ inDoubt }) => inDoubt)).toEqual(fate.inDoubt)
  expect(attempts.map(({ number }) => number)).toEqual(fate.inDoubt.map((_, index) => index + 1))
  const { ids } = await stage.receiver.arrivals()
  expect(fate.arrivals).toContain(ids.length)
  // One webhook-id, whatever happened.
  expect(new Set(ids)).toEqual(new Set([id]))
})

it('PROC-01: killed when the receiver has the request, and nobody the answer', async () => {
  const stage = await openStage({ hold: true })
  const [id = ''] = await stage.schedule(1)
  await stage.receiver.until({ open: 1 })
  await stage.daemon.kill('SIGKILL')
  await stage.receiver.behave({ hold: false })
  await stage.receiver.release(1)
  await startAgain(stage)
  await untilState(stage, 'delivered')
  expect((await attemptsOf(stage, id)).map(({ inDoubt }) => inDoubt)).toEqual([true, false])
  expect((await stage.receiver.arrivals()).ids).toEqual([id, id])
})

it.each([
  ['it is decided', 'retry.decided', true],
  ['it is about to be committed', 'store.commit/record-outcome', true],
  ['it is committed', 'store.committed/record-outcome', false],
])('PROC-01: killed when its last attempt has failed: the dead letter, when %s (%s)', async (_when, point, inDoubt) => {
  const stage = await openStage({ status: 500 }, { env: { HOOKPULSE_FAILPOINTS: `${point}:exit9` } })
  const retry = { ...QUICK_RETRY, maxAttempts: 1 }
  const scheduled = stage.client.call<{ id: string }>('scheduleWebhook', { url: stage.receiver.url, retry })
  await scheduled.catch((error: unknown) => error)
  expect(await stage.daemon.ended).toEqual(KILLED)
  await startAgain(stage)
  await untilState(stage, 'dead')
  const [dead, ...others] = await listed(stage)
  expect(others).toEqual([])
  const attempts = await attemptsOf(stage, dead?.id ?? '')
  expect(attempts).toMatchObject([inDoubt ? { inDoubt: true } : { inDoubt: false, status: 500 }])
  expect((await stage.receiver.figures()).arrivals).toBe(1)
})

it.each([
  ['the drain of the graceful stop has begun', 'dispatch-pool.draining', 1],
  ['the store is about to take its log in', 'store.checkpoint', 0],
  ['the store has taken its log in', 'store.checkpointed', 0],
])('PROC-01: killed when %s (%s)', async (_when, point, open) => {
  const stage = await openStage({ hold: open > 0 }, { env: { HOOKPULSE_FAILPOINTS: `${point}:exit9` } })
  await stage.schedule(20)
  await stage.receiver.until(open > 0 ? { open: 10 } : { distinct: 20 })
  expect(await stage.daemon.kill('SIGTERM')).toEqual(KILLED)
  await stage.receiver.behave({ hold: false })
  await stage.receiver.release(100)
  await startAgain(stage)
  await stage.receiver.until({ distinct: 20 })
  await expect.poll(async () => (await stage.client.monitor()).totals.delivered).toBe(20)
  expect((await stage.judge({ inDoubt: open * 10 })).broken).toEqual([])
})

const untilState = async (stage: Stage, state: string): Promise<void> =>
  expect.poll(async () => (await listed(stage)).map((shown) => shown.state)).toEqual([state])
