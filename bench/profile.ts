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

const placeOf = ({ functionName, url, lineNumber }: Frame): string => {
  const file = url.replace(/^.*\/node_modules\//, '').replace(/^file:.*\/((src|actors|supervisors|dist)\/)/, '$1')
  return `${functionName || '(anonymous)'}${file === '' ? '' : ` ${file}:${lineNumber + 1}`}`
}

const threadOf = (profile: Profile, fallback: string): string => {
  const urls = new Set(profile.nodes.map(({ callFrame }) => callFrame.url))
  return THREADS.find(([, own]) => [...urls].some((url) => own.test(url)))?.[0] ?? fallback
}

const hotspotsOf = (profile: Profile, fallback: string): Hotspots => {
  const places = new Map(profile.nodes.map(({ id, callFrame }) => [id, placeOf(callFrame)]))
  const micros = new Map<string, number>()
  let wall = 0
  profile.samples.forEach((id, index) => {
    const delta = profile.timeDeltas[index] ?? 0
    const place = places.get(id) ?? '?'
    wall += delta
    micros.set(place, (micros.get(place) ?? 0) + delta)
  })
  const busy = [...micros].filter(([place]) => !IDLE.has(place))
  const busyMicros = busy.reduce((sum, [, spent]) => sum + spent, 0)
  const top = busy
    .sort(([, a], [, b]) => b - a)
    .slice(0, TOP)
    .map(([what, spent]) => ({ what, share: spent / busyMicros, ms: spent / 1_000 }))
  return { thread: threadOf(profile, fallback), busyMs: busyMicros / 1_000, wallMs: wall / 1_000, top }
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
