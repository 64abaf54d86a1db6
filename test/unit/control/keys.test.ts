import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { firstStartText, keepAdminKey } from '#control/admin-key.ts'
import { AuthThrottle } from '#control/auth-throttle.ts'
import { callerOf, isWellFormedKey, makeKey, storedKeyOf } from '#control/keys.ts'
import type { StoredKey } from '#store/store.ts'
import { RealWorld } from '#world/real-world.ts'

const world = new RealWorld()
const random = (length: number): Uint8Array => world.randomBytes(length)
const NOW = 1_800_000_000_000

describe('keys', () => {
  const key = makeKey('brand', random)
  const stored = storedKeyOf(key, { role: 'brand', brand: 'acme', createdAt: NOW })
  const keys = (...all: StoredKey[]) => new Map(all.map((one) => [one.keyId, one]))

  it('have the shape of control.md and are never the same twice', () => {
    expect(key).toMatch(/^hp_brand_[0-9A-Za-z]{49}$/)
    expect(makeKey('admin', random)).toMatch(/^hp_admin_[0-9A-Za-z]{49}$/)
    expect(makeKey('brand', () => new Uint8Array(32).fill(255))).toMatch(/^hp_brand_[0-9A-Za-z]{49}$/)
    expect(new Set(Array.from({ length: 100 }, () => makeKey('brand', random))).size).toBe(100)
  })

  it('carry a checksum that finds every slip of one character and every swap of two', () => {
    expect(isWellFormedKey(key)).toBe(true)
    for (let i = 9; i < key.length; i++) {
      const slip = `${key.slice(0, i)}${key[i] === 'a' ? 'b' : 'a'}${key.slice(i + 1)}`
      expect(isWellFormedKey(slip)).toBe(false)
      const swap = `${key.slice(0, i)}${key[i + 1] ?? ''}${key[i]}${key.slice(i + 2)}`
      if (swap !== key) expect(isWellFormedKey(swap)).toBe(false)
    }
  })

  it('are stored as a digest that is not the key, under an id that does not give it away', () => {
    const text = JSON.stringify({ ...stored, digest: Buffer.from(stored.digest).toString('latin1') })
    expect(text).not.toContain(key.slice(9, 20))
    expect(stored.digest).toHaveLength(32)
  })

  it('say who holds them: only if known, live and the very same', () => {
    expect(callerOf(key, keys(stored), NOW)).toEqual({ role: 'brand', keyId: stored.keyId, brand: 'acme' })
    expect(callerOf(key, keys(), NOW)).toBeNull()
    expect(callerOf(key, keys({ ...stored, revokedAt: NOW - 1 }), NOW)).toBeNull()
    expect(callerOf(key, keys({ ...stored, expiresAt: NOW }), NOW)).toBeNull()
    expect(callerOf(key, keys({ ...stored, expiresAt: NOW + 1 }), NOW)).not.toBeNull()
    expect(callerOf(key, keys({ ...stored, digest: new Uint8Array(32) }), NOW)).toBeNull()
    const admin = makeKey('admin', random)
    const storedAdmin = storedKeyOf(admin, { role: 'admin', brand: null, createdAt: NOW })
    expect(callerOf(admin, keys(storedAdmin), NOW)).toMatchObject({ role: 'admin', brand: null })
  })
})

describe('the first admin key', () => {
  it('is a file that only its owner reads, whole at every moment', async () => {
    const data = mkdtempSync(join(tmpdir(), 'hookpulse-key-'))
    await keepAdminKey(data, 'hp_admin_one')
    await keepAdminKey(data, 'hp_admin_two')
    expect(readFileSync(join(data, 'admin.key'), 'utf8')).toBe('hp_admin_two\n')
    expect(statSync(join(data, 'admin.key')).mode & 0o777).toBe(0o600)
    rmSync(data, { recursive: true })
  })

  it('is shown with three commands to try', () => {
    const text = firstStartText('hp_admin_x', 'http://127.0.0.1:9', 'd')
    expect(text).toContain('hp_admin_x')
    expect(text.match(/npm run -s hookpulse --/g)).toHaveLength(3)
    expect(text.match(/--url http:\/\/127\.0\.0\.1:9/g)).toHaveLength(3)
    expect(text.match(/--data d/g)).toHaveLength(3)
    expect(firstStartText('k', 'http://127.0.0.1:7411', './hookpulse-data')).not.toMatch(/--url|--data/)
  })
})

describe('wrong keys', () => {
  it('are told at once five times a minute, then wait longer each time, per address', () => {
    const throttle = new AuthThrottle()
    const waits = Array.from({ length: 20 }, (_, i) => throttle.failed('a', i))
    expect(waits.slice(0, 8)).toEqual([0, 0, 0, 0, 0, 1_000, 2_000, 4_000])
    expect(Math.max(...waits)).toBe(60_000)
    expect(throttle.failed('b', 20)).toBe(0)
    expect(throttle.failed('a', 70_000)).toBe(0)
  })
})
