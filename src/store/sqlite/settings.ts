/** Limits, brands and keys: small tables, read whole. */
import type { PutBrand, PutKey, SetLimit, StoredKey, StoredLimit } from '#store/store.ts'
import type { Brand, Instant } from '#webhook/webhook.ts'
import type { Connection } from './connection.ts'

type LimitRow = readonly [
  kind: StoredLimit['kind'],
  domain: string,
  brand: string,
  value: number | null,
  burst: number | null,
  setBy: string,
  setAt: number,
  version: number,
]
type KeyRow = readonly [
  keyId: string,
  digest: Buffer,
  role: StoredKey['role'],
  brand: string | null,
  createdAt: number,
  expiresAt: number | null,
  revokedAt: number | null,
]

export class Settings {
  readonly #findLimit
  readonly #setLimit
  readonly #forgetPast
  readonly #limits
  readonly #putBrand
  readonly #brands
  readonly #putKey
  readonly #keys

  constructor(db: Connection) {
    const limits = 'SELECT kind, domain, brand, value, burst, set_by, set_at, version FROM limits'
    this.#findLimit = db
      .prepare<[string, string, string], LimitRow>(`${limits} WHERE kind = ? AND domain = ? AND brand = ?`)
      .raw()
    this.#limits = db.prepare<[], LimitRow>(`${limits} WHERE value IS NOT NULL ORDER BY kind, domain, brand`).raw()
    this.#setLimit = db.prepare<LimitRow & unknown[]>('REPLACE INTO limits VALUES (?, ?, ?, ?, ?, ?, ?, ?)')
    this.#forgetPast = db.prepare<[number, number]>(
      `DELETE FROM limits WHERE (kind, domain, brand) IN (
         SELECT kind, domain, brand FROM limits
         WHERE kind IN ('closed-until', 'breaker-until') AND coalesce(value, 0) < ?
         ORDER BY coalesce(value, 0), kind, domain, brand LIMIT ?)`,
    )
    this.#putBrand = db.prepare<[string, number]>('INSERT INTO brands VALUES (?, ?) ON CONFLICT DO NOTHING')
    this.#brands = db
      .prepare<[], readonly [Brand, Instant]>('SELECT brand, created_at FROM brands ORDER BY brand')
      .raw()
    this.#putKey = db.prepare<unknown[]>('REPLACE INTO keys VALUES (?, ?, ?, ?, ?, ?, ?)')
    this.#keys = db
      .prepare<[], KeyRow>(
        'SELECT key_id, digest, role, brand, created_at, expires_at, revoked_at FROM keys ORDER BY key_id',
      )
      .raw()
  }

  /** A removed limit stays as a row without a value, so that its versions go on. */
  setLimit(op: SetLimit): StoredLimit {
    const { kind, domain, brand, value, burst, setBy, setAt } = op
    const found = this.#findLimit.get(kind, domain ?? '', brand ?? '')
    const before = found === undefined ? null : limitOf(found)
    if (before !== null && isSame(before, op)) return before
    const version = (before?.version ?? 0) + 1
    this.#setLimit.run(kind, domain ?? '', brand ?? '', value, burst, setBy, setAt, version)
    return { kind, domain, brand, value, burst, setBy, setAt, version }
  }
  limits(): StoredLimit[] {
    return this.#limits.all().map(limitOf)
  }
  /** Closures and open breakers that are over: answers how many went. */
  forgetPast(before: Instant, limit: number): number {
    return this.#forgetPast.run(before, limit).changes
  }
  putBrand(op: PutBrand): { readonly ok: true } {
    this.#putBrand.run(op.brand, op.createdAt)
    return { ok: true }
  }
  brands(): { readonly brand: Brand; readonly createdAt: Instant }[] {
    return this.#brands.all().map(([brand, createdAt]) => ({ brand, createdAt }))
  }
  putKey(op: PutKey): { readonly ok: true } {
    const { keyId, digest, role, brand, createdAt, expiresAt, revokedAt } = op.key
    this.#putKey.run(keyId, digest, role, brand, createdAt, expiresAt, revokedAt)
    return { ok: true }
  }
  keys(): StoredKey[] {
    return this.#keys.all().map(([keyId, digest, role, brand, createdAt, expiresAt, revokedAt]) => {
      return { keyId, digest: Uint8Array.from(digest), role, brand, createdAt, expiresAt, revokedAt }
    })
  }
}

const limitOf = ([kind, domain, brand, value, burst, setBy, setAt, version]: LimitRow): StoredLimit => {
  return { kind, domain: domain || null, brand: brand || null, value, burst, setBy, setAt, version }
}
const isSame = (before: StoredLimit, op: SetLimit): boolean =>
  before.value === op.value && before.burst === op.burst && before.setBy === op.setBy && before.setAt === op.setAt
