/** IP addresses and ranges as bytes: 4 for IPv4, 16 for IPv6. Pure; no other spelling than the plain one is understood. */

export interface AddressRange {
  readonly bytes: Uint8Array
  readonly prefix: number
}

/** Dotted decimal or RFC 4291 text to bytes; null for anything else (zone ids, hex, octal, short forms, empty). */
export const parseAddress = (text: string): Uint8Array | null => (text.includes(':') ? parseV6(text) : parseV4(text))

const parseV4 = (text: string): Uint8Array | null => {
  const parts = text.split('.')
  if (parts.length !== 4) return null
  const bytes = new Uint8Array(4)
  for (const [i, part] of parts.entries()) {
    if (!/^(?:0|[1-9]\d{0,2})$/.test(part) || Number(part) > 255) return null
    bytes[i] = Number(part)
  }
  return bytes
}

const parseV6 = (text: string): Uint8Array | null => {
  const halves = text.split('::')
  if (halves.length > 2) return null
  const head = groups(halves[0] ?? '', halves.length === 1)
  const tail = halves.length === 2 ? groups(halves[1] ?? '', true) : []
  if (head === null || tail === null) return null
  const zeros = 16 - head.length - tail.length
  if (halves.length === 1 ? zeros !== 0 : zeros < 2) return null
  return Uint8Array.from([...head, ...new Array<number>(Math.max(zeros, 0)).fill(0), ...tail])
}

/** The bytes of colon-separated groups; the last may be dotted decimal if `last`. */
const groups = (text: string, last: boolean): number[] | null => {
  if (text === '') return []
  const bytes: number[] = []
  const parts = text.split(':')
  for (const [i, part] of parts.entries()) {
    if (last && i === parts.length - 1 && part.includes('.')) {
      const v4 = parseV4(part)
      if (v4 === null) return null
      bytes.push(...v4)
    } else {
      if (!/^[0-9a-fA-F]{1,4}$/.test(part)) return null
      const value = Number.parseInt(part, 16)
      bytes.push(value >> 8, value & 0xff)
    }
  }
  return bytes.length <= 16 ? bytes : null
}

/** `address/prefix`, or an address alone for exactly that one; null if it is neither. Host bits are ignored. */
export const parseRange = (text: string): AddressRange | null => {
  const slash = text.indexOf('/')
  const bytes = parseAddress(slash < 0 ? text : text.slice(0, slash))
  if (bytes === null) return null
  if (slash < 0) return { bytes, prefix: bytes.length * 8 }
  const digits = text.slice(slash + 1)
  const prefix = Number(digits)
  return /^\d{1,3}$/.test(digits) && prefix <= bytes.length * 8 ? { bytes, prefix } : null
}

export const rangeHolds = (range: AddressRange, address: Uint8Array): boolean => {
  if (range.bytes.length !== address.length) return false
  const whole = range.prefix >> 3
  for (let i = 0; i < whole; i++) if (range.bytes[i] !== address[i]) return false
  const rest = range.prefix & 7
  if (rest === 0) return true
  const mask = (0xff << (8 - rest)) & 0xff
  return ((range.bytes[whole] ?? 0) & mask) === ((address[whole] ?? 0) & mask)
}
