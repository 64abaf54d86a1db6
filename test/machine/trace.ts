/** What a traced process did to its files, and what a power cut at any moment would have left of them. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'

/** In the order in which they happened, over all threads. `said`: a line on standard output. */
export type Step =
  | { readonly kind: 'write'; readonly file: string; readonly at: number; readonly bytes: Buffer }
  | { readonly kind: 'cut'; readonly file: string; readonly length: number }
  | { readonly kind: 'sync' | 'gone'; readonly file: string }
  | { readonly kind: 'said'; readonly line: string }

/** The flags of strace that a log for `readTrace` needs: whole buffers in hexadecimal, names of descriptors. */
export const TRACE_FLAGS = ['-y', '-xx', '-s', '1048576']
export const TRACED = ['pwrite64', 'write', 'fsync', 'fdatasync', 'ftruncate', 'unlink']

/** Calls that another thread's line has broken in two are put together at their end, when they have happened. */
export const readTrace = (log: string, dir: string): readonly Step[] => {
  const begun = new Map<string, string>()
  return readFileSync(log, 'latin1')
    .split('\n')
    .flatMap((line) => {
      const [, thread = '', rest = ''] = /^(\d+) +(.*)$/.exec(line) ?? []
      if (rest.endsWith('<unfinished ...>')) {
        begun.set(thread, rest.slice(0, -'<unfinished ...>'.length).trimEnd())
        return []
      }
      const resumed = /^<\.\.\. \w+ resumed>(.*)$/.exec(rest)?.[1]
      return stepOf(resumed === undefined ? rest : `${begun.get(thread) ?? ''}${resumed}`, dir)
    })
}

const CALL = /^(\w+)\((.*)\) += (-?\d+)/
const stepOf = (text: string, dir: string): readonly Step[] => {
  const [, call = '', args = '', result = '-1'] = CALL.exec(text) ?? []
  if (Number(result) < 0) return []
  if (call === 'unlink') return ours(unhex(/"([^"]*)"/.exec(args)?.[1] ?? '').toString(), dir).map(gone)
  const [, descriptor, name = ''] = /^(\d+)<([^>]*)>/.exec(args) ?? []
  const path = unhex(name).toString()
  if (call === 'write' && descriptor === '1') return saidOf(args)
  return ours(path, dir).flatMap((file): readonly Step[] => {
    if (call === 'fsync' || call === 'fdatasync') return [{ kind: 'sync', file }]
    if (call === 'ftruncate') return [{ kind: 'cut', file, length: Number(/, (\d+)$/.exec(args)?.[1]) }]
    const [, bytes = '', at = ''] = /"([^"]*)", \d+, (\d+)$/.exec(args) ?? []
    return call === 'pwrite64' ? [{ kind: 'write', file, at: Number(at), bytes: unhex(bytes) }] : []
  })
}
const gone = (file: string): Step => ({ kind: 'gone', file })
const saidOf = (args: string): readonly Step[] =>
  unhex(/"([^"]*)"/.exec(args)?.[1] ?? '')
    .toString()
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => ({ kind: 'said', line }))

/** `\x68\x6f`, as `-xx` writes; names come either way. */
const unhex = (text: string): Buffer =>
  text.includes('\\x') ? Buffer.from(text.replaceAll('\\x', ''), 'hex') : Buffer.from(text, 'latin1')
/** The name in the data directory: the database and its log; what lies elsewhere is no matter of ours. */
const ours = (path: string, dir: string): readonly string[] =>
  path.startsWith(`${dir}/hookpulse.db`) && !path.endsWith('-shm') ? [basename(path)] : []

/** A disk that has only promised what it was asked to sync. */
export class PromisedDisk {
  /** What programs read. */
  readonly #now = new Map<string, Buffer>()
  /** What is surely there after a power cut: each file as of its last sync, without what has come since. */
  readonly #kept = new Map<string, Buffer>()
  readonly #since = new Map<string, Extract<Step, { kind: 'write' | 'cut' }>[]>()

  do(step: Step): void {
    switch (step.kind) {
      case 'said':
        return
      case 'gone':
        for (const files of [this.#now, this.#kept, this.#since]) files.delete(step.file)
        return
      case 'sync':
        this.#kept.set(step.file, this.#now.get(step.file) ?? Buffer.alloc(0))
        this.#since.delete(step.file)
        return
      case 'write':
      case 'cut':
        this.#now.set(step.file, changed(this.#now.get(step.file) ?? Buffer.alloc(0), step))
        this.#since.set(step.file, [...(this.#since.get(step.file) ?? []), step])
        return
      default:
        step satisfies never
    }
  }
  /** Writes what a power cut leaves; `survives` says which of the unsynced changes reached the disk all the same. */
  leave(dir: string, survives: () => boolean): void {
    mkdirSync(dir, { recursive: true })
    for (const file of this.#now.keys()) {
      const unsynced = (this.#since.get(file) ?? []).filter(survives)
      writeFileSync(join(dir, file), unsynced.reduce(changed, this.#kept.get(file) ?? Buffer.alloc(0)))
    }
  }
}

const changed = (before: Buffer, step: Extract<Step, { kind: 'write' | 'cut' }>): Buffer => {
  const length = step.kind === 'cut' ? step.length : Math.max(before.length, step.at + step.bytes.length)
  const after = Buffer.alloc(length)
  before.copy(after, 0, 0, length)
  if (step.kind === 'write') step.bytes.copy(after, step.at)
  return after
}
