/**
 * control: who comes in, and what they say. one_for_one: a listener that dies costs its sessions nothing, a session only
 * itself. Sessions are temporary: their clients connect again. House intensity.
 *
 * Start order: `sessions` before the listener that fills it. Stopped in reverse: nobody new is let in, then the sessions say
 * goodbye. The tables of keys and brands belong to the supervisor, so they outlive the listener; the port outlives both, with root.
 */
import { CONTROL_TABLES, type ControlArgs, controlActor, listener, sessions } from '#actors/control.ts'
import { type IngestArgs, ingest, ingestActor } from '#actors/ingest.ts'
import { type OverloadArgs, overload, overloadActor } from '#actors/overload.ts'
import { type TelemetryArgs, telemetry, telemetryActor } from '#actors/telemetry.ts'
import { dynamicSupervisorSpec } from '#runtime/dynamic-supervisor.ts'
import { supervisorSpec } from '#runtime/supervisor.ts'
import { type ChildSpec, worker } from '#runtime/supervisor-spec.ts'
import { HOUSE_FLAGS } from './house.ts'

/** The supervisor `control`: sessions and the listener. Last child of root. */
export const controlSupervisor = (args: ControlArgs): ChildSpec =>
  supervisorSpec({
    id: 'control',
    name: 'control',
    flags: HOUSE_FLAGS,
    tables: CONTROL_TABLES,
    children: [
      dynamicSupervisorSpec({ id: sessions, name: sessions, flags: HOUSE_FLAGS }),
      worker(controlActor, args, { name: listener }),
    ],
  })

/** Children of root, before delivery: the thread that reads large frames, the listeners of the daemon's facts, who judges the load. */
export const telemetryWorker = (args: TelemetryArgs): ChildSpec => worker(telemetryActor, args, { name: telemetry })
export const overloadWorker = (args: OverloadArgs): ChildSpec => worker(overloadActor, args, { name: overload })
export const ingestWorker = (args: IngestArgs): ChildSpec =>
  worker(ingestActor, args, { name: ingest, shutdownMs: 10_000 })
