/** What HookPulse is measured against: one plain loop over undici in a process of its own, nothing else around it. */
import { performance } from 'node:perf_hooks'
import { Agent } from 'undici'
import type { RawAnswer, RawRequest } from './raw-undici.ts'

const agent = new Agent()

const send = async (origin: string, id: number, body: string): Promise<void> => {
  const { statusCode, body: answer } = await agent.request({
    origin,
    path: '/raw',
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      'user-agent': 'raw',
      'webhook-id': `raw_${id}`,
      'webhook-timestamp': String(Math.floor(Date.now() / 1_000)),
    },
    body,
  })
  await answer.dump()
  if (statusCode !== 200) throw new Error(`status ${statusCode}`)
}

const drive = async ({ origin, count, concurrency, body }: RawRequest): Promise<RawAnswer> => {
  let next = 0
  const lane = async (): Promise<void> => {
    while (next < count) {
      next += 1
      await send(origin, next, body)
    }
  }
  const cpuBefore = process.cpuUsage()
  const startMono = performance.now()
  await Promise.all(Array.from({ length: concurrency }, lane))
  const ms = performance.now() - startMono
  const cpu = process.cpuUsage(cpuBefore)
  return { ms, cpuMicros: cpu.user + cpu.system }
}

process.on('message', (request: RawRequest) => {
  void drive(request).then((answer) => process.send?.(answer))
})
process.on('disconnect', () => process.exit(0))
