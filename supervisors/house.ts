import type { SupervisorFlags } from '#runtime/supervisor-spec.ts'

/** The house's restart policy: one_for_one, at once, 5 in 10 s, then the supervisor above decides (architecture.md). */
export const HOUSE_FLAGS: SupervisorFlags = { strategy: 'one_for_one', intensity: 5, periodMs: 10_000 }
