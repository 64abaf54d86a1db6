/** What the runtime tells the host about its processes (OTP-O1 to O7). Facts, as plain data; a reporter that throws is ignored. */
import type { ExitReason } from './exit.ts'
import type { Pid } from './pid.ts'

export interface Offender {
  readonly id: string
  readonly pid: Pid | null
  readonly restart: 'permanent' | 'transient' | 'temporary'
  readonly type: 'worker' | 'supervisor'
}
export type Report =
  /** Progress: a supervisor has a new child. */
  | {
      readonly type: 'process-started'
      readonly pid: Pid
      readonly name: string | null
      readonly id: string
      readonly supervisor: string
    }
  /** A server ends by itself with a reason that is not benign (OTP-O1). `state` went through formatStatus. */
  | {
      readonly type: 'server-terminated'
      readonly pid: Pid
      readonly name: string | null
      readonly behaviour: string
      readonly reason: ExitReason
      readonly lastMessage: unknown
      readonly state: unknown
      /** What `sys` logged, if it did. */
      readonly log: readonly unknown[]
      /** Whose call it was. */
      readonly client: Pid | null
      readonly label: unknown
    }
  /** Then its process's crash report (OTP-O2). */
  | {
      readonly type: 'process-crashed'
      readonly pid: Pid
      readonly name: string | null
      readonly behaviour: string
      readonly reason: ExitReason
      readonly ancestors: readonly Pid[]
      readonly mailboxLength: number
      readonly links: readonly Pid[]
      readonly trapExit: boolean
      readonly reductions: number
      readonly label: unknown
    }
  /** A plain process let an error escape (OTP-O9). */
  | { readonly type: 'process-error'; readonly pid: Pid; readonly name: string | null; readonly reason: ExitReason }
  /** A child ended where its supervisor says so (OTP-O6), did not start, or did not stop as it should (O7). */
  | {
      readonly type: 'child-terminated' | 'child-start-failed' | 'child-shutdown-failed'
      readonly supervisor: string
      readonly reason: ExitReason
      readonly offender: Offender
    }
  | {
      readonly type: 'process-restarted'
      readonly supervisor: string
      readonly reason: ExitReason
      readonly pid: Pid
      readonly name: string | null
      readonly id: string
      /** Of this child, so far. */
      readonly restarts: number
    }
  /** The restart intensity is reached; the supervisor stops its children and exits `shutdown`. */
  | {
      readonly type: 'supervisor-gave-up'
      readonly pid: Pid
      readonly supervisor: string
      readonly reason: ExitReason
      readonly offender: Offender
    }
  /** A process held the thread for more than 10 ms without a break (long_schedule). */
  | {
      readonly type: 'process-ran-long'
      readonly pid: Pid
      readonly name: string | null
      readonly behaviour: string
      readonly ms: number
      readonly callbacks: number
    }
  /** A mailbox has grown to 10,000 messages (long_mailbox). */
  | { readonly type: 'mailbox-long'; readonly pid: Pid; readonly name: string | null; readonly length: number }
  /** A bounded mailbox was full. */
  | {
      readonly type: 'mailbox-overflowed'
      readonly pid: Pid
      readonly name: string | null
      readonly length: number
      readonly policy: 'drop' | 'crash'
    }
  /** The event loop answered a timer this late. */
  | { readonly type: 'loop-delayed'; readonly ms: number }
  /** Something that a process owned raised an error when it was closed at the death. */
  | { readonly type: 'close-failed'; readonly pid: Pid; readonly name: string | null; readonly reason: ExitReason }
  /** A message for a behaviour without `info` (OTP-G26). */
  | {
      readonly type: 'info-unhandled'
      readonly pid: Pid
      readonly name: string | null
      readonly behaviour: string
      readonly message: string
    }
