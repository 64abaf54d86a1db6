/** What a daemon holds, second by second, and whether it grows: the heap of each of its threads, its memory, its descriptors. */
import { readdirSync } from 'node:fs'
import { memoryOf } from './cpu.ts'
import { fitLine, type Line, lowWater } from './fit.ts'
import { sleepUntil } from './load.ts'
import type { Figure, Plot } from './scenario.ts'

export interface Sample {
  readonly s: number
  /** Heap in use by thread, garbage included, bytes. */
  readonly heaps: ReadonlyMap<string, number>
  /** Anonymous memory: heaps, allocators, SQLite's caches, bytes. */
  readonly own: number
  /** Pages of files: the programs, shared with whoever else runs them, bytes. */
  readonly files: number
  readonly descriptors: number
}
/** Of one thing that should not grow; KiB a minute, or pieces a minute. */
export interface Growth extends Line {
  readonly what: string
  readonly unit: string
  readonly last: number
}

/** Each thread collects its heap this often (`./collecting.ts`): the least of such a stretch is what lives. */
export const COLLECT_S = 30
/** Memory goes up and down with collections and connections; the least of such a stretch is what was not given back. */
const STRETCH_S = 30
const MIB = 1_048_576

/** One a second until then. */
export const sample = async (url: string, pid: number, endAt: number): Promise<readonly Sample[]> => {
  const samples: Sample[] = []
  const startAt = Date.now()
  while (Date.now() < endAt) {
    const heaps = heapsOf(await (await fetch(`${url}/metrics`)).text())
    const { own, files } = memoryOf(pid) ?? { own: 0, files: 0 }
    samples.push({ s: (Date.now() - startAt) / 1_000, heaps, own, files, descriptors: descriptorsOf(pid) })
    await sleepUntil(Date.now() + 1_000)
  }
  return samples
}

export const heapsOf = (page: string): ReadonlyMap<string, number> =>
  new Map(
    [...page.matchAll(/^hookpulse_thread_heap_used_bytes\{thread="([^"]+)"\} (\S+)$/gm)].map(
      ([, thread = '', bytes]) => [thread, Number(bytes)],
    ),
  )

/** Linux; elsewhere none are counted. */
const descriptorsOf = (pid: number): number => {
  try {
    return readdirSync(`/proc/${pid}/fd`).length
  } catch (error) {
    if (error instanceof Error) return 0
    throw error
  }
}

/** A line through the low-water marks of each thing. `samples` are those after the caches have filled. */
export const growths = (samples: readonly Sample[]): readonly Growth[] => {
  const line = (what: string, pick: (one: Sample) => number | undefined, stretchS: number): Growth => {
    const points = samples.flatMap((one): (readonly [number, number])[] => {
      const bytes = pick(one)
      return bytes === undefined ? [] : [[one.s / 60, bytes / 1_024]]
    })
    const { slope, uncertainty } = fitLine(lowWater(points, stretchS / 60))
    return { what, unit: 'KiB/min', last: (points.at(-1)?.[1] ?? 0) / 1_024, slope, uncertainty }
  }
  const threads = [...new Set(samples.flatMap(({ heaps }) => [...heaps.keys()]))]
  return [
    ...threads.map((thread) => line(`heap that lives, ${thread}`, ({ heaps }) => heaps.get(thread), COLLECT_S)),
    line('memory of its own', ({ own }) => own, STRETCH_S),
    line('pages of files', ({ files }) => files, STRETCH_S),
  ]
}
export const descriptorGrowth = (samples: readonly Sample[]): Growth => ({
  what: 'descriptors',
  unit: '/min',
  last: samples.at(-1)?.descriptors ?? 0,
  ...fitLine(samples.map(({ s, descriptors }) => [s / 60, descriptors] as const)),
})

/** Three standard errors, not two: seven slopes are looked at, of some ten to thirty points each, and each may be unlucky. */
const BEYOND_DOUBT = 1.5
export const isGrowing = ({ slope, uncertainty }: Line): boolean => slope > BEYOND_DOUBT * uncertainty
export const inWords = (growth: Growth): string => {
  const { slope, uncertainty, unit } = growth
  const verdict =
    Math.abs(slope) <= BEYOND_DOUBT * uncertainty ? 'not to be told from none' : slope > 0 ? 'grows' : 'shrinks'
  return `${slope.toFixed(1)} ± ${uncertainty.toFixed(1)} ${unit}: ${verdict}`
}

export const figuresOf = (growth: Growth): readonly Figure[] => [
  { name: `${growth.what}, slope`, value: growth.slope, unit: growth.unit },
  { name: '  two standard errors', value: growth.uncertainty, unit: growth.unit },
  ...(growth.unit === 'KiB/min' ? [{ name: '  at the end', value: growth.last, unit: 'MiB' }] : []),
]

export const memoryPlot = (samples: readonly Sample[]): Plot => {
  const series = (name: string, pick: (one: Sample) => number) => ({
    name,
    points: samples.map((one) => [one.s, pick(one) / MIB] as const),
  })
  const threads = [...new Set(samples.flatMap(({ heaps }) => [...heaps.keys()]))]
  return {
    title: 'Memory over a soak',
    unit: 'MiB',
    kind: 'steps',
    xUnit: 's',
    series: [
      series('of its own', ({ own }) => own),
      series('pages of files', ({ files }) => files),
      ...threads.map((thread) => series(`heap ${thread}`, ({ heaps }) => heaps.get(thread) ?? 0)),
    ],
  }
}
