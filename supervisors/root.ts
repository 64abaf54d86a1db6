/**
 * root: the whole daemon. one_for_one: what starts later finds what started earlier by name, and again after a restart.
 * House intensity; root's own end is the end of the process (exit 70), and the service manager's turn.
 *
 * Start order: the store before everybody who asks it; the guards before the limits that wake them; the limits
 * before anything is admitted; delivery before control, so that who is let in finds the house working. Stopped in reverse:
 * nobody new is let in, what moves is brought to rest, the store closes last.
 */
import { LISTENER_TABLE } from '#actors/control.ts'
import { limits, limitsActor } from '#actors/limits.ts'
import { STORE_FAILURES_TABLE } from '#actors/store-keeper/trouble.ts'
import { storeKeeper, storeKeeperActor } from '#actors/store-keeper.ts'
import { GUARDS_TABLES } from '#guard/tables.ts'
import { type Name, name } from '#runtime/protocol.ts'
import type { SupervisorArgs, SupervisorProtocol } from '#runtime/supervisor.ts'
import { type ChildSpec, worker } from '#runtime/supervisor-spec.ts'
import type { OpenStore } from '#store/store.ts'
import { type DeliveryArgs, delivery } from './delivery.ts'
import { guardsSupervisor } from './guards.ts'
import { HOUSE_FLAGS } from './house.ts'

export const root: Name<SupervisorProtocol> = name('root')

export interface RootArgs extends DeliveryArgs {
  readonly openStore: OpenStore
  /** What stands before the house: ingest, telemetry, control. Empty where a test speaks to the actors itself. */
  readonly control: { readonly before: readonly ChildSpec[]; readonly after: readonly ChildSpec[] }
}

export const rootSupervisor = (args: RootArgs): SupervisorArgs => ({
  flags: HOUSE_FLAGS,
  // With --port 0 clients find the daemon where it was, whatever of the control channel was killed.
  // A store-keeper that is restarted counts on where its predecessor was.
  // And whatever dies, guards forget no rate, closure or hold (D-10).
  tables: [LISTENER_TABLE, STORE_FAILURES_TABLE, ...GUARDS_TABLES],
  children: [
    worker(storeKeeperActor, { open: args.openStore, events: args.events }, { name: storeKeeper, shutdownMs: 10_000 }),
    ...args.control.before,
    guardsSupervisor(),
    worker(limitsActor, { events: args.events }, { name: limits }),
    delivery(args),
    ...args.control.after,
  ],
})
