/** Where the time goes: the top of the CPU profile of each thread (`node --cpu-prof` writes one file a thread). */
import { mkdtempSync, readdirSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface Hotspot {
  readonly what: string
  /** Share of the thread's time that was not idle, 0..1. */
  readonly share: number
  readonly ms: number
}
export interface Hotspots {
  /** main, store, dispatch, ingest, or the thread's number. */
  readonly thread: string
  readonly busyMs: number
  readonly wallMs: number
  readonly top: readonly Hotspot[]
  /** The same time by file: a flat profile has no single hot function. */
  readonly files: readonly Hotspot[]
}

interface Frame {
  readonly functionName: string
  readonly url: string
  readonly lineNumber: number
}
interface Profile {
  readonly nodes: readonly { readonly id: number; readonly callFrame: Frame }[]
  readonly samples: readonly number[]
  /** Microseconds before each sample. */
  readonly timeDeltas: readonly number[]
}

const TOP = 12
const IDLE = new Set(['(idle)', '(program)'])

/** Threads, by a file that only they run. First match wins. */
const THREADS: readonly (readonly [string, RegExp])[] = [
  ['main', /\/src\/main\.ts$/],
  ['ingest', /\/ingest[^/]*\.ts$/],
  ['store', /\/store\/sqlite\/|better-sqlite3/],
  ['dispatch', /\/dispatch\/(worker|http)|undici|piscina/],
]

export const profileFolder = (): string => mkdtempSync(join(tmpdir(), 'hookpulse-profile-'))

const fileOf = ({ url }: Frame): string =>
  url.replace(/^.*\/node_modules\//, '').replace(/^file:.*\/((src|actors|supervisors|dist)\/)/, '$1')
const placeOf = (frame: Frame): string => {
  const file = fileOf(frame)
  return `${frame.functionName || '(anonymous)'}${file === '' ? '' : ` ${file}:${frame.lineNumber + 1}`}`
}

const threadOf = (profile: Profile, fallback: string): string => {
  const urls = new Set(profile.nodes.map(({ callFrame }) => callFrame.url))
  return THREADS.find(([, own]) => [...urls].some((url) => own.test(url)))?.[0] ?? fallback
}

/** Microseconds by what `key` says of each sample's frame. */
const spentBy = (profile: Profile, key: (frame: Frame) => string): Map<string, number> => {
  const keys = new Map(profile.nodes.map(({ id, callFrame }) => [id, key(callFrame)]))
  const micros = new Map<string, number>()
  profile.samples.forEach((id, index) => {
    const what = keys.get(id) ?? '?'
    micros.set(what, (micros.get(what) ?? 0) + (profile.timeDeltas[index] ?? 0))
  })
  return micros
}

const topOf = (micros: ReadonlyMap<string, number>): { busyMs: number; top: Hotspot[] } => {
  const busy = [...micros].filter(([what]) => !IDLE.has(what))
  const all = busy.reduce((sum, [, spent]) => sum + spent, 0)
  const top = busy
    .sort(([, a], [, b]) => b - a)
    .slice(0, TOP)
    .map(([what, spent]) => ({ what, share: spent / all, ms: spent / 1_000 }))
  return { busyMs: all / 1_000, top }
}

const hotspotsOf = (profile: Profile, fallback: string): Hotspots => {
  const { busyMs, top } = topOf(spentBy(profile, placeOf))
  // Functions without a file are V8's and Node's own; their name says more than nothing would.
  const { top: files } = topOf(spentBy(profile, (frame) => fileOf(frame) || frame.functionName))
  const wallMs = profile.timeDeltas.reduce((sum, delta) => sum + delta, 0) / 1_000
  return { thread: threadOf(profile, fallback), busyMs, wallMs, top, files }
}

/** The threads of a folder of profiles, busiest first. */
export const readHotspots = (folder: string): Hotspots[] =>
  readdirSync(folder)
    .filter((file) => file.endsWith('.cpuprofile'))
    .map((file) => {
      const profile: Profile = JSON.parse(readFileSync(join(folder, file), 'utf8'))
      return hotspotsOf(profile, file.split('.').at(4) ?? file)
    })
    .sort((a, b) => b.busyMs - a.busyMs)
