/** A dispatch thread that can be hurt: a request with the header `x-hurt` does what it says instead of being sent. */
import { type MessagePort, parentPort } from 'node:worker_threads'
import { readOrders } from '#dispatch/frames.ts'
import session, { type SessionTask } from '#dispatch/worker.ts'
import { unpackRequest } from '#webhook/request.ts'

const HURTS: Readonly<Record<string, (port: MessagePort, handle: number) => void>> = {
  loop: () => {
    for (;;);
  },
  exit: () => process.exit(3),
  throw: () => {
    throw new Error('thrown in the thread')
  },
  reject: () => void Promise.reject(new Error('rejected in the thread')),
  memory: () => {
    const kept: unknown[] = []
    for (;;) kept.push(new Array(10_000).fill(kept.length))
  },
  malformed: (port) => port.postMessage(new ArrayBuffer(5)),
  'no-buffer': (port) => port.postMessage({ type: 'reported', reports: 'lies' }),
  // A report of an attempt that nobody gave it.
  unknown: (port) => port.postMessage(deliveredFrame(99)),
  twice: (port, handle) => {
    port.postMessage(deliveredFrame(handle))
    port.postMessage(deliveredFrame(handle))
  },
  silent: () => {},
}

const deliveredFrame = (handle: number): ArrayBuffer => {
  const frame = new ArrayBuffer(44)
  new DataView(frame).setUint32(0, handle, true)
  new DataView(frame).setUint16(6, 200, true)
  return frame
}

export default function hurtSession(task: SessionTask): Promise<never> {
  const { port } = task
  const on = port.on.bind(port)
  const hurtOf = (message: unknown): { readonly how: string; readonly handle: number } | undefined => {
    if (!(message instanceof ArrayBuffer)) return undefined
    for (const { request, handle } of readOrders(message)) {
      const { headers } = unpackRequest(request)
      const at = headers.indexOf('x-hurt')
      if (at >= 0) return { how: headers[at + 1] ?? '', handle }
    }
    return undefined
  }
  const wrapped = new Proxy(port, {
    get: (target, key) => {
      if (key === 'on')
        return (event: string, listener: (message: unknown) => void) =>
          on('message', (message: unknown) => {
            const hurt = event === 'message' ? hurtOf(message) : undefined
            if (hurt === undefined) return listener(message)
            HURTS[hurt.how]?.(port, hurt.handle)
          })
      const value: unknown = Reflect.get(target, key)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
  parentPort?.unref()
  return session({ ...task, port: wrapped })
}
