/**
 * delivery: everything between "it is due" and "it is delivered". one_for_one: each actor finds its work again by itself, in
 * the store, in tables or at the dispatch pool, so the death of one need not touch the others. 5 restarts in 10 s: beyond
 * that something is wrong that another start in place will not cure, and root decides.
 *
 * It owns the tables `executions` and `retries`: who cares for which attempt outlives the death of those who do.
 *
 * Start order: the pool before those who send to it; executions and retries before the managers that fill them; the scheduler
 * last, because from its start on webhooks move.
 */
import { type DispatchPoolArgs, dispatchPool, dispatchPoolActor } from '#actors/dispatch-pool.ts'
import { EXECUTIONS_TABLE } from '#actors/execution.ts'
import { executions } from '#actors/executor/starting.ts'
import { type ExecutorArgs, executor, executorActor } from '#actors/executor.ts'
import { RETRIES_TABLE } from '#actors/retry.ts'
import { retries, retryManager, retryManagerActor } from '#actors/retry-manager.ts'
import { type SchedulerArgs, scheduler, schedulerActor } from '#actors/scheduler.ts'
import { dynamicSupervisorSpec } from '#runtime/dynamic-supervisor.ts'
import { supervisorSpec } from '#runtime/supervisor.ts'
import { type ChildSpec, worker } from '#runtime/supervisor-spec.ts'
import type { Events } from '#telemetry/events.ts'
import { HOUSE_FLAGS } from './house.ts'

export interface DeliveryArgs extends DispatchPoolArgs, SchedulerArgs {
  readonly events: Events
  readonly runId: string
  readonly fatalRuns: ExecutorArgs['fatalRuns']
}

export const delivery = (args: DeliveryArgs): ChildSpec =>
  supervisorSpec({
    id: 'delivery',
    name: 'delivery',
    flags: HOUSE_FLAGS,
    tables: [EXECUTIONS_TABLE, RETRIES_TABLE],
    children: [
      worker(dispatchPoolActor, args, { name: dispatchPool, shutdownMs: 10_000 }),
      dynamicSupervisorSpec({ id: executions, name: executions, flags: HOUSE_FLAGS }),
      worker(executorActor, { events: args.events, runId: args.runId, fatalRuns: args.fatalRuns }, { name: executor }),
      dynamicSupervisorSpec({ id: retries, name: retries, flags: HOUSE_FLAGS }),
      worker(retryManagerActor, { events: args.events }, { name: retryManager }),
      worker(schedulerActor, args, { name: scheduler }),
    ],
  })
