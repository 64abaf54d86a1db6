/** What leaves a process for reports and status pages goes through the behaviour's formatStatus (OTP-O8). */
import type { Process } from './process.ts'

/** A formatStatus that fails shows this instead, never the state. */
export const PLACEHOLDER = '(formatStatus failed)'

export const formatState = (process: Process, state: unknown): unknown => {
  const code = process.slot.current
  if (code.formatStatus === undefined) return state
  try {
    return code.formatStatus(state as never)
  } catch {
    return PLACEHOLDER
  }
}
