/** Starts executions, many with one message to their supervisor. */
import { execution } from '#actors/execution.ts'
import { type DynamicSupervisorProtocol, startChildren } from '#runtime/dynamic-supervisor.ts'
import { type Name, name } from '#runtime/protocol.ts'
import { type ChildSpec, worker } from '#runtime/supervisor-spec.ts'
import { attemptIdOf } from '#webhook/webhook.ts'
import type { Ctx, Starting, State } from './state.ts'

export const executions: Name<DynamicSupervisorProtocol> = name('executions')
/** Executions started in one callback of their supervisor: well under a millisecond. */
const START_GROUP_MAX = 64

/** What was admitted together starts together: one message to the supervisor, and one back. */
export const startExecutions = (startings: readonly Starting[], state: State, ctx: Ctx): void => {
  for (const { token, takeUp, admitted } of startings) {
    const { due, permit } = admitted
    // Its mark, its outcome and the end of its permit would be another attempt's.
    if (permit.attemptId !== attemptIdOf(due.id, due.attempts + 1))
      throw new Error(`the permit of ${permit.attemptId} is not that of attempt ${due.attempts + 1} of ${due.id}`)
    if (takeUp !== null) state.starting.add(token)
  }
  for (let at = 0; at < startings.length; at += START_GROUP_MAX) {
    const group = startings.slice(at, at + START_GROUP_MAX)
    const specs = group.map((starting) => specOf(starting, state))
    ctx.request(executions, startChildren(specs), 'executions-started', group, Number.POSITIVE_INFINITY)
  }
}
const specOf = ({ admitted, token, takeUp }: Starting, { events }: State): ChildSpec =>
  worker(execution, { admitted, token, takeUp, events }, { restart: 'temporary' })
