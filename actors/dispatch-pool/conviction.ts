/** Who is suspect of ending threads and processes: when that is over, and the verdict on a webhook that was alone, three times, in a thread or a process that died: quarantined, not in doubt (D-17). */
import { LONELY_DEATHS_MAX } from '#config/limits.ts'
import type { AttemptReport } from '#dispatch/dispatch.ts'
import type { LonelyDeaths } from '#store/store.ts'
import type { AttemptId, Instant } from '#webhook/webhook.ts'

/** After a report: whatever ended the thread, it was not this one; unless it was only aborted. */
export const suspicionAfter = ({ outcome }: AttemptReport, lonelyDeaths: LonelyDeaths): LonelyDeaths =>
  outcome.kind === 'error' && outcome.error === 'in_doubt' ? lonelyDeaths : null

export const conviction = (attemptId: AttemptId, reason: string, at: Instant): AttemptReport => {
  const detail = `alone in a dispatch thread that died ${LONELY_DEATHS_MAX} times: ${reason}`
  const outcome = { kind: 'error', error: 'poison', detail } as const
  return { attemptId, outcome, startedAt: at, endedAt: at, networkMs: 0, sent: true }
}
