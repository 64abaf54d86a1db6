/**
 * Loaded into every thread of a daemon under soak (`--expose-gc --import`): collects its heap every COLLECT_S, so that the least of each such
 * stretch is what lives. Without it a thread with little to do is not collected for the whole run, and its garbage looks like a leak.
 * In main, at this load, V8 collects as often by itself.
 */
import { COLLECT_S } from './growth.ts'

const { gc } = globalThis
if (gc !== undefined) setInterval(() => void gc(), COLLECT_S * 1_000).unref()
