/**
 * System messages (stdlib's sys; runtime.md section Y): to a process itself, between two of its callbacks, whether it is suspended or not.
 * Each function rejects with CallExit when the process is gone or does not answer in time. Default wait 5,000 ms.
 */
import { CodeChangeRefused } from './code.ts'
import { Debug, type DebugEvent, type DebugFunction, type Statistics } from './debug.ts'
import { CallExit, reasonOf } from './exit.ts'
import type { Kernel } from './kernel.ts'
import type { Pid } from './pid.ts'
import type { Process, Settled } from './process.ts'
import { formatState } from './redaction.ts'
import type { Runtime } from './runtime.ts'
import { terminate as terminateProcess } from './server.ts'

const WAIT_MS = 5_000
type Ref = Pid | string
const done = (value: unknown = 'ok'): Settled => ({ ok: true, value })

const ask = <T>(runtime: Runtime, ref: Ref, what: string, timeoutMs: number, run: (target: Process) => Settled) =>
  new Promise<T>((resolve, reject) => {
    runtime.kernel.askSystem(ref, null, timeoutMs, run, (answer) => {
      if (answer.ok) resolve(answer.value as T)
      else reject(new CallExit(answer.reason, { target: String(ref), request: `sys ${what}`, timeoutMs }))
    })
  })

export type Failed = { readonly ok: false; readonly error: { readonly type: string; readonly detail: unknown } }
export type Replaced = { readonly ok: true; readonly state: unknown } | Failed
export type Changed = { readonly ok: true } | Failed

export const getState = (runtime: Runtime, ref: Ref, timeoutMs = WAIT_MS): Promise<unknown> =>
  ask(runtime, ref, 'get_state', timeoutMs, (target) => done(target.state))

/** If `replace` raises, the state stays and the process lives (OTP-Y2). */
export const replaceState = (
  runtime: Runtime,
  ref: Ref,
  replace: (state: unknown) => unknown,
  timeoutMs = WAIT_MS,
): Promise<Replaced> =>
  ask(runtime, ref, 'replace_state', timeoutMs, (target) => {
    try {
      target.state = replace(target.state)
      return done({ ok: true, state: target.state })
    } catch (error) {
      return done({ ok: false, error: { type: 'callback_failed', detail: reasonOf(error) } })
    }
  })

/** Idempotent. Until `resume` only system messages and the parent's EXIT are looked at; all else waits in order (OTP-Y3). */
export const suspend = (runtime: Runtime, ref: Ref, timeoutMs = WAIT_MS): Promise<void> =>
  ask(runtime, ref, 'suspend', timeoutMs, (target) => {
    target.suspended = true
    return done()
  })
export const resume = (runtime: Runtime, ref: Ref, timeoutMs = WAIT_MS): Promise<void> =>
  ask(runtime, ref, 'resume', timeoutMs, (target) => {
    target.suspended = false
    return done()
  })

export interface Status {
  readonly pid: Pid
  readonly name: string | null
  readonly behaviour: string
  readonly version: number
  readonly status: 'running' | 'suspended'
  readonly parent: Pid | null
  readonly log: readonly DebugEvent[]
  /** Through the behaviour's formatStatus (OTP-O8). */
  readonly state: unknown
}
export const getStatus = (runtime: Runtime, ref: Ref, timeoutMs = WAIT_MS): Promise<Status> =>
  ask(runtime, ref, 'get_status', timeoutMs, (target) => done(statusOf(target)))
const statusOf = (target: Process): Status => ({
  pid: target.pid,
  name: target.name,
  behaviour: target.slot.current.name,
  version: target.slot.current.version,
  status: target.suspended ? 'suspended' : 'running',
  parent: target.parent,
  log: (target.debug?.log ?? []).map((event) => formatEvent(target, event)),
  state: formatState(target, target.state),
})
const formatEvent = (target: Process, event: DebugEvent): DebugEvent =>
  'state' in event ? { ...event, state: formatState(target, event.state) } : event

/** Ends the process through its `terminate` (OTP-Y6). Resolves when it has been asked. */
export const terminate = (
  runtime: Runtime,
  ref: Ref,
  reason: Parameters<typeof terminateProcess>[2],
  timeoutMs = WAIT_MS,
): Promise<void> => {
  const { kernel } = runtime
  const end = (target: Process): Settled => {
    kernel.systemRequest(target, () => terminateProcess(kernel, target, reason, {}))
    return done()
  }
  return ask(runtime, ref, 'terminate', timeoutMs, end)
}

/**
 * Turns a suspended process's state into that of the loaded version (OTP-C3 to C5). In each failing case the process lives, stays
 * suspended and keeps its state.
 */
export const changeCode = (
  runtime: Runtime,
  ref: Ref,
  from: { readonly version: number; readonly down: boolean },
  extra: unknown,
  timeoutMs = WAIT_MS,
): Promise<Changed> => ask(runtime, ref, 'change_code', timeoutMs, (target) => done(changed(target, from, extra)))

const changed = (
  target: Process,
  from: { readonly version: number; readonly down: boolean },
  extra: unknown,
): Changed => {
  if (!target.suspended) return { ok: false, error: { type: 'unknown_system_msg', detail: 'change_code' } }
  const code = target.slot.current
  if (code.codeChange === undefined) return { ok: false, error: { type: 'undef', detail: 'codeChange' } }
  try {
    const next = code.codeChange(from, target.state, extra)
    if (next instanceof CodeChangeRefused) return { ok: false, error: { type: 'refused', detail: next.why } }
    target.state = next
    return { ok: true }
  } catch (error) {
    return { ok: false, error: { type: 'exit', detail: reasonOf(error) } }
  }
}
// ---------------------------------------------------------------- statistics, log, trace, installed functions

const debugOf = (target: Process): Debug => {
  target.debug ??= new Debug()
  return target.debug
}
const settle = (target: Process): Settled => {
  if (target.debug?.idle === true) target.debug = null
  return done()
}

export const statistics = (runtime: Runtime, ref: Ref, on: boolean, timeoutMs = WAIT_MS): Promise<void> =>
  ask(runtime, ref, 'statistics', timeoutMs, (target) => {
    const startTime = runtime.kernel.world.wallNow()
    debugOf(target).statistics = on ? { startTime, reductions: target.reductions, messagesIn: 0, messagesOut: 0 } : null
    return settle(target)
  })
/** `no_statistics` while they are off (OTP-Y7). */
export const getStatistics = (runtime: Runtime, ref: Ref, timeoutMs = WAIT_MS): Promise<Statistics | 'no_statistics'> =>
  ask(runtime, ref, 'statistics', timeoutMs, (target) => {
    const counts = target.debug?.statistics ?? null
    if (counts === null) return done('no_statistics')
    const { startTime, reductions, messagesIn, messagesOut } = counts
    const currentTime = runtime.kernel.world.wallNow()
    return done({ startTime, currentTime, reductions: target.reductions - reductions, messagesIn, messagesOut })
  })

/** Keeps the last `max` events; 0 switches the log off (OTP-Y8: OTP's `true` is 10). */
export const log = (runtime: Runtime, ref: Ref, max = 10, timeoutMs = WAIT_MS): Promise<void> =>
  ask(runtime, ref, 'log', timeoutMs, (target) => {
    const debug = debugOf(target)
    debug.logMax = max
    debug.log = max === 0 ? [] : debug.log.slice(-max)
    return settle(target)
  })
export const getLog = (runtime: Runtime, ref: Ref, timeoutMs = WAIT_MS): Promise<readonly DebugEvent[]> =>
  ask(runtime, ref, 'log', timeoutMs, (target) => done([...(target.debug?.log ?? [])]))
/** Hands each event to `sink`; null switches it off. */
export const trace = (
  runtime: Runtime,
  ref: Ref,
  sink: ((event: DebugEvent) => void) | null,
  timeoutMs = WAIT_MS,
): Promise<void> =>
  ask(runtime, ref, 'trace', timeoutMs, (target) => {
    debugOf(target).trace = sink
    return settle(target)
  })
/** An installed id is not installed again (OTP-Y9). */
export const install = (
  runtime: Runtime,
  ref: Ref,
  id: string,
  run: DebugFunction,
  own: unknown,
  timeoutMs = WAIT_MS,
): Promise<void> =>
  ask(runtime, ref, 'install', timeoutMs, (target) => {
    const { installed } = debugOf(target)
    if (!installed.has(id)) installed.set(id, { run, own })
    return done()
  })
export const remove = (runtime: Runtime, ref: Ref, id: string, timeoutMs = WAIT_MS): Promise<void> =>
  ask(runtime, ref, 'remove', timeoutMs, (target) => {
    target.debug?.installed.delete(id)
    return settle(target)
  })
export const noDebug = (runtime: Runtime, ref: Ref, timeoutMs = WAIT_MS): Promise<void> =>
  ask(runtime, ref, 'no_debug', timeoutMs, (target) => {
    target.debug = null
    return done()
  })

/** A behaviour's new version; whoever still runs code two versions old is killed (OTP-C1), or with `soft` nothing is loaded. */
export const loadCode = (
  runtime: Runtime,
  code: Parameters<Kernel['code']['load']>[0],
  purge: 'hard' | 'soft' = 'hard',
): { readonly ok: boolean } => {
  const { kernel } = runtime
  const runsOld = (process: Process): boolean =>
    process.runningCode !== null && process.slot.old === process.runningCode && process.slot.current.name === code.name
  const stale = [...kernel.processes.values()].filter(runsOld)
  if (purge === 'soft' && stale.length > 0) return { ok: false }
  for (const process of stale) kernel.signal(process, process.pid, 'kill', false)
  kernel.code.load(code)
  return { ok: true }
}
