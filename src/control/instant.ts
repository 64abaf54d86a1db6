/**
 * Instants on the wire: RFC 3339 with an offset, or epoch milliseconds, on the way in; RFC 3339 in UTC with milliseconds
 * on the way out. Arithmetic only: the same text gives the same instant on every machine.
 */
import { INSTANT_MAX } from '#config/limits.ts'
import type { Instant } from '#webhook/webhook.ts'
import { show } from './refusal.ts'

const MS_PER_DAY = 86_400_000
const RFC_3339 = /^(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:([Zz])|([+-])(\d\d):(\d\d))$/
const DAYS_OF_MONTH = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] as const

/** What is wrong with an instant, and what would be right. */
export class BadInstant extends Error {}

const CURE = 'give RFC 3339 with an offset, like 2027-01-31T09:00:00.000Z, or epoch milliseconds'

/**
 * Epoch milliseconds of what a client sent. Throws BadInstant for anything that is not one exact instant between
 * 1970 and 9999: no zone, second 60, year 10000, 24:00, NaN, fractions of a millisecond (TIME-05, TIME-11).
 */
export const readInstant = (value: unknown): Instant => {
  if (typeof value === 'number') return inRange(value, value)
  if (typeof value !== 'string') throw new BadInstant(`is ${show(value)}; ${CURE}`)
  const match = RFC_3339.exec(value)
  if (match === null) throw new BadInstant(`is ${show(value)}; ${CURE}`)
  return inRange(instantOf(match, value), value)
}

const inRange = (ms: number, said: unknown): Instant => {
  if (Number.isInteger(ms) && ms >= 0 && ms <= INSTANT_MAX) return ms
  if (!Number.isFinite(ms)) throw new BadInstant(`is ${show(said)}, which is no instant; ${CURE}`)
  if (!Number.isInteger(ms)) throw new BadInstant(`is ${show(said)}; give whole milliseconds`)
  throw new BadInstant(`is ${show(said)}; give an instant between 1970 and 9999`)
}

const instantOf = (match: RegExpExecArray, text: string): number => {
  const field = (index: number): number => Number(match[index])
  const [year, month, day, hour, minute, second] = [field(1), field(2), field(3), field(4), field(5), field(6)]
  if (month < 1 || month > 12) throw new BadInstant(`is ${show(text)}; the month must be 01 to 12`)
  const monthDays = month === 2 && !isLeapYear(year) ? 28 : (DAYS_OF_MONTH[month - 1] ?? 0)
  if (day < 1 || day > monthDays) throw new BadInstant(`is ${show(text)}; that month has ${monthDays} days`)
  if (hour > 23 || minute > 59) throw new BadInstant(`is ${show(text)}; the time must be 00:00 to 23:59`)
  if (second > 59)
    throw new BadInstant(`is ${show(text)}; seconds must be 00 to 59 (leap seconds are not instants here)`)
  const ms = Number((match[7] ?? '').padEnd(3, '0').slice(0, 3))
  return (
    daysFromCivil(year, month, day) * MS_PER_DAY +
    ((hour * 60 + minute) * 60 + second) * 1_000 +
    ms -
    offsetOf(match, text)
  )
}

const offsetOf = (match: RegExpExecArray, text: string): number => {
  if (match[8] !== undefined) return 0
  const [hours, minutes] = [Number(match[10]), Number(match[11])]
  if (hours > 23 || minutes > 59) throw new BadInstant(`is ${show(text)}; the offset must be -23:59 to +23:59`)
  return (match[9] === '-' ? -1 : 1) * (hours * 60 + minutes) * 60_000
}

const isLeapYear = (year: number): boolean => (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0

/** Days since 1970-01-01 of a proleptic Gregorian date (H. Hinnant, "chrono-Compatible Low-Level Date Algorithms"). */
const daysFromCivil = (year: number, month: number, day: number): number => {
  const y = month <= 2 ? year - 1 : year
  const era = Math.floor(y / 400)
  const yearOfEra = y - era * 400
  const dayOfYear = Math.floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + day - 1
  return era * 146_097 + yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear - 719_468
}

/** `2027-01-31T09:00:00.000Z`. */
export const formatInstant = (ms: Instant): string => {
  const days = Math.floor(ms / MS_PER_DAY)
  const rest = ms - days * MS_PER_DAY
  return `${dateOf(days)}T${two(Math.floor(rest / 3_600_000))}:${two(Math.floor(rest / 60_000) % 60)}:${two(
    Math.floor(rest / 1_000) % 60,
  )}.${String(rest % 1_000).padStart(3, '0')}Z`
}

let lastDays = Number.NaN
let lastDate = ''
/** The last date is kept: most instants of one answer share it. */
const dateOf = (days: number): string => {
  if (days !== lastDays) {
    lastDate = civilFromDays(days)
    lastDays = days
  }
  return lastDate
}

const civilFromDays = (days: number): string => {
  const z = days + 719_468
  const era = Math.floor(z / 146_097)
  const dayOfEra = z - era * 146_097
  const yearOfEra = Math.floor(
    (dayOfEra - Math.floor(dayOfEra / 1_460) + Math.floor(dayOfEra / 36_524) - Math.floor(dayOfEra / 146_096)) / 365,
  )
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100))
  const shifted = Math.floor((5 * dayOfYear + 2) / 153)
  const day = dayOfYear - Math.floor((153 * shifted + 2) / 5) + 1
  const month = shifted < 10 ? shifted + 3 : shifted - 9
  const year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
  return `${String(year).padStart(4, '0')}-${two(month)}-${two(day)}`
}

const two = (value: number): string => (value < 10 ? `0${value}` : String(value))
