import { describe, expect, it } from 'vitest'
import {
  APPEND_CHUNK_ROWS,
  OVERLOAD_STORE_WAIT_MS,
  OVERLOAD_WINDOW_MS,
  STORE_WAITING_BYTES_MAX,
  STORE_WAITING_ROWS_MAX,
} from '#config/limits.ts'
import {
  commitMs,
  doorWaitMs,
  fill,
  gaveBack,
  hasRoom,
  letIn,
  newStoreLoad,
  returned,
  sent,
  took,
  waiting,
  waitMs,
} from '#overload/store-load.ts'

describe('what waits for the store', () => {
  it('is no wait before anything was measured, and none where nothing waits', () => {
    const { promised } = newStoreLoad()
    took(promised, 50_000, 1)
    expect(waitMs(promised)).toBe(0)
  })

  it('waits as many commits as it fills: a commit of one row costs nearly what a full one does', () => {
    const { promised } = newStoreLoad()
    sent(promised, 0)
    returned(promised, 1, 4)
    took(promised, 1, 100)
    expect(waitMs(promised)).toBe(4)
    took(promised, 9 * APPEND_CHUNK_ROWS, 100)
    expect(waitMs(promised)).toBe(40)
    gaveBack(promised, 9 * APPEND_CHUNK_ROWS, 100)
    expect(waitMs(promised)).toBe(4)
  })

  it('measures a large append by what each of its transactions takes', () => {
    const { large } = newStoreLoad()
    sent(large, 0)
    returned(large, 10 * APPEND_CHUNK_ROWS, 70)
    took(large, APPEND_CHUNK_ROWS, 100)
    expect(waitMs(large)).toBe(7)
  })

  it('shows a large append that gets on slowly at the door, before it has come back', () => {
    const { large } = newStoreLoad()
    took(large, 2_000, 100)
    sent(large, 0)
    expect(doorWaitMs(large, 2_500)).toBe(2_500)
    returned(large, 2_000, 2_600)
    gaveBack(large, 2_000, 100)
    expect(doorWaitMs(large, 2_700)).toBe(0)
  })

  it('follows a disk that becomes slow within a few commits', () => {
    const { promised } = newStoreLoad()
    took(promised, 10 * APPEND_CHUNK_ROWS, 1)
    let mono = 0
    const commit = (ms: number): void => {
      sent(promised, mono)
      mono += ms
      returned(promised, APPEND_CHUNK_ROWS, mono)
    }
    for (let i = 0; i < 20; i++) commit(5)
    expect(waitMs(promised)).toBeCloseTo(50)
    for (let i = 0; i < 10; i++) commit(300)
    expect(waitMs(promised)).toBeGreaterThan(2_500)
  })

  it('STOR-02: what is let in shrinks with the disk: two seconds of its work at 300 ms a commit, all that may wait at 5', () => {
    const letInAt = (ms: number): number => {
      const load = newStoreLoad()
      const { promised } = load
      for (let i = 0; i < 30; i++) {
        sent(promised, i * ms)
        returned(promised, APPEND_CHUNK_ROWS, (i + 1) * ms)
      }
      const hasPlace = () =>
        doorWaitMs(promised, 30 * ms) <= OVERLOAD_STORE_WAIT_MS && hasRoom(load, APPEND_CHUNK_ROWS, 1)
      while (hasPlace()) letIn(promised, APPEND_CHUNK_ROWS, 1)
      return waiting(promised)
    }
    expect(letInAt(5)).toBe(Math.floor(STORE_WAITING_ROWS_MAX / APPEND_CHUNK_ROWS) * APPEND_CHUNK_ROWS)
    expect(letInAt(300)).toBe(Math.ceil(OVERLOAD_STORE_WAIT_MS / 300) * APPEND_CHUNK_ROWS)
  })

  it('shows a commit that hangs while it hangs, and forgets a slow one when it is long past', () => {
    const { promised } = newStoreLoad()
    sent(promised, 0)
    expect(commitMs(promised, 3_000)).toBe(3_000)
    returned(promised, 1, 4_000)
    expect(commitMs(promised, 4_000)).toBe(4_000)
    expect(commitMs(promised, 4_000 + OVERLOAD_WINDOW_MS + 1)).toBe(0)
  })

  it('has room up to its bounds in webhooks and in bytes, over both roads together', () => {
    const load = newStoreLoad()
    took(load.large, STORE_WAITING_ROWS_MAX - 10_000, 1)
    expect(hasRoom(load, 10_000, 1)).toBe(true)
    expect(hasRoom(load, 10_001, 1)).toBe(false)
    expect(fill(load)).toBe(0.9)
    took(load.promised, 1, STORE_WAITING_BYTES_MAX - 2)
    expect(hasRoom(load, 1, 1)).toBe(true)
    expect(hasRoom(load, 1, 2)).toBe(false)
  })

  it('has room for whatever comes where nothing waits', () => {
    expect(hasRoom(newStoreLoad(), 10_000, STORE_WAITING_BYTES_MAX + 1)).toBe(true)
  })
})
