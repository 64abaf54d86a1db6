import { backlog } from './backlog.ts'
import { deliver } from './deliver.ts'
import { enqueue } from './enqueue.ts'
import { fairness } from './fairness.ts'
import { guard } from './guard.ts'
import { guardCost } from './guard-cost.ts'
import { isolation } from './isolation.ts'
import { pending } from './pending.ts'
import { precision } from './precision.ts'
import { recovery } from './recovery.ts'
import { runtime } from './runtime.ts'
import type { Scenario } from './scenario.ts'
import { soak } from './soak.ts'

/** In the order in which `npm run bench` runs them. */
export const SCENARIOS: readonly Scenario[] = [
  deliver,
  enqueue,
  precision,
  guard,
  guardCost,
  fairness,
  isolation,
  pending,
  backlog,
  recovery,
  runtime,
  soak,
]
