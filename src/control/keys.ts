/**
 * API keys: `hp_admin_` or `hp_brand_`, 32 random bytes in base62, a checksum of 6. The store has a public id and an HMAC
 * (reliability.md C10): 256 random bits need no slow hash, and a copied database opens nothing.
 */
import { createHmac, hash, timingSafeEqual } from 'node:crypto'
import { crc32 } from 'node:zlib'
import type { StoredKey } from '#store/store.ts'
import type { Brand, Instant } from '#webhook/webhook.ts'
import type { Caller } from './caller.ts'

const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const SECRET_BYTES = 32
/** 62^43 > 2^256. */
const SECRET_CHARS = 43
const CHECKSUM_CHARS = 6
const SHAPE = /^hp_(admin|brand)_[0-9A-Za-z]{49}$/
/** Names the use, so that the digest of a key is of no use elsewhere. */
const HMAC_CONTEXT = 'hookpulse api key v1'

/** A new key; shown once, to whoever asked for it. */
export const makeKey = (role: 'admin' | 'brand', randomBytes: (length: number) => Uint8Array): string => {
  const body = `hp_${role}_${base62(randomBytes(SECRET_BYTES))}`
  return body + checksum(body)
}

/** What the store keeps of a key. */
export const storedKeyOf = (
  key: string,
  of: { readonly role: 'admin' | 'brand'; readonly brand: Brand | null; readonly createdAt: Instant },
): StoredKey => ({ keyId: keyIdOf(key), digest: digestOf(key), ...of, expiresAt: null, revokedAt: null })

/** True if it could be a key: right shape and checksum. Finds slips of the pen without a look at the store. */
export const isWellFormedKey = (text: string): boolean =>
  SHAPE.test(text) && checksum(text.slice(0, -CHECKSUM_CHARS)) === text.slice(-CHECKSUM_CHARS)

/** Who holds this key; null for any that is wrong, unknown, revoked or expired. Compares in constant time. */
export const callerOf = (
  key: string,
  keys: { get(keyId: string): StoredKey | undefined },
  now: Instant,
): Caller | null => {
  if (!isWellFormedKey(key)) return null
  const stored = keys.get(keyIdOf(key))
  if (stored === undefined || !timingSafeEqual(digestOf(key), stored.digest) || !isLive(stored, now)) return null
  if (stored.role === 'admin') return { role: 'admin', keyId: stored.keyId, brand: null }
  return stored.brand === null ? null : { role: 'brand', keyId: stored.keyId, brand: stored.brand }
}

export const isLive = (key: StoredKey, now: Instant): boolean =>
  key.revokedAt === null && (key.expiresAt === null || key.expiresAt > now)

const keyIdOf = (key: string): string => `key_${hash('sha256', `id ${key}`, 'hex').slice(0, 20)}`
const digestOf = (key: string): Uint8Array => new Uint8Array(createHmac('sha256', HMAC_CONTEXT).update(key).digest())

const base62 = (bytes: Uint8Array): string => {
  let value = 0n
  for (const byte of bytes) value = value * 256n + BigInt(byte)
  return digits(value, SECRET_CHARS)
}
const checksum = (text: string): string => digits(BigInt(crc32(text)), CHECKSUM_CHARS)
const digits = (value: bigint, length: number): string => {
  let text = ''
  for (let rest = value; text.length < length; rest /= 62n) text = BASE62.charAt(Number(rest % 62n)) + text
  return text
}
