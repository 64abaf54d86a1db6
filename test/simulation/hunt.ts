/** Runs a seed twice, compares, and says what was found in one line that replays it; makes a finding smaller. */
import { CLASSES, drawOptions, type SimClass, type SimOptions } from './options.ts'
import { type SimResult, simulate } from './simulation.ts'

export interface Case {
  readonly seed: number
  readonly without: readonly SimClass[]
  /** Indices of the drawn faults that are kept; null: all. */
  readonly keep: readonly number[] | null
}
export const caseOf = (seed: number): Case => ({ seed, without: [], keep: null })
export const optionsOf = ({ seed, without, keep }: Case): SimOptions => drawOptions(seed, without, keep)

/** Null: nothing found. */
export const finding = (result: SimResult): string | null => {
  const [first] = result.violations
  return first === undefined ? null : `${first.invariant}: ${first.what} (at ${first.mono} ms)`
}
export const replayLine = ({ seed, without, keep }: Case): string =>
  [
    `npm run sim -- --seed=${seed}`,
    ...(without.length > 0 ? [`--without=${without.join(',')}`] : []),
    ...(keep === null ? [] : [`--keep=${keep.length > 0 ? keep.join(',') : 'none'}`]),
  ].join(' ')

/** Twice, with the same trace: else the simulation itself is at fault. */
export const runTwice = async (one: Case): Promise<{ readonly result: SimResult; readonly found: string | null }> => {
  const result = await simulate(optionsOf(one))
  const again = await simulate(optionsOf(one))
  const found = finding(result)
  if (result.hash === again.hash) return { result, found }
  return { result, found: found ?? `determinism: ${result.hash} and ${again.hash}` }
}

/** Leaves out classes one by one, then halves the list of faults, as long as something is still found. */
export const shrink = async (whole: Case): Promise<Case> => {
  let small = whole
  const fails = async (one: Case): Promise<boolean> => finding(await simulate(optionsOf(one))) !== null
  for (const name of CLASSES) {
    const without = { ...small, without: [...small.without, name] }
    if (await fails(without)) small = without
  }
  const count = drawOptions(small.seed, small.without).faults.length
  let keep = small.keep ?? Array.from({ length: count }, (_, index) => index)
  for (let size = Math.ceil(keep.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let from = 0; from < keep.length; ) {
      const fewer = keep.filter((_, index) => index < from || index >= from + size)
      if (await fails({ ...small, keep: fewer })) keep = fewer
      else from += size
    }
  }
  const kept = { ...small, keep }
  return (await fails(kept)) ? kept : small
}

/** First line on which two runs differ. */
export const difference = (a: SimResult, b: SimResult): string => {
  const at = a.allLines?.findIndex((line, index) => line !== b.allLines?.[index]) ?? -1
  return at < 0 ? 'none' : `${a.allLines?.[at]}\n${b.allLines?.[at]}`
}
