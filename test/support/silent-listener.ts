/**
 * A port whose SYNs go unanswered: a stopped process (SIGSTOP) listens with a backlog of one, and that is full.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { connect, type Socket } from 'node:net'

const PROGRAM = `require('node:net').createServer().listen(0, '127.0.0.1', 1, function () { console.log(this.address().port) })`
/** More than the kernel queues for a backlog of one. */
const FILLERS = 8

export class SilentListener {
  readonly url: string
  readonly #child: ChildProcess
  readonly #fillers: Socket[]

  private constructor(url: string, child: ChildProcess, fillers: Socket[]) {
    this.url = url
    this.#child = child
    this.#fillers = fillers
  }

  static async start(): Promise<SilentListener> {
    const child = spawn(process.execPath, ['-e', PROGRAM], { stdio: ['ignore', 'pipe', 'inherit'] })
    const port = await new Promise<number>((resolve) => child.stdout.once('data', (text) => resolve(Number(text))))
    child.kill('SIGSTOP')
    const fillers = Array.from({ length: FILLERS }, () => connect(port, '127.0.0.1').on('error', () => {}))
    // The queue is full as soon as the first of them are in it.
    await new Promise<void>((resolve) => fillers[1]?.once('connect', resolve))
    return new SilentListener(`http://127.0.0.1:${port}/`, child, fillers)
  }

  async stop(): Promise<void> {
    for (const filler of this.#fillers) filler.destroy()
    const ended = new Promise((resolve) => this.#child.once('exit', resolve))
    this.#child.kill('SIGKILL')
    await ended
  }
}
