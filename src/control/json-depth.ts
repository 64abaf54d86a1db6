/** Nesting of a JSON text, found before it is parsed (reliability.md C6): no recursion, no object is made. */

const QUOTE = 0x22
const BACKSLASH = 0x5c
const OPEN_LIST = 0x5b
const CLOSE_LIST = 0x5d
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d

/** True if lists and objects nest deeper than `levels`. Text that is not JSON gives either answer. */
export const nestsDeeperThan = (bytes: Uint8Array, levels: number): boolean => {
  let depth = 0
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i]
    if (byte === QUOTE) i = endOfString(bytes, i + 1)
    else if (byte === OPEN_OBJECT || byte === OPEN_LIST) {
      depth += 1
      if (depth > levels) return true
    } else if (byte === CLOSE_OBJECT || byte === CLOSE_LIST) depth -= 1
  }
  return false
}

/** Index of the closing quote, or the end of the text. */
const endOfString = (bytes: Uint8Array, from: number): number => {
  for (let i = from; i < bytes.length; i++) {
    const byte = bytes[i]
    if (byte === BACKSLASH) i += 1
    else if (byte === QUOTE) return i
  }
  return bytes.length
}
