import { describe, expect, it } from 'vitest'
import { describeReason, isBenign, isSameReason } from '#runtime/exit.ts'
import { Pid } from '#runtime/pid.ts'
import { safeCopy } from '#runtime/safe-copy.ts'
import { structuralKey } from '#runtime/structural-key.ts'

describe('safe messages', () => {
  it('copies data deeply, shares what is no data, and survives a cycle', () => {
    const pid = new Pid(1)
    const message = { list: [1, { deep: 2 }], map: new Map([['k', { v: 1 }]]), bytes: new Uint8Array([1]), pid }
    const copy = safeCopy(message)
    expect(copy).toEqual(message)
    expect(copy.pid).toBe(pid)
    expect([copy.list === message.list, copy.map === message.map, copy.bytes === message.bytes]).toEqual([
      false,
      false,
      false,
    ])
    const cycle: { self?: unknown } = {}
    cycle.self = cycle
    const twin = safeCopy(cycle)
    expect(twin.self).toBe(twin)
    expect(twin).not.toBe(cycle)
  })
})

describe('keys by structure', () => {
  it('are equal for equal structure and type, and different otherwise', () => {
    expect(structuralKey({ a: 1, b: [2] })).toBe(structuralKey({ b: [2], a: 1 }))
    const different = [
      1,
      '1',
      true,
      'true',
      null,
      undefined,
      [1],
      ['1'],
      { a: 1 },
      { a: '1' },
      new Pid(1),
      new Pid(1),
      1n,
    ]
    expect(new Set(different.map(structuralKey)).size).toBe(different.length)
  })
})

describe('exit reasons', () => {
  it('normal and the shutdowns are benign, nothing else', () => {
    expect(['normal', 'shutdown', { type: 'shutdown', detail: 1 }].map((reason) => isBenign(reason as never))).toEqual([
      true,
      true,
      true,
    ])
    expect([isBenign('killed'), isBenign({ type: 'term', term: 'x' })]).toEqual([false, false])
  })

  it('are the same by value', () => {
    expect(isSameReason({ type: 'term', term: { a: 1 } }, { type: 'term', term: { a: 1 } })).toBe(true)
    expect(isSameReason({ type: 'term', term: 1 }, { type: 'term', term: 2 })).toBe(false)
    expect(isSameReason('normal', 'shutdown')).toBe(false)
  })

  it('are told in one line', () => {
    expect(describeReason({ type: 'error', error: new TypeError('x') })).toBe('TypeError: x')
    const call = { target: 'disk', request: 'save', timeoutMs: 5 }
    expect(describeReason({ type: 'call_failed', why: 'noproc', call })).toBe('call save to disk: noproc')
  })
})
