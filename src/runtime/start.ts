import type { ExitReason } from './exit.ts'
import type { Pid, Via } from './pid.ts'

export interface StartOptions {
  /** Taken before init runs; if it is taken the answer is `already_started` (OTP-I2). */
  readonly name?: string
  /** Instead of a name (OTP-N4). */
  readonly via?: Via
  /** The half-born process is killed after it (OTP-I11). Default: none. */
  readonly timeoutMs?: number
}
export type StartResult =
  /** `info`: whatever else a start function wants to say; a supervisor hands it on. */
  | { readonly ok: true; readonly pid: Pid; readonly info?: unknown }
  | { readonly ok: false; readonly ignore: true }
  | {
      readonly ok: false
      readonly ignore: false
      readonly reason: ExitReason | { readonly type: 'already_started'; readonly pid: Pid }
    }
