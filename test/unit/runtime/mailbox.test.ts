import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { CAST, INFO, Mailbox } from '#runtime/mailbox.ts'

const operation = fc.oneof(
  { weight: 3, arbitrary: fc.record({ do: fc.constant('push' as const), value: fc.nat() }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('shift' as const), value: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('removeAt' as const), value: fc.nat() }) },
)

describe('a mailbox', () => {
  it('is a queue, whatever is pushed, taken and taken out of the middle', () => {
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 300 }), (operations) => {
        const mailbox = new Mailbox()
        const model: { value: number; meta: object }[] = []
        for (const { do: what, value } of operations) {
          const meta = value % 2 === 0 ? CAST : INFO
          if (what === 'push') {
            mailbox.push(value, meta)
            model.push({ value, meta })
          } else if (model.length > 0) {
            const index = what === 'shift' ? 0 : value % model.length
            expect(mailbox.metaAt(index)).toBe(model[index]?.meta)
            const taken = what === 'shift' ? mailbox.shift() : mailbox.removeAt(index)
            expect(taken).toBe(model.splice(index, 1)[0]?.value)
          }
          expect(mailbox.length).toBe(model.length)
        }
        expect(model.map((_, index) => mailbox.messageAt(index))).toEqual(model.map(({ value }) => value))
      }),
    )
  })
})
