/** Who speaks on a socket, and for which brand: always from the key, never from what is said (reliability.md C5). */
import type { Brand } from '#webhook/webhook.ts'
import { Refusal } from './refusal.ts'

export type Caller =
  | { readonly role: 'admin'; readonly keyId: string; readonly brand: null }
  | { readonly role: 'brand'; readonly keyId: string; readonly brand: Brand }

export const BRAND_DEFAULT: Brand = 'default'

/** The brand that a write goes to: the key's, or with an admin key the one named (default `default`). Refusal: FORBIDDEN. */
export const brandForWrite = (caller: Caller, named: Brand | undefined, field = 'brand'): Brand =>
  brandForRead(caller, named, field) ?? BRAND_DEFAULT

/** The brand whose things may be seen: the key's; with an admin key the one named, or null for all. Refusal: FORBIDDEN. */
export const brandForRead = (caller: Caller, named: Brand | undefined, field = 'brand'): Brand | null => {
  if (caller.role === 'admin') return named ?? null
  if (named !== undefined && named !== caller.brand)
    throw new Refusal('FORBIDDEN', `${field} is not the brand of this key; leave it out`, { field })
  return caller.brand
}
