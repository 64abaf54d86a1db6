/** How a behaviour process takes one message: the gen_server loop (runtime.md sections I and G), synchronous wherever the callback is. */
import { type CallResult, keep, type Next } from './behaviour.ts'
import type { Code } from './code.ts'
import { type ExitReason, isBenign, reasonOf } from './exit.ts'
import type { Kernel } from './kernel.ts'
import { CAST, INFO, SYSTEM } from './mailbox.ts'
import { CLOSING, NOTHING, type Process, Request, RUNNING, TERMINATING } from './process.ts'
import type { Exited, Message, Protocol } from './protocol.ts'
import { formatState } from './redaction.ts'

type Handler = (...args: readonly unknown[]) => unknown
type Result = CallResult<Protocol, unknown, unknown>

/** Takes one message, or the continuation if there is one (OTP-G25). */
export const step = (kernel: Kernel, process: Process, message: unknown, meta: unknown): void => {
  if (meta === SYSTEM) return systemStep(kernel, process, message as () => void)
  if (process.timeout !== null) cancelTimeout(kernel, process)
  if (process.debug !== null) noteIn(process, message)
  let result: unknown
  try {
    result = invoke(kernel, process, message, meta)
  } catch (error) {
    return fail(kernel, process, error, requestOf(meta), message)
  }
  // What most handlers return needs nothing more.
  if (result === keep && process.debug === null) return
  if (result instanceof Promise) return awaitResult(kernel, process, result, requestOf(meta), message)
  apply(kernel, process, result, requestOf(meta), message)
}
const requestOf = (meta: unknown): Request | null => (meta instanceof Request ? meta : null)

/** A system message does not cancel a timeout but starts it anew (OTP-G22). */
const systemStep = (kernel: Kernel, process: Process, run: () => void): void => {
  const waiting = process.timeout !== null
  run()
  if (!waiting || process.phase !== RUNNING) return
  cancelTimeout(kernel, process)
  armTimeout(kernel, process, process.timeoutMs)
}

const noteIn = (process: Process, message: unknown): void => {
  const { continuation, debug, state } = process
  const continues = continuation !== NOTHING
  debug?.note(continues ? { type: 'continue', message: continuation } : { type: 'in', message }, state)
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
  if (process.parent !== null && process.isParentExit(message)) {
    return { kind: 'stop', reason: (message as Exited).reason, state: process.state }
  }
  if (code.info !== undefined) return code.info(message as never, process.state as never, process.ctx as never)
  const { pid, name } = process
  kernel.report({ type: 'info-unhandled', pid, name, behaviour: code.name, message: (message as Message).type })
  return keep
}

/** The process is busy until the promise settles (OTP-J1); after a death its end is swallowed (J2, J3). */
const awaitResult = (
  kernel: Kernel,
  process: Process,
  promise: Promise<unknown>,
  request: Request | null,
  message: unknown,
): void => {
  kernel.setBusy(process, true)
  const settled = (proceed: () => void): void => {
    if (process.phase >= CLOSING) return
    kernel.setBusy(process, false)
    proceed()
    kernel.wake(process)
  }
  promise.then(
    (result) => settled(() => apply(kernel, process, result, request, message)),
    (error: unknown) => settled(() => fail(kernel, process, error, request, message)),
  )
}

const noteOut = (process: Process, request: Request, reply: unknown): void => {
  const { debug, state } = process
  if (debug !== null) debug.note({ type: 'out', reply, to: request.caller?.pid ?? null, state }, state)
}

const apply = (kernel: Kernel, process: Process, result: unknown, request: Request | null, message: unknown): void => {
  if (process.phase !== RUNNING) return
  const known = result as Result | undefined | null
  switch (known?.kind) {
    case 'keep':
      process.debug?.note({ type: 'noreply', state: process.state }, process.state)
      return
    case 'noreply':
      process.state = known.state
      process.debug?.note({ type: 'noreply', state: known.state }, known.state)
      return follow(kernel, process, known.next)
    case 'reply':
      process.state = known.state
      if (request === null) break
      noteOut(process, request, known.reply)
      kernel.reply(request, known.reply)
      return follow(kernel, process, known.next)
    case 'stop':
      process.state = known.state
      return terminate(kernel, process, known.reason, { request, message })
    case 'stop-reply': {
      process.state = known.state
      if (request === null) break
      const { reply } = known
      const last = (): void => kernel.reply(request, reply)
      return terminate(kernel, process, known.reason, { request, message, last })
    }
    default:
      break
  }
  terminate(kernel, process, { type: 'bad_return_value', value: result }, { request, message })
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

const fail = (kernel: Kernel, process: Process, error: unknown, request: Request | null, message: unknown): void => {
  if (process.phase !== RUNNING) return
  terminate(kernel, process, failure(error), { request, message })
}
export const failure = (error: unknown): ExitReason =>
  error instanceof Undefined ? { type: 'undef', callback: error.callback } : reasonOf(error)

export interface Ending {
  /** Runs after `terminate`, also if that fails (OTP-G10). */
  readonly last?: () => void
  /** What it was working on. */
  readonly message?: unknown
  readonly request?: Request | null
}

/** Ends a process through its `terminate` callback (OTP-G15); what that raises becomes the reason (G18). */
export const terminate = (kernel: Kernel, process: Process, reason: ExitReason, ending: Ending): void => {
  if (process.phase >= TERMINATING) return
  cancelTimeout(kernel, process)
  process.phase = TERMINATING
  const end = (final: ExitReason): void => {
    if (process.phase >= CLOSING) return
    ending.last?.()
    reportCrash(kernel, process, final, ending)
    kernel.die(process, final)
  }
  const code = process.slot.current
  if (code.terminate === undefined) return end(reason)
  let callback: unknown
  try {
    callback = code.terminate(reason, process.state as never, process.ctx as never)
  } catch (error) {
    return end(failure(error))
  }
  if (!(callback instanceof Promise)) return end(reason)
  kernel.setBusy(process, true)
  callback.then(
    () => end(reason),
    (error: unknown) => end(failure(error)),
  )
}

/** The terminate report of a server, then the crash report of its process (OTP-O5). */
export const reportCrash = (kernel: Kernel, process: Process, reason: ExitReason, ending: Ending | null): void => {
  if (isBenign(reason)) return
  const { pid, name, ancestors, mailboxLength, label, trapping } = process
  const behaviour = process.slot.current.name
  if (ending !== null) {
    kernel.report({
      type: 'server-terminated',
      pid,
      name,
      behaviour,
      reason,
      lastMessage: ending.message ?? null,
      state: formatState(process, process.state),
      log: process.debug?.log ?? [],
      client: ending.request?.caller?.pid ?? null,
      label,
    })
  }
  kernel.report({
    type: 'process-crashed',
    pid,
    name,
    behaviour,
    reason,
    ancestors,
    mailboxLength,
    links: process.links().map((peer) => peer.pid),
    trapExit: trapping,
    reductions: process.reductions,
    label,
  })
}
