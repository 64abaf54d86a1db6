/** The daemon's side of a check or backup (`./inspection-entry.ts`): a process for as long as it takes, which can end at once. */
import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { StoreError } from '#store/store.ts'
import type { Inspection, InspectionAnswer, InspectionOrder } from './inspection-entry.ts'

const ENTRY = fileURLToPath(import.meta.resolve('#store/sqlite/inspection-entry.ts'))

export class InspectionProcess {
  readonly #child: ChildProcess
  readonly #gone: Promise<void>

  constructor() {
    // Flags of the daemon's own Node, such as a profiler's, are not for it.
    this.#child = fork(ENTRY, {
      execArgv: [],
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      serialization: 'advanced',
    })
    this.#gone = new Promise((resolve) => this.#child.once('exit', () => resolve()))
  }

  /** Rejects with StoreError: what it said, or `closed` where it ended before it had answered. */
  ask(database: string, query: Inspection): Promise<unknown> {
    const { promise, resolve, reject } = Promise.withResolvers<unknown>()
    this.#child.once('message', (answer: InspectionAnswer) => {
      if (answer.type === 'answered') resolve(answer.value)
      else reject(new StoreError(answer.code, answer.message, answer.op))
    })
    this.#child.once('error', (error) => reject(new StoreError('io', `a process was not started: ${error.message}`)))
    void this.#gone.then(() => reject(new StoreError('closed', `the ${query.type} was cut short`)))
    // Without a descriptor left there is no process and no channel (LOAD-09); the error comes as an event.
    if (this.#child.connected) this.#child.send({ database, query } satisfies InspectionOrder)
    return promise
  }
  async end(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null || this.#child.pid === undefined) return
    this.#child.kill('SIGKILL')
    await this.#gone
  }
}
