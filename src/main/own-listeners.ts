/** Keeps the daemon's own listeners out of reach of its webhooks, on every address of the machine where it listens on all. */
import { networkInterfaces } from 'node:os'
import type { OwnTargets } from '#dispatch/own-targets.ts'
import { deniedListener } from '#webhook/address.ts'
import type { World } from '#world/world.ts'

/** Interfaces come and go; only a listener on all of them has to follow. */
const LOOK_AGAIN_MS = 60_000

export const denyOwnListener = (own: OwnTargets, world: World, host: string, port: number): void => {
  own.set(deniedListener(host, port, localAddresses()))
  if (host === '0.0.0.0' || host === '::') world.setTimer(LOOK_AGAIN_MS, () => denyOwnListener(own, world, host, port))
}

const localAddresses = (): string[] =>
  Object.values(networkInterfaces()).flatMap((some) => (some ?? []).map(({ address }) => address.replace(/%.*$/, '')))
