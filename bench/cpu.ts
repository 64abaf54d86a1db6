/** CPU time and memory of other processes, from /proc (Linux); null elsewhere. */
import { existsSync, readFileSync } from 'node:fs'

/** Ticks of /proc/<pid>/stat; 100 a second on every Linux that Node runs on. */
const TICK_MICROS = 10_000

/** User and system time of the process with all its threads, living and gone, in microseconds. Steps of 10 ms. */
export const cpuMicros = (pid: number): number | null => {
  const file = `/proc/${pid}/stat`
  if (!existsSync(file)) return null
  // The name in brackets may hold spaces; the fields are counted after it (proc_pid_stat(5): 14 utime, 15 stime).
  const fields = readFileSync(file, 'utf8').split(') ').at(-1)?.split(' ') ?? []
  return (Number(fields[11]) + Number(fields[12])) * TICK_MICROS
}

/** Resident memory in bytes. */
export const residentBytes = (pid: number): number | null => statusBytes(pid, 'VmRSS')

/** Its two parts, in bytes: what the process has written, and pages of files that it has looked at (proc_pid_status(5)). */
export const memoryOf = (pid: number): { readonly own: number; readonly files: number } | null => {
  const [own, files] = [statusBytes(pid, 'RssAnon'), statusBytes(pid, 'RssFile')]
  return own === null || files === null ? null : { own, files }
}

const statusBytes = (pid: number, field: string): number | null => {
  const file = `/proc/${pid}/status`
  if (!existsSync(file)) return null
  const kib = new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(readFileSync(file, 'utf8'))?.[1]
  return kib === undefined ? null : Number(kib) * 1_024
}
