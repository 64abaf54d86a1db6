/** How a behaviour process takes one message: the gen_server loop (runtime.md sections I and G), synchronous wherever the callback is. */
import type { CallResult, CastResult, Next } from './behaviour.ts'
import type { Code } from './code.ts'
import { type ExitReason, isBenign, reasonOf } from './exit.ts'
import type { Kernel } from './kernel.ts'
import { CAST, INFO, SYSTEM } from './mailbox.ts'
import type { Pid } from './pid.ts'
import { CLOSING, NOTHING, type Process, Request, RUNNING, TERMINATING } from './process.ts'
import type { Exited, Message, Protocol } from './protocol.ts'

type Handler = (...args: readonly unknown[]) => unknown
type Result = CallResult<Protocol, unknown, unknown>

/** Takes one message, or the continuation if there is one (OTP-G25). */
export const step = (kernel: Kernel, process: Process, message: unknown, meta: unknown): void => {
  if (meta === SYSTEM) return systemStep(kernel, process, message as () => void)
  if (process.timeout !== null) cancelTimeout(kernel, process)
  let result: unknown
  const request = meta instanceof Request ? meta : null
  try {
    result = invoke(kernel, process, message, meta)
  } catch (error) {
    return fail(kernel, process, error)
  }
  if (result instanceof Promise) return awaitResult(kernel, process, result, request)
  apply(kernel, process, result, request)
}

/** A system message does not cancel a timeout but starts it anew (OTP-G22). */
const systemStep = (kernel: Kernel, process: Process, run: () => void): void => {
  const waiting = process.timeout !== null
  run()
  if (!waiting || process.phase !== RUNNING) return
  cancelTimeout(kernel, process)
  armTimeout(kernel, process, process.timeoutMs)
}

const invoke = (kernel: Kernel, process: Process, message: unknown, meta: unknown): unknown => {
  const code = process.slot.current
  const { state, ctx } = process
  if (process.continuation !== NOTHING) {
    const next = process.continuation
    process.continuation = NOTHING
    return (code.continue ?? undef('continue')).call(code, next as never, state as never, ctx as never)
  }
  if (meta === CAST) return handler(code.cast, message, 'cast')(message, state, ctx)
  if (meta === INFO) return info(kernel, process, code, message)
  if (meta instanceof Request) return handler(code.call, message, 'call')(message, meta, state, ctx)
  throw new Error('a message of no kind')
}

class Undefined extends Error {
  readonly callback: string
  constructor(callback: string) {
    super(`undefined callback ${callback}`)
    this.callback = callback
  }
}
const undef = (callback: string): never => {
  throw new Undefined(callback)
}
const handler = (handlers: object | undefined, message: unknown, road: string): Handler => {
  const { type } = message as Message
  const found = handlers === undefined ? undefined : (handlers as Readonly<Record<string, Handler>>)[type]
  return found ?? undef(`${road} ${type}`)
}

const info = (kernel: Kernel, process: Process, code: Code, message: unknown): unknown => {
  const { parent } = process
  if (parent !== null && isExitOf(message as Message, parent)) {
    return { kind: 'stop', reason: (message as Exited).reason, state: process.state, signalled: true }
  }
  if (code.info !== undefined) return code.info(message as never, process.state as never, process.ctx as never)
  const { pid, name } = process
  kernel.report({ type: 'info-unhandled', pid, name, behaviour: code.name, message: (message as Message).type })
  return KEEP
}
const isExitOf = (message: Message, parent: Pid): boolean =>
  message.type === 'EXIT' && (message as Exited).pid === parent
const KEEP: CastResult<Protocol, unknown> = { kind: 'keep' }

/** The process is busy until the promise settles (OTP-J1); after a death its end is swallowed (J2, J3). */
const awaitResult = (kernel: Kernel, process: Process, promise: Promise<unknown>, request: Request | null): void => {
  process.busy = true
  kernel.workStarts()
  const settled = (proceed: () => void): void => {
    process.busy = false
    if (process.phase < CLOSING) proceed()
    kernel.wake(process)
    kernel.workEnds()
  }
  promise.then(
    (result) => settled(() => apply(kernel, process, result, request)),
    (error: unknown) => settled(() => fail(kernel, process, error)),
  )
}

const apply = (kernel: Kernel, process: Process, result: unknown, request: Request | null): void => {
  if (process.phase !== RUNNING) return
  const known = result as (Result & { readonly signalled?: true }) | undefined | null
  switch (known?.kind) {
    case 'keep':
      return
    case 'noreply':
      process.state = known.state
      return follow(kernel, process, known.next)
    case 'reply':
      process.state = known.state
      if (request === null) break
      kernel.reply(request, known.reply)
      return follow(kernel, process, known.next)
    case 'stop':
      process.state = known.state
      return terminate(kernel, process, known.reason, known.signalled === undefined, null)
    case 'stop-reply': {
      process.state = known.state
      if (request === null) break
      const { reply } = known
      return terminate(kernel, process, known.reason, true, () => kernel.reply(request, reply))
    }
    default:
      break
  }
  terminate(kernel, process, { type: 'bad_return_value', value: result }, true, null)
}

/** What the callback wants next (OTP-G21, G23, G25). */
export const follow = (kernel: Kernel, process: Process, next: Next<Protocol> | null | undefined): void => {
  if (next === null || next === undefined) return
  if ('continue' in next) process.continuation = next.continue
  else armTimeout(kernel, process, next.timeoutMs)
}
const armTimeout = (kernel: Kernel, process: Process, timeoutMs: number): void => {
  if (process.mailboxLength > 0 || timeoutMs === Number.POSITIVE_INFINITY) return
  process.timeoutMs = timeoutMs
  if (timeoutMs === 0) return kernel.push(process, { type: 'timeout' }, INFO)
  process.timeout = kernel.wheel.after(timeoutMs, () => {
    process.timeout = null
    if (process.mailboxLength === 0 && !process.busy) kernel.push(process, { type: 'timeout' }, INFO)
  })
}
const cancelTimeout = (kernel: Kernel, process: Process): void => {
  if (process.timeout !== null) kernel.wheel.cancel(process.timeout)
  process.timeout = null
}

const fail = (kernel: Kernel, process: Process, error: unknown): void => {
  if (process.phase !== RUNNING) return
  terminate(kernel, process, failure(error), true, null)
}
export const failure = (error: unknown): ExitReason =>
  error instanceof Undefined ? { type: 'undef', callback: error.callback } : reasonOf(error)

/**
 * Ends a process through its `terminate` callback (OTP-G15, G18); `last` runs after it, also if it fails (G10).
 * `byItself`: not because somebody's exit signal said so; then a reason that is not benign is reported (O2, O3).
 */
export const terminate = (
  kernel: Kernel,
  process: Process,
  reason: ExitReason,
  byItself: boolean,
  last: (() => void) | null,
): void => {
  if (process.phase >= TERMINATING) return
  cancelTimeout(kernel, process)
  process.phase = TERMINATING
  const end = (final: ExitReason): void => {
    if (process.phase >= CLOSING) return
    if (last !== null) last()
    if (byItself || final !== reason) reportCrash(kernel, process, final)
    kernel.die(process, final)
  }
  const code = process.slot.current
  if (code.terminate === undefined) return end(reason)
  let ending: unknown
  try {
    ending = code.terminate(reason, process.state as never, process.ctx as never)
  } catch (error) {
    return end(failure(error))
  }
  if (!(ending instanceof Promise)) return end(reason)
  kernel.workStarts()
  ending
    .then(
      () => end(reason),
      (error: unknown) => end(failure(error)),
    )
    .finally(() => kernel.workEnds())
}

export const reportCrash = (kernel: Kernel, process: Process, reason: ExitReason): void => {
  if (isBenign(reason)) return
  const { pid, name, ancestors, mailboxLength } = process
  const behaviour = process.slot.current.name
  kernel.report({ type: 'process-crashed', pid, name, behaviour, reason, ancestors, mailboxLength })
}
