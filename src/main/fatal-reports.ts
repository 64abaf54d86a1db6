/**
 * What a run leaves behind when it dies of an error of its own (out of memory, a failed assertion inside V8): Node's diagnostic
 * report, `<data>/fatal-reports/<runId>.json`. A process that is killed from outside leaves none, so that only the former puts
 * webhooks under suspicion (D-17). The runs are read at boot and never marked as read: what follows from one is recorded with
 * the attempts of that run, once, however often boot is interrupted.
 *
 * Source: Node.js, "Diagnostic report"; the heap limit in it is that of the thread that died.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { FatalHeap } from '#actors/executor.ts'
import { CARRIER_HEAP_MB, FATAL_REPORTS_MAX, LONELY_HEAP_MB, THREAD_YOUNG_HEAP_MB } from '#config/limits.ts'

export interface FatalRun {
  readonly runId: string
  /** Null: of another thread than those for dispatch, or unreadable; then nobody is suspect. */
  readonly heap: FatalHeap | null
  /** Node's words. */
  readonly event: string
}

/** Keeps the newest reports; the rest is removed. Throws what the file system throws. */
export const readFatalRuns = (dataDir: string): readonly FatalRun[] => {
  const folder = folderOf(dataDir)
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const newestFirst = readdirSync(folder)
    .filter((name) => name.endsWith(SUFFIX))
    .map((name) => ({ name, at: statSync(join(folder, name)).mtimeMs }))
    .sort((a, b) => b.at - a.at)
  for (const { name } of newestFirst.slice(FATAL_REPORTS_MAX)) rmSync(join(folder, name))
  return newestFirst.slice(0, FATAL_REPORTS_MAX).map(({ name }) => ({
    runId: name.slice(0, -SUFFIX.length),
    ...readReport(readFileSync(join(folder, name), 'utf8')),
  }))
}

/** From now on a fatal error of this process leaves a report; without environment and network, which may hold secrets. */
export const leaveFatalReport = (dataDir: string, runId: string): void => {
  Object.assign(process.report, { excludeEnv: true, excludeNetwork: true })
  process.report.directory = folderOf(dataDir)
  process.report.filename = `${runId}${SUFFIX}`
  process.report.compact = true
  process.report.reportOnFatalError = true
}

/** By `runId`, those whose attempts are suspects. */
export const suspectRuns = (runs: readonly FatalRun[]): Record<string, FatalHeap> =>
  Object.fromEntries(runs.flatMap(({ runId, heap }) => (heap === null ? [] : [[runId, heap]])))

const SUFFIX = '.json'
const folderOf = (dataDir: string): string => join(dataDir, 'fatal-reports')

const readReport = (text: string): Pick<FatalRun, 'heap' | 'event'> => {
  try {
    const report: unknown = JSON.parse(text)
    const limit = field(field(report, 'javascriptHeap'), 'memoryLimit')
    return { heap: heapOf(Number(limit)), event: String(field(field(report, 'header'), 'event')) }
  } catch (error) {
    // It died while it wrote.
    if (error instanceof SyntaxError) return { heap: null, event: 'a report that was cut short' }
    throw error
  }
}
const field = (value: unknown, key: string): unknown =>
  typeof value === 'object' && value !== null && key in value ? Reflect.get(value, key) : undefined

const MIB = 1_048_576
/** Node lets a thread have this much more, once, so that it can end in order (`kExtraHeapAllowance` of node_worker.h). */
const LAST_ALLOWANCE_MB = 16
const heapOf = (limitBytes: number): FatalHeap | null => {
  const isOf = (oldMb: number): boolean => {
    const overMb = limitBytes / MIB - oldMb - THREAD_YOUNG_HEAP_MB
    return overMb >= 0 && overMb <= LAST_ALLOWANCE_MB
  }
  if (isOf(CARRIER_HEAP_MB)) return 'shared'
  return isOf(LONELY_HEAP_MB) ? 'lonely' : null
}
