/**
 * Entry of a dispatch thread. Its one Piscina task is the dispatch session: it takes attempts in groups over a MessagePort
 * and reports them in groups, until the thread is ended. A second task for the same thread never comes.
 */
import { type MessagePort, threadId } from 'node:worker_threads'
import type { AddressPolicy } from '#webhook/address.ts'
import { RealWorld } from '#world/real-world.ts'
import { ReportFrame, readOrders } from './frames.ts'
import { HttpAttempts } from './http.ts'
import type { DispatchSettings } from './settings.ts'

export interface SessionTask {
  readonly port: MessagePort
  readonly settings: DispatchSettings
  /** One Int32 that this thread counts up when it is asked whether it lives: main sees that without taking a message. */
  readonly heartbeat: SharedArrayBuffer
}
/** Main to thread: a group of orders (a bare buffer), or one of these. `beat`: does it live? */
export type ToThread =
  | ArrayBuffer
  | { readonly type: 'beat' }
  | { readonly type: 'abort'; readonly handles: readonly number[] }
  | { readonly type: 'policy'; readonly policy: AddressPolicy }
/** Thread to main: once `started`, then groups of reports (bare buffers). */
export interface Started {
  readonly type: 'started'
  readonly threadId: number
}

/** Never settles. */
export default function session(task: SessionTask): Promise<never> {
  const world = new RealWorld({ failpoints: task.settings.failpoints })
  const { port } = task
  const beats = new Int32Array(task.heartbeat)

  const frame = new ReportFrame()
  const flush = (): void => {
    const buffer = frame.take()
    port.postMessage(buffer, [buffer])
  }
  const attempts = new HttpAttempts(world, task.settings, (report) => {
    world.failpoint('dispatch.report')
    if (frame.empty) world.yieldToIo(flush)
    frame.add(report)
  })

  port.on('message', (message: ToThread) => {
    if (message instanceof ArrayBuffer) {
      world.failpoint('dispatch.orders')
      for (const order of readOrders(message)) attempts.start(order)
    } else if (message.type === 'abort') for (const handle of message.handles) attempts.abort(handle)
    else if (message.type === 'beat') Atomics.add(beats, 0, 1)
    else attempts.setPolicy(message.policy)
  })
  port.postMessage({ type: 'started', threadId } satisfies Started)
  return new Promise(() => {})
}
