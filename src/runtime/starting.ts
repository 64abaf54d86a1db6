/** The start handshake (runtime.md section I): the starter has its answer when `init` has finished or failed, and not before. */
import type { Init } from './behaviour.ts'
import type { Code } from './code.ts'
import type { ExitReason } from './exit.ts'
import { HOST, type Kernel } from './kernel.ts'
import { CLOSING, DEAD, type Process, RUNNING } from './process.ts'
import type { Protocol } from './protocol.ts'
import { failure, follow, reportCrash } from './server.ts'
import type { StartOptions, StartResult } from './start.ts'

const ORPHAN_MS = 10_000

type Started = StartResult | Promise<StartResult>
const IGNORED: StartResult = { ok: false, ignore: true }
const failed = (reason: ExitReason): StartResult => ({ ok: false, ignore: false, reason })

/** What makes a process's context; the runtime hands it in. */
export type ContextMaker = (process: Process) => unknown

/**
 * Starts a process and runs its `init` at once, on the starter's stack: the starter could do nothing else meanwhile.
 * Answers at once where `init` is synchronous. `starter` null: from outside; `link` needs a starter.
 * `born` runs the moment `init` has succeeded: a monitor set there misses nothing (OTP-P8).
 */
export const start = (
  kernel: Kernel,
  contextOf: ContextMaker,
  behaviour: Code,
  args: unknown,
  options: StartOptions,
  starter: Process | null,
  link: boolean,
  born: ((process: Process) => void) | null = null,
): Started => {
  const name = options.name ?? null
  const address = options.via ?? name
  const holder = address === null ? null : kernel.resolve(address)
  if (holder?.isDoomed())
    return released(kernel, holder, () => start(kernel, contextOf, behaviour, args, options, starter, link, born))
  if (holder !== null) return { ok: false, ignore: false, reason: { type: 'already_started', pid: holder.pid } }
  if (link && starter !== null && starter.phase >= CLOSING) return failed('noproc')
  const process = kernel.spawn(behaviour, name)
  if (link && starter !== null) {
    process.parent = starter.pid
    process.ancestors = starter.descend()
    kernel.link(process, starter)
  }
  options.via?.register(process)
  process.ctx = contextOf(process)
  const birth = new Birth(kernel, process, link ? starter : null, born)
  return birth.run(args, options.timeoutMs)
}

/**
 * The name belongs to a process that is on its way out: what it owns is being closed (D-9), or its supervisor was killed and it
 * stops its own children first. Its successor waits for that. Without it the restart of a killed supervisor would use up its
 * parent's intensity while its former children still close their doors.
 */
const released = (kernel: Kernel, holder: Process, then: () => Started): Promise<StartResult> => {
  kernel.workStarts()
  // Nobody waits for an orphan that hangs in its end: it has the time of two shutdowns.
  const late = kernel.wheel.after(ORPHAN_MS, () => kernel.signal(holder, HOST, 'kill', false))
  return new Promise((resolve) => {
    kernel.monitor(holder.pid, null, () => {
      kernel.wheel.cancel(late)
      kernel.workEnds()
      resolve(then())
    })
  })
}

class Birth {
  private readonly kernel: Kernel
  private readonly process: Process
  private readonly starter: Process | null

  /** What its own failing says; a death from elsewhere says its reason. */
  private outcome: StartResult | null = null
  private readonly born: ((process: Process) => void) | null

  constructor(kernel: Kernel, process: Process, starter: Process | null, born: Birth['born']) {
    this.born = born
    this.kernel = kernel
    this.process = process
    this.starter = starter
  }

  run(args: unknown, timeoutMs: number | undefined): Started {
    const { kernel, process } = this
    const outer = kernel.current
    kernel.current = process
    let init: unknown
    try {
      init = process.slot.current.init(args as never, process.ctx as never)
    } catch (error) {
      return this.raised(error)
    } finally {
      kernel.current = outer
    }
    return init instanceof Promise ? this.wait(init, timeoutMs) : this.done(init)
  }

  /** An `init` that takes its time: the starter waits; whatever kills the process meanwhile is the answer. */
  private wait(init: Promise<unknown>, timeoutMs: number | undefined): Promise<StartResult> {
    const { kernel, process } = this
    kernel.workStarts()
    return new Promise<StartResult>((resolve) => {
      let over = false
      const answer = (result: Started): void => {
        if (over) return
        over = true
        if (limit !== null) kernel.wheel.cancel(limit)
        if (death !== null) kernel.demonitor(death)
        resolve(result)
        kernel.workEnds()
      }
      const limit = timeoutMs === undefined ? null : kernel.wheel.after(timeoutMs, () => answer(this.tooLate()))
      const death = kernel.monitor(process.pid, null, (reason) => answer(this.outcome ?? failed(reason)))
      init.then(
        (result) => answer(this.done(result)),
        (error: unknown) => answer(this.raised(error)),
      )
    })
  }

  private done(result: unknown): Started {
    const { kernel, process } = this
    if (process.phase >= CLOSING) return failed(process.reason ?? 'normal')
    const init = result as Init<Protocol, unknown> | undefined | null
    switch (init?.kind) {
      case 'ok':
        process.state = init.state
        process.phase = RUNNING
        if (this.born !== null) this.born(process)
        follow(kernel, process, init.next)
        kernel.wake(process)
        return { ok: true, pid: process.pid }
      case 'ignore':
        return this.end('normal', IGNORED)
      case 'error':
        return this.end('normal', failed(init.reason))
      case 'stop':
        return this.crash(init.reason)
      default:
        return this.crash({ type: 'bad_return_value', value: result })
    }
  }
  private raised(error: unknown): Started {
    if (this.process.phase >= CLOSING) return failed(this.process.reason ?? 'normal')
    return this.crash(failure(error))
  }
  private crash(reason: ExitReason): Started {
    reportCrash(this.kernel, this.process, reason, null)
    return this.end(reason, failed(reason))
  }
  private tooLate(): Started {
    if (this.starter !== null) this.kernel.unlink(this.process, this.starter)
    return this.end('killed', failed('timeout'))
  }
  /** The failed process is dead, and its EXIT consumed, when the starter hears of it (OTP-I8, I9); one that does not trap dies with it (I10). */
  private end(reason: ExitReason, result: StartResult): Started {
    const { kernel, process, starter } = this
    this.outcome = result
    if (starter?.trapping === true) kernel.unlink(process, starter)
    kernel.die(process, reason)
    if (process.phase === DEAD) return result
    return new Promise((resolve) => {
      kernel.monitor(process.pid, null, () => resolve(result))
    })
  }
}
