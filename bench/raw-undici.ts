import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

export interface RawRequest {
  readonly origin: string
  readonly count: number
  readonly concurrency: number
  readonly body: string
}
export interface RawAnswer {
  readonly ms: number
  readonly cpuMicros: number
}
export interface RawDriver {
  run(request: RawRequest): Promise<RawAnswer>
  stop(): void
}

export const startRawDriver = (): RawDriver => {
  const child = fork(fileURLToPath(new URL('raw-undici-process.ts', import.meta.url)), { execArgv: [] })
  const died = once(child, 'exit').then(() => {
    throw new Error('the raw driver ended')
  })
  died.catch(() => 'told by run')
  return {
    run: async (request) => {
      const answered = once(child, 'message')
      child.send(request)
      const [answer]: [RawAnswer] = (await Promise.race([answered, died])) as [RawAnswer]
      return answer
    },
    stop: () => void child.kill('SIGKILL'),
  }
}
