import { deliver } from './deliver.ts'
import { enqueue } from './enqueue.ts'
import { precision } from './precision.ts'
import type { Scenario } from './scenario.ts'

/** In the order in which `npm run bench` runs them. */
export const SCENARIOS: readonly Scenario[] = [deliver, enqueue, precision]
