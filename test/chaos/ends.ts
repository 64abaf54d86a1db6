/** Which ends of the daemon are in order, by what was done to it. */
import type { FaultType } from './plan.ts'
import type { Life } from './watch.ts'

const [FAILED_TO_START, BROKEN] = [1, 70]
/** D7: three failures of the disk within ten minutes. */
const DISK_FAILED = "the store's disk failed 3 times within 10 min"

const metOne = ({ met }: Life, ...faults: readonly FaultType[]): boolean => faults.some((fault) => met.has(fault))

/** Null where nothing is wrong with it, or one sentence. */
export const wrongEnd = (life: Life): string | null => {
  const { code, signal } = life.ended
  if (life.asked.includes('SIGKILL') && signal === 'SIGKILL') return null
  // Before it is ready it may not listen to signals yet.
  if (life.asked.includes('SIGTERM') && (code === 0 || (signal === 'SIGTERM' && !life.wasReady))) return null
  if (code === BROKEN && metOne(life, 'failing') && life.said.includes(DISK_FAILED)) return null
  if (code === FAILED_TO_START && !life.wasReady && metOne(life, 'full', 'failing')) return null
  const met = [...life.met].join(', ')
  return `an end of its own (code ${code}, signal ${signal}; asked: ${life.asked.join(', ') || 'nothing'}; met: ${met || 'nothing'}):\n${life.said}`
}
/** How often which: `kill`, `70`, `refused to start`, ... */
export const endsOf = (lives: readonly Life[]): Readonly<Record<string, number>> => {
  const counts: Record<string, number> = {}
  for (const { ended, wasReady } of lives) {
    const what = ended.signal ?? `exit ${ended.code}${wasReady ? '' : ' before it was ready'}`
    counts[what] = (counts[what] ?? 0) + 1
  }
  return counts
}
