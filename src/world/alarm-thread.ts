/** Sleeps until the instant on the alarm's face, rings, and sleeps until it is set again. */
import { parentPort, workerData } from 'node:worker_threads'
import { type AlarmFace, sharedNowMs } from './alarm-face.ts'

const { settings, dueMs }: AlarmFace = workerData
let rung = -1
for (;;) {
  const setting = Atomics.load(settings, 0)
  const waitMs = setting === rung ? Number.POSITIVE_INFINITY : (dueMs[0] ?? 0) - sharedNowMs()
  if (waitMs > 0) {
    Atomics.wait(settings, 0, setting, waitMs)
  } else {
    rung = setting
    parentPort?.postMessage(null)
  }
}
