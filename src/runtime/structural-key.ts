/**
 * One string per term, so that structurally equal terms are one key (OTP-E8): 1 and '1' differ, -0 and 0 are one, plain objects do not
 * mind the order of their fields. Instances of classes and functions are keys by identity.
 */
let identities = 0
const identity = new WeakMap<object, number>()

const identityOf = (value: object): string => {
  const known = identity.get(value) ?? ++identities
  identity.set(value, known)
  return `#${known}`
}

export const structuralKey = (term: unknown): string => {
  if (typeof term === 'string') return JSON.stringify(term)
  if (typeof term === 'function') return identityOf(term)
  if (typeof term === 'symbol') return `symbol ${String(term)}`
  if (typeof term !== 'object' || term === null) return `${typeof term} ${term}`
  if (Array.isArray(term)) return `[${term.map(structuralKey).join()}]`
  const prototype: unknown = Object.getPrototypeOf(term)
  if (prototype !== Object.prototype && prototype !== null) return identityOf(term)
  const fields = Object.entries(term).sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${fields.map(([key, value]) => `${JSON.stringify(key)}:${structuralKey(value)}`).join()}}`
}
