/** What a person typed wrong: exit code 2 and one line. */
export class UsageError extends Error {}

/** What went wrong otherwise, in one line: exit code 1. */
export class CommandFailure extends Error {}

const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** `500ms`, `2s`, `5m`, `1.5h`, `7d` in milliseconds. */
export const readDuration = (option: string, text: string): number => {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text)
  if (match === null)
    throw new UsageError(`${option} must be a duration like 500ms, 2s, 5m, 1h or 7d; got ${JSON.stringify(text)}`)
  return Math.round(Number(match[1]) * (UNITS_MS[match[2] ?? ''] ?? 0))
}

export const readJson = (option: string, text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    throw new UsageError(
      `${option} must be JSON; got ${JSON.stringify(text.slice(0, 60))} (for plain text use --body-text)`,
    )
  }
}

/** `name: value`, given any number of times. */
export const readHeaders = (texts: readonly string[]): Record<string, string> =>
  Object.fromEntries(
    texts.map((text) => {
      const at = text.indexOf(':')
      if (at < 1) throw new UsageError(`--header must be "name: value"; got ${JSON.stringify(text)}`)
      return [text.slice(0, at).trim(), text.slice(at + 1).trim()]
    }),
  )

/** A number, or `none` to remove a limit. */
export const readLimit = (option: string, text: string): number | null => {
  if (text === 'none') return null
  const value = Number(text)
  if (text.trim() === '' || !Number.isFinite(value))
    throw new UsageError(`${option} must be a number, or none to remove the limit; got ${JSON.stringify(text)}`)
  return value
}

export const readNumber = (option: string, text: string): number => {
  const value = Number(text)
  if (text.trim() === '' || !Number.isFinite(value))
    throw new UsageError(`${option} must be a number; got ${JSON.stringify(text)}`)
  return value
}
