/** The commands that work on a data directory without a daemon, in the words of the command line. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { OfflineStore } from '#cli/session.ts'
import { CommandFailure } from '#cli/usage.ts'
import { ADMIN_KEY_FILE } from '#control/admin-key.ts'
import { callerOf } from '#control/keys.ts'
import { checkDirectory, keysOf, restore } from '#store/sqlite/restore.ts'
import { StoreError } from '#store/store.ts'
import { RealWorld } from '#world/real-world.ts'

export const offlineStore: OfflineStore = {
  restore: (file, dir, replace) =>
    inWords(() => {
      const restored = restore(file, dir, replace)
      return { ...restored, adminKey: isKeyGood(restored.dir) }
    }),
  check: (dir) => inWords(() => checkDirectory(dir)),
}

/** Whether the key beside the store is one of its admin keys; null if there is none. */
const isKeyGood = (dir: string): boolean | null => {
  const key = adminKeyIn(dir)
  if (key === null) return null
  const keys = new Map(keysOf(dir).map((stored) => [stored.keyId, stored]))
  return callerOf(key, keys, new RealWorld().wallNow())?.role === 'admin'
}
const adminKeyIn = (dir: string): string | null => {
  try {
    return readFileSync(join(dir, ADMIN_KEY_FILE), 'utf8').trim()
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null
    throw error
  }
}

const inWords = <T>(body: () => T): T => {
  try {
    return body()
  } catch (error) {
    if (error instanceof StoreError) throw new CommandFailure(error.message)
    throw error
  }
}
