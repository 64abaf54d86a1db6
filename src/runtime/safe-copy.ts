/**
 * Messages are values (OTP-R6): in safe mode each is copied at the send. Plain objects, arrays, Maps, Sets, Dates and typed arrays are
 * copied deeply; instances of classes (pids, refs of a call, ports, signals) and functions are shared: they are no data.
 */
export const safeCopy = <T>(value: T): T => copy(value, new Map()) as T

const isPlain = (value: object): boolean => {
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

const copy = (value: unknown, seen: Map<object, unknown>): unknown => {
  if (typeof value !== 'object' || value === null) return value
  if (seen.has(value)) return seen.get(value)
  if (Array.isArray(value)) return copyArray(value, seen)
  if (isPlain(value)) return copyPlain(value, seen)
  if (value instanceof Map) return copyMap(value, seen)
  if (value instanceof Set) return new Set([...value].map((item) => copy(item, seen)))
  if (value instanceof Date) return new Date(value)
  if (value instanceof Uint8Array && !Buffer.isBuffer(value)) return remember(value, value.slice(), seen)
  return value
}

const remember = (value: object, twin: object, seen: Map<object, unknown>): object => {
  seen.set(value, twin)
  return twin
}
const copyArray = (value: readonly unknown[], seen: Map<object, unknown>): unknown => {
  const twin: unknown[] = []
  seen.set(value, twin)
  for (const item of value) twin.push(copy(item, seen))
  return twin
}
const copyPlain = (value: object, seen: Map<object, unknown>): unknown => {
  const twin: Record<string, unknown> = {}
  seen.set(value, twin)
  for (const [key, item] of Object.entries(value)) twin[key] = copy(item, seen)
  return twin
}
const copyMap = (value: Map<unknown, unknown>, seen: Map<object, unknown>): unknown => {
  const twin = new Map<unknown, unknown>()
  seen.set(value, twin)
  for (const [key, item] of value) twin.set(copy(key, seen), copy(item, seen))
  return twin
}
