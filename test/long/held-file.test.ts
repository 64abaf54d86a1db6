import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { openStage } from '#test/end-to-end/stage.ts'

/** As long as a shell that somebody forgot. */
const HELD_MS = 30_000
const TRY_AGAIN = new Set(['STORAGE_UNAVAILABLE', 'TIMEOUT', 'RESOURCE_EXHAUSTED'])
const holdingChild = new URL('../unit/actors/holding-child.ts', import.meta.url).pathname

it('STOR-06: while another program holds the file for half a minute a promise is waited for and refused as one to try again, main answers, no result is lost; then it goes on by itself', async () => {
  const stage = await openStage({ hold: true })
  const [running = ''] = await stage.schedule(1)
  await stage.receiver.until({ open: 1 })
  const holder = fork(holdingChild, [join(stage.daemon.data, 'hookpulse.db')])
  await once(holder, 'message')
  const heldMono = performance.now()
  await stage.receiver.release(1)
  const answers: number[] = []
  const refusals: unknown[] = []
  const waits: number[] = []
  let isHeld = true
  const asking = (async () => {
    while (isHeld) {
      const askedMono = performance.now()
      expect((await fetch(`${stage.daemon.url}/healthz`)).status).toBe(200)
      answers.push(performance.now() - askedMono)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  })()
  while (performance.now() - heldMono < HELD_MS) {
    const askedMono = performance.now()
    const told = await stage.client.schedule({ url: stage.receiver.url }).catch((error: unknown) => error)
    refusals.push(told)
    waits.push(performance.now() - askedMono)
    await new Promise((resolve) => setTimeout(resolve, 500))
  }
  isHeld = false
  await asking
  holder.send('release')
  await once(holder, 'exit')
  expect(waits[0], 'it was waited for').toBeGreaterThan(4_000)
  // Behind other writes, of which each waits its five seconds, a request's own ten may be over first; then the door refuses.
  const codes = refusals.map((refusal) => (refusal as { readonly data?: { readonly code?: string } }).data?.code)
  expect(codes.length).toBeGreaterThan(1)
  expect(codes.filter((code) => code === undefined || !TRY_AGAIN.has(code))).toEqual([])
  expect(answers.filter((ms) => ms > 250).length / answers.length, `${answers.length} answers`).toBeLessThan(0.02)
  await expect
    .poll(async () => (await stage.client.call<{ state: string }>('getWebhook', { id: running })).state)
    .toBe('delivered')
  await stage.receiver.behave({ hold: false })
  await expect
    .poll(() =>
      stage.client.schedule({ url: stage.receiver.url }).then(
        () => true,
        () => false,
      ),
    )
    .toBe(true)
  expect((await stage.client.tree()).restarts).toBe(0)
  expect(stage.daemon.output()).not.toContain('process.restarted')
})
