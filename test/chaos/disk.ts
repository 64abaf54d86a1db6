/**
 * The disk under the data directory, made worse while the daemon runs: a file system of its own that a filler takes, and syncs
 * that strace makes slow or fail (strace(1), "Tampering") by attaching to the daemon and leaving it again.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { straceArgs } from '#test/machine/strace.ts'

const [CHUNK, PAGE] = [1_048_576, 4_096]
/** A process that was killed while strace delayed one of its calls keeps strace for ever, and strace its remains. */
const LEAVES_WITHIN_MS = 2_000

const isFull = (error: unknown): boolean => error instanceof Error && 'code' in error && error.code === 'ENOSPC'

/** `dir` must be a small file system of its own. */
export class SmallDisk {
  readonly #filler: string

  constructor(dir: string) {
    this.#filler = join(dir, 'filler')
  }

  /** Takes all that is free but `leftBytes`. */
  async fill(leftBytes: number): Promise<void> {
    const file = await open(this.#filler, 'w')
    try {
      let size = 0
      for (const step of [CHUNK, PAGE]) size = await grow(file, Buffer.alloc(step), size)
      await file.truncate(Math.max(0, size - leftBytes))
    } finally {
      await file.close()
    }
  }
  async free(): Promise<void> {
    await rm(this.#filler, { force: true })
  }
}
const grow = async (file: Awaited<ReturnType<typeof open>>, bytes: Buffer, from: number): Promise<number> => {
  for (let size = from; ; ) {
    try {
      size += (await file.write(bytes, 0, bytes.length, size)).bytesWritten
    } catch (error) {
      if (isFull(error)) return size
      throw error
    }
  }
}

/** How the syncs of the store's files go wrong: `inject` of strace(1), like `error=EIO:when=5` or `delay_enter=300000`. */
export interface Tampered {
  /** The tracer has left, asked or since the process has ended. */
  readonly left: Promise<void>
  leave(): Promise<void>
}
export const tamper = (pid: number, data: string, inject: string): Tampered => {
  const files = ['hookpulse.db', 'hookpulse.db-wal'].map((name) => join(data, name))
  const args = straceArgs({ inject: [`fsync,fdatasync:${inject}`], files, flags: ['-p', String(pid)] })
  const tracer = spawn('strace', args, { stdio: 'ignore' })
  const left = ended(tracer)
  return {
    left,
    leave: async () => {
      tracer.kill('SIGINT')
      const force = setTimeout(() => tracer.kill('SIGKILL'), LEAVES_WITHIN_MS)
      await left
      clearTimeout(force)
    },
  }
}
const ended = (child: ChildProcess): Promise<void> =>
  new Promise((resolve, reject) => {
    child.once('close', () => resolve())
    child.once('error', reject)
  })
