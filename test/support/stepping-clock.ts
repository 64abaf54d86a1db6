/**
 * Loaded before the daemon (`node --import`): its wall clock is the system's plus the milliseconds in a file, in every thread. The
 * monotonic clock goes on: so looks a step, and so does, from inside, a suspended machine, whose CLOCK_MONOTONIC stands.
 */
import { readFileSync } from 'node:fs'

const { HOOKPULSE_TEST_CLOCK: file } = process.env
const system = Date.now
let offsetMs = 0
const look = (): void => {
  offsetMs = file === undefined ? 0 : Number(readFileSync(file, 'utf8'))
}
Date.now = (): number => system() + offsetMs
look()
setInterval(look, 10).unref()
