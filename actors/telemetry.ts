/**
 * telemetry: keeps the subscribers of the daemon's facts listening: monitor, metrics, feed of subscriptions, log. Started by root.
 *
 * State: none of its own; what was counted lives in the objects that it is given. On restart they listen again. A crash
 * costs the facts of that moment: no decision depends on them.
 */
import { FEW } from '#actors/mailboxes.ts'
import { type Behaviour, ok } from '#runtime/behaviour.ts'
import { type Name, name } from '#runtime/protocol.ts'
import type { Events } from '#telemetry/events.ts'

export type TelemetryProtocol = {
  readonly call: never
  readonly cast: never
  readonly info: never
  readonly continue: never
}
export const telemetry: Name<TelemetryProtocol> = name('telemetry')

export interface Listener {
  /** Returns a function that stops listening. */
  listen(events: Events): () => void
}
export interface TelemetryArgs {
  readonly events: Events
  readonly listeners: readonly Listener[]
}

export const telemetryActor: Behaviour<TelemetryProtocol, TelemetryArgs, null> = {
  name: 'telemetry',
  version: 1,
  mailbox: FEW,
  init({ events, listeners }, ctx) {
    for (const listener of listeners) ctx.own(listener.listen(events))
    return ok(null)
  },
}
