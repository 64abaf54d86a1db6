import { describe, expect, it } from 'vitest'
import { BadInstant, formatInstant, readInstant } from '#control/instant.ts'

const JANUARY = 1_801_386_000_000
const RIGHT: readonly (readonly [said: unknown, ms: number])[] = [
  ['2027-01-31T09:00:00Z', JANUARY],
  ['2027-01-31t09:00:00z', JANUARY],
  ['2027-01-31T09:00:00.000Z', JANUARY],
  ['2027-01-31T10:30:00+01:30', JANUARY],
  ['2027-01-31T09:00:00+00:00', JANUARY],
  ['2027-01-31T09:00:00-00:00', JANUARY],
  ['2027-02-01T08:59:00+23:59', JANUARY],
  ['2027-01-30T09:01:00-23:59', JANUARY],
  ['2027-01-31T09:00:00.5Z', JANUARY + 500],
  ['2027-01-31T09:00:00.123456789Z', JANUARY + 123],
  ['2028-02-29T00:00:00Z', 1_835_395_200_000],
  ['2000-02-29T00:00:00Z', 951_782_400_000],
  ['1970-01-01T00:00:00Z', 0],
  ['9999-12-31T23:59:59.999Z', 253_402_300_799_999],
  [0, 0],
  [JANUARY, JANUARY],
  [253_402_300_799_999, 253_402_300_799_999],
]
const WRONG: readonly (readonly [said: unknown, says: RegExp])[] = [
  // Leap seconds: smeared by the system's clock, and no instants here.
  ['2016-12-31T23:59:60Z', /seconds must be 00 to 59/],
  ['2016-12-31T23:59:60+00:00', /seconds must be 00 to 59/],
  ['2016-12-31T15:59:60-08:00', /seconds must be 00 to 59/],
  ['2016-12-31T23:59:61Z', /seconds must be 00 to 59/],
  // No zone: whose?
  ['2027-01-31T09:00:00', /with an offset/],
  ['2027-01-31T09:00:00.000', /with an offset/],
  ['2027-01-31', /with an offset/],
  ['2027-01-31T09:00:00 Europe/Paris', /with an offset/],
  ['2027-01-31T09:00:00Z[Europe/Paris]', /with an offset/],
  ['2027-01-31T09:00:00+01', /with an offset/],
  ['2027-01-31T09:00:00+0100', /with an offset/],
  ['2027-01-31T09:00:00+24:00', /the offset must be/],
  ['2027-01-31T09:00:00-24:00', /the offset must be/],
  ['2027-01-31T09:00:00+01:60', /the offset must be/],
  // ISO 8601 that is not RFC 3339.
  ['2027-W05-7T09:00:00Z', /RFC 3339/],
  ['2027-W05-7', /RFC 3339/],
  ['2027-031T09:00:00Z', /RFC 3339/],
  ['20270131T090000Z', /RFC 3339/],
  ['+002027-01-31T09:00:00Z', /RFC 3339/],
  ['2027-01-31T09:00Z', /RFC 3339/],
  ['2027-01-31T24:00:00Z', /00:00 to 23:59/],
  ['2027-01-31T09:60:00Z', /00:00 to 23:59/],
  ['2027-01-31T09:00:00,5Z', /RFC 3339/],
  ['2027-01-31 09:00:00Z', /RFC 3339/],
  ['2027-00-31T09:00:00Z', /the month must be/],
  ['2027-13-01T09:00:00Z', /the month must be/],
  ['2027-02-29T09:00:00Z', /that month has 28 days/],
  ['2100-02-29T09:00:00Z', /that month has 28 days/],
  ['2028-02-30T09:00:00Z', /that month has 29 days/],
  ['2027-04-31T09:00:00Z', /that month has 30 days/],
  ['10000-01-01T00:00:00Z', /RFC 3339/],
  ['', /RFC 3339/],
  ['now', /RFC 3339/],
  ['1801386000000', /RFC 3339/],
]
/** TIME-05: what JSON or JavaScript calls a number. */
const NUMBERS: readonly (readonly [said: unknown, says: RegExp])[] = [
  [8.64e15 + 1, /between 1970 and 9999/],
  [253_402_300_800_000, /between 1970 and 9999/],
  [-1, /between 1970 and 9999/],
  ['1969-12-31T23:59:59.999Z', /between 1970 and 9999/],
  [Number.NaN, /is NaN, which is no instant/],
  [JSON.parse('1e400'), /is Infinity, which is no instant/],
  [Number.NEGATIVE_INFINITY, /is no instant/],
  [1_801_386_000_000.5, /whole milliseconds/],
  [null, /epoch milliseconds/],
  [true, /epoch milliseconds/],
  [{}, /epoch milliseconds/],
  [[], /epoch milliseconds/],
]

describe('an instant', () => {
  it.each(RIGHT)('TIME-11: is read from RFC 3339 with an offset or from epoch milliseconds: %j', (said, ms) => {
    expect(readInstant(said)).toBe(ms)
    expect(readInstant(formatInstant(ms))).toBe(ms)
    expect(formatInstant(ms)).toBe(new Date(ms).toISOString())
  })
  it.each(WRONG)('TIME-11: is nothing else, and the answer says what would be right: %j', (said, says) => {
    expect(() => readInstant(said)).toThrow(BadInstant)
    expect(() => readInstant(said)).toThrow(says)
  })
  it.each(NUMBERS)('TIME-05: is no number that is not one exact instant from 1970 to 9999: %j', (said, says) => {
    expect(() => readInstant(said)).toThrow(BadInstant)
    expect(() => readInstant(said)).toThrow(says)
  })
})
