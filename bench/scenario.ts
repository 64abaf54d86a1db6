/** What a scenario is given and what it gives back. */
import type { CountingReceiver, startCountingReceiver } from '#test/support/counting-receiver.ts'
import type { Daemon, DaemonOptions } from '#test/support/daemon.ts'
import type { Prng } from '#world/prng.ts'

export const SIZES = ['tiny', 'small', 'full'] as const
export type Size = (typeof SIZES)[number]

export interface Figure {
  readonly name: string
  readonly value: number | null
  readonly unit: string
  /** The figure of bench.md that it is held against. */
  readonly aim?: { readonly atLeast?: number; readonly atMost?: number }
}
/** Something that must hold whatever the speed: nothing lost, nothing doubled, no limit broken. */
export interface Check {
  readonly name: string
  readonly ok: boolean
  readonly detail: string
}
export interface Plot {
  readonly title: string
  readonly unit: string
  readonly kind: 'bars' | 'steps'
  /** Bars: one point a series. Steps: x ascending. */
  readonly series: readonly { readonly name: string; readonly points: readonly (readonly [number, number])[] }[]
  readonly xUnit?: string
}
export interface Measured {
  readonly figures: readonly Figure[]
  readonly checks: readonly Check[]
  readonly plots: readonly Plot[]
  /** What the sizes were, so that a figure can be repeated. */
  readonly setup: Readonly<Record<string, number | string>>
}

export interface Bench {
  readonly size: Size
  readonly random: Prng
  /** What `--minutes` and `--count` ask for, for scenarios that have such a thing; null: as the size says. */
  readonly minutes: number | null
  readonly count: number | null
  /** One of three, by size. */
  pick<Value>(sizes: Readonly<Record<Size, Value>>): Value
  /** Progress, for people. */
  note(text: string): void
  /** Both end with the scenario. */
  daemon(options?: DaemonOptions): Promise<Daemon>
  receiver: typeof startCountingReceiver
}
export interface Scenario {
  readonly name: string
  /** One sentence. */
  readonly measures: string
  run(bench: Bench): Promise<Measured>
}

export const check = (name: string, ok: boolean, detail = ''): Check => ({ name, ok, detail })
export type { CountingReceiver, Daemon }
