/** What the runtime reports about its processes, in the words of the event catalogue. */
import { describeReason } from '#runtime/exit.ts'
import type { Report } from '#runtime/reports.ts'
import type { Event } from '#telemetry/events.ts'
import type { Instant } from '#webhook/webhook.ts'

/** Null for what the catalogue leaves to the supervisor's own report. */
export const processEvent = (report: Report, at: Instant): Event | null => {
  switch (report.type) {
    case 'process-started':
      return {
        type: 'process.started',
        at,
        name: report.name ?? report.id,
        pid: report.pid.id,
        supervisor: report.supervisor,
        reason: 'started',
      }
    case 'process-crashed':
      return {
        type: 'process.crashed',
        at,
        name: report.name ?? report.behaviour,
        pid: report.pid.id,
        supervisor: null,
        reason: describeReason(report.reason),
      }
    case 'process-restarted':
      return {
        type: 'process.restarted',
        at,
        name: report.name ?? report.id,
        pid: report.pid.id,
        supervisor: report.supervisor,
        reason: describeReason(report.reason),
      }
    case 'supervisor-gave-up':
      return {
        type: 'supervisor.gave-up',
        at,
        name: report.supervisor,
        pid: report.pid.id,
        supervisor: report.supervisor,
        reason: describeReason(report.reason),
      }
    case 'child-start-failed':
      return {
        type: 'process.crashed',
        at,
        name: report.offender.id,
        pid: report.offender.pid?.id ?? 0,
        supervisor: report.supervisor,
        reason: describeReason(report.reason),
      }
    case 'process-ran-long':
      return { type: 'process.ran-long', at, name: report.name ?? report.behaviour, pid: report.pid.id, ms: report.ms }
    case 'mailbox-long':
    case 'mailbox-overflowed':
      return {
        type: 'process.mailbox-filled',
        at,
        name: report.name ?? String(report.pid),
        pid: report.pid.id,
        length: report.length,
      }
    case 'close-failed':
      return {
        type: 'process.close-failed',
        at,
        name: report.name ?? String(report.pid),
        pid: report.pid.id,
        reason: describeReason(report.reason),
      }
    case 'loop-delayed':
      return { type: 'loop.delayed', at, ms: report.ms }
    default:
      return null
  }
}
